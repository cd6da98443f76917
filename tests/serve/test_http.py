# SPDX-License-Identifier: Apache-2.0
"""HTTP: what the published client sends, what it gets back, and what others may send."""
import asyncio
import gzip
import json
import struct
import zlib

import numpy as np
import pytest
import tritonclient.http as client
import tritonclient.http.aio as aio
from tritonclient.utils import InferenceServerException

from conftest import TYPES

ONES = np.ones([1, 16], np.int32)


def simple_inputs(a, b, binary=True, module=client):
    inputs = []
    for name, value in (("INPUT0", a), ("INPUT1", b)):
        inputs.append(module.InferInput(name, list(value.shape), "INT32"))
        inputs[-1].set_data_from_numpy(value, binary_data=binary)
    return inputs


def body(**change):
    """A good request for `simple` as JSON; None removes a key."""
    data = {"inputs": [{"name": n, "shape": [1, 16], "datatype": "INT32", "data": list(range(16))} for n in ("INPUT0", "INPUT1")], **change}
    return json.dumps({k: v for k, v in data.items() if v is not None})


@pytest.fixture(scope="module")
def http(server):
    with client.InferenceServerClient(server.http, concurrency=4) as c:
        yield c


def test_health_and_metadata(server, http):
    assert http.is_server_live() and http.is_server_ready() and http.is_model_ready("simple")
    assert http.is_model_ready("scale", "1") and not http.is_model_ready("scale", "2")
    meta = http.get_server_metadata()
    assert meta["name"] == "triton" and "binary_tensor_data" in meta["extensions"]
    model = http.get_model_metadata("simple")
    assert model["versions"] == ["1"] and model["platform"] == "carnot"
    assert model["inputs"] == [{"name": n, "datatype": "INT32", "shape": [-1, 16]} for n in ("INPUT0", "INPUT1")]
    assert http.get_model_metadata("scale")["versions"] == ["1", "3"]
    assert json.loads(server.get("/v2/health/ready")[2]) == {"live": True, "ready": True}
    assert json.loads(server.get("/v2/models/simple/ready")[2]) == {"name": "simple", "ready": True}


def test_config_as_triton_prints_it(http):
    config = http.get_model_config("simple")
    assert config["max_batch_size"] == 8 and config["input"][0]["dims"] == [16] and config["input"][0]["data_type"] == "TYPE_INT32"
    assert config["dynamic_batching"]["preferred_batch_size"] == [8] and config["parameters"] == {"origin": {"string_value": "test"}}
    assert config["version_policy"] == {"latest": {"num_versions": 1}}
    derived = http.get_model_config("types")
    assert derived["max_batch_size"] > 1 and derived["input"][0]["dims"] == [3] and derived["name"] == "types"
    assert http.get_model_config("open")["input"][0]["dims"] == [-1, 2]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_infer(http, binary_in, binary_out):
    a, b = np.arange(32, dtype=np.int32).reshape(2, 16), np.full([2, 16], 7, np.int32)
    outputs = [client.InferRequestedOutput(n, binary_data=binary_out) for n in ("OUTPUT1", "OUTPUT0")]
    result = http.infer("simple", simple_inputs(a, b, binary_in), outputs=outputs, request_id="seven")
    assert result.get_response()["id"] == "seven" and result.get_response()["model_version"] == "1"
    assert [o["name"] for o in result.get_response()["outputs"]] == ["OUTPUT1", "OUTPUT0"]
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), a + b)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), a - b)


