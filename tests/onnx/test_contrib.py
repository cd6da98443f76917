# SPDX-License-Identifier: Apache-2.0
"""Operators of com.microsoft that ONNX Runtime's tools write into models, against ONNX Runtime."""
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

import carnot


@pytest.mark.parametrize("per_column", [False, True])
@pytest.mark.parametrize("directions", [1, 2])
def test_dynamic_quantize_lstm(directions, per_column):
    rng = np.random.default_rng(directions)
    hidden, width, time, batch = 16, 12, 5, 3
    shape = (directions, 4 * hidden) if per_column else (directions,)
    tensors = {
        "w": rng.integers(0, 256, (directions, width, 4 * hidden)).astype(np.uint8),
        "r": rng.integers(0, 256, (directions, hidden, 4 * hidden)).astype(np.uint8),
        "b": rng.standard_normal((directions, 8 * hidden)).astype(np.float32) * 0.1,
        "ws": rng.uniform(0.001, 0.003, shape).astype(np.float32), "wz": np.full(shape, 128, np.uint8),
        "rs": rng.uniform(0.001, 0.003, shape).astype(np.float32), "rz": np.full(shape, 128, np.uint8)}
    node = helper.make_node("DynamicQuantizeLSTM", ["x", "w", "r", "b", "", "", "", "", "ws", "wz", "rs", "rz"], ["y", "h", "c"],
                            domain="com.microsoft", hidden_size=hidden, direction="bidirectional" if directions == 2 else "forward")
    info = helper.make_tensor_value_info
    graph = helper.make_graph([node], "g", [info("x", 1, [time, batch, width])], [info(k, 1, None) for k in "yhc"],
                              [numpy_helper.from_array(v, k) for k, v in tensors.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)], ir_version=8)
    x = rng.standard_normal((time, batch, width)).astype(np.float32)
    wanted = onnxruntime.InferenceSession(model.SerializeToString()).run(["y", "h", "c"], {"x": x})
    got = carnot.build(model).session().run({"x": x})
    for name, want in zip("yhc", wanted):
        assert got[name].shape == want.shape
        assert np.abs(got[name] - want).max() < 0.02 * np.ptp(want)  # it rounds x and the state to 8 bits
