# SPDX-License-Identifier: Apache-2.0
"""The response cache: the same request twice is run once, and never gets the answer of another."""
import json

import numpy as np
import pytest
import tritonclient.http as client
import tritonclient.utils.shared_memory as shm

from conftest import Server, write_scale, write_simple


def infer(c, a, b, outputs=None, model="simple"):
    inputs = []
    for name, rows in (("INPUT0", a), ("INPUT1", b)):
        inputs.append(client.InferInput(name, list(rows.shape), "INT32"))
        inputs[-1].set_data_from_numpy(rows)
    return c.infer(model, inputs, outputs=outputs)


def numbers(c, model="simple"):
    s = c.get_inference_statistics(model)["model_stats"][0]
    i = s["inference_stats"]
    return {"hit": i["cache_hit"]["count"], "miss": i["cache_miss"]["count"], "success": i["success"]["count"], "runs": s["execution_count"], "items": s["inference_count"]}


ROWS = [np.full([1, 16], i, np.int32) for i in range(100)]


@pytest.fixture
def cached(tmp_path, cache):
    write_simple(tmp_path / "simple/1/model.onnx")
    (tmp_path / "simple/labels.txt").write_text("\n".join(f"label{i}" for i in range(16)))
    (tmp_path / "simple/config.pbtxt").write_text("""max_batch_size: 8 dynamic_batching { } response_cache { enable: true }
        output [ { name: "OUTPUT0" data_type: TYPE_INT32 dims: [ 16 ] label_filename: "labels.txt" } ]""")
    (tmp_path / "whole/1").mkdir(parents=True)
    (tmp_path / "whole/config.pbtxt").write_text("""platform: "ensemble" max_batch_size: 8 response_cache { enable: true }
        input [ { name: "INPUT0" data_type: TYPE_INT32 dims: [ 16 ] }, { name: "INPUT1" data_type: TYPE_INT32 dims: [ 16 ] } ] output [ { name: "OUTPUT0" data_type: TYPE_INT32 dims: [ 16 ] } ]
        ensemble_scheduling { step [ { model_name: "simple" input_map { key: "INPUT0" value: "INPUT0" } input_map { key: "INPUT1" value: "INPUT1" } output_map { key: "OUTPUT0" value: "m" } },
                                     { model_name: "simple" input_map { key: "INPUT0" value: "m" } input_map { key: "INPUT1" value: "INPUT1" } output_map { key: "OUTPUT0" value: "OUTPUT0" } } ] }""")

    def run(*options):
        s = Server(tmp_path, "--allow-client-shm", "true", "--model-control", "explicit", "--load-model", "*", *options, cache=cache)
        s.connection = client.InferenceServerClient(s.http)
        running.append(s)
        return s, s.connection

    running = []
    yield run
    for s in running:
        s.connection.close()
        assert s.stop() == 0


def metric(s, name, model="simple"):
    text = s.request("GET", "/metrics", sock=__import__("socket").create_connection(("127.0.0.1", s.ports["metrics"])))[2].decode()
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name) and (f'model="{model}"' in line or "{" not in line))


def test_the_same_twice_runs_once(cached):
    s, c = cached()
    for i in range(3):
        r = infer(c, ROWS[1], ROWS[2])
        np.testing.assert_array_equal(r.as_numpy("OUTPUT0"), ROWS[3])
        np.testing.assert_array_equal(r.as_numpy("OUTPUT1"), -ROWS[1])
    assert numbers(c) == {"hit": 2, "miss": 1, "success": 3, "runs": 1, "items": 1}
    assert metric(s, "nv_cache_num_hits_per_model") == 2 and metric(s, "nv_cache_num_misses_per_model") == 1 and metric(s, "carnot_cache_bytes") > 128
    # Inputs in the other order are the same request; other values, shapes or outputs are not.
    swapped = [client.InferInput(n, [1, 16], "INT32") for n in ("INPUT1", "INPUT0")]
    swapped[0].set_data_from_numpy(ROWS[2])
    swapped[1].set_data_from_numpy(ROWS[1])
    np.testing.assert_array_equal(c.infer("simple", swapped).as_numpy("OUTPUT1"), -ROWS[1])
    assert numbers(c)["hit"] == 3
    np.testing.assert_array_equal(infer(c, ROWS[2], ROWS[1]).as_numpy("OUTPUT1"), ROWS[1])
    np.testing.assert_array_equal(infer(c, np.vstack([ROWS[1]] * 2), np.vstack([ROWS[2]] * 2)).as_numpy("OUTPUT0"), np.vstack([ROWS[3]] * 2))
    only = [client.InferRequestedOutput("OUTPUT1")]
    for _ in range(2):
        r = infer(c, ROWS[1], ROWS[2], only)
        assert r.as_numpy("OUTPUT0") is None and (r.as_numpy("OUTPUT1") == -1).all()
    assert numbers(c) == {"hit": 4, "miss": 4, "success": 8, "runs": 4, "items": 5}
    # Both ways of asking for both outputs, in either order.
    both = [client.InferRequestedOutput(n, binary_data=False) for n in ("OUTPUT1", "OUTPUT0")]
    for order in (both, both[::-1]):
        r = infer(c, ROWS[1], ROWS[2], order)
        assert [o["name"] for o in r.get_response()["outputs"]] == [o.name() for o in order] and (r.as_numpy("OUTPUT0") == 3).all()
    assert numbers(c)["hit"] == 5
    # Classification is made of what was kept.
    classes = [infer(c, ROWS[1], ROWS[2], [client.InferRequestedOutput("OUTPUT0", class_count=2)]).as_numpy("OUTPUT0")[0].tolist() for _ in range(2)]
    assert classes[0] == classes[1] and all(text.startswith(b"3:") and b":label" in text for text in classes[0])
    assert numbers(c)["hit"] == 6


