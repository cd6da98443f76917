#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the ONNX seeds of the fuzzer: small models that between them use every corner of the file format.

usage: make_seeds.py           (rewrites tests/fuzz/seeds/onnx; the bytes are the same every time)
"""
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FOLDER = pathlib.Path(__file__).parent / "seeds" / "onnx"
FLOAT = TensorProto.FLOAT


def value(name, dims, dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, dims)


def save(name, nodes, inputs, outputs, initializers=(), opset=17, domains=(), functions=(), metadata=()):
    graph = helper.make_graph(nodes, name, inputs, outputs, list(initializers))
    imports = [helper.make_opsetid("", opset), *[helper.make_opsetid(domain, 1) for domain in domains]]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8, functions=list(functions), producer_name="seed")
    for key, text in metadata:
        model.metadata_props.add(key=key, value=text)
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))


def main():
    rng = np.random.default_rng(0)
    weights = lambda name, *dims: numpy_helper.from_array(rng.standard_normal(dims).astype(np.float32), name)
    node = helper.make_node

    save("network", [
        node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2], name="Conv_0"),
        node("BatchNormalization", ["c", "s", "b2", "m", "v"], ["n"], epsilon=1e-3), node("Relu", ["n"], ["r"]),
        node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], auto_pad=b"SAME_UPPER"), node("GlobalAveragePool", ["p"], ["g"]),
        node("Flatten", ["g"], ["f"]), node("Gemm", ["f", "fc", "fb"], ["l"], transB=1), node("Softmax", ["l"], ["y"], axis=-1)],
        [value("x", ["batch", 3, "h", 8])], [value("y", ["batch", 2])],
        [weights("w", 4, 3, 3, 3), weights("b", 4), weights("s", 4), weights("b2", 4), weights("m", 4),
         numpy_helper.from_array(np.ones(4, np.float32), "v"), weights("fc", 2, 4), weights("fb", 2)], metadata=[("character", "a\nb")])

    save("shapes", [
        node("Shape", ["x"], ["s"]), node("Gather", ["s", "zero"], ["n"], axis=0), node("Unsqueeze", ["n", "axes"], ["n1"]),
        node("Concat", ["n1", "rest"], ["to"], axis=0), node("Reshape", ["x", "to"], ["r"]),
        node("Slice", ["r", "starts", "ends", "axes", "steps"], ["sl"]), node("Split", ["sl"], ["a", "b"], axis=1),
        node("Transpose", ["a"], ["t"], perm=[1, 0]), node("Expand", ["t", "big"], ["e"]), node("Tile", ["b", "two"], ["ti"]),
        node("Pad", ["ti", "pads"], ["pd"], mode="constant"), node("NonZero", ["pd"], ["nz"]), node("Range", ["zero", "n", "one"], ["ra"])],
        [value("x", ["n", 4, 6])], [value("e", None), value("nz", ["k", "m"], TensorProto.INT64), value("ra", ["q"], TensorProto.INT64)],
        [numpy_helper.from_array(np.array(v, np.int64), k) for k, v in {
            "zero": 0, "one": 1, "axes": [0], "rest": [24], "starts": [-3], "ends": [2**63 - 1], "steps": [1], "big": [12, 3],
            "two": [1, 2], "pads": [0, 1, 0, 1]}.items()])

    then = helper.make_graph([node("Add", ["x", "w"], ["t"])], "then", [], [value("t", ["n"])])
    other = helper.make_graph([node("Identity", ["x"], ["e"])], "else", [], [value("e", ["n"])])
    body = helper.make_graph([node("Add", ["carried", "w"], ["next"]), node("Identity", ["go"], ["go_on"])], "body",
                             [value("i", [], TensorProto.INT64), value("go", [], TensorProto.BOOL), value("carried", ["n"])],
                             [value("go_on", [], TensorProto.BOOL), value("next", ["n"])])
    save("control", [
        node("ReduceSum", ["x"], ["sum"], keepdims=0), node("Greater", ["sum", "zero"], ["c"]),
        node("If", ["c"], ["y"], then_branch=then, else_branch=other), node("Loop", ["trips", "", "y"], ["z"], body=body)],
        [value("x", ["n"])], [value("z", ["n"])],
        [weights("w", 1), numpy_helper.from_array(np.float32(0), "zero"), numpy_helper.from_array(np.array(3, np.int64), "trips")])

    function = helper.make_function("local", "Twice", ["a"], ["b"], [node("Mul", ["a", "a"], ["t"]), node("Elu", ["t"], ["b"])],
                                    [helper.make_opsetid("", 17)])
    constants = [
        node("Constant", [], ["k1"], value_floats=[1.0, 2.0]), node("Constant", [], ["k2"], value_int=7),
        node("Constant", [], ["k3"], value=helper.make_tensor("t", TensorProto.FLOAT16, [2], [1.5, -2.0])),
        node("Constant", [], ["k4"], value=helper.make_tensor("t", FLOAT, [3], [1, 2, 3])),
        node("Constant", [], ["k5"], value=helper.make_tensor("t", TensorProto.INT64, [2], [1, -2])),
        node("Constant", [], ["k6"], value=helper.make_tensor("t", TensorProto.BOOL, [2], [True, False]))]
    save("types", [*constants, node("Twice", ["x"], ["t"], domain="local"), node("Add", ["t", "k1"], ["u"]),
                   node("Cast", ["k3"], ["f"], to=FLOAT), node("Add", ["u", "f"], ["v"]), node("Where", ["k6", "v", "x"], ["y"])],
         [value("x", ["n", 2])], [value("y", ["n", 2])], domains=["local"], functions=[function])

    save("recurrent", [
        node("LSTM", ["x", "w", "r", "b", "", "h"], ["all", "last", ""], hidden_size=2, direction="bidirectional"),
        node("Resize", ["img", "", "scales"], ["big"], mode="linear", coordinate_transformation_mode="half_pixel"),
        node("TopK", ["img", "k"], ["val", "idx"], axis=3)],
        [value("x", ["t", 1, 3]), value("h", [2, 1, 2]), value("img", [1, 1, 4, "w"])],
        [value("all", None), value("last", None), value("big", None), value("idx", None, TensorProto.INT64)],
        [weights("w", 2, 8, 3), weights("r", 2, 8, 2), weights("b", 2, 16),
         numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales"), numpy_helper.from_array(np.array([1], np.int64), "k")])

    outside = weights("w", 4)
    onnx.external_data_helper.set_external_data(outside, "../outside.bin", 0, 16)
    outside.ClearField("raw_data")
    save("external", [node("Add", ["x", "w"], ["y"])], [value("x", [4])], [value("y", [4])], [outside])
    save("unknown", [node("Frobnicate", ["x"], ["y"], domain="example.org")], [value("x", [4])], [value("y", [4])], domains=["example.org"])


if __name__ == "__main__":
    main()
