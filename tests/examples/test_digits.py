# SPDX-License-Identifier: Apache-2.0
"""examples/digits: the network ported by the layer API knows as many digits as numpy says it does."""
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CARNOT_BUILD", ROOT / "build"))
DIGITS = ROOT / "examples" / "digits"
sys.path.insert(0, str(DIGITS))


@pytest.fixture(scope="module")
def split():
    return np.load(DIGITS / "split.npz")


@pytest.fixture(scope="module")
def expected(split):
    """The line that both programs end with."""
    right, count = int(split["right"]), len(split["labels"])
    assert right >= 0.97 * count
    return f"{right} of {count} right ({100 * right / count:.2f} %)"


def test_probabilities_are_those_of_numpy(split):
    import carnot
    import digits
    import train
    weights = dict(np.load(DIGITS / "weights.npz"))
    pictures = split["pictures"].astype(np.float32) / 16
    want, _ = train.forward(pictures.astype(np.float64), weights)
    assert int((want.argmax(1) == split["labels"]).sum()) == int(split["right"])
    engine = carnot.build(digits.describe(weights))
    for count in (1, 7, len(pictures)):
        got = engine.run({"pictures": pictures[:count]})["probabilities"]
        assert np.abs(got - want[:count]).max() < 2e-5


def test_nothing_of_the_test_was_trained_on(split):
    assert len(split["test"]) == len(split["labels"]) == 360
    assert sorted(np.concatenate([split["train"], split["test"]])) == list(range(1797))


@pytest.mark.parametrize("program", ["cpp", "python"])
def test_accuracy(program, expected):
    command = [BUILD / "digits", DIGITS] if program == "cpp" else [sys.executable, DIGITS / "digits.py"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith(expected)


@pytest.mark.parametrize("damage", [lambda data: data[:-40], lambda data: b"", lambda data: b"x" * len(data)])
def test_damaged_weights_are_refused(damage, tmp_path):
    (tmp_path / "weights.npz").write_bytes(damage((DIGITS / "weights.npz").read_bytes()))
    done = subprocess.run([BUILD / "digits", tmp_path], capture_output=True, text=True)
    assert done.returncode == 1 and "weights.npz: it is no ZIP file" in done.stderr


def test_compressed_weights_are_refused(tmp_path):
    np.savez_compressed(tmp_path / "weights.npz", **np.load(DIGITS / "weights.npz"))
    done = subprocess.run([BUILD / "digits", tmp_path], capture_output=True, text=True)
    assert done.returncode == 1 and "weights.npz: it is compressed" in done.stderr
