# SPDX-License-Identifier: Apache-2.0
"""carnot.serve: the server inside a Python program."""
import asyncio
import inspect
import json
import re
import subprocess
import sys
import threading
import urllib.request

import numpy as np
import pytest

import carnot


def scale_engine(path, factor, dtype="f32"):
    net = carnot.Network()
    x = net.input("x", dtype, ["batch", 4])
    net.output(net.mul(x, np.array([factor], np.float32)), "y")
    net.output(x + x, "twice")
    path.parent.mkdir(parents=True, exist_ok=True)
    carnot.build(net).save(path)


@pytest.fixture
def repository(tmp_path):
    scale_engine(tmp_path / "scale/1/model.engine", 3)
    scale_engine(tmp_path / "scale/2/model.engine", 5)
    (tmp_path / "scale/config.pbtxt").write_text("version_policy { all { } }  dynamic_batching { max_queue_delay_microseconds: 2000 }  max_batch_size: 16")
    return tmp_path


@pytest.fixture
def server(repository):
    with carnot.serve.Server(repository) as server:
        yield server


X = np.arange(8, dtype=np.float32).reshape(2, 4)


def test_answers_are_arrays(server):
    assert server.ready and (server.http_port, server.grpc_port, server.metrics_port) == (-1, -1, -1)
    answer = server.infer("scale", {"x": X})
    assert list(answer) == ["y", "twice"] and answer["y"].dtype == np.float32
    np.testing.assert_array_equal(answer["y"], X * 5)
    np.testing.assert_array_equal(server.infer("scale", {"x": X[:, ::-1]}, version=1)["y"], X[:, ::-1] * 3)
    assert list(server.infer("scale", {"x": X}, "twice")) == ["twice"]
    assert list(server.infer("scale", {"x": X}, ["twice", "y"])) == ["twice", "y"]
    kept = answer["y"].copy()
    server.infer("scale", {"x": X + 1})
    np.testing.assert_array_equal(answer["y"], kept)


def test_requests_of_many_threads_and_futures_are_joined(server):
    inputs = [np.full((1, 4), i, np.float32) for i in range(200)]
    futures = [server.submit("scale", {"x": x}, "y") for x in inputs]
    for x, future in zip(inputs, futures):
        np.testing.assert_array_equal(future.result(20)["y"], x * 5)
    wrong = []

    def work(part):
        wrong.extend(i for i in range(part, 200, 4) if not np.array_equal(server.infer("scale", {"x": inputs[i]})["y"], inputs[i] * 5))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []
    newest = {s["version"]: s for s in server.statistics()}["2"]
    assert newest["inference_count"] == 400 and newest["execution_count"] < 400
    assert newest["inference_stats"]["success"]["count"] == 400


def test_coroutines(server):
    async def many():
        return await asyncio.gather(*(asyncio.wrap_future(server.submit("scale", {"x": X + i})) for i in range(20)))

    for i, answer in enumerate(asyncio.run(many())):
        np.testing.assert_array_equal(answer["y"], (X + i) * 5)


def test_mistakes_are_errors(server):
    with pytest.raises(carnot.Error, match="unknown model: 'none'"):
        server.infer("none", {"x": X})
    with pytest.raises(carnot.Error, match="version 9"):
        server.infer("scale", {"x": X}, version=9)
    with pytest.raises(carnot.Error, match=r"Expected \[-1,4\], got \[2,3\]"):
        server.infer("scale", {"x": X[:, :3]})
    with pytest.raises(carnot.Error, match="data-type is 'FP64'"):
        server.infer("scale", {"x": X.astype(np.float64)})
    with pytest.raises(carnot.Error, match="input 'x'"):
        server.infer("scale", {"x": np.array(["text"])})
    assert re.search("unexpected inference output 'z'", str(server.submit("scale", {"x": X}, "z").exception(20)))
    with pytest.raises(carnot.Error, match="none of none, poll and explicit"):
        carnot.serve.Server(".", control="sometimes")
    with pytest.raises(TypeError):
        carnot.serve.Server(".", ports=3)


