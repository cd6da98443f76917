# SPDX-License-Identifier: Apache-2.0
"""Ranges of inputs in Python and on the command line: kept, shown, and kept to."""
import json
import pathlib
import subprocess

import numpy as np
import pytest

import carnot

CARNOT = pathlib.Path(carnot.__file__).resolve().parents[2] / "carnot"
RANGE = ((1, 3, 16, 32), (2, 3, 64, 64), (4, 3, 96, 128))
TEXT = """graph main(%x: f32[batch,3,h,w]) {
  %a = softmax(axis=1) %x : f32[batch,3,h,w]
  %b = max_pool(kernel_shape=[3,3], pads=[1,1,1,1]) %a : f32[batch,3,h,w]
  return %b
}
"""


def network():
    net = carnot.Network()
    x = net.input("x", "f32", ["batch", 3, "h", "w"])
    rng = np.random.default_rng(1)
    x = net.relu(net.conv(x, rng.standard_normal((16, 3, 3, 3), np.float32), pads=[1, 1, 1, 1], strides=[2, 2]))
    net.output(net.conv(x, rng.standard_normal((4, 16, 3, 3), np.float32)), "y")
    return net


def command(*arguments):
    return subprocess.run([str(CARNOT), *map(str, arguments)], capture_output=True, text=True, timeout=300)


def test_an_engine_tells_its_ranges():
    engine = carnot.build(network(), shapes={"x": RANGE})
    x = engine.inputs[0]
    assert (x.min, x.opt, x.max) == RANGE and x.shape == ("batch", 3, "h", "w")
    assert engine.outputs[0].max is None
    assert carnot.build(network()).inputs[0].max is None
    fixed = carnot.build(network(), shapes={"x": (1, 3, 32, 32)}).inputs[0]
    assert fixed.shape == (1, 3, 32, 32) and fixed.max is None
    batched = carnot.build(network(), shapes={"x": ((1, 3, 32, 32), (8, 3, 32, 32), (8, 3, 32, 32))}).inputs[0]
    assert batched.shape == ("batch", 3, 32, 32) and batched.max == (8, 3, 32, 32)


def test_ranges_are_saved(tmp_path):
    carnot.build(network(), shapes={"x": RANGE}).save(tmp_path / "a.engine")
    assert carnot.load(tmp_path / "a.engine").inputs[0].opt == RANGE[1]


def test_memory_is_taken_once():
    ranged, free = carnot.build(network(), shapes={"x": RANGE}), carnot.build(network())
    session, growing = ranged.session(threads=2), free.session(threads=2)
    reserved = session.memory
    assert reserved >= 4 * 16 * 48 * 64 * 4 and growing.memory == 0
    rng = np.random.default_rng(2)
    for dims in [(1, 3, 16, 32), (4, 3, 96, 128), (3, 3, 17, 127), (1, 3, 95, 33), (4, 3, 16, 128), (2, 3, 64, 64)]:
        x = rng.standard_normal(dims).astype(np.float32)
        assert np.array_equal(session.run({"x": x})["y"], growing.run({"x": x})["y"])
        assert session.memory == reserved
    with pytest.raises(carnot.Error, match="the limit is 1000"):
        ranged.session(memory_limit=1000)


def test_outside_is_an_error_that_says_what_to_do():
    session = carnot.build(network(), shapes={"x": RANGE}).session(threads=1)
    with pytest.raises(carnot.Error, match=r"input 'x' is 97 in dimension 2 \('h'\), the engine was built for 16 to 96; build it again with a wider "
                                           r"range, --shape x:1x3x16x32\.\.2x3x64x64\.\.4x3x97x128"):
        session.run({"x": np.zeros((1, 3, 97, 64), np.float32)})
    assert session.run({"x": np.zeros((1, 3, 96, 64), np.float32)})["y"].shape == (1, 4, 46, 30)


def test_command_line(tmp_path):
    model, engine = tmp_path / "m.ir", tmp_path / "m.engine"
    model.write_text(TEXT)
    text = "..".join("x".join(map(str, dims)) for dims in RANGE)
    done = command("build", model, "-o", engine, "--shape", f"x:{text}")
    assert done.returncode == 0, done.stderr
    first = engine.read_bytes()
    assert command("build", model, "-o", engine, "--shape", f"x:{text}").returncode == 0 and engine.read_bytes() == first
    assert text in command("inspect", engine).stdout
    described = json.loads(command("inspect", engine, "--json").stdout)["inputs"][0]
    assert [described[key] for key in ("min", "opt", "max")] == [list(dims) for dims in RANGE] and described["range"] == text

    np.save(tmp_path / "big.npy", np.zeros((5, 3, 32, 32), np.float32))
    done = command("run", engine, "--input", f"x={tmp_path / 'big.npy'}")
    assert done.returncode == 1 and "input 'x' is 5 in dimension 0 ('batch'), the engine was built for 1 to 4" in done.stderr
    # Timed at the sizes that it was built for, where nothing else is said.
    timed = json.loads(command("bench", engine, "--json", "--seconds", "0.1").stdout)
    assert timed["working_memory_mb"] > 4 * 3 * 96 * 128 * 4 / 1e6
    done = command("bench", engine, "--shape", "x:1x3x8x32", "--seconds", "0.1")
    assert done.returncode == 1 and "dimension 2 ('h')" in done.stderr


def test_mistakes_are_named(tmp_path):
    model = tmp_path / "m.ir"
    model.write_text(TEXT)
    for shape, says in [("x:4x3x32x32..1x3x32x32", "dimension 0 needs 0 <= min <= opt <= max, got 4..1..1"),
                        ("x:1x3x32..1x3x32..1x3x64", "the range has rank 3"), ("z:1x3x32x32", "the model's inputs are 'x'")]:
        done = command("build", model, "-o", tmp_path / "m.engine", "--shape", shape)
        assert done.returncode == 1 and says in done.stderr, done.stderr
        assert not (tmp_path / "m.engine").exists()
