# SPDX-License-Identifier: Apache-2.0
"""Loading, replacing and unloading models; configurations good and bad."""
import base64
import json
import os
import subprocess
import threading

import numpy as np
import pytest
import tritonclient.http as client
from tritonclient.utils import InferenceServerException

from conftest import CARNOT, make_repository, read_reply, write_scale, write_simple, write_slow
from test_http import ONES, simple_inputs


def scale(c, value, **more):
    x = client.InferInput("x", [4], "FP32")
    x.set_data_from_numpy(np.full(4, value, np.float32))
    return c.infer("scale", [x], **more).as_numpy("y")[0]


@pytest.fixture
def explicit(start, tmp_path):
    write_scale(tmp_path / "scale/1/model.onnx", 2.0)
    s = start(tmp_path, "--model-control", "explicit")
    s.folder = tmp_path
    with client.InferenceServerClient(s.http) as c:
        yield s, c


def test_load_and_unload(explicit):
    server, c = explicit
    assert c.is_server_ready() and c.get_model_repository_index() == [{"name": "scale"}]
    with pytest.raises(InferenceServerException, match="unknown model: 'scale' is not found"):
        scale(c, 1)
    c.load_model("scale")
    assert scale(c, 1) == 2 and c.get_model_repository_index() == [{"name": "scale", "version": "1", "state": "READY"}]
    c.unload_model("scale")
    assert c.get_model_repository_index() == [{"name": "scale", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"}]
    with pytest.raises(InferenceServerException, match="'scale' has no available versions"):
        scale(c, 1)
    with pytest.raises(InferenceServerException, match="requested model 'scale' is not available"):
        c.get_inference_statistics("scale")
    assert c.is_server_ready(), "a model that was unloaded on purpose does not count"
    c.unload_model("never_seen")
    with pytest.raises(InferenceServerException, match="failed to load 'never_seen', failed to poll from model repository"):
        c.load_model("never_seen")
    assert server.post("/v2/repository/models/..%2fscale/load")[0] == 400
    assert server.post("/v2/repository/models/scale/load", '{"parameters":{"config":7}}')[0] == 400


def test_a_newer_version_replaces_and_a_bad_one_does_not(explicit):
    server, c = explicit
    c.load_model("scale")
    write_scale(server.folder / "scale/2/model.onnx", 5.0)
    c.load_model("scale")
    assert scale(c, 1) == 5
    (server.folder / "scale/3").mkdir()
    (server.folder / "scale/3/model.onnx").write_bytes(b"no model")
    with pytest.raises(InferenceServerException, match="load failed for model 'scale': version 3 is at UNAVAILABLE state: "):
        c.load_model("scale")
    assert scale(c, 1) == 5 and c.is_server_ready()


def test_load_with_config_and_files(explicit):
    server, c = explicit
    data = (server.folder / "scale/1/model.onnx").read_bytes()
    c.load_model("scale", config=json.dumps({"backend": "carnot", "parameters": {"who": {"string_value": "me"}}}), files={"file:7/model.onnx": data})
    assert scale(c, 3, model_version="7") == 6 and c.get_model_config("scale")["parameters"]["who"]["string_value"] == "me"
    c.load_model("scale", config=json.dumps({"instance_group": [{"count": "2"}]}))
    assert c.get_model_config("scale")["instance_group"][0]["count"] == 2
    for name in ("file:../../x", "file:1/../../x", "file:1/a/b", "file:x", "file:1/.x"):
        status, _, reply = server.post("/v2/repository/models/scale/load", json.dumps({"parameters": {"config": "{}", name: base64.b64encode(data).decode()}}))
        assert status == 400 and "VERSION/FILE" in json.loads(reply)["error"]
    assert server.post("/v2/repository/models/scale/load", '{"parameters":{"config":"{}","file:1/model.onnx":"!"}}')[0] == 400


def test_clients_may_load_only_when_told(start, tmp_path):
    make_repository(tmp_path)
    s = start(tmp_path)
    for what in ("load", "unload"):
        status, _, reply = s.post(f"/v2/repository/models/simple/{what}")
        assert status == 503 and "explicit model load / unload is not allowed" in json.loads(reply)["error"]


CONFIGS = [
    ('name: "other"', "config.pbtxt has the name 'other', its folder is 'm'"),
    ("max_batch_size: 8", None),
    ("max_batch_size: -1", "negative"),
    ("max_batch_sise: 8", 'line 1'),
    ('input { name: "INPUT0" data_type: TYPE_FP32 dims: 16 }\nmax_batch_size: 8', "config.pbtxt says TYPE_FP32, the engine has TYPE_INT32"),
    ('input { name: "INPUT0" data_type: TYPE_INT32 dims: 17 }\nmax_batch_size: 8', "gives the shape [-1,17]"),
    ('input { name: "Q" data_type: TYPE_INT32 dims: 16 }\nmax_batch_size: 8', "names the input 'Q', the engine has 'INPUT0', 'INPUT1'"),
    ("max_batch_size: 0 dynamic_batching { }", "dynamic_batching needs max_batch_size"),
    ("max_batch_size: 4\ndynamic_batching { preferred_batch_size: 5 }", "preferred_batch_size 5"),
    ("version_policy { specific { versions: 4 } }", "version 4"),
    ('default_model_filename: "../x"', "no plain file name"),
    ("instance_group { kind: KIND_GPU }", "KIND_GPU"),
    ("model_transaction_policy { decoupled: true }", "decoupled"),
    ("sequence_batching { }", ""),
    ('max_batch_size: 2\nmodel_warmup { name: "w" batch_size: 2 inputs { key: "INPUT0" value { data_type: TYPE_INT32 dims: 16 zero_data: true } } '
     'inputs { key: "INPUT1" value { data_type: TYPE_INT32 dims: 16 random_data: true } } }', None),
    ('max_batch_size: 2\nmodel_warmup { name: "w" inputs { key: "INPUT0" value { data_type: TYPE_INT32 dims: 16 zero_data: true } } }', "warm-up 'w': expected 2 inputs"),
]


def test_configurations(start, tmp_path):
    write_simple(tmp_path / "m/1/model.onnx")
    s = start(tmp_path, "--model-control", "explicit")
    for text, reason in CONFIGS:
        (tmp_path / "m/config.pbtxt").write_text(text)
        status, _, reply = s.post("/v2/repository/models/m/load")
        assert (text, status) == (text, 400 if reason and "not supported" not in reason and "GPU" not in reason and reason != "decoupled" else 501 if reason else 200)
        if reason:
            error = json.loads(reply)["error"]
            assert reason in error and str(tmp_path) not in error


def test_one_bad_model_does_not_take_down_a_good_one(start, tmp_path):
    write_scale(tmp_path / "scale/1/model.onnx", 2.0)
    (tmp_path / "bad/1").mkdir(parents=True)
    (tmp_path / "bad/1/model.engine").write_bytes(b"nothing")
    (tmp_path / "empty").mkdir()
    s = start(tmp_path, ready=False)
    s.wait(lambda: s.get("/v2/models/scale/ready")[0] == 200, "the good model was not loaded")
    with client.InferenceServerClient(s.http) as c:
        index = {e["name"]: e for e in c.get_model_repository_index()}
        assert index["scale"]["state"] == "READY" and index["bad"]["state"] == index["empty"]["state"] == "UNAVAILABLE"
        assert "no version folder" in index["empty"]["reason"] and scale(c, 2) == 4
        assert not c.is_server_ready()


def test_check_tells_without_serving(tmp_path, cache):
    def check(*options):
        return subprocess.run([CARNOT, "serve", tmp_path, "--check", *options], capture_output=True, text=True, timeout=60, env=dict(os.environ, CARNOT_CACHE_DIR=str(cache)))

    write_scale(tmp_path / "scale/1/model.onnx", 2.0)
    good = check()
    assert (good.returncode, good.stdout) == (0, "scale version 1: READY\n"), good.stderr
    write_scale(tmp_path / "wide/1/model.onnx", 2.0)
    (tmp_path / "wide/config.pbtxt").write_text("max_batch_size: 4")
    for options in ((), ("--model-control", "explicit")):
        bad = check(*options)
        assert bad.returncode != 0 and "scale version 1: READY\n" in bad.stdout and "not every model can be served" in bad.stderr
        assert any(line.startswith("wide") and "UNAVAILABLE: " in line and "batch" in line for line in bad.stdout.splitlines()), bad.stdout


def test_poll(start, tmp_path):
    write_scale(tmp_path / "scale/1/model.onnx", 2.0)
    s = start(tmp_path, "--model-control", "poll", "--repository-poll-secs", "1")
    with client.InferenceServerClient(s.http) as c:
        write_scale(tmp_path / "scale/2/model.onnx", 4.0)
        write_simple(tmp_path / "simple/1/model.onnx")
        s.wait(lambda: c.is_model_ready("simple") and scale(c, 1) == 4, "the folder was not looked at")
        (tmp_path / "simple").rename(tmp_path / ".gone")
        s.wait(lambda: not c.is_model_ready("simple"), "a model whose folder is gone stays")


def test_reload_under_traffic_loses_nothing(explicit):
    server, c = explicit
    c.load_model("scale")
    stop, wrong, count = threading.Event(), [], [0]

    def traffic():
        with client.InferenceServerClient(server.http) as mine:
            while not stop.is_set():
                if scale(mine, 1) not in (2, 5):
                    wrong.append(1)
                count[0] += 1

    def guarded():
        try:
            traffic()
        except Exception as e:
            wrong.append(e)

    threads = [threading.Thread(target=guarded) for _ in range(4)]
    for t in threads:
        t.start()
    for i in range(10):
        write_scale(server.folder / "scale/1/model.onnx", 5.0 if i % 2 else 2.0)
        c.load_model("scale")
    stop.set()
    for t in threads:
        t.join()
    assert wrong == [] and count[0] > 50


def test_batching_queue_limit_and_timeouts(start, tmp_path):
    write_slow(tmp_path / "slow/1/model.onnx")
    (tmp_path / "slow/config.pbtxt").write_text("""max_batch_size: 16
        dynamic_batching { max_queue_delay_microseconds: 2000 default_queue_policy { max_queue_size: 20 allow_timeout_override: true } }""")
    s = start(tmp_path)
    x = np.random.default_rng(3).standard_normal([64, 1024]).astype(np.float32)

    def infer(c, rows, **more):
        tensor = client.InferInput("x", [len(rows), 1024], "FP32")
        tensor.set_data_from_numpy(rows)
        return c.infer("slow", [tensor], **more).as_numpy("y")

    with client.InferenceServerClient(s.http, concurrency=64) as c:
        alone = np.concatenate([infer(c, x[i:i + 1]) for i in range(64)])
        before = c.get_inference_statistics("slow")["model_stats"][0]
        results = [None] * 64

        def work(first):
            with client.InferenceServerClient(s.http) as mine:
                for i in range(first, 64, 16):
                    results[i] = infer(mine, x[i:i + 1])

        threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        after = c.get_inference_statistics("slow")["model_stats"][0]
        np.testing.assert_allclose(np.concatenate(results), alone, rtol=1e-3, atol=1e-3)
        assert after["inference_count"] - before["inference_count"] == 64
        assert after["execution_count"] - before["execution_count"] < 50, "nothing was joined"

    def burst(count, **parameters):
        """(status, error) of as many requests, all sent before the first answer is read."""
        head = json.dumps({"inputs": [{"name": "x", "shape": [16, 1024], "datatype": "FP32", "parameters": {"binary_data_size": 65536}}],
                           "parameters": {"binary_data_output": True, **parameters}}).encode()
        message = (b"POST /v2/models/slow/infer HTTP/1.1\r\nHost: x\r\nInference-Header-Content-Length: %d\r\nContent-Length: %d\r\n\r\n"
                   % (len(head), len(head) + 65536)) + head + x[:16].tobytes()
        sockets = [s.connect() for _ in range(count)]
        for sock in sockets:
            sock.sendall(message)
        replies = [read_reply(sock) for sock in sockets]
        for sock in sockets:
            sock.close()
        return [(status, json.loads(reply)["error"] if status != 200 else "") for status, _, reply in replies]

    full = burst(60)
    assert {status for status, _ in full} == {200, 503} and any("Exceeds maximum queue size" in error for _, error in full)
    late = burst(15, timeout=1)
    assert {status for status, _ in late} <= {200, 503} and any("Request timeout expired" in error for _, error in late)
    with client.InferenceServerClient(s.http) as c:
        fail = c.get_inference_statistics("slow")["model_stats"][0]["inference_stats"]["fail"]["count"]
    assert fail == sum(status != 200 for status, _ in full + late)
