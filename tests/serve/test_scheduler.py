# SPDX-License-Identifier: Apache-2.0
"""Who runs when: priorities, late requests, preferred sizes, fairness between models, loading and unloading under load."""
import json
import threading
import time

import numpy as np
import pytest
import tritonclient.http as client
from tritonclient.utils import InferenceServerException

from conftest import read_reply, write_scale, write_slow

ROWS = np.random.default_rng(5).standard_normal([16, 1024]).astype(np.float32)


def message(model, rows=16, **parameters):
    head = json.dumps({"inputs": [{"name": "x", "shape": [rows, 1024], "datatype": "FP32", "parameters": {"binary_data_size": rows * 4096}}],
                       "parameters": {"binary_data_output": True, **parameters}}).encode()
    return (b"POST /v2/models/%s/infer HTTP/1.1\r\nHost: x\r\nInference-Header-Content-Length: %d\r\nContent-Length: %d\r\n\r\n"
            % (model.encode(), len(head), len(head) + rows * 4096)) + head + ROWS[:rows].tobytes()


def order_of_answers(server, messages):
    """Sends all at once; (index, status) in the order of the answers."""
    sockets = [server.connect() for _ in messages]
    order, lock = [], threading.Lock()

    def wait(i):
        status = read_reply(sockets[i])[0]
        with lock:
            order.append((i, status))

    threads = [threading.Thread(target=wait, args=(i,)) for i in range(len(messages))]
    for t in threads:
        t.start()
    for s, m in zip(sockets, messages):
        s.sendall(m)
    for t in threads:
        t.join()
    for s in sockets:
        s.close()
    return order


def slow(folder, config):
    write_slow(folder / "1/model.onnx")
    (folder / "config.pbtxt").write_text("max_batch_size: 16 " + config)


def test_priorities_and_late_requests(start, tmp_path):
    slow(tmp_path / "two", "dynamic_batching { priority_levels: 2 default_priority_level: 2 }")
    slow(tmp_path / "late", "dynamic_batching { default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 1 } }")
    slow(tmp_path / "some", """dynamic_batching { priority_levels: 2 default_priority_level: 1
        priority_queue_policy { key: 2 value { timeout_action: REJECT default_timeout_microseconds: 1 max_queue_size: 3 } } }""")
    s = start(tmp_path)
    order = order_of_answers(s, [message("two")] * 30 + [message("two", priority=1)])
    assert {status for _, status in order} == {200}
    assert [i for i, _ in order].index(30) < 25, "the urgent one came last and did not overtake"
    assert {status for _, status in order_of_answers(s, [message("late")] * 20)} == {200}, "DELAY answers what is late, too"
    order = order_of_answers(s, [message("some")] * 20 + [message("some", priority=2)] * 10)
    assert {status for i, status in order if i < 20} == {200}, "the policy of level 2 is none of level 1"
    assert 503 in {status for i, status in order if i >= 20}


def test_a_preferred_size_does_not_wait(start, tmp_path):
    slow(tmp_path / "four", "dynamic_batching { preferred_batch_size: [ 4 ] max_queue_delay_microseconds: 20000000 }")
    s = start(tmp_path)
    begin = time.monotonic()
    assert {status for _, status in order_of_answers(s, [message("four", rows=1)] * 4)} == {200}
    assert time.monotonic() - begin < 15
    with client.InferenceServerClient(s.http) as c:
        assert [b["batch_size"] for b in c.get_inference_statistics("four")["model_stats"][0]["batch_stats"]] == [4]


def test_a_busy_model_does_not_starve_another(start, tmp_path):
    for name in ("busy", "calm"):
        slow(tmp_path / name, "")
    s = start(tmp_path)
    order = [i for i, _ in order_of_answers(s, [message("busy")] * 40 + [message("calm")])]
    assert order.index(40) < 35, "a request of a calm model waited for the whole queue of another"


def test_unloading_and_loading_under_load(start, tmp_path):
    """Every request is answered: by the model, or with 'not there' if it came while there was none."""
    write_scale(tmp_path / "scale/1/model.onnx", 2.0)
    s = start(tmp_path, "--model-control", "explicit", "--load-model", "scale")
    stop, wrong, counts = threading.Event(), [], {"good": 0, "none": 0}
    lock = threading.Lock()

    def traffic():
        x = client.InferInput("x", [4], "FP32")
        x.set_data_from_numpy(np.arange(4, dtype=np.float32))
        try:
            with client.InferenceServerClient(s.http) as c:
                while not stop.is_set():
                    try:
                        what = "good" if (c.infer("scale", [x]).as_numpy("y") == np.arange(4) * 2).all() else "wrong"
                    except InferenceServerException as e:
                        what = "none" if "has no available versions" in str(e) else str(e)
                    with lock:
                        if what in counts:
                            counts[what] += 1
                        else:
                            wrong.append(what)
        except Exception as e:
            wrong.append(e)

    threads = [threading.Thread(target=traffic) for _ in range(6)]
    for t in threads:
        t.start()
    with client.InferenceServerClient(s.http) as c:
        for _ in range(20):
            c.unload_model("scale")
            c.load_model("scale")
            before = counts["good"]
            s.wait(lambda: counts["good"] > before + 5 or wrong, "no answers after a load")
    stop.set()
    for t in threads:
        t.join()
    assert wrong == [] and counts["good"] > 100
