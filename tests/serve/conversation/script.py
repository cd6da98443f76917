# SPDX-License-Identifier: Apache-2.0
"""The requests of the recorded conversation, in their order, and the repository that they are about.

A step is a dict: name; http = (method, path, headers, body) or rpc = (name, request) or stream = [requests].
Steps depend on those before them: models are loaded and unloaded, requests are counted.
"""
import base64
import gzip
import json
import struct
import sys
import zlib

import numpy as np
from onnx import TensorProto as T
from onnx import helper

INITIAL = ["simple", "types", "scale", "open", "wide", "identity", "image"]

SIMPLE = """name: "simple"
backend: "carnot"
max_batch_size: 8
input [ { name: "INPUT0" data_type: TYPE_INT32 dims: [ 16 ] }, { name: "INPUT1" data_type: TYPE_INT32 dims: [ 16 ] } ]
output [ { name: "OUTPUT0" data_type: TYPE_INT32 dims: [ 16 ] label_filename: "labels.txt" }, { name: "OUTPUT1" data_type: TYPE_INT32 dims: [ 16 ] } ]
dynamic_batching { }
instance_group [ { kind: KIND_CPU } ]
parameters { key: "origin" value { string_value: "conversation" } }
"""
KINDS = [("BOOL", T.BOOL), ("UINT8", T.UINT8), ("UINT16", T.UINT16), ("UINT32", T.UINT32), ("UINT64", T.UINT64), ("INT8", T.INT8), ("INT16", T.INT16),
         ("INT32", T.INT32), ("INT64", T.INT64), ("FP16", T.FLOAT16), ("FP32", T.FLOAT), ("FP64", T.DOUBLE)]


def tensor_config(word, name, kind, dims):
    return f'{word} [ {{ name: "{name}" data_type: TYPE_{kind} dims: {list(dims)} }} ]\n'


def plain_config(name, batch, inputs, outputs, more=""):
    return (f'name: "{name}"\nbackend: "carnot"\nmax_batch_size: {batch}\n' + "".join(tensor_config("input", *t) for t in inputs) +
            "".join(tensor_config("output", *t) for t in outputs) + "instance_group [ { kind: KIND_CPU } ]\n" + more)


def make_repository(folder, write_model, write_simple, write_scale):
    def config(name, text):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "config.pbtxt").write_text(text)

    for name in ("simple", "spare"):
        write_simple(folder / name / "1/model.onnx")
        config(name, SIMPLE.replace('"simple"', f'"{name}"'))
        (folder / name / "labels.txt").write_text("\n".join(f"label{i}" for i in range(16)))
    write_model(folder / "types/1/model.onnx", [helper.make_node("Identity", [f"i_{n}"], [f"o_{n}"]) for n, _ in KINDS],
                [(f"i_{n}", t, ["n", 3]) for n, t in KINDS], [(f"o_{n}", t, ["n", 3]) for n, t in KINDS])
    config("types", plain_config("types", 0, [(f"i_{n}", n, [-1, 3]) for n, _ in KINDS], [(f"o_{n}", n, [-1, 3]) for n, _ in KINDS]))
    write_scale(folder / "scale/1/model.onnx", 2.0)
    write_scale(folder / "scale/3/model.onnx", 3.0)
    config("scale", plain_config("scale", 0, [("x", "FP32", [4])], [("y", "FP32", [4])], "version_policy: { all { } }\n"))
    write_model(folder / "open/1/model.onnx", [helper.make_node("Neg", ["x"], ["y"])], [("x", T.FLOAT, ["a", 2])], [("y", T.FLOAT, ["a", 2])])
    config("open", plain_config("open", 0, [("x", "FP32", [-1, 2])], [("y", "FP32", [-1, 2])]))
    write_model(folder / "wide/1/model.onnx", [helper.make_node("Neg", ["x"], ["y"])], [("x", T.FLOAT, ["a", "b"])], [("y", T.FLOAT, ["a", "b"])])
    config("wide", plain_config("wide", 0, [("x", "FP32", [-1, -1])], [("y", "FP32", [-1, -1])]))
    write_model(folder / "identity/1/model.onnx", [helper.make_node("Identity", ["IN0"], ["OUT0"])], [("IN0", T.INT32, ["b", 16])], [("OUT0", T.INT32, ["b", 16])])
    config("identity", plain_config("identity", 8, [("IN0", "INT32", [16])], [("OUT0", "INT32", [16])]))
    # The engine sees [b, 4, 4] where clients write [b, 16].
    write_model(folder / "image/1/model.onnx", [helper.make_node("Neg", ["x"], ["y"])], [("x", T.FLOAT, ["b", 4, 4])], [("y", T.FLOAT, ["b", 4, 4])])
    config("image", 'name: "image"\nbackend: "carnot"\nmax_batch_size: 4\ninput [ { name: "x" data_type: TYPE_FP32 dims: [ 16 ] reshape { shape: [ 4, 4 ] } } ]\n'
           'output [ { name: "y" data_type: TYPE_FP32 dims: [ 16 ] reshape { shape: [ 4, 4 ] } } ]\ninstance_group [ { kind: KIND_CPU } ]\n')
    (folder / "broken/1").mkdir(parents=True)
    (folder / "broken/1/model.engine").write_bytes(b"no engine")
    config("broken", plain_config("broken", 0, [("x", "FP32", [4])], [("y", "FP32", [4])]))
    write_scale(folder / "misfit/1/model.onnx", 2.0)
    config("misfit", plain_config("misfit", 0, [("x", "INT32", [4])], [("y", "FP32", [4])]))
    (folder / "empty").mkdir()
    config("empty", plain_config("empty", 0, [("x", "FP32", [4])], [("y", "FP32", [4])]))
    config("garbled", "max_batch_size: many")
    config("renamed", plain_config("another", 0, [("x", "FP32", [4])], [("y", "FP32", [4])]))


