# SPDX-License-Identifier: Apache-2.0
"""The same models inside real Triton (CARNOT_TRITON) and under `carnot serve`: the same bytes, configuration and counts."""
import concurrent.futures
import importlib.util
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import real_triton

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "scripts"))
import models  # noqa: E402

pytestmark = pytest.mark.skipif(not real_triton.PROGRAM, reason="CARNOT_TRITON does not name a tritonserver")

# Two shapes each, where the model leaves them open.
MODELS = {
    "ppocr_det": [(1, 3, 96, 128), (1, 3, 64, 64)],
    "ppocr_cls": [(1, 3, 48, 192), (3, 3, 48, 192)],
    "ppocr_rec": [(1, 3, 48, 160), (2, 3, 48, 96)],
    "resnet50": [(1, 3, 224, 224), (2, 3, 224, 224)],
}


def source(name):
    if name != "resnet50":
        return models.real(name)[0]
    try:
        return models.graphs("resnet50.ts")[0]
    except models.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """Engines, but for one ONNX file that both servers build themselves."""
    folder = tmp_path_factory.mktemp("repository")
    carnot = real_triton.BUILD / "carnot"
    for name in MODELS:
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "config.pbtxt").write_text('backend: "carnot"')
        if name == "ppocr_cls":
            (folder / name / "1/model.onnx").symlink_to(source(name))
        else:
            subprocess.run([carnot, "build", source(name), "-o", folder / name / "1/model.engine"], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def servers(repository, tmp_path_factory):
    spec = importlib.util.spec_from_file_location("serve_support", ROOT / "tests/serve/conftest.py")
    support = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(support)
    cache = tmp_path_factory.mktemp("engines")
    ours = support.Server(repository, cache=cache)
    triton = real_triton.Triton(repository, cache=cache)
    yield triton, ours
    triton.stop()
    ours.stop()


def client(server, kind):
    import tritonclient.grpc
    import tritonclient.http
    return tritonclient.http.InferenceServerClient(server.http, concurrency=8) if kind == "http" else tritonclient.grpc.InferenceServerClient(server.grpc)


def infer(server, kind, name, array):  # {output: array}
    import tritonclient.grpc
    import tritonclient.http
    module = tritonclient.http if kind == "http" else tritonclient.grpc
    c = client(server, kind)
    metadata = c.get_model_metadata(name) if kind == "http" else c.get_model_metadata(name, as_json=True)
    given = module.InferInput(metadata["inputs"][0]["name"], array.shape, "FP32")
    given.set_data_from_numpy(array)
    result = c.infer(name, [given])
    return {o["name"]: result.as_numpy(o["name"]) for o in metadata["outputs"]}


@pytest.mark.parametrize("kind", ["http", "grpc"])
@pytest.mark.parametrize("name", MODELS)
def test_same_bytes(servers, name, kind):
    triton, ours = servers
    for i, shape in enumerate(MODELS[name]):
        array = np.random.default_rng(i).random(shape, dtype=np.float32)
        theirs, here = infer(triton, kind, name, array), infer(ours, kind, name, array)
        assert theirs.keys() == here.keys() and theirs
        for key, value in theirs.items():
            assert value.dtype == here[key].dtype and value.shape == here[key].shape
            assert value.tobytes() == here[key].tobytes(), key


def test_requests_are_gathered_into_runs(servers):
    """Eight clients at once: fewer runs than requests, and every client has its own rows."""
    triton, _ = servers
    arrays = [np.random.default_rng(i).random((1, 3, 48, 192), dtype=np.float32) for i in range(8)]
    alone = [infer(triton, "http", "ppocr_cls", a) for a in arrays]
    statistics = lambda: client(triton, "http").get_inference_statistics("ppocr_cls")["model_stats"][0]
    before = statistics()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda a: infer(triton, "http", "ppocr_cls", a), arrays * 8))
    after = statistics()
    for i, result in enumerate(together):
        for key, value in result.items():
            np.testing.assert_allclose(value, alone[i % 8][key], rtol=1e-4, atol=1e-5)
    assert after["inference_count"] - before["inference_count"] == 64
    assert after["execution_count"] - before["execution_count"] < 64
    assert any(b["batch_size"] > 1 for b in after["batch_stats"])


def test_configuration_is_completed_alike(servers):
    triton, ours = servers
    for name in MODELS:
        theirs, here = (client(s, "http").get_model_config(name) for s in servers)
        shapes = lambda config, key: [(t["name"], t["data_type"], t["dims"]) for t in config[key]]
        assert shapes(theirs, "input") == shapes(here, "input") and shapes(theirs, "output") == shapes(here, "output")
        assert bool(theirs["max_batch_size"]) == bool(here["max_batch_size"])