@pytest.mark.parametrize("binary", [True, False])
def test_every_type(http, binary):
    rng = np.random.default_rng(1)
    inputs, expected = [], {}
    for name, _ in TYPES:
        dtype = np.dtype({"BOOL": "bool", "FP16": "float16", "FP32": "float32", "FP64": "float64"}.get(name, name.lower()))
        value = rng.standard_normal([2, 3]).astype(dtype) if dtype.kind == "f" else rng.integers(0, 2 if dtype.kind == "b" else 127, [2, 3]).astype(dtype)
        if dtype.kind in "iu":
            value[0, 0], value[0, 1] = np.iinfo(dtype).min, np.iinfo(dtype).max
        inputs.append(client.InferInput(f"i_{name}", [2, 3], name))
        inputs[-1].set_data_from_numpy(value, binary_data=binary or name == "FP16")
        expected[f"o_{name}"] = value
    outputs = [client.InferRequestedOutput(n, binary_data=binary or n == "o_FP16") for n in expected]
    result = http.infer("types", inputs, outputs=outputs)
    for name, value in expected.items():
        assert result.as_numpy(name).dtype == value.dtype
        np.testing.assert_array_equal(result.as_numpy(name), value)


@pytest.mark.parametrize("request_packing", [None, "gzip", "deflate"])
@pytest.mark.parametrize("response_packing", [None, "gzip", "deflate"])
def test_compression(http, request_packing, response_packing):
    result = http.infer("simple", simple_inputs(ONES, ONES), request_compression_algorithm=request_packing, response_compression_algorithm=response_packing)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), ONES * 2)


def test_accept_encoding_weights(server):
    for accept, packing in (("gzip;q=0.5, deflate", "deflate"), ("gzip;q=0", None), ("br", None), ("*", "gzip"), ("identity, gzip;q=0.1", None)):
        status, headers, data = server.post("/v2/models/simple/infer", body(), {"Accept-Encoding": accept})
        assert status == 200 and headers.get("content-encoding") == packing
        json.loads({"gzip": gzip.decompress, "deflate": zlib.decompress, None: bytes}[packing](data))


def test_versions(http):
    for version, factor in (("", 3), ("1", 2), ("3", 3)):
        x = client.InferInput("x", [4], "FP32")
        x.set_data_from_numpy(np.arange(4, dtype=np.float32))
        result = http.infer("scale", [x], model_version=version)
        np.testing.assert_array_equal(result.as_numpy("y"), np.arange(4) * np.float32(factor))


def test_async_and_aio(server, http):
    pending = [http.async_infer("simple", simple_inputs(ONES * i, ONES)) for i in range(20)]
    for i, p in enumerate(pending):
        np.testing.assert_array_equal(p.get_result().as_numpy("OUTPUT0"), ONES * (i + 1))

    async def run():
        async with aio.InferenceServerClient(server.http) as c:
            assert await c.is_server_ready()
            results = await asyncio.gather(*(c.infer("simple", simple_inputs(ONES * i, ONES, module=aio)) for i in range(20)))
            return [r.as_numpy("OUTPUT1")[0, 0] for r in results]

    assert asyncio.run(run()) == [i - 1 for i in range(20)]


def test_raw_body(server):
    data = np.arange(6, dtype=np.float32)
    status, headers, reply = server.post("/v2/models/open/infer", data.tobytes(), {"Inference-Header-Content-Length": 0})
    assert status == 200
    at = int(headers["inference-header-content-length"])
    assert json.loads(reply[:at])["outputs"][0]["shape"] == [3, 2]
    np.testing.assert_array_equal(np.frombuffer(reply[at:], np.float32), -data)
    status, _, reply = server.post("/v2/models/simple/infer", data.tobytes(), {"Inference-Header-Content-Length": 0})
    assert status == 400 and b"only have 1 input" in reply


def test_classification(http):
    a = np.array([list(range(16))], np.int32)
    outputs = [client.InferRequestedOutput("OUTPUT0", class_count=3)]
    got = http.infer("simple", simple_inputs(a, a), outputs=outputs).as_numpy("OUTPUT0")
    assert got.tolist() == [[b"30:15:label15", b"28:14:label14", b"26:13:label13"]]
    outputs = [client.InferRequestedOutput("OUTPUT0", class_count=1, binary_data=False)]
    assert http.infer("simple", simple_inputs(a, a), outputs=outputs).get_response()["outputs"][0]["data"] == ["30:15:label15"]


