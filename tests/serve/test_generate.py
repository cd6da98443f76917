# SPDX-License-Identifier: Apache-2.0
"""generate and generate_stream: JSON keys in, JSON keys out."""
import json

import pytest


def test_keys_are_inputs(server):
    row = list(range(16))
    status, _, reply = server.post("/v2/models/simple/generate", json.dumps({"id": "7", "INPUT0": row, "INPUT1": [1] * 16, "temperature": 0.5, "parameters": {"x": 1}}))
    assert (status, json.loads(reply)) == (200, {"id": "7", "model_name": "simple", "model_version": "1", "OUTPUT0": [v + 1 for v in row], "OUTPUT1": [v - 1 for v in row]})
    status, headers, reply = server.post("/v2/models/open/versions/1/generate_stream", json.dumps({"x": [[1, 2], [3, 4]]}))
    assert status == 200 and headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.startswith(b"data: ") and reply.endswith(b"\n\n") and json.loads(reply[6:]) == {"model_name": "open", "model_version": "1", "y": [-1, -2, -3, -4]}


def test_a_single_value_is_no_list(start, tmp_path):
    from onnx import TensorProto as T
    from onnx import helper

    from conftest import write_model
    write_model(tmp_path / "one/1/model.onnx", [helper.make_node("Neg", ["x"], ["y"])], [("x", T.INT32, ["n", 1])], [("y", T.INT32, ["n", 1])])
    s = start(tmp_path)
    assert json.loads(s.post("/v2/models/one/generate", '{"x": 5}')[2])["y"] == -5


@pytest.mark.parametrize("model, body, status, text", [
    ("simple", "{", 400, "failed to parse the request JSON buffer"), ("simple", "[]", 400, "must be an object"), ("zz", "{}", 404, "unknown model: 'zz'"),
    ("simple", '{"INPUT0": [1]}', 400, "missing required input(s) ['INPUT1']"), ("simple", '{"INPUT0": [1], "INPUT1": [2]}', 400, "unexpected shape for input 'INPUT0'"),
    ("simple", '{"INPUT0": ["a"], "INPUT1": [2]}', 400, "of input 'INPUT0'"), ("simple", '{"INPUT0": ' + "[" * 5000 + "]" * 5000 + "}", 400, "nested too deeply"),
    ("types", "{" + ",".join(f'"i_{t}": [1,1,1]' for t in ("INT8", "FP16")) + "}", 400, "")])
def test_mistakes(server, model, body, status, text):
    got, _, reply = server.post(f"/v2/models/{model}/generate", body)
    assert got == status and text in json.loads(reply)["error"]
    assert server.get(f"/v2/models/simple/generate")[0] == 405
