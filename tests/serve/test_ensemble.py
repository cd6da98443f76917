# SPDX-License-Identifier: Apache-2.0
"""Ensembles answer what their models answer by hand, one after the other; mistakes in them are refused with their place."""
import threading

import numpy as np
import pytest
import tritonclient.grpc as grpc_client
import tritonclient.http as client
import tritonclient.utils.shared_memory as shm
from onnx import TensorProto as T
from onnx import helper
from tritonclient.utils import InferenceServerException

from conftest import write_model, write_scale


def tensor(name, type_, dims):
    return f'{{ name: "{name}" data_type: {type_} dims: {dims} }}'


def step(model, inputs, outputs, version=-1):
    pairs = lambda which, m: " ".join(f'{which} {{ key: "{k}" value: "{v}" }}' for k, v in m.items())
    return f'{{ model_name: "{model}" model_version: {version} {pairs("input_map", inputs)} {pairs("output_map", outputs)} }}'


def write_ensemble(folder, inputs, outputs, steps, more="max_batch_size: 8"):
    (folder / "1").mkdir(parents=True, exist_ok=True)
    (folder / "config.pbtxt").write_text(f'platform: "ensemble" {more} input [ {", ".join(inputs)} ] output [ {", ".join(outputs)} ] '
                                         f'ensemble_scheduling {{ step [ {", ".join(steps)} ] }}')


def make_models(folder):
    """a: x -> (p, q); b: p -> r; c: (r, q) -> y: a diamond, and pieces to build wrong ones of."""
    write_model(folder / "a/1/model.onnx", [helper.make_node("Exp", ["x"], ["p"]), helper.make_node("Neg", ["x"], ["q"])],
                [("x", T.FLOAT, ["n", 5])], [("p", T.FLOAT, ["n", 5]), ("q", T.FLOAT, ["n", 5])])
    write_model(folder / "b/1/model.onnx", [helper.make_node("ReduceSum", ["p", "axes"], ["r"], keepdims=1)],
                [("p", T.FLOAT, ["n", "width"])], [("r", T.FLOAT, ["n", 1])], [helper.make_tensor("axes", T.INT64, [1], [1])])
    write_model(folder / "c/1/model.onnx", [helper.make_node("Mul", ["r", "q"], ["y"])],
                [("r", T.FLOAT, ["n", 1]), ("q", T.FLOAT, ["n", 5])], [("y", T.FLOAT, ["n", 5])])


X, P, Y = tensor("X", "TYPE_FP32", [5]), tensor("mid", "TYPE_FP32", [5]), tensor("Y", "TYPE_FP32", [5])
STEP_A = step("a", {"x": "X"}, {"p": "mid", "q": "side"})
STEP_B = step("b", {"p": "mid"}, {"r": "sum"})
STEP_C = step("c", {"r": "sum", "q": "side"}, {"y": "Y"})


def infer(c, model, outputs=None, module=client, **inputs):
    tensors = []
    for name, array in inputs.items():
        tensors.append(module.InferInput(name, list(array.shape), "FP32"))
        tensors[-1].set_data_from_numpy(array)
    return c.infer(model, tensors, outputs=outputs)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory, cache):
    from conftest import Server
    folder = tmp_path_factory.mktemp("ensembles")
    make_models(folder)
    # In an order that is not theirs; the intermediate tensor is an output, too.
    write_ensemble(folder / "0whole", [X], [Y, P], [STEP_C, STEP_A, STEP_B])
    write_ensemble(folder / "twice", [X], [tensor("Z", "TYPE_FP32", [5])], [step("0whole", {"X": "X"}, {"Y": "first"}), step("0whole", {"X": "first"}, {"Y": "Z"}, 1)])
    s = Server(folder, "--allow-client-shm", "true", "--model-control", "explicit", "--load-model", "0whole", "--load-model", "twice", cache=cache)
    with client.InferenceServerClient(s.http, concurrency=8) as c:
        yield s, c, folder
    s.stop()


def by_hand(c, x):
    first = infer(c, "a", x=x)
    total = infer(c, "b", p=first.as_numpy("p")).as_numpy("r")
    return infer(c, "c", r=total, q=first.as_numpy("q")).as_numpy("y"), first.as_numpy("p")