# ---- steps --------------------------------------------------------------------------------------------------------------------

STEPS = []


def http(name, method, path, body=b"", headers=None):
    STEPS.append({"name": name, "http": (method, path, dict(headers or {}), body.encode() if isinstance(body, str) else body)})


def get(name, path, **more):
    http(name, "GET", path, **more)


def post(name, path, body=b"", headers=None):
    http(name, "POST", path, body if isinstance(body, (bytes, str)) else json.dumps(body), headers)


def tensor(name, shape, datatype, data=None, **more):
    return {"name": name, "shape": shape, "datatype": datatype, **({} if data is None else {"data": data}), **more}


def pair(data0=None, data1=None, shape=(1, 16), **more):
    data0 = list(range(16)) if data0 is None else data0
    data1 = [2] * 16 if data1 is None else data1
    return {"inputs": [tensor("INPUT0", list(shape), "INT32", data0), tensor("INPUT1", list(shape), "INT32", data1)], **more}


def with_binary(request, *arrays, extra=b"", length=None):
    text = json.dumps(request).encode()
    return text + b"".join(a.tobytes() for a in arrays) + extra, {"Inference-Header-Content-Length": str(len(text)) if length is None else length}


def binary_pair(a=None, b=None, **more):
    a = np.arange(16, dtype=np.int32).reshape(1, 16) if a is None else a
    b = np.full((1, 16), 2, np.int32) if b is None else b
    request = {"inputs": [tensor("INPUT0", list(a.shape), "INT32", parameters={"binary_data_size": a.nbytes}),
                          tensor("INPUT1", list(b.shape), "INT32", parameters={"binary_data_size": b.nbytes})], **more}
    return request, a, b


def change(request, path, value):
    """A copy of `request` with one place changed; None removes it."""
    copy = json.loads(json.dumps(request))
    at = copy
    for key in path[:-1]:
        at = at[key]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return copy


INFER = "/v2/models/simple/infer"


def metadata_steps():
    get("live", "/v2/health/live")
    get("ready", "/v2/health/ready")
    get("server", "/v2")
    get("server slash", "/v2/")
    get("root", "/")
    get("unknown path", "/v2/nothing")
    get("unknown path v1", "/v1/models/simple")
    get("unknown health", "/v2/health/fine")
    for method in ("POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"):
        http(f"{method} live", method, "/v2/health/live")
    for method in ("POST", "PUT", "DELETE"):
        http(f"{method} server", method, "/v2")
        http(f"{method} metadata", method, "/v2/models/simple")
    http("GET infer", "GET", INFER)
    http("PUT infer", "PUT", INFER)
    http("GET index", "GET", "/v2/repository/index")
    http("POST config", "POST", "/v2/models/simple/config")
    http("POST stats", "POST", "/v2/models/simple/stats")
    get("list of models", "/v2/models")
    for model in INITIAL:
        get(f"metadata {model}", f"/v2/models/{model}")
        get(f"config {model}", f"/v2/models/{model}/config")
        get(f"ready {model}", f"/v2/models/{model}/ready")
    get("metadata query", "/v2/models/simple?a=b")
    get("metadata escaped", "/v2/models/sim%70le")
    get("metadata slash", "/v2/models/simple/")
    for version in ("1", "3", "2", "0", "-1", "01", "x", "99999999999999999999"):
        get(f"metadata scale version {version}", f"/v2/models/scale/versions/{version}")
        get(f"ready scale version {version}", f"/v2/models/scale/versions/{version}/ready")
    get("config scale version 3", "/v2/models/scale/versions/3/config")
    get("config scale version 2", "/v2/models/scale/versions/2/config")
    for what in ("", "/config", "/ready", "/stats"):
        get(f"unknown model{what}", f"/v2/models/zz{what}")
    get("unknown word of a model", "/v2/models/simple/nothing")
    get("model of the repository that is not loaded", "/v2/models/spare")
    get("ready of a model that is not loaded", "/v2/models/spare/ready")


