# SPDX-License-Identifier: Apache-2.0
"""Sequences: requests of one sequence run in order and carry the model's state; clients see neither state nor controls."""
import queue
import socket
import threading
import time

import numpy as np
import pytest
import tritonclient.grpc as grpc_client
import tritonclient.http as client
from onnx import TensorProto as T
from onnx import helper
from tritonclient.utils import InferenceServerException

from conftest import Server, write_model

CONTROLS = """control_input [
  { name: "START" control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } ] },
  { name: "END" control [ { kind: CONTROL_SEQUENCE_END fp32_false_true: [ -1, 1 ] } ] },
  { name: "READY" control [ { kind: CONTROL_SEQUENCE_READY bool_false_true: [ false, true ] } ] },
  { name: "ID" control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_INT64 } ] } ]"""
STATE = 'state [ { input_name: "sum_in" output_name: "sum_out" data_type: TYPE_INT32 dims: [ 1 ] %s } ]'
INITIAL = 'initial_state { name: "from" data_type: TYPE_INT32 dims: [ 1 ] data_file: "seed" }'


def write_accumulator(folder, sequence, batch=4, more=""):
    """y = the sum of all x of the sequence; `told` is what the controls said."""
    nodes = [helper.make_node("Add", ["sum_in", "x"], ["sum_out"]), helper.make_node("Identity", ["sum_out"], ["y"]),
             helper.make_node("Cast", ["START"], ["s"], to=T.INT64), helper.make_node("Cast", ["END"], ["e"], to=T.INT64),
             helper.make_node("Cast", ["READY"], ["r"], to=T.INT64), helper.make_node("Concat", ["s", "e", "r", "ID"], ["told"], axis=1)]
    write_model(folder / "1/model.onnx", nodes,
                [("x", T.INT32, ["n", 1]), ("sum_in", T.INT32, ["n", 1]), ("START", T.INT32, ["n", 1]), ("END", T.FLOAT, ["n", 1]), ("READY", T.BOOL, ["n", 1]), ("ID", T.INT64, ["n", 1])],
                [("y", T.INT32, ["n", 1]), ("sum_out", T.INT32, ["n", 1]), ("told", T.INT64, ["n", 4])])
    (folder / "config.pbtxt").write_text(f"max_batch_size: {batch} {more} sequence_batching {{ {sequence} }}")


def write_history(folder):
    """A state that grows: y = all x so far, in one row. No batch dim, no controls, ids of any kind."""
    write_model(folder / "1/model.onnx", [helper.make_node("Concat", ["past", "x"], ["now"], axis=0), helper.make_node("Identity", ["now"], ["y"])],
                [("past", T.FLOAT, ["p"]), ("x", T.FLOAT, [1])], [("now", T.FLOAT, ["q"]), ("y", T.FLOAT, ["q"])])
    (folder / "config.pbtxt").write_text("""max_batch_size: 0 sequence_batching { oldest { max_candidate_sequences: 2 } max_sequence_idle_microseconds: 1500000
        state [ { input_name: "past" output_name: "now" data_type: TYPE_FP32 dims: [ -1 ] initial_state { data_type: TYPE_FP32 dims: [ 0 ] zero_data: true } } ] }""")


@pytest.fixture(scope="module")
def server(tmp_path_factory, cache):
    folder = tmp_path_factory.mktemp("sequences")
    write_accumulator(folder / "direct", "direct { } max_sequence_idle_microseconds: 5000000 " + CONTROLS + STATE % "",
                      more='model_warmup { name: "w" batch_size: 1 inputs { key: "x" value { data_type: TYPE_INT32 dims: [ 1 ] zero_data: true } } }')
    write_accumulator(folder / "oldest", "oldest { max_candidate_sequences: 64 max_queue_delay_microseconds: 1000 } " + CONTROLS + STATE % INITIAL, 16)
    (folder / "oldest/initial_state").mkdir()
    (folder / "oldest/initial_state/seed").write_bytes(np.array([1000], np.int32).tobytes())
    write_history(folder / "history")
    s = Server(folder, cache=cache)
    yield s
    assert s.stop() == 0


@pytest.fixture
def c(server):
    with client.InferenceServerClient(server.http, concurrency=16) as connection:
        yield connection


def add(c, model, value, id, start=False, end=False, module=client, **more):
    x = module.InferInput("x", [1, 1], "INT32")
    x.set_data_from_numpy(np.array([[value]], np.int32))
    result = c.infer(model, [x], sequence_id=id, sequence_start=start, sequence_end=end, **more)
    return int(result.as_numpy("y")[0, 0]), result.as_numpy("told")[0].tolist()