def test_an_ensemble_is_its_models_one_after_the_other(pipeline):
    s, c, _ = pipeline
    assert [e["name"] for e in c.get_model_repository_index() if e.get("state") == "READY"] == ["0whole", "a", "b", "c", "twice"], "members come along"
    before = {e["name"]: e for e in c.get_inference_statistics()["model_stats"]}
    rng = np.random.default_rng(1)
    for batch in (1, 3, 8):
        x = rng.standard_normal([batch, 5]).astype(np.float32)
        y, p = by_hand(c, x)
        whole = infer(c, "0whole", X=x)
        np.testing.assert_array_equal(whole.as_numpy("Y"), y)
        np.testing.assert_array_equal(whole.as_numpy("mid"), p)
        only = infer(c, "0whole", outputs=[client.InferRequestedOutput("mid", binary_data=False)], X=x)
        np.testing.assert_array_equal(only.as_numpy("mid"), p)
        assert only.as_numpy("Y") is None
    np.testing.assert_array_equal(infer(c, "twice", X=x).as_numpy("Z"), by_hand(c, y)[0])
    with grpc_client.InferenceServerClient(s.grpc) as g:
        np.testing.assert_array_equal(infer(g, "0whole", module=grpc_client, X=x).as_numpy("Y"), y)
    after = {e["name"]: e for e in c.get_inference_statistics()["model_stats"]}
    count = lambda m, which: after[m][which] - before[m][which]
    assert count("0whole", "execution_count") == 3 + 3 + 2 + 1 and count("twice", "execution_count") == 1
    assert count("b", "inference_count") == 12 + 12 + 12 + 8 * 2 + 8 + 8
    stats = after["0whole"]["inference_stats"]
    assert stats["success"]["count"] == 9 and stats["success"]["ns"] >= stats["compute_infer"]["ns"] > 0
    metadata, config = c.get_model_metadata("0whole"), c.get_model_config("0whole")
    assert metadata["platform"] == "ensemble" and metadata["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1, 5]}]
    assert config["ensemble_scheduling"]["step"][0]["model_version"] == -1


def test_shared_memory_through_an_ensemble(pipeline):
    _, c, _ = pipeline
    x = np.arange(10, dtype=np.float32).reshape(2, 5) / 10
    region = shm.create_shared_memory_region("e", "/carnot_test_ensemble", 80)
    try:
        shm.set_shared_memory_region(region, [x])
        c.register_system_shared_memory("e", "/carnot_test_ensemble", 80)
        source, target = client.InferInput("X", [2, 5], "FP32"), client.InferRequestedOutput("Y")
        source.set_shared_memory("e", 40)
        target.set_shared_memory("e", 40, offset=40)
        c.infer("0whole", [source], outputs=[target])
        np.testing.assert_array_equal(shm.get_contents_as_numpy(region, np.float32, [2, 5], offset=40), by_hand(c, x)[0])
    finally:
        c.unregister_system_shared_memory()
        shm.destroy_shared_memory_region(region)


def test_many_at_once_and_members_replaced(pipeline):
    s, c, folder = pipeline
    x = np.random.default_rng(2).standard_normal([64, 1, 5]).astype(np.float32)
    expected = [by_hand(c, row)[0] for row in x]
    wrong, stop = [], threading.Event()

    def work(first):
        try:
            with client.InferenceServerClient(s.http) as mine:
                i = first
                while not stop.is_set():
                    if not np.allclose(infer(mine, "0whole", X=x[i % 64]).as_numpy("Y"), expected[i % 64], rtol=1e-5):
                        wrong.append(i)
                    i += 1
        except Exception as e:
            wrong.append(e)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(0, 64, 8)]
    for t in threads:
        t.start()
    for i in range(6):
        c.load_model("abc"[i % 3])
    stop.set()
    for t in threads:
        t.join()
    assert wrong == []


def test_members_that_are_gone(pipeline):
    _, c, _ = pipeline
    x = np.zeros([1, 5], np.float32)
    with pytest.raises(InferenceServerException, match=r"unexpected shape for input 'X' for model '0whole'. Expected \[-1,5\], got \[1,4\]"):
        infer(c, "0whole", X=x[:, :4])
    with pytest.raises(InferenceServerException, match="batch-size must be <= 8 for '0whole'"):
        infer(c, "0whole", X=np.zeros([9, 5], np.float32))
    c.unload_model("b")
    with pytest.raises(InferenceServerException, match="in ensemble '0whole', Request for unknown model: 'b' has no available versions"):
        infer(c, "0whole", X=x)
    c.load_model("b")
    infer(c, "0whole", X=x)
    c.unload_model("twice", unload_dependents=True)
    assert [e for e in c.get_model_repository_index() if e.get("state") == "READY"] == []
    c.load_model("twice")
    infer(c, "twice", X=x)