def test_statistics_and_metrics(server, http):
    def counts():
        s = http.get_inference_statistics("simple")["model_stats"][0]
        return s["inference_count"], s["inference_stats"]["success"]["count"], s["inference_stats"]["fail"]["count"], s

    before = counts()
    http.infer("simple", simple_inputs(np.ones([3, 16], np.int32), np.ones([3, 16], np.int32)))
    server.post("/v2/models/simple/infer", body(inputs=[]))
    after = counts()
    assert (after[0] - before[0], after[1] - before[1], after[2] - before[2]) == (3, 1, 1)
    assert after[3]["inference_stats"]["queue"]["count"] == after[1] and 3 in [b["batch_size"] for b in after[3]["batch_stats"]]
    assert {m["name"] for m in http.get_inference_statistics()["model_stats"]} == {"simple", "types", "scale", "open"}
    status, headers, text = server.get("/metrics")
    assert status == 200 and headers["content-type"] == "text/plain; charset=utf-8"
    values = dict(line.rsplit(" ", 1) for line in text.decode().splitlines() if not line.startswith("#"))
    assert int(values['nv_inference_count{model="simple",version="1"}']) >= after[0]
    assert values['carnot_inference_request_duration_seconds_count{model="simple",version="1"}'] == values['nv_inference_request_success{model="simple",version="1"}']


def test_settings(http):
    assert http.get_log_settings()["log_info"] is True
    assert http.update_log_settings({"log_verbose_level": 1})["log_verbose_level"] == 1
    assert http.update_log_settings({"log_verbose_level": 0})["log_verbose_level"] == 0
    with pytest.raises(InferenceServerException, match="log file location"):
        http.update_log_settings({"log_file": "x"})
    assert http.get_trace_settings()["trace_level"] == ["OFF"]
    with pytest.raises(InferenceServerException, match="--otlp-endpoint"):
        http.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]})