def test_a_sum_and_its_controls(server, c):
    assert [i["name"] for i in c.get_model_metadata("direct")["inputs"]] == ["x"], "controls and states are not the client's"
    assert [o["name"] for o in c.get_model_metadata("direct")["outputs"]] == ["y", "told"]
    assert c.get_model_config("oldest")["sequence_batching"]["oldest"]["max_candidate_sequences"] == 64
    for module, connection in ((client, c), (grpc_client, grpc_client.InferenceServerClient(server.grpc))):
        for model, seed in (("direct", 0), ("oldest", 1000)):
            say = lambda value, **flags: add(connection, model, value, 77, module=module, **flags)
            assert say(5, start=True) == (seed + 5, [1, -1, 1, 77])
            assert say(7) == (seed + 12, [0, -1, 1, 77])
            assert say(-2, end=True) == (seed + 10, [0, 1, 1, 77])
            with pytest.raises(InferenceServerException, match=f"inference request for sequence 77 to model '{model}' must specify the START flag on the first request"):
                say(1)
            assert say(3, start=True, end=True) == (seed + 3, [1, 1, 1, 77])


def test_a_new_start_begins_anew_and_failures_change_nothing(c):
    assert add(c, "direct", 1, 5, start=True)[0] == 1
    assert add(c, "direct", 1, 5)[0] == 2
    with pytest.raises(InferenceServerException, match="unexpected shape"):
        x = client.InferInput("x", [1, 2], "INT32")
        x.set_data_from_numpy(np.zeros([1, 2], np.int32))
        c.infer("direct", [x], sequence_id=5)
    assert add(c, "direct", 1, 5)[0] == 3
    assert add(c, "direct", 10, 5, start=True)[0] == 10
    assert add(c, "direct", 0, 5, end=True)[0] == 10
    for flags, message in [(dict(id=0), "model 'direct' must specify a non-zero or non-empty correlation ID"),
                           (dict(id="text", start=True), "the sequence_id 'text' must be a number: model 'direct' takes it as INT64")]:
        with pytest.raises(InferenceServerException, match=message):
            add(c, "direct", 1, **flags)
    x = client.InferInput("x", [2, 1], "INT32")
    x.set_data_from_numpy(np.zeros([2, 1], np.int32))
    with pytest.raises(InferenceServerException, match="must specify batch-size 1 due to requirements of sequence batcher"):
        c.infer("direct", [x], sequence_id=5, sequence_start=True)


