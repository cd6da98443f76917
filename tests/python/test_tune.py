# SPDX-License-Identifier: Apache-2.0
"""build(effort=..., timing_cache=...) and carnot build --effort --timing-cache. What is fast is not looked at."""
import pathlib
import subprocess

import numpy as np
import pytest

import carnot

CARNOT = pathlib.Path(carnot.__file__).resolve().parents[2] / "carnot"


def network():
    net = carnot.Network()
    x = net.input("x", "f32", ["batch", 16, 14, 14])
    rng = np.random.default_rng(1)
    for layer in range(3):
        x = net.relu(net.conv(x, rng.standard_normal((128, 16 if layer == 0 else 128, 3, 3), np.float32), pads=[1, 1, 1, 1], name=f"conv{layer}"))
    net.output(x, "y")
    return net


def bytes_of(engine, path):
    engine.save(path)
    return path.read_bytes()


def test_tuned_engines_compute_the_same_and_say_what_was_done(tmp_path):
    plain, tuned = carnot.build(network()), carnot.build(network(), effort="tune", threads=1)
    assert plain.tuning is None
    # The second and third layer are one problem.
    assert (tuned.tuning.problems, tuned.tuning.timed, tuned.tuning.cached) == (2, 2, 0) and tuned.tuning.candidates > 4
    assert 0 < tuned.tuning.chosen_ms <= tuned.tuning.heuristic_ms and "2 problems" in str(tuned.tuning)
    notes = [command["note"] for command in tuned.describe()["plans"][0]["commands"] if command["kernel"] == "cpu.conv"]
    assert len(notes) == 3 and all("timed, " in note or "tuned: cpu.conv@" in note for note in notes)
    x = np.random.default_rng(2).standard_normal((2, 16, 14, 14), np.float32)
    want = plain.run({"x": x})["y"]
    np.testing.assert_allclose(tuned.run({"x": x})["y"], want, atol=1e-5 * np.ptp(want))


def test_a_full_cache_times_nothing_and_gives_the_same_bytes(tmp_path):
    cache = tmp_path / "times"
    first = carnot.build(network(), effort="tune", timing_cache=cache)
    kept = cache.read_text()
    assert kept.startswith("carnot timing cache 1\nmachine ")
    second = carnot.build(network(), effort="tune", timing_cache=str(cache))
    assert (second.tuning.timed, second.tuning.candidates, second.tuning.cached) == (0, 0, 2)
    assert bytes_of(first, tmp_path / "a") == bytes_of(second, tmp_path / "b") and cache.read_text() == kept
    replayed = carnot.build(network(), timing_cache=cache)
    assert (replayed.tuning.timed, replayed.tuning.cached) == (0, 2)
    assert replayed.describe()["plans"] == first.describe()["plans"]


def test_refusals(tmp_path):
    with pytest.raises(carnot.Error, match="write heuristic, tune or exhaustive"):
        carnot.build(network(), effort="best")
    notes = tmp_path / "notes.txt"
    notes.write_text("my notes\n")
    with pytest.raises(carnot.Error, match="notes.txt.*not a timing cache"):
        carnot.build(network(), effort="tune", timing_cache=notes)
    assert notes.read_text() == "my notes\n"


def test_an_exception_in_progress_stops_the_tuning_and_keeps_its_times(tmp_path):
    cache, calls = tmp_path / "times", []

    def progress(phase, done):
        calls.append(phase)
        if calls.count("tune") > 60:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carnot.build(network(), effort="exhaustive", timing_cache=cache, progress=progress)
    assert not list(tmp_path.glob("*.tmp*"))


@pytest.mark.skipif(not CARNOT.exists(), reason="the tool is not built")
def test_the_tool(tmp_path):
    model, cache = tmp_path / "net.ir", tmp_path / "times"
    model.write_text(network().text())

    def run(*arguments):
        return subprocess.run([str(CARNOT), *map(str, arguments)], capture_output=True, text=True, timeout=300)

    first = run("build", model, "-o", tmp_path / "a.engine", "--effort", "tune", "--timing-cache", cache, "--threads", 1)
    assert first.returncode == 0 and "tuned: 2 problems, 2 timed now" in first.stderr
    second = run("build", model, "-o", tmp_path / "b.engine", "--effort", "tune", "--timing-cache", cache, "--threads", 1)
    assert second.returncode == 0 and "2 problems, 0 timed now (0 candidates), 2 from the cache" in second.stderr
    assert (tmp_path / "a.engine").read_bytes() == (tmp_path / "b.engine").read_bytes()
    shown = run("inspect", tmp_path / "a.engine")
    assert "effort     tune" in shown.stdout and "tuned      " in shown.stdout and " us" in shown.stdout
    assert run("build", model, "-o", tmp_path / "c.engine", "--effort", "much").returncode == 2