def test_models_are_loaded_and_unloaded(repository):
    with carnot.serve.Server(repository, control="explicit") as server:
        assert [(m.name, m.version, m.state) for m in server.models()] == [("scale", None, "")]
        server.load("scale")
        assert [(m.name, m.version, m.state) for m in server.models()] == [("scale", 1, "READY"), ("scale", 2, "READY")]
        server.infer("scale", {"x": X})
        server.unload("scale")
        assert [m.state for m in server.models()] == ["UNAVAILABLE"] * 2
        with pytest.raises(carnot.Error, match="no available versions"):
            server.infer("scale", {"x": X})
        with pytest.raises(carnot.Error):
            server.load("none")


def test_it_listens_if_asked(repository):
    with carnot.serve.Server(repository, http_port=0, metrics_port=0, control="explicit", load="*") as server:
        url = f"http://127.0.0.1:{server.http_port}/v2/models/scale/infer"
        body = json.dumps({"inputs": [{"name": "x", "shape": [2, 4], "datatype": "FP32", "data": X.tolist()}], "outputs": [{"name": "y"}]})
        answer = json.load(urllib.request.urlopen(url, body.encode(), timeout=20))
        assert answer["outputs"][0]["data"] == (X * 5).reshape(-1).tolist()
        metrics = urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics", timeout=20).read()
        assert b'nv_inference_request_success{model="scale",version="2"} 1' in metrics
    assert server.http_port == -1


def test_onnx_files_are_built(tmp_path, monkeypatch):
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])])
    (tmp_path / "models/neg/1").mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "models/neg/1/model.onnx")
    monkeypatch.setenv("CARNOT_CACHE_DIR", str(tmp_path / "cache"))
    with carnot.serve.Server(tmp_path / "models") as server:
        np.testing.assert_array_equal(server.infer("neg", {"x": X})["y"], -X)
    assert list((tmp_path / "cache").iterdir())
    # A cache that cannot be written is no reason to fail.
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CARNOT_CACHE_DIR", str(tmp_path / "file"))
    with carnot.serve.Server(tmp_path / "models") as server:
        np.testing.assert_array_equal(server.infer("neg", {"x": X})["y"], -X)
    asked = []

    def build(path):
        asked.append(path)
        carnot.build(path).save(tmp_path / "own.engine")
        return tmp_path / "own.engine"

    with carnot.serve.Server(tmp_path / "models", build=build) as server:
        np.testing.assert_array_equal(server.infer("neg", {"x": X})["y"], -X)
    assert [path.endswith("neg/1/model.onnx") for path in asked] == [True]

    def refuse(path):
        raise ValueError("not today")

    with carnot.serve.Server(tmp_path / "models", build=refuse) as server:
        assert not server.ready and "not today" in server.models()[0].reason


def test_the_end(repository):
    server = carnot.serve.Server(repository)
    server.start()
    futures = [server.submit("scale", {"x": X}) for _ in range(100)]
    assert server.stop() and all(f.done() for f in futures)
    assert server.stop()
    with pytest.raises(carnot.Error, match="stopped"):
        server.infer("scale", {"x": X})
    # Servers that nobody stopped, one of them with requests under way.
    code = ("import carnot, numpy as np\n"
            f"a, b = (carnot.serve.Server({str(repository)!r}) for _ in range(2))\n"
            "a.start(); b.start()\n"
            "f = [a.submit('scale', {'x': np.ones((1, 4), np.float32)}) for _ in range(500)]\n"
            "del b\nprint(f[0].result(20)['y'].sum())\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "20.0", "")


def test_the_stub_says_what_is_there():
    import carnot._serve as native
    stub = open(carnot.serve.__file__.replace("serve.py", "_serve.pyi")).read()
    assert set(re.findall(r"    def (\w+)", stub)) == {n for n in vars(native.Server) if not n.startswith("_")} | {"__init__"}
    for name, member in inspect.getmembers(carnot.serve.Server, inspect.isfunction):
        assert "return" in member.__annotations__, name