def test_a_reload_forgets_and_errors_are_not_kept(cached):
    s, c = cached()
    infer(c, ROWS[1], ROWS[2])
    c.load_model("simple")
    infer(c, ROWS[1], ROWS[2])
    assert numbers(c) == {"hit": 0, "miss": 1, "success": 1, "runs": 1, "items": 1}
    for _ in range(2):
        with pytest.raises(Exception, match="batch-size must be <= 8"):
            infer(c, np.zeros([9, 16], np.int32), np.zeros([9, 16], np.int32))
    assert numbers(c)["miss"] == 1


def test_the_budget_holds(cached):
    s, c = cached("--cache-size", "4000")
    for i in range(100):
        assert (infer(c, ROWS[i], ROWS[0]).as_numpy("OUTPUT0") == i).all()
        assert metric(s, "carnot_cache_bytes") <= 4000
    before = numbers(c)["hit"]
    infer(c, ROWS[99], ROWS[0])
    assert numbers(c)["hit"] == before + 1
    assert (infer(c, ROWS[0], ROWS[0]).as_numpy("OUTPUT0") == 0).all()
    assert numbers(c)["hit"] == before + 1, "the oldest went first"


def test_no_bytes_no_cache(cached):
    s, c = cached("--cache-size", "0")
    infer(c, ROWS[1], ROWS[2])
    infer(c, ROWS[1], ROWS[2])
    assert numbers(c) == {"hit": 0, "miss": 0, "success": 2, "runs": 2, "items": 2}
    assert any("response_cache has no effect" in line for line in s.lines)


def test_shared_memory_passes_by(cached):
    _, c = cached()
    region = shm.create_shared_memory_region("r", "/carnot_test_cache", 128)
    try:
        c.register_system_shared_memory("r", "/carnot_test_cache", 128)
        inputs = [client.InferInput(n, [1, 16], "INT32") for n in ("INPUT0", "INPUT1")]
        for i, x in enumerate(inputs):
            x.set_shared_memory("r", 64, offset=64 * i)
        for value in (3, 4, 3):
            shm.set_shared_memory_region(region, [ROWS[value], ROWS[1]])
            assert (c.infer("simple", inputs).as_numpy("OUTPUT0") == value + 1).all()
        assert numbers(c) == {"hit": 0, "miss": 0, "success": 3, "runs": 3, "items": 3}
    finally:
        c.unregister_system_shared_memory()
        shm.destroy_shared_memory_region(region)


def test_an_ensemble_and_its_members(cached):
    _, c = cached()
    for i in range(3):
        assert (infer(c, ROWS[1], ROWS[2], model="whole").as_numpy("OUTPUT0") == 5).all()
    assert numbers(c, "whole") == {"hit": 2, "miss": 1, "success": 3, "runs": 1, "items": 1}
    assert numbers(c)["runs"] == 2
    # 1 + 2 is known to the member now, for this and for anybody else.
    both = [client.InferRequestedOutput("OUTPUT0")]
    assert (infer(c, ROWS[1], ROWS[2], both).as_numpy("OUTPUT0") == 3).all()
    assert numbers(c)["runs"] == 2 and numbers(c)["hit"] == 1
    c.load_model("whole")
    assert (infer(c, ROWS[1], ROWS[2], model="whole").as_numpy("OUTPUT0") == 5).all()
    assert numbers(c)["runs"] == 2, "a new ensemble, the same members: their answers are kept"
    assert json.dumps(c.get_model_config("whole")["response_cache"]) == '{"enable": true}'