def json_steps():
    post("json", INFER, pair())
    post("json id", INFER, pair(id="seven"))
    post("json id with quotes", INFER, pair(id='a "b" \\ \u00e4 \n'))
    post("json empty id", INFER, pair(id=""))
    post("json id is a number", INFER, pair(id=7))
    post("json batch", INFER, pair(list(range(48)), [1] * 48, (3, 16)))
    post("json nested", INFER, pair([list(range(16))], [[2] * 16]))
    post("json nested oddly", INFER, pair([[[1, 2], list(range(14))]], [2] * 16))
    post("json one output", INFER, pair(outputs=[{"name": "OUTPUT1"}]))
    post("json outputs in order", INFER, pair(outputs=[{"name": "OUTPUT1"}, {"name": "OUTPUT0"}]))
    post("json no outputs", INFER, pair(outputs=[]))
    post("json output twice", INFER, pair(outputs=[{"name": "OUTPUT1"}, {"name": "OUTPUT1"}]))
    post("json unknown output", INFER, pair(outputs=[{"name": "OUTPUT9"}]))
    post("json output without name", INFER, pair(outputs=[{}]))
    post("json outputs is an object", INFER, pair(outputs={"name": "OUTPUT0"}))
    post("json binary output", INFER, pair(outputs=[{"name": "OUTPUT0", "parameters": {"binary_data": True}}, {"name": "OUTPUT1"}]))
    post("json binary_data_output", INFER, pair(parameters={"binary_data_output": True}))
    post("json binary_data wins", INFER, pair(parameters={"binary_data_output": True}, outputs=[{"name": "OUTPUT0", "parameters": {"binary_data": False}}, {"name": "OUTPUT1"}]))
    post("json binary_data is a number", INFER, pair(outputs=[{"name": "OUTPUT0", "parameters": {"binary_data": 1}}]))
    post("json binary_data_output is a text", INFER, pair(parameters={"binary_data_output": "yes"}))
    post("json classification", INFER, pair(outputs=[{"name": "OUTPUT0", "parameters": {"classification": 3}}]))
    post("json classification binary", INFER, pair(outputs=[{"name": "OUTPUT0", "parameters": {"classification": 2, "binary_data": True}}]))
    post("json classification without labels", INFER, pair(outputs=[{"name": "OUTPUT1", "parameters": {"classification": 2}}]))
    post("json classification of a batch", INFER, pair(list(range(32)), [1] * 32, (2, 16), outputs=[{"name": "OUTPUT0", "parameters": {"classification": 1}}]))
    post("json classification of many", INFER, pair(outputs=[{"name": "OUTPUT0", "parameters": {"classification": 99}}]))
    post("json classification 0", INFER, pair(outputs=[{"name": "OUTPUT0", "parameters": {"classification": 0}}]))
    post("json parameters", INFER, pair(parameters={"a": 1, "b": True, "c": "d", "e": 1.5, "f": -3}))
    post("json parameter is a list", INFER, pair(parameters={"foo": [1]}))
    post("json parameter is an object", INFER, pair(parameters={"foo": {}}))
    post("json parameters is a list", INFER, pair(parameters=[1]))
    post("json reserved parameter", INFER, pair(parameters={"triton_something": 1}))
    post("json priority", INFER, pair(parameters={"priority": 1}))
    post("json priority is a text", INFER, pair(parameters={"priority": "high"}))
    post("json timeout", INFER, pair(parameters={"timeout": 10000000}))
    post("json sequence parameters", INFER, pair(parameters={"sequence_id": 3, "sequence_start": True, "sequence_end": True}))
    post("json unknown keys", INFER, pair(nothing=1, model_name="zz"))
    for i, text in enumerate(["", "{", "[]", "7", "null", '{"inputs":[]', '{"inputs":[}', "{'inputs':[]}", "\xff\xfe", '{"a":1}x', "{}"]):
        post(f"malformed {i}", INFER, text.encode("latin-1"))
    post("deep json", INFER, b'{"inputs":' + b"[" * 200 + b"]" * 200 + b"}")
    good = pair()
    for key in ("name", "shape", "datatype", "data"):
        post(f"input without {key}", INFER, change(good, ["inputs", 0, key], None))
    post("no inputs", INFER, {"inputs": []})
    post("inputs is an object", INFER, {"inputs": {}})
    post("input is a number", INFER, {"inputs": [1]})
    post("input missing", INFER, {"inputs": good["inputs"][:1]})
    post("input twice", INFER, {"inputs": [good["inputs"][0]] * 2})
    post("three inputs", INFER, {"inputs": good["inputs"] + [tensor("INPUT2", [1, 16], "INT32", [0] * 16)]})
    post("unknown input", INFER, change(good, ["inputs", 1, "name"], "INPUT9"))
    for name, shape in (("2x2", [2, 2]), ("4", [4]), ("none", []), ("batch 9", [9, 16]), ("batch 0", [0, 16]), ("negative", [-1, 16]), ("1x16x1", [1, 16, 1]),
                        ("fraction", [1.5, 16]), ("text", ["1", 16]), ("huge", [2 ** 62, 4]), ("larger than 64 bit", [2 ** 64, 16]), ("object", {})):
        count = int(np.prod(shape)) if isinstance(shape, list) and all(isinstance(d, int) and 0 <= d < 99 for d in shape) else 16
        request = pair([0] * count, [0] * count, shape=[1, 16])
        for i in (0, 1):
            request["inputs"][i]["shape"] = shape
        post(f"shape {name}", INFER, request)
    post("shape id in text", INFER, change(change(pair(id="eight"), ["inputs", 0, "shape"], [2, 2]), ["inputs", 0, "data"], [1] * 4))
    post("shapes differ in batch", INFER, change(change(good, ["inputs", 0, "shape"], [2, 16]), ["inputs", 0, "data"], [1] * 32))
    for datatype in ("FP32", "INT64", "int32", "", "BYTES", "FLOAT", 5):
        post(f"datatype {datatype!r}", INFER, change(good, ["inputs", 0, "datatype"], datatype))
    for name, data in (("too few", [1] * 15), ("too many", [1] * 17), ("none", []), ("text", "abc"), ("texts", ["a"] * 16), ("fractions", [1.5] * 16), ("bools", [True] * 16),
                       ("too large", [2 ** 31] * 16), ("negative", [-1] * 16), ("null", [None] * 16), ("object", {}), ("one number", 5)):
        post(f"data {name}", INFER, change(good, ["inputs", 0, "data"], data))
    post("unknown model infer", "/v2/models/zz/infer", pair())
    post("unknown version infer", "/v2/models/simple/versions/9/infer", pair())
    post("version 1 infer", "/v2/models/simple/versions/1/infer", pair())
    for version in ("1", "3", ""):
        post(f"scale version {version!r}", f"/v2/models/scale{'/versions/' + version if version else ''}/infer", {"inputs": [tensor("x", [4], "FP32", [1, 2.5, -3, 0.1])]})
    post("scale wrong shape", "/v2/models/scale/infer", {"inputs": [tensor("x", [1, 4], "FP32", [1, 2, 3, 4])]})
    post("open dim", "/v2/models/open/infer", {"inputs": [tensor("x", [3, 2], "FP32", [1, 2, 3, 4, 5, 6])]})
    post("open dim 0", "/v2/models/open/infer", {"inputs": [tensor("x", [0, 2], "FP32", [])]})
    post("reshape", "/v2/models/image/infer", {"inputs": [tensor("x", [2, 16], "FP32", list(range(32)))]})
    post("reshape as the engine has it", "/v2/models/image/infer", {"inputs": [tensor("x", [1, 4, 4], "FP32", list(range(16)))]})
    post("floats", "/v2/models/wide/infer", {"inputs": [tensor("x", [1, 6], "FP32", [1e-45, 3.4e38, 0.1, -0.0, 16777217, 1e20])]})
    post("infinite floats", "/v2/models/wide/infer", '{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1e400,-1e39]}]}')
    values = {"BOOL": [True, False, True], "FP16": None, "FP32": [1.5, -2, 0.25], "FP64": [1e300, -0.1, 3]}
    for name, _ in KINDS:
        bits = {"8": 8, "6": 16, "2": 32, "4": 64}.get(name[-1]) if name not in values else 0
        data = values.get(name, [0, 1, 2 ** (bits - (name[0] == "I")) - 1] if bits else None)
        inputs = []
        for other, _ in KINDS:
            d = data if other == name else [0, 0, 0] if other != "BOOL" else [False] * 3
            inputs.append(tensor(f"i_{other}", [1, 3], other, d if other != "FP16" else None, **({} if other != "FP16" else {"parameters": {"binary_data_size": 6}})))
        body, headers = with_binary({"inputs": inputs, "outputs": [{"name": f"o_{name}", "parameters": {"binary_data": name == "FP16"}}]}, np.arange(3, dtype=np.float16))
        post(f"type {name}", "/v2/models/types/infer", body, headers)
    inputs = [tensor(f"i_{n}", [1, 3], n, [0] * 3 if n != "BOOL" else [False] * 3) for n, _ in KINDS]
    post("FP16 in JSON", "/v2/models/types/infer", {"inputs": inputs})
    body, headers = with_binary({"inputs": [i if i["datatype"] != "FP16" else tensor("i_FP16", [1, 3], "FP16", parameters={"binary_data_size": 6}) for i in inputs],
                                 "outputs": [{"name": "o_FP16"}]}, np.zeros(3, np.float16))
    post("FP16 answer in JSON", "/v2/models/types/infer", body, headers)


