# SPDX-License-Identifier: Apache-2.0
"""Engines of every earlier format version load and compute what an engine built now computes."""
import pathlib

import numpy as np
import onnx
import pytest

import carnot
from kept_model import model

HERE = pathlib.Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def now(tmp_path_factory):
    path = tmp_path_factory.mktemp("kept") / "model.onnx"
    onnx.save(model(), path)
    return carnot.build(path)


@pytest.mark.parametrize("path", sorted(HERE.glob("format*.engine")), ids=lambda path: path.stem)
def test_an_old_engine_still_runs(path, now):
    old = carnot.load(path)
    assert [(t.name, t.dtype, t.shape) for t in old.inputs] == [(t.name, t.dtype, t.shape) for t in now.inputs]
    session = old.session(threads=2)
    for batch, width in ((1, 16), (3, 40)):
        for normalize in (True, False):
            feed = {"x": np.random.default_rng(width).standard_normal((batch, 3, 16, width)).astype(np.float32),
                    "normalize": np.array(normalize)}
            np.testing.assert_allclose(session.run(feed)["y"], now.run(feed)["y"], rtol=1e-5, atol=1e-6)


def test_the_format_written_now_is_kept(now, tmp_path):
    now.save(tmp_path / "now.engine")
    version = lambda path: int.from_bytes(path.read_bytes()[8:12], "little")
    kept = {version(path) for path in HERE.glob("format*.engine")}
    assert version(tmp_path / "now.engine") in kept, "keep an engine of the new format: see tests/engines/kept_model.py"