X = {"name": "INPUT0", "shape": [1, 16], "datatype": "INT32", "data": [0] * 16}
Y = {**X, "name": "INPUT1"}
MISTAKES = [
    ("zz", body(), 404, "Request for unknown model: 'zz' is not found"),
    ("simple/versions/9", body(), 404, "Request for unknown model: 'simple' version 9 is not found"),
    ("simple/versions/x", body(), 404, "Not Found"),
    ("simple/versions/99999999999999999999", body(), 400, "version should be an integral value > 0"),
    ("simple", '{"inputs":[', 400, "failed to parse the request JSON buffer: "),
    ("simple", "[]", 400, "must be an object"),
    ("simple", "", 400, "failed to parse the request JSON buffer"),
    ("simple", "{}", 400, "non-existing object member 'inputs'"),
    ("simple", '{"inputs":7}', 400, "non-array"),
    ("simple", '{"inputs":[7]}', 400, "no object"),
    ("simple", body(id=5), 400, "'id'"),
    ("simple", body(inputs=[]), 400, "expected 2 inputs but got 0 inputs for model 'simple'. Got input(s) [], but missing required input(s) ['INPUT0','INPUT1']."),
    ("simple", body(inputs=[X, X]), 400, "input 'INPUT0' already exists in request"),
    ("simple", body(inputs=[X, {**Y, "name": "Q"}]), 400, "unexpected inference input 'Q' for model 'simple'"),
    ("simple", body(outputs=[{"name": "Q"}]), 400, "unexpected inference output 'Q' for model 'simple'"),
    ("simple", body(outputs=[{"name": "OUTPUT0"}] * 5000), 400, "1024"),
    ("simple", body(inputs=[{**X, "datatype": "FP32"}, Y]), 400, "inference input 'INPUT0' data-type is 'FP32', but model 'simple' expects 'INT32'"),
    ("simple", body(inputs=[{**X, "datatype": "F"}, Y]), 400, "invalid datatype for input INPUT0"),
    ("simple", body(inputs=[{**X, "shape": [1, 8, 2]}, Y]), 400, "[request id: <id_unknown>] unexpected shape for input 'INPUT0' for model 'simple'. Expected [-1,16], got [1,8,2]. NOTE: "),
    ("simple", body(id="q", inputs=[{**X, "shape": [16, 1]}, {**Y, "shape": [16, 1]}]), 400, "[request id: q] inference request batch-size must be <= 8 for 'simple'"),
    ("simple", body(inputs=[{**X, "shape": [2, 16], "data": [0] * 32}, Y]), 400, "batch size does not match"),
    ("simple", body(inputs=[{**X, "shape": [0, 16], "data": []}, {**Y, "shape": [0, 16], "data": []}]), 400, "batch-size must be >= 1"),
    ("simple", body(inputs=[{**X, "shape": [-1, 16]}, Y]), 400, "Unable to parse 'shape'"),
    ("simple", body(inputs=[{**X, "shape": [2 ** 62, 16]}, Y]), 400, "Shape does not match"),
    ("simple", body(inputs=[{**X, "shape": [1] * 100}, Y]), 400, "64 at most"),
    ("simple", body(inputs=[{**X, "data": [0] * 15}, Y]), 400, "Unable to parse 'data': Shape does not match true shape of 'data' field"),
    ("simple", body(inputs=[{**X, "data": [0] * 17}, Y]), 400, "Shape does not match"),
    ("simple", body(inputs=[{**X, "data": ["a"] * 16}, Y]), 400, "no INT32 value"),
    ("simple", body(inputs=[{**X, "data": [2 ** 31] * 16}, Y]), 400, "no INT32 value"),
    ("simple", body(inputs=[{**X, "data": [0.5] * 16}, Y]), 400, "no INT32 value"),
    ("simple", body(inputs=[{k: v for k, v in X.items() if k != "data"}, Y]), 400, "'data'"),
    ("simple", body(inputs=[{**X, "parameters": {"binary_data_size": 64}}, Y]), 400, "must set only one of the following fields"),
    ("simple", body(inputs=[{**X, "parameters": 1}, Y]), 400, "'parameters'"),
    ("simple", body(parameters={"foo": [1]}), 400, "parameter 'foo' has invalid type. It should be either 'int', 'bool', or 'string'."),
    ("simple", '{"inputs":' + "[" * 100000, 400, "failed to parse"),
    ("simple", '{"inputs":' + "[" * 50000 + "]" * 50000 + "}", 400, "no object"),
    ("simple", body(inputs=[{**X, "data": json.loads("[" * 500 + "]" * 500)}, Y]), 400, "Shape does not match"),
]


@pytest.mark.parametrize("model,data,status,text", MISTAKES, ids=range(len(MISTAKES)))
def test_mistakes_are_4xx_with_a_reason(server, model, data, status, text):
    got, headers, reply = server.post(f"/v2/models/{model}/infer", data)
    assert headers["content-type"] == "application/json"
    assert text in json.loads(reply)["error"] and got == status


BINARY = json.dumps({"inputs": [{"name": n, "shape": [1, 16], "datatype": "INT32", "parameters": {"binary_data_size": 64}} for n in ("INPUT0", "INPUT1")]}).encode()


@pytest.mark.parametrize("data,length,status,text", [
    (BINARY + bytes(128), len(BINARY), 200, None),
    (BINARY + bytes(127), len(BINARY), 400, "unexpected size for input 'INPUT1', expecting 1 additional bytes for model 'simple'"),
    (BINARY + bytes(129), len(BINARY), 400, "unexpected additional input data"),
    (BINARY + bytes(128), 99999, 400, f"inference header size should be in range (0, {len(BINARY) + 128}), got: 99999"),
    (BINARY + bytes(128), "abc", 400, "Unable to parse Inference-Header-Content-Length, got: abc"),
    (BINARY + bytes(128), -1, 400, "Unable to parse Inference-Header-Content-Length, got: -1"),
    (BINARY + bytes(128), 18446744073709551615, 400, "inference header size"),
    (BINARY.replace(b"64", b"18446744073709551615") + bytes(128), len(BINARY) + 36, 400, "unexpected size"),
    (BINARY.replace(b"64", b"32") + bytes(64), len(BINARY), 400, "input byte size mismatch for input 'INPUT0' for model 'simple'. Expected 64, got 32"),
])
def test_binary_sizes(server, data, length, status, text):
    got, _, reply = server.post("/v2/models/simple/infer", data, {"Inference-Header-Content-Length": length})
    assert got == status
    assert text is None or text in json.loads(reply)["error"]


