# SPDX-License-Identifier: Apache-2.0
"""What an engine takes of memory: in Python, and in `carnot inspect`."""
import json
import pathlib
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import carnot

CARNOT = pathlib.Path(carnot.__file__).resolve().parents[2] / "carnot"


def network(batch="batch", height="h"):
    """Two convolutions of one image, joined."""
    net = carnot.Network()
    rng = np.random.default_rng(1)
    x = net.input("x", "f32", [batch, 16, height, 20])
    parts = [net.relu(net.conv(x, rng.standard_normal((n, 16, 3, 3), np.float32), pads=[1, 1, 1, 1])) for n in (16, 24)]
    net.output(net.conv(net.concat(parts, 1), rng.standard_normal((8, 40, 1, 1), np.float32)), "y")
    return net


def command(*arguments):
    return subprocess.run([str(CARNOT), *map(str, arguments)], capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("shape", [(1, 16, 12, 20), (3, 16, 40, 20)])
def test_a_run_takes_what_was_told(shape):
    engine = carnot.build(network())
    told = engine.memory({"x": shape}, threads=2)
    assert told["shapes"] == {"x": list(shape)} and told["threads"] == 2
    session = engine.session(threads=2)
    session.run({"x": np.ones(shape, np.float32)})
    assert session.memory == told["working_bytes"] + told["workspace_bytes"]
    assert told["weights_bytes"] == engine.describe()["constant_bytes"]
    joined = shape[0] * shape[2] * shape[3] * 40 * 4
    assert joined <= told["peak"]["bytes"] <= told["working_bytes"]
    commands = engine.describe()["plans"][0]["commands"]
    assert commands[told["peak"]["command"]]["kernel"] == told["peak"]["kernel"]
    assert told["parts"] == 2 and told["sized_by_run"] == 0
    assert told["values"] > told["views"] + told["in_place"] + told["parts"]


def test_shapes_come_from_the_engine_where_it_has_bounds():
    largest = carnot.build(network(), shapes={"x": ((1, 16, 8, 20), (1, 16, 16, 20), (2, 16, 32, 20))})
    assert largest.memory()["shapes"] == {"x": [2, 16, 32, 20]} and largest.memory({})["shapes"] == {"x": [2, 16, 32, 20]}
    fixed = carnot.build(network(1, 12))
    assert fixed.memory() == fixed.memory({}) and fixed.memory()["shapes"] == {"x": [1, 16, 12, 20]}
    free = carnot.build(network())
    assert "working_bytes" not in free.memory() and free.memory()["parts"] == 2
    assert free.memory({})["shapes"] == {"x": [1, 16, 1, 20]}


def test_wrong_shapes_are_refused():
    engine = carnot.build(network(), shapes={"x": ((1, 16, 8, 20), (1, 16, 16, 20), (2, 16, 32, 20))})
    for shapes, text in (({"z": (1, 16, 8, 20)}, "no input 'z'"), ({"x": (1, 16, 8)}, "rank 4"), ({"x": (1, 16, 8, 21)}, "dimension 3 must be 20"),
                         ({"x": (3, 16, 8, 20)}, "the engine was built for 1 to 2")):
        with pytest.raises(carnot.Error, match=text):
            engine.memory(shapes)


def test_inspect_shows_it(tmp_path):
    engine = tmp_path / "a.engine"
    carnot.build(network()).save(engine)
    shown = command("inspect", engine).stdout
    assert "name them with --shape" in shown and "2 are parts of others" in shown
    told = carnot.load(engine).memory({"x": (2, 16, 30, 20)}, threads=2)
    shown = command("inspect", engine, "--shape", "x:2x16x30x20", "--threads", 2).stdout
    assert f"memory     {told['working_bytes'] / 1e6:.2f} MB of working memory" in shown and "for x:2x16x30x20 on 2 threads" in shown
    assert f"peak {told['peak']['bytes'] / 1e6:.2f} MB at command {told['peak']['command']}, {told['peak']['kernel']}" in shown
    described = command("inspect", engine, "--json", "--shape", "x:2x16x30x20", "--threads", 2).stdout
    assert json.loads(described)["memory"] == told
    assert command("inspect", engine, "--html", tmp_path / "a.html", "--shape", "x:2x16x30x20").returncode == 0
    assert "of working memory" in (tmp_path / "a.html").read_text()
    refused = command("inspect", engine, "--shape", "z:1x2")
    assert refused.returncode == 1 and "'z'" in refused.stderr


BUILD_AND_RUN = """
import sys, numpy, carnot
def peak(): return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
idle = peak()
engine = carnot.build(sys.argv[1])
engine.run({"x": numpy.ones((1, 2048), numpy.float32)})
print(peak() - idle)
"""


@pytest.mark.parametrize("external", [False, True])
def test_a_build_holds_the_weights_once(tmp_path, external):
    weights = [numpy_helper.from_array(np.random.default_rng(i).standard_normal((2048, 2048), np.float32), f"w{i}") for i in range(4)]
    nodes = [helper.make_node("MatMul", [f"x{i}" if i else "x", f"w{i}"], [f"x{i + 1}"]) for i in range(4)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2048]) for name in ("x", "x4")]
    model = helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], weights), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, tmp_path / "m.onnx", save_as_external_data=external, location="m.data")
    done = subprocess.run([sys.executable, "-c", BUILD_AND_RUN, tmp_path / "m.onnx"], capture_output=True, text=True, timeout=300,
                          env={"PYTHONPATH": str(pathlib.Path(carnot.__file__).parents[1])})
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1.3 * 64 + 30