def binary_steps():
    request, a, b = binary_pair()
    post("binary", INFER, *with_binary(request, a, b))
    post("binary and back", INFER, *with_binary(binary_pair(parameters={"binary_data_output": True})[0], a, b))
    post("binary with id and one output", INFER, *with_binary(binary_pair(id="b", outputs=[{"name": "OUTPUT1", "parameters": {"binary_data": True}}])[0], a, b))
    big = np.arange(128, dtype=np.int32).reshape(8, 16)
    post("binary batch 8", INFER, *with_binary(binary_pair(big, big, parameters={"binary_data_output": True})[0], big, big))
    mixed = {"inputs": [request["inputs"][0], pair()["inputs"][1]]}
    post("binary and JSON", INFER, *with_binary(mixed, a))
    post("binary content type", INFER, with_binary(request, a, b)[0], {**with_binary(request, a, b)[1], "Content-Type": "application/octet-stream"})
    post("binary too short", INFER, *with_binary(request, a, b[:, :8]))
    post("binary missing", INFER, *with_binary(request))
    post("binary too long", INFER, *with_binary(request, a, b, extra=b"more"))
    post("binary size wrong", INFER, *with_binary(change(request, ["inputs", 0, "parameters", "binary_data_size"], 60), a.ravel()[:15], b))
    post("binary size is a text", INFER, *with_binary(change(request, ["inputs", 0, "parameters", "binary_data_size"], "64"), a, b))
    post("binary size negative", INFER, *with_binary(change(request, ["inputs", 0, "parameters", "binary_data_size"], -1), a, b))
    post("binary size and data", INFER, *with_binary(change(request, ["inputs", 0, "data"], [1] * 16), a, b))
    body, headers = with_binary(request, a, b)
    for length in ("9999", "abc", "-1", "", "1e3", "12"):
        post(f"header length {length!r}", INFER, body, {"Inference-Header-Content-Length": length})
    post("no header length", INFER, body)
    raw = np.arange(16, dtype=np.int32)
    zero = {"Inference-Header-Content-Length": "0"}
    post("raw", "/v2/models/identity/infer", raw.tobytes(), zero)
    post("raw too short", "/v2/models/identity/infer", raw.tobytes()[:60], zero)
    post("raw too long", "/v2/models/identity/infer", raw.tobytes() + b"1234", zero)
    post("raw without a body", "/v2/models/identity/infer", b"", zero)
    post("raw open dim", "/v2/models/open/infer", np.arange(6, dtype=np.float32).tobytes(), zero)
    post("raw open dim odd", "/v2/models/open/infer", np.arange(5, dtype=np.float32).tobytes(), zero)
    post("raw two open dims", "/v2/models/wide/infer", np.arange(6, dtype=np.float32).tobytes(), zero)
    post("raw two inputs", INFER, raw.tobytes(), zero)
    post("empty body", "/v2/models/identity/infer")
    json_text = json.dumps(pair()).encode()
    post("gzip", INFER, gzip.compress(json_text, mtime=0), {"Content-Encoding": "gzip"})
    post("deflate", INFER, zlib.compress(json_text), {"Content-Encoding": "deflate"})
    post("raw deflate", INFER, zlib.compress(json_text)[2:-4], {"Content-Encoding": "deflate"})
    post("gzip that is none", INFER, json_text, {"Content-Encoding": "gzip"})
    post("gzip cut short", INFER, gzip.compress(json_text, mtime=0)[:-12], {"Content-Encoding": "gzip"})
    post("br", INFER, json_text, {"Content-Encoding": "br"})
    post("identity", INFER, json_text, {"Content-Encoding": "identity"})
    post("gzip binary", INFER, gzip.compress(body, mtime=0), {**headers, "Content-Encoding": "gzip"})
    post("gzip answer", INFER, json_text, {"Accept-Encoding": "gzip"})
    post("deflate answer", INFER, json_text, {"Accept-Encoding": "deflate"})
    post("gzip binary answer", INFER, with_binary(binary_pair(parameters={"binary_data_output": True})[0], a, b)[0],
         {**with_binary(binary_pair(parameters={"binary_data_output": True})[0], a, b)[1], "Accept-Encoding": "gzip"})
    for accept in ("br", "gzip;q=0", "identity", "*", "gzip;q=0.5, deflate;q=0.9"):
        post(f"accept {accept}", INFER, json_text, {"Accept-Encoding": accept})
    post("content type text", INFER, json_text, {"Content-Type": "text/plain"})
    post("region that is not there", INFER, change(good_region(), ["inputs", 1], pair()["inputs"][1]))
    post("region for an output that is not there", INFER, pair(outputs=[{"name": "OUTPUT0", "parameters": {"shared_memory_region": "r", "shared_memory_byte_size": 64}}]))
    post("region without a size", INFER, change(good_region(), ["inputs", 0, "parameters"], {"shared_memory_region": "r"}))
    get("regions", "/v2/systemsharedmemory/status")
    get("region status", "/v2/systemsharedmemory/region/r/status")
    post("region register without a key", "/v2/systemsharedmemory/region/r/register", {"byte_size": 4})
    post("region register without a size", "/v2/systemsharedmemory/region/r/register", {"key": "/carnot_conversation_none"})
    post("region register of a key that is not there", "/v2/systemsharedmemory/region/r/register", {"key": "/carnot_conversation_none", "byte_size": 64})
    post("region unregister", "/v2/systemsharedmemory/region/r/unregister")
    post("regions unregister", "/v2/systemsharedmemory/unregister")
    get("cuda regions", "/v2/cudasharedmemory/status")
    get("cuda region status", "/v2/cudasharedmemory/region/r/status")
    post("cuda regions unregister", "/v2/cudasharedmemory/unregister")