BAD = {
    "no_step": (lambda f: write_ensemble(f, [X], [Y], []), "ensemble_scheduling has no step"),
    "no_input": (lambda f: write_ensemble(f, [], [Y], [STEP_A]), r"must name its inputs \(input\)"),
    "no_model": (lambda f: write_ensemble(f, [X], [Y], [step("zz", {"x": "X"}, {"y": "Y"})]), "step 0: model_name 'zz': failed to load 'zz'"),
    "no_version": (lambda f: write_ensemble(f, [X], [Y], [step("a", {"x": "X"}, {"p": "Y"}, 9)]), "step 0: model_name 'a', model_version 9: .*'a' version 9 is not found"),
    "bad_version": (lambda f: write_ensemble(f, [X], [Y], [step("a", {"x": "X"}, {"p": "Y"}, -3)]), r"step 0 \(model 'a'\): model_version -3 is neither -1"),
    "wrong_in": (lambda f: write_ensemble(f, [X], [Y], [step("a", {"xx": "X"}, {"p": "Y"})]), r"step 0 \(model 'a'\): input_map names 'xx', the model's inputs are 'x'"),
    "wrong_out": (lambda f: write_ensemble(f, [X], [Y], [step("a", {"x": "X"}, {"y": "Y"})]), r"step 0 \(model 'a'\): output_map names 'y', the model's outputs are 'p', 'q'"),
    "missing_in": (lambda f: write_ensemble(f, [X], [Y], [step("c", {"q": "X"}, {"y": "Y"})]), r"step 0 \(model 'c'\): input_map does not say where the model's input 'r' comes from"),
    "missing_tensor": (lambda f: write_ensemble(f, [X], [Y], [STEP_A, STEP_C]), "step 1 \\(model 'c'\\): input_map takes 'r' from the tensor 'sum', which is neither an input"),
    "missing_output": (lambda f: write_ensemble(f, [X], [Y], [STEP_A, STEP_B]), "output 'Y' of the ensemble is in no step's output_map"),
    "two_sources": (lambda f: write_ensemble(f, [X], [P], [STEP_A, step("a", {"x": "X"}, {"p": "mid"})]),
                    r"tensor 'mid' comes from ensemble_scheduling step 0 \(model 'a'\) and, by output_map, from ensemble_scheduling step 1"),
    "cycle": (lambda f: write_ensemble(f, [X], [Y], [step("c", {"r": "sum", "q": "X"}, {"y": "Y"}), step("b", {"p": "Y"}, {"r": "sum"})]),
              r"the steps 0 \('c'\), 1 \('b'\) wait for one another's tensors"),
    "itself": (lambda f: write_ensemble(f, [X], [Y], [step("itself", {"X": "X"}, {"Y": "Y"})]), "the ensemble is made of itself: 'itself' -> 'itself'"),
    "type": (lambda f: write_ensemble(f, [tensor("X", "TYPE_INT32", [5])], [P], [STEP_A]),
             r"tensor 'X': the ensemble's input has data type INT32, input 'x' of step 0 \(model 'a'\) has FP32"),
    "shape": (lambda f: write_ensemble(f, [tensor("X", "TYPE_FP32", [4])], [P], [STEP_A]), r"tensor 'X': the ensemble's input has shape \[-1,4\], .* has \[-1,5\]"),
    "inner_shape": (lambda f: write_ensemble(f, [X], [Y], [STEP_A, STEP_B, step("a", {"x": "sum"}, {"p": "Y"})]), r"tensor 'sum': output 'r' of step 1 .* has shape \[-1,1\], input 'x' of step 2"),
    "batch": (lambda f: write_ensemble(f, [X], [P], [STEP_A], "max_batch_size: 64"), r"step 0 \(model 'a'\): the ensemble's max_batch_size is 64, the model's only 32"),
    "instances": (lambda f: write_ensemble(f, [X], [P], [STEP_A], "instance_group { count: 2 }"), "instance_group: an ensemble has no instances"),
}


def test_mistakes_are_refused_with_their_place(start, tmp_path):
    make_models(tmp_path)
    for name, (write, _) in BAD.items():
        write(tmp_path / name)
    write_ensemble(tmp_path / "ring0", [X], [Y], [step("ring1", {"X": "X"}, {"Y": "Y"})])
    write_ensemble(tmp_path / "ring1", [X], [Y], [step("ring0", {"X": "X"}, {"Y": "Y"})])
    write_scale(tmp_path / "scale/1/model.onnx", 2.0)
    write_ensemble(tmp_path / "flat", [tensor("X", "TYPE_FP32", [4])], [tensor("Y", "TYPE_FP32", [4])], [step("scale", {"x": "X"}, {"y": "m"}), step("scale", {"x": "m"}, {"y": "Y"})], "")
    s = start(tmp_path, "--model-control", "explicit")
    with client.InferenceServerClient(s.http) as c:
        for name, (_, message) in BAD.items():
            with pytest.raises(InferenceServerException, match=f"load failed for model '{name}': .*" + message):
                c.load_model(name)
        with pytest.raises(InferenceServerException, match="made of itself: 'ring0' -> 'ring1' -> 'ring0'"):
            c.load_model("ring0")
        c.load_model("flat")
        np.testing.assert_array_equal(infer(c, "flat", X=np.arange(4, dtype=np.float32)).as_numpy("Y"), np.arange(4) * 4)


def test_a_load_test_shows_the_members(pipeline):
    import subprocess

    from conftest import CARNOT
    s, c, _ = pipeline
    c.load_model("0whole")
    out = subprocess.run([CARNOT, "load", s.http, "-m", "0whole", "--request-count", "12", "-b", "2"], capture_output=True, text=True, timeout=60, check=True).stdout
    assert "Composing models: \n      c, version 1: \n        Inference count: 24\n        Execution count: 12\n" in out, out
