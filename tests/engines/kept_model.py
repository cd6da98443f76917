# SPDX-License-Identifier: Apache-2.0
"""Writes the model whose engines are kept here, one of every format version (format1.engine ...).

usage: kept_model.py MODEL.onnx        then: carnot build MODEL.onnx -o tests/engines/formatN.engine

After the format's number has risen, keep an engine of the new version. None is ever rebuilt: what users saved must load.
"""
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def model():
    """A residual convolution block, attention over its pixels, a head, and a branch; batch and width are dynamic.

    It computes the same for ever; nodes that change nothing (the concatenation, since format 3) may join it so that an engine of a new
    format has what is new in it."""
    rng = np.random.default_rng(7)
    nodes, weights = [], []

    def weight(name, *shape, unused=0):
        """Drawn weights, and behind them zeros for so many input channels whose values do not matter."""
        values = (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)
        if unused:
            values = np.concatenate([values, np.zeros((shape[0], unused, *shape[2:]), np.float32)], axis=1)
        weights.append(numpy_helper.from_array(values, name))
        return name

    def numbers(name, *values):
        weights.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def add(op, inputs, output, **attributes):
        nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    x = add("Conv", ["x", weight("w0", 8, 3, 3, 3), weight("b0", 8)], "stem", pads=[1, 1, 1, 1], strides=[2, 2])
    y = add("Relu", [add("Conv", [x, weight("w1", 8, 1, 3, 3)], "depthwise", pads=[1, 1, 1, 1], group=8)], "relu")
    x = add("Add", [add("Conv", [add("Concat", [y, x], "joined", axis=1), weight("w2", 8, 8, 1, 1, unused=8), weight("b2", 8)], "pointwise"), x], "residual")
    x = add("MaxPool", [x], "pool", kernel_shape=[2, 2], strides=[2, 2])
    rows = add("Transpose", [add("Reshape", [x, numbers("flat", 0, 8, -1)], "flattened")], "rows", perm=[0, 2, 1])
    rows = add("LayerNormalization", [rows, weight("scale", 8), weight("shift", 8)], "norm", axis=-1)
    q, k, v = (add("MatMul", [rows, weight(f"w{part}", 8, 8)], part) for part in "qkv")
    scores = add("MatMul", [q, add("Transpose", [k], "kt", perm=[0, 2, 1])], "scores")
    mixed = add("MatMul", [add("Softmax", [scores], "weights", axis=-1), v], "mixed")
    pooled = add("ReduceMean", [add("Add", [mixed, rows], "sum")], "mean", axes=[1], keepdims=0)
    logits = add("Gemm", [add("Sigmoid", [pooled], "gate"), weight("w3", 8, 5), weight("b3", 5)], "logits")

    def branch(name, op):
        value = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 5])
        return helper.make_graph([helper.make_node(op, [logits], [name], name=name)], name, [], [value])

    nodes.append(helper.make_node("If", ["normalize"], ["y"], name="y", then_branch=branch("probabilities", "Softmax"),
                                  else_branch=branch("raw", "Identity")))
    graph = helper.make_graph(
        nodes, "kept", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 16, "width"]),
                        helper.make_tensor_value_info("normalize", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 5])], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


if __name__ == "__main__":
    onnx.checker.check_model(model())
    onnx.save(model(), sys.argv[1])