def good_region():
    request = pair()
    request["inputs"][0] = tensor("INPUT0", [1, 16], "INT32", parameters={"shared_memory_region": "r", "shared_memory_byte_size": 64})
    return request


def repository_steps():
    post("index", "/v2/repository/index")
    post("index ready", "/v2/repository/index", {"ready": True})
    post("index not only ready", "/v2/repository/index", {"ready": False})
    post("index ready is a text", "/v2/repository/index", {"ready": "yes"})
    post("index malformed", "/v2/repository/index", "{")
    post("load", "/v2/repository/models/spare/load")
    get("loaded ready", "/v2/models/spare/ready")
    post("loaded infer", "/v2/models/spare/infer", pair())
    post("load again", "/v2/repository/models/spare/load", {})
    config = {"backend": "carnot", "max_batch_size": 4, "input": [{"name": n, "data_type": "TYPE_INT32", "dims": [16]} for n in ("INPUT0", "INPUT1")],
              "output": [{"name": n, "data_type": "TYPE_INT32", "dims": [16]} for n in ("OUTPUT0", "OUTPUT1")], "instance_group": [{"kind": "KIND_CPU"}]}
    post("load with a configuration", "/v2/repository/models/spare/load", {"parameters": {"config": json.dumps(config)}})
    get("its configuration", "/v2/models/spare/config")
    post("load with a configuration of texts", "/v2/repository/models/spare/load", {"parameters": {"config": json.dumps({**config, "max_batch_size": "16"})}})
    get("configuration of texts", "/v2/models/spare/config")
    post("load with a bad configuration", "/v2/repository/models/spare/load", {"parameters": {"config": "{"}})
    get("still ready", "/v2/models/spare/ready")
    post("load with unknown parameter", "/v2/repository/models/spare/load", {"parameters": {"speed": "high"}})
    post("load with config as object", "/v2/repository/models/spare/load", {"parameters": {"config": {}}})
    post("load with file and no config", "/v2/repository/models/spare/load", {"parameters": {"file:1/model.engine": base64.b64encode(b"x").decode()}})
    post("load malformed", "/v2/repository/models/spare/load", "{")
    post("unload", "/v2/repository/models/spare/unload")
    get("unloaded ready", "/v2/models/spare/ready")
    post("unloaded infer", "/v2/models/spare/infer", pair())
    get("unloaded metadata", "/v2/models/spare")
    get("unloaded config", "/v2/models/spare/config")
    get("unloaded stats", "/v2/models/spare/stats")
    post("index after unload", "/v2/repository/index", {"ready": True})
    post("unload again", "/v2/repository/models/spare/unload")
    post("unload unknown", "/v2/repository/models/zz/unload")
    post("unload dependents", "/v2/repository/models/spare/unload", {"parameters": {"unload_dependents": True}})
    for name in ("zz", "broken", "misfit", "empty", "garbled", "renamed"):
        post(f"load {name}", f"/v2/repository/models/{name}/load")
        get(f"ready after load of {name}", f"/v2/models/{name}/ready")
    post("load ..", "/v2/repository/models/../load")
    post("load %2e%2e", "/v2/repository/models/%2e%2e%2fetc/load")
    post("index of a repository", "/v2/repository/r/index")
    post("load of a repository", "/v2/repository/r/models/m/load")
    http("GET load", "GET", "/v2/repository/models/spare/load")