def test_unaligned_tensors(server):
    """JSON of any length puts the tensors at any address."""
    for pad in range(9):
        text = json.dumps({"id": "i" * pad, "inputs": json.loads(BINARY)["inputs"], "parameters": {"binary_data_output": True}}).encode()
        a, b = np.arange(16, dtype=np.int32), np.full(16, 5, np.int32)
        status, headers, reply = server.post("/v2/models/simple/infer", text + a.tobytes() + b.tobytes(), {"Inference-Header-Content-Length": len(text)})
        at = int(headers["inference-header-content-length"])
        assert status == 200
        np.testing.assert_array_equal(np.frombuffer(reply[at:at + 64], np.int32), a + b)


def test_damaged_and_bomb_bodies(server):
    post = lambda data, packing: server.post("/v2/models/simple/infer", data, {"Content-Encoding": packing})
    assert post(b"no gzip", "gzip")[0] == 400
    assert post(gzip.compress(body().encode())[:-9], "gzip")[0] == 400
    assert post(body().encode(), "br")[0] == 501
    raw = zlib.compressobj(wbits=-15)
    assert post(raw.compress(body().encode()) + raw.flush(), "deflate")[0] == 400
    assert post(gzip.compress(bytes(200 << 20), 1), "gzip")[0] == 413
    assert post(gzip.compress(body().encode()), "gzip")[0] == 200


def test_routes(server):
    for method, path, status in (("GET", "/", 200), ("GET", "/index.html", 404), ("GET", "/v2/models", 404), ("GET", "/v3", 404), ("GET", "/v2/", 200), ("POST", "/v2", 405),
                                 ("GET", "/v2/models/simple/infer", 405), ("GET", "/v2/models/simple/nothing", 404), ("GET", "/v2/models/simple?x=1", 200),
                                 ("GET", "/v2/models/%73imple", 200), ("GET", "/v2/models/%zz", 400), ("GET", "/v2/models/..%2f..%2fetc", 404),
                                 ("POST", "/v2/repository/x/models/simple/load", 501), ("HEAD", "/v2/health/ready", 200), ("GET", "/v2/models/zz/ready", 400),
                                 ("GET", "/v2/models/zz/stats", 400), ("GET", "/v2/cudasharedmemory/status", 200), ("PUT", "/v2/logging", 405)):
        assert (path, server.request(method, path)[0]) == (path, status)


def test_bytes_are_refused_by_a_model_of_numbers(server):
    data = struct.pack("<I", 3) + b"abc"
    head = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 7}}]}).encode()
    status, _, reply = server.post("/v2/models/scale/infer", head + data, {"Inference-Header-Content-Length": len(head)})
    assert status == 400 and b"data-type is 'BYTES', but model 'scale' expects 'FP32'" in reply


def test_an_output_asked_for_twice_is_given_once(server):
    status, _, reply = server.post("/v2/models/simple/infer", body(outputs=[{"name": "OUTPUT1"}, {"name": "OUTPUT0"}, {"name": "OUTPUT1"}]))
    assert status == 200 and [o["name"] for o in json.loads(reply)["outputs"]] == ["OUTPUT1", "OUTPUT0"]


def test_negative_zero_survives_json(server):
    status, _, reply = server.post("/v2/models/open/infer", '{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[0.0,2.0]}]}')
    assert status == 200 and b'"data":[-0.0,-2]' in reply
