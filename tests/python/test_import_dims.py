# SPDX-License-Identifier: Apache-2.0
"""Dims that a model names alike without meaning it."""
import numpy as np
from onnx import TensorProto, helper

import carnot


def test_a_stack_axis_is_not_the_batch_of_its_name(tmp_path):
    """An exporter calls the layers of a cache "batch"; single layers are picked from it one by one."""
    nodes = [
        helper.make_node("Constant", [], ["first"], value_int=0),
        helper.make_node("Constant", [], ["last"], value_int=2),
        helper.make_node("Gather", ["kv", "first"], ["a"], axis=0),
        helper.make_node("Gather", ["kv", "last"], ["b"], axis=0),
        helper.make_node("Add", ["x", "a"], ["s"]),
        helper.make_node("Mul", ["s", "b"], ["y"]),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4]),
        helper.make_tensor_value_info("kv", TensorProto.FLOAT, ["batch", 4]),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    model = helper.make_model(helper.make_graph(nodes, "g", inputs, outputs), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    kv = np.arange(12, dtype=np.float32).reshape(3, 4)
    y = carnot.build(str(path)).session(threads=1).run({"x": x, "kv": kv})["y"]
    np.testing.assert_array_equal(y, (x + kv[0]) * kv[2])