def settings_steps():
    get("trace", "/v2/trace/setting")
    get("trace of a model", "/v2/models/simple/trace/setting")
    post("trace file", "/v2/trace/setting", {"trace_file": "/x"})
    get("logging", "/v2/logging")
    post("logging set", "/v2/logging", {"log_verbose_level": 1, "log_info": False})
    post("logging set back", "/v2/logging", {"log_verbose_level": 0, "log_info": True})
    post("logging format", "/v2/logging", {"log_format": "ISO8601"})
    post("logging format back", "/v2/logging", {"log_format": "default"})
    post("logging format unknown", "/v2/logging", {"log_format": "fancy"})
    post("logging unknown", "/v2/logging", {"loudness": 1})
    post("logging wrong type", "/v2/logging", {"log_info": "yes"})
    post("logging file", "/v2/logging", {"log_file": "/x"})


def statistics_steps():
    get("stats identity", "/v2/models/identity/stats")
    get("stats scale version 1", "/v2/models/scale/versions/1/stats")
    get("stats scale version 2", "/v2/models/scale/versions/2/stats")


def rpc(name, method, request):
    STEPS.append({"name": name, "rpc": (method, request)})


def grpc_steps():
    def infer(name, model="simple", inputs=None, raw=None, outputs=(), **more):
        if inputs is None:
            inputs = [{"name": n, "datatype": "INT32", "shape": [1, 16]} for n in ("INPUT0", "INPUT1")]
            raw = [np.arange(16, dtype=np.int32).tobytes(), np.full(16, 2, np.int32).tobytes()] if raw is None else raw
        return (name, "ModelInfer", {"model_name": model, "inputs": inputs, "raw_input_contents": raw or [], "outputs": list(outputs), **more})

    for method in ("ServerLive", "ServerReady", "ServerMetadata"):
        rpc(f"rpc {method}", method, {})
    for name, request in (("simple", {"name": "simple"}), ("scale 3", {"name": "scale", "version": "3"}), ("scale 2", {"name": "scale", "version": "2"}),
                          ("scale x", {"name": "scale", "version": "x"}), ("zz", {"name": "zz"}), ("nothing", {}), ("spare", {"name": "spare"})):
        for method in ("ModelReady", "ModelMetadata", "ModelConfig"):
            rpc(f"rpc {method} {name}", method, request)
    rpc(*infer("rpc infer"))
    rpc(*infer("rpc infer id", id="seven"))
    rpc(*infer("rpc infer outputs", outputs=[{"name": "OUTPUT1"}]))
    rpc(*infer("rpc infer output unknown", outputs=[{"name": "OUTPUT9"}]))
    rpc(*infer("rpc infer output twice", outputs=[{"name": "OUTPUT1"}] * 2))
    rpc(*infer("rpc infer version", model_version="1"))
    rpc(*infer("rpc infer version unknown", model_version="9"))
    rpc(*infer("rpc infer version no number", model_version="x"))
    rpc(*infer("rpc infer unknown model", model="zz"))
    rpc(*infer("rpc infer no model", model=""))
    rpc(*infer("rpc infer not loaded", model="spare"))
    typed = [{"name": n, "datatype": "INT32", "shape": [1, 16], "contents": {"int_contents": list(range(16))}} for n in ("INPUT0", "INPUT1")]
    rpc(*infer("rpc typed", inputs=typed))
    rpc(*infer("rpc raw and typed", inputs=typed, raw=[bytes(64), bytes(64)]))
    rpc(*infer("rpc neither", inputs=[{k: v for k, v in t.items() if k != "contents"} for t in typed]))
    rpc(*infer("rpc one raw of two", raw=[bytes(64)]))
    rpc(*infer("rpc three raw", raw=[bytes(64)] * 3))
    rpc(*infer("rpc raw too short", raw=[bytes(60), bytes(64)]))
    rpc(*infer("rpc raw too long", raw=[bytes(68), bytes(64)]))
    rpc(*infer("rpc typed too few", inputs=[{**typed[0], "contents": {"int_contents": [1] * 15}}, typed[1]]))
    rpc(*infer("rpc typed in the wrong field", inputs=[{**typed[0], "contents": {"fp32_contents": [1] * 16}}, typed[1]]))
    rpc(*infer("rpc input missing", inputs=typed[:1]))
    rpc(*infer("rpc no inputs", inputs=[]))
    rpc(*infer("rpc input twice", inputs=[typed[0], typed[0]]))
    rpc(*infer("rpc input unknown", inputs=[typed[0], {**typed[1], "name": "INPUT9"}]))
    rpc(*infer("rpc three inputs", inputs=typed + [{**typed[1], "name": "INPUT2"}]))
    for shape in ([2, 2], [16], [], [9, 16], [0, 16], [-1, 16], [2 ** 62, 4]):
        count = int(np.prod(shape)) if all(0 <= d < 99 for d in shape) else 16
        rpc(*infer(f"rpc shape {shape}", inputs=[{**t, "shape": shape, "contents": {"int_contents": [1] * count}} for t in typed]))
    for datatype in ("FP32", "", "INT33", "BYTES"):
        rpc(*infer(f"rpc datatype {datatype!r}", inputs=[{**typed[0], "datatype": datatype}, typed[1]]))
    rpc(*infer("rpc parameters", parameters={"a": {"int64_param": 1}, "b": {"string_param": "x"}, "c": {"bool_param": True}, "d": {"double_param": 1.5}}))
    rpc(*infer("rpc parameter without a value", parameters={"a": {}}))
    rpc(*infer("rpc priority", parameters={"priority": {"int64_param": 1}}))
    rpc(*infer("rpc priority is a text", parameters={"priority": {"string_param": "x"}}))
    rpc(*infer("rpc reserved parameter", parameters={"triton_x": {"int64_param": 1}}))
    rpc(*infer("rpc classification", outputs=[{"name": "OUTPUT0", "parameters": {"classification": {"int64_param": 2}}}]))
    rpc(*infer("rpc classification is a text", outputs=[{"name": "OUTPUT0", "parameters": {"classification": {"string_param": "x"}}}]))
    rpc(*infer("rpc region", inputs=[{"name": "INPUT0", "datatype": "INT32", "shape": [1, 16], "parameters": {"shared_memory_region": {"string_param": "r"},
                                      "shared_memory_byte_size": {"int64_param": 64}}}, typed[1]]))
    for kind, field, value in (("BOOL", "bool_contents", True), ("UINT8", "uint_contents", 200), ("INT16", "int_contents", -5), ("INT64", "int64_contents", -2 ** 60),
                               ("UINT64", "uint64_contents", 2 ** 63), ("FP32", "fp32_contents", 0.1), ("FP64", "fp64_contents", 0.1)):
        inputs = []
        for other, _ in KINDS:
            default = {"BOOL": ("bool_contents", False), "UINT64": ("uint64_contents", 0), "INT64": ("int64_contents", 0), "FP32": ("fp32_contents", 0),
                       "FP64": ("fp64_contents", 0)}.get(other, ("uint_contents" if other[0] == "U" else "int_contents", 0))
            key, fill = (field, value) if other == kind else default
            inputs.append({"name": f"i_{other}", "datatype": other, "shape": [1, 3], "contents": {key: [fill] * 3}})
        # FP16 has no typed field: such a request cannot be whole.
        rpc(*infer(f"rpc types {kind}", model="types", inputs=inputs, outputs=[{"name": f"o_{kind}"}]))
    sizes = {"BOOL": 1, "8": 1, "16": 2, "32": 4, "64": 8}
    raws = [bytes(range(3 * next(v for k, v in sizes.items() if n == k or n.lstrip("UINTFP") == k))) if n != "BOOL" else b"\0\1\0" for n, _ in KINDS]
    rpc(*infer("rpc types raw", model="types", inputs=[{"name": f"i_{n}", "datatype": n, "shape": [1, 3]} for n, _ in KINDS], raw=raws))
    for name, request in (("all", {}), ("ready", {"ready": True})):
        rpc(f"rpc index {name}", "RepositoryIndex", request)
    rpc("rpc load", "RepositoryModelLoad", {"model_name": "spare"})
    rpc("rpc loaded", "ModelReady", {"name": "spare"})
    rpc(*infer("rpc loaded infer", model="spare"))
    rpc("rpc unload", "RepositoryModelUnload", {"model_name": "spare"})
    rpc("rpc unloaded", "ModelReady", {"name": "spare"})
    rpc(*infer("rpc unloaded infer", model="spare"))
    rpc("rpc unloaded statistics", "ModelStatistics", {"name": "spare"})
    rpc("rpc load unknown", "RepositoryModelLoad", {"model_name": "zz"})
    rpc("rpc load broken", "RepositoryModelLoad", {"model_name": "broken"})
    rpc("rpc load of a repository", "RepositoryModelLoad", {"repository_name": "r", "model_name": "spare"})
    rpc("rpc unload unknown", "RepositoryModelUnload", {"model_name": "zz"})
    rpc("rpc statistics", "ModelStatistics", {"name": "identity"})
    rpc("rpc statistics version", "ModelStatistics", {"name": "scale", "version": "1"})
    rpc("rpc statistics unknown", "ModelStatistics", {"name": "zz"})
    rpc("rpc regions", "SystemSharedMemoryStatus", {})
    rpc("rpc region status", "SystemSharedMemoryStatus", {"name": "r"})
    rpc("rpc region register", "SystemSharedMemoryRegister", {"name": "r", "key": "/carnot_conversation_none", "byte_size": 64})
    rpc("rpc regions unregister", "SystemSharedMemoryUnregister", {})
    rpc("rpc cuda regions", "CudaSharedMemoryStatus", {})
    rpc("rpc cuda regions unregister", "CudaSharedMemoryUnregister", {})
    rpc("rpc trace", "TraceSetting", {})
    rpc("rpc logging", "LogSettings", {})
    rpc("rpc logging unknown", "LogSettings", {"settings": {"speed": {"uint32_param": 1}}})
    rpc("rpc logging wrong type", "LogSettings", {"settings": {"log_info": {"string_param": "x"}}})
    good, bad = infer("")[2], {**infer("")[2], "id": "bad", "model_name": "zz"}
    STEPS.append({"name": "stream", "stream": [{**good, "id": "1"}, {**good, "id": "2"}]})
    STEPS.append({"name": "stream with a bad request", "stream": [{**good, "id": "1"}, bad, {**good, "id": "3"}]})
    STEPS.append({"name": "stream with a wrong shape", "stream": [{**infer("", inputs=[{**t, "shape": [4]} for t in typed])[2], "id": "9"}, {**good, "id": "10"}]})
    STEPS.append({"name": "stream with empty final response", "stream": [{**good, "parameters": {"triton_enable_empty_final_response": {"bool_param": True}}}]})
    STEPS.append({"name": "stream without requests", "stream": []})


for part in (metadata_steps, json_steps, binary_steps, repository_steps, settings_steps, statistics_steps, grpc_steps):
    part()
names = [step["name"] for step in STEPS]
assert len(set(names)) == len(names), sorted(n for n in names if names.count(n) > 1)
if __name__ == "__main__":
    print(len(STEPS), "steps", file=sys.stderr)
