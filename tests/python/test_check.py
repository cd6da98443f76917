# SPDX-License-Identifier: Apache-2.0
"""build(check=True) and carnot build --check."""
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import carnot

CARNOT = pathlib.Path(carnot.__file__).resolve().parents[2] / "carnot"


def network():
    net = carnot.Network()
    x = net.input("x", "f32", ["batch", 3, 8, 8])
    rng = np.random.default_rng(1)
    x = net.relu(net.conv(x, rng.standard_normal((8, 3, 3, 3), np.float32), pads=[1, 1, 1, 1], name="stem"))
    net.output(net.conv(x, rng.standard_normal((4, 8, 1, 1), np.float32), name="head"), "y")
    return net


def test_a_good_engine_carries_its_report():
    engine = carnot.build(network(), check=True)
    assert engine.check.passed and [v.name for v in engine.check.outputs] == ["y"]
    assert engine.check.outputs[0].relative <= engine.check.outputs[0].tolerance == 1e-4
    assert any("stem" in v.where and v.kernel == "cpu.conv" for v in engine.check.worst())
    assert "check against the reference" in str(engine.check)
    assert carnot.build(network()).check is None


def test_an_engine_out_of_tolerance_is_an_error_with_the_report():
    with pytest.raises(carnot.CheckError, match="output 'y' differs from the reference") as caught:
        carnot.build(network(), check=True, check_tolerance=1e-15)
    report = caught.value.report
    assert isinstance(caught.value, carnot.Error) and not report.passed
    assert "OUT OF TOLERANCE" in str(caught.value) and report.worst(1)[0].relative > 0


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "net.ir"
    path.write_text(network().text())
    return path


def run(*arguments):
    return subprocess.run([str(CARNOT), *map(str, arguments)], capture_output=True, text=True, timeout=300)


@pytest.mark.skipif(not CARNOT.exists(), reason="the tool is not built")
def test_the_tool_writes_only_what_passes(model, tmp_path):
    engine = tmp_path / "net.engine"
    done = run("build", model, "-o", engine, "--check", "--check-tolerance", "1e-15")
    assert done.returncode == 1 and not engine.exists()
    assert done.stderr.splitlines()[0].startswith("carnot: error: ") and "differs from the reference" in done.stderr
    done = run("build", model, "-o", engine, "--check", "--shape", "x:3x3x8x8")
    assert done.returncode == 0 and engine.exists()
    assert "x f32[3,3,8,8]" in done.stderr and "good" in done.stderr