def test_many_sequences_at_once(server, c):
    """More than there are slots, each in order; those of one moment run together."""
    wrong = []

    def one(id):
        try:
            with client.InferenceServerClient(server.http) as mine:
                for model, seed in (("oldest", 1000), ("direct", 0)):
                    total = 0
                    for i in range(30):
                        total += i * id
                        got = add(mine, model, i * id, id, start=i == 0, end=i == 29)
                        if got != (seed + total, [i == 0, 1 if i == 29 else -1, 1, id]):
                            wrong.append((model, id, i, got))
        except Exception as e:
            wrong.append(e)

    before = c.get_inference_statistics("oldest")["model_stats"][0]
    threads = [threading.Thread(target=one, args=(id,)) for id in range(100, 124)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []
    after = c.get_inference_statistics("oldest")["model_stats"][0]
    assert after["inference_count"] - before["inference_count"] == 24 * 30
    assert after["execution_count"] - before["execution_count"] < 24 * 30, "nothing was joined"


def test_a_stream_of_requests_stays_in_order(server):
    """All sent before the first answer: the next waits for the state that the one before it leaves."""
    answers = queue.Queue()
    with grpc_client.InferenceServerClient(server.grpc) as g:
        g.start_stream(lambda result, error: answers.put((result, error)))
        for i in range(200):
            x = grpc_client.InferInput("x", [1, 1], "INT32")
            x.set_data_from_numpy(np.array([[i]], np.int32))
            g.async_stream_infer("direct", [x], sequence_id=9 + i % 2, sequence_start=i < 2, sequence_end=i >= 198, request_id=str(i))
        got = {}
        for _ in range(200):
            result, error = answers.get(timeout=20)
            assert error is None
            got[int(result.get_response().id)] = int(result.as_numpy("y")[0, 0])
        g.stop_stream()
    assert got == {i: sum(range(i % 2, i + 1, 2)) for i in range(200)}


def history(c, value, id, **flags):
    x = client.InferInput("x", [1], "FP32")
    x.set_data_from_numpy(np.array([value], np.float32))
    return c.infer("history", [x], sequence_id=id, **flags).as_numpy("y").tolist()


def test_a_state_that_grows_and_ids_that_are_text(c):
    assert history(c, 1, "alpha", sequence_start=True) == [1]
    assert history(c, 2, "beta", sequence_start=True) == [2]
    assert history(c, 3, "alpha") == [1, 3]
    assert history(c, 4, "beta", sequence_end=True) == [2, 4]
    assert history(c, 5, "alpha", sequence_end=True) == [1, 3, 5]


def test_the_idle_make_room(c):
    """Two sequences at a time: a third waits until one ends, or has been idle for too long."""
    assert history(c, 1, 1, sequence_start=True) == [1] and history(c, 2, 2, sequence_start=True) == [2]
    begin = time.monotonic()
    assert history(c, 3, 3, sequence_start=True, sequence_end=True) == [3]
    assert time.monotonic() - begin > 0.3, "somebody's place was taken too soon"
    time.sleep(2)
    for id in (1, 2):
        with pytest.raises(InferenceServerException, match="must specify the START flag"):
            history(c, 4, id)


def test_a_server_that_leaves_does_not_wait_for_places(start, tmp_path):
    """The place's holder never ends its sequence: who waits for the place is refused when the time to drain is over."""
    write_accumulator(tmp_path / "one", "direct { } max_sequence_idle_microseconds: 3600000000 " + CONTROLS + STATE % "", 1)
    s = start(tmp_path, "--drain-timeout", "1")
    answers = []

    def wait():
        with client.InferenceServerClient(s.http) as mine:
            try:
                answers.append(add(mine, "one", 1, 2, start=True))
            except InferenceServerException as e:
                answers.append(str(e))

    with client.InferenceServerClient(s.http) as c:
        add(c, "one", 1, 1, start=True)
        thread = threading.Thread(target=wait)
        thread.start()
        s.wait(lambda: b'nv_inference_pending_request_count{model="one",version="1"} 1' in s.request("GET", "/metrics", sock=socket.create_connection(("127.0.0.1", s.ports["metrics"])))[2], "nobody waits")
    assert s.stop(seconds=15) != 0, "a request was left"
    thread.join()
    assert "cancelled" in answers[0]


BAD = {
    "no_input": (CONTROLS.replace('"START"', '"BEGIN"'), "control_input: the engine has no input 'BEGIN'"),
    "wrong_type": (CONTROLS.replace("int32_false_true: [ 0, 1 ]", "fp32_false_true: [ 0, 1 ]"), "control_input 'START': the configuration says FP32, the engine's input is INT32"),
    "one_value": (CONTROLS.replace("[ 0, 1 ]", "[ 0 ]"), "control_input 'START': two values are needed"),
    "no_value": (CONTROLS.replace("int32_false_true: [ 0, 1 ]", ""), "control_input 'START': write one of int32_false_true"),
    "id_type": (CONTROLS.replace("TYPE_INT64", "TYPE_STRING"), "control_input 'ID': data_type of CONTROL_SEQUENCE_CORRID must be"),
    "state_input": (CONTROLS + (STATE % "").replace("sum_in", "total"), "state input_name: the engine has no input 'total'"),
    "state_output": (CONTROLS + (STATE % "").replace("sum_out", "total"), "state 'sum_in': output_name: the engine has no output 'total'"),
    "state_type": (CONTROLS + (STATE % "").replace("INT32", "FP32"), "state 'sum_in': data_type is TYPE_FP32, the engine's input is INT32"),
    "state_dims": (CONTROLS + (STATE % "").replace("[ 1 ]", "[ 2 ]"), r"state 'sum_in': dims are \[2\], the engine's input has \[1\]"),
    "state_file": (CONTROLS + STATE % INITIAL, "state 'sum_in': initial_state data_file 'seed' is not there"),
    "outside": (CONTROLS + STATE % INITIAL.replace("seed", "../x"), "is no plain file name"),
    "cached": (CONTROLS + STATE % "" + "} response_cache { enable: true", "response_cache: the answers of a model with sequence_batching"),
}


def test_mistakes_are_refused_with_their_field(start, tmp_path):
    for name, (sequence, _) in BAD.items():
        write_accumulator(tmp_path / name, sequence)
    s = start(tmp_path, "--model-control", "explicit")
    with client.InferenceServerClient(s.http) as c:
        for name, (_, message) in BAD.items():
            with pytest.raises(InferenceServerException, match=message):
                c.load_model(name)


def test_a_load_test_sends_sequences(server):
    import subprocess

    from conftest import CARNOT
    for address in (server.http, "grpc://" + server.grpc):
        out = subprocess.run([CARNOT, "load", address, "-m", "oldest", "--sequence-length", "5", "--request-count", "60", "--concurrency", "3"],
                             capture_output=True, text=True, timeout=60)
        assert out.returncode == 0 and "Request count: 60\n" in out.stdout, out.stdout + out.stderr
