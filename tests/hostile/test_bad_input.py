# SPDX-License-Identifier: Apache-2.0
"""What bad input gets from the command line: exit code 1, a first line that says what is wrong and where, and no file left behind."""
import os
import pathlib
import struct
import subprocess
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

ROOT = pathlib.Path(__file__).resolve().parents[2]
CARNOT = pathlib.Path(os.environ.get("CARNOT_BUILD", ROOT / "build")) / "carnot"
FLOAT = TensorProto.FLOAT


def carnot(*arguments, limit_mb=None):
    limits = ["prlimit", f"--as={limit_mb << 20}"] if limit_mb else []
    return subprocess.run([*limits, str(CARNOT), *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          timeout=60)


def refused(*arguments, says=(), leaves=None, **options):
    """Runs the command, checks the refusal and that the folder `leaves` stays empty, and gives the message."""
    done = carnot(*arguments, **options)
    message = done.stderr.strip()
    assert done.returncode == 1, f"exit code {done.returncode}: {message}"
    first = message.splitlines()[0]
    for part in says:
        assert str(part) in first, f"{part!r} is not in: {first}"
    if leaves is not None:
        assert not list(leaves.iterdir())
    return first


@pytest.fixture
def out(tmp_path):
    """A folder in which a refused build must leave nothing."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def value(name, dims, dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, dims)


def save(path, nodes, inputs, outputs, initializers=(), opset=17, domains=()):
    imports = [helper.make_opsetid("", opset), *[helper.make_opsetid(domain, 1) for domain in domains]]
    model = helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, list(initializers)), opset_imports=imports, ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def perceptron(path):
    weights = numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(4, 3), "w")
    return save(path, [helper.make_node("MatMul", ["x", "w"], ["h"], name="mm"), helper.make_node("Relu", ["h"], ["y"], name="act")],
                [value("x", ["n", 4])], [value("y", ["n", 3])], [weights])


@pytest.fixture
def model(tmp_path):
    return perceptron(tmp_path / "model.onnx")


@pytest.fixture
def engine(tmp_path, model):
    path = tmp_path / "model.engine"
    done = carnot("build", model, "-o", path)
    assert done.returncode == 0, done.stderr
    return path


def build(path, out, *says):
    return refused("build", path, "-o", out / "x.engine", says=says, leaves=out)


def test_missing_file(out):
    build("absent.onnx", out, "absent.onnx")


@pytest.mark.parametrize("content", [b"", b"hello, this is text\n" * 20, bytes(1000), b"\xff" * 1000, b"\x08\x07"])
def test_not_onnx(tmp_path, out, content):
    path = tmp_path / "odd.onnx"
    path.write_bytes(content)
    build(path, out, "odd.onnx")


def test_truncated_anywhere(tmp_path, model, out):
    data = model.read_bytes()
    path = tmp_path / "cut.onnx"
    for size in range(1, len(data) - 1, 3):
        path.write_bytes(data[:size])
        build(path, out, "cut.onnx")


def test_unknown_operator(tmp_path, out):
    path = save(tmp_path / "m.onnx", [helper.make_node("Frobnicate", ["x"], ["y"], name="fr", domain="example.org")],
                [value("x", [4])], [value("y", [4])], domains=["example.org"])
    build(path, out, "m.onnx", "fr", "Frobnicate", "example.org")


@pytest.mark.parametrize("node, says", [
    (helper.make_node("Relu", ["x", "x"], ["y"], name="n1"), ("n1", "Relu")),
    (helper.make_node("Concat", ["x", "x"], ["y"], name="n2"), ("n2", "Concat", "axis")),
    (helper.make_node("Softmax", ["x"], ["y"], name="n3", axis="one"), ("n3", "Softmax", "axis")),
    (helper.make_node("Softmax", ["x"], ["y"], name="n4", axis=9), ("n4", "Softmax", "9")),
    (helper.make_node("MatMul", ["x", "x"], ["y"], name="n5"), ("n5", "MatMul")),
    (helper.make_node("Add", ["x", "ghost"], ["y"], name="n6"), ("n6", "Add", "ghost")),
    (helper.make_node("Add", ["x", "w3"], ["y"], name="n7"), ("n7", "Add")),
    (helper.make_node("Transpose", ["x"], ["y"], name="n8", perm=[0, 0]), ("n8", "Transpose", "perm")),
    (helper.make_node("Conv", ["x", "w3"], ["y"], name="n9"), ("n9", "Conv")),
    (helper.make_node("Cast", ["x"], ["y"], name="n10", to=9999), ("n10", "Cast")),
])
def test_wrong_node(tmp_path, out, node, says):
    w3 = numpy_helper.from_array(np.ones(3, np.float32), "w3")
    path = save(tmp_path / "m.onnx", [node], [value("x", [2, 5])], [value("y", None)], [w3])
    build(path, out, "m.onnx", *says)


def test_initializer_of_the_wrong_size(tmp_path, out):
    short = TensorProto(name="w", dims=[1 << 40, 1 << 40], data_type=FLOAT, raw_data=b"1234")
    path = save(tmp_path / "m.onnx", [helper.make_node("Add", ["x", "w"], ["y"], name="a")], [value("x", [4])], [value("y", None)], [short])
    build(path, out, "m.onnx", "w")


@pytest.mark.parametrize("location", ["../secret.bin", "{}/secret.bin", "absent.bin", "link.bin"])
def test_external_data_outside_or_missing(tmp_path, out, location):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    w = TensorProto(name="w", dims=[4], data_type=FLOAT, data_location=TensorProto.EXTERNAL)
    w.external_data.add(key="location", value=location.format(tmp_path))
    path = save(folder / "m.onnx", [helper.make_node("Add", ["x", "w"], ["y"])], [value("x", [4])], [value("y", [4])], [w])
    build(path, out, "m.onnx", "w")


def test_a_cycle(tmp_path, out):
    nodes = [helper.make_node("Relu", ["b"], ["a"], name="first"), helper.make_node("Relu", ["a"], ["b"], name="second")]
    build(save(tmp_path / "m.onnx", nodes, [value("x", [4])], [value("a", [4])]), out, "m.onnx")


def field(number, data):
    """A length-delimited protobuf field."""
    size, length = len(data), b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


@pytest.mark.parametrize("depth", [50, 1000, 10000])
def test_deep_nesting(tmp_path, out, depth):
    """If in If in If: protobuf's own writer stops at a hundred levels, so the bytes are put together by hand."""
    graph = field(1, field(1, b"x") + field(2, b"y") + field(4, b"Identity")) + field(12, field(1, b"y"))
    for _ in range(depth):
        branches = b"".join(field(5, field(1, name) + field(6, body) + b"\xa0\x01\x05") for name, body in
                            ((b"then_branch", graph), (b"else_branch", field(12, field(1, b"x")))))
        graph = field(1, field(1, b"c") + field(2, b"y") + field(3, b"deep") + field(4, b"If") + branches) + field(12, field(1, b"y"))
    graph += b"".join(field(11, info.SerializeToString()) for info in (value("x", [1]), value("c", [], TensorProto.BOOL)))
    path = tmp_path / "deep.onnx"
    path.write_bytes(b"\x08\x08" + field(7, graph) + field(8, b"\x10\x11"))
    done = carnot("build", path, "-o", out / "x.engine")
    if depth == 50:
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 1 and "deep" in done.stderr.splitlines()[0], done.stderr[:300]
        assert not list(out.iterdir())


def npy(path, array):
    np.save(path, array)
    return path


def test_run_with_wrong_inputs(tmp_path, engine):
    good = npy(tmp_path / "good.npy", np.zeros((2, 4), np.float32))
    assert carnot("run", engine, "--input", f"x={good}").returncode == 0
    refused("run", engine, "--input", f"z={good}", says=("z",))
    refused("run", engine, says=("x",))
    narrow = npy(tmp_path / "narrow.npy", np.zeros((2, 5), np.float32))
    refused("run", engine, "--input", f"x={narrow}", says=("x", "5", "4"))
    flat = npy(tmp_path / "flat.npy", np.zeros(4, np.float32))
    refused("run", engine, "--input", f"x={flat}", says=("x",))
    double = npy(tmp_path / "double.npy", np.zeros((2, 4)))
    refused("run", engine, "--input", f"x={double}", says=("x", "f64", "f32"))
    refused("run", engine, "--input", f"x={tmp_path / 'absent.npy'}", says=("absent.npy",))


def test_index_outside_the_table(tmp_path):
    table = numpy_helper.from_array(np.eye(4, dtype=np.float32), "table")
    path = save(tmp_path / "m.onnx", [helper.make_node("Gather", ["table", "i"], ["y"], name="look")],
                [value("i", ["n"], TensorProto.INT64)], [value("y", None)], [table])
    built = tmp_path / "m.engine"
    assert carnot("build", path, "-o", built).returncode == 0
    for bad in (4, -5, 2**62):
        refused("run", built, "--input", f"i={npy(tmp_path / 'i.npy', np.array([0, bad]))}", says=("look", bad))


def test_engine_with_any_flipped_byte(tmp_path, engine):
    """Every byte but the padding counts: the header by its own checks, the rest by checksums."""
    data = bytearray(engine.read_bytes())
    good = npy(tmp_path / "good.npy", np.zeros((2, 4), np.float32))
    want = carnot("run", engine, "--input", f"x={good}").stdout
    path = tmp_path / "flipped.engine"
    for at in [*range(64), *range(64, len(data), max(1, len(data) // 100))]:
        data[at] ^= 0x55
        path.write_bytes(data)
        done = carnot("run", path, "--input", f"x={good}")
        assert (done.returncode, done.stdout) == (0, want) or (done.returncode == 1 and "flipped.engine" in done.stderr), at
        data[at] ^= 0x55


def test_truncated_engine(tmp_path, engine):
    data = engine.read_bytes()
    path = tmp_path / "cut.engine"
    for size in [0, 1, 7, 8, 63, 64, 65, len(data) // 2, len(data) - 1]:
        path.write_bytes(data[:size])
        refused("run", path, says=("cut.engine",))


def test_engine_cut_while_it_runs(tmp_path):
    weights = numpy_helper.from_array(np.ones((512, 512), np.float32), "w")
    model = save(tmp_path / "m.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], [value("x", [1, 512])], [value("y", None)], [weights])
    engine = tmp_path / "m.engine"
    assert carnot("build", model, "-o", engine).returncode == 0
    running = subprocess.Popen([CARNOT, "bench", engine, "--seconds", "50"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    time.sleep(1)
    os.truncate(engine, 0)
    _, message = running.communicate(timeout=60)
    assert running.returncode == 1 and "cut short while it was in use" in message


def test_engine_of_a_later_version(tmp_path, engine):
    data = bytearray(engine.read_bytes())
    struct.pack_into("<II", data, 8, 9999, 9999)
    path = tmp_path / "later.engine"
    path.write_bytes(data)
    refused("run", path, says=("later.engine", "9999"))


def test_out_of_memory(tmp_path):
    path = save(tmp_path / "m.onnx", [helper.make_node("Expand", ["x", "to"], ["y"], name="big")],
                [value("x", [1]), value("to", [1], TensorProto.INT64)], [value("y", None)])
    engine = tmp_path / "m.engine"
    assert carnot("build", path, "-o", engine).returncode == 0
    x, to = npy(tmp_path / "x.npy", np.zeros(1, np.float32)), npy(tmp_path / "to.npy", np.array([1 << 40]))
    refused("run", engine, "--input", f"x={x}", "--input", f"to={to}", says=("memory",))
    to = npy(tmp_path / "to.npy", np.array([1 << 28]))
    refused("run", engine, "--input", f"x={x}", "--input", f"to={to}", says=("memory",), limit_mb=700)


@pytest.mark.parametrize("arguments", [(), ("fly",), ("build",), ("build", "--no-such-option"), ("run", "a", "--threads", "many")])
def test_usage(arguments):
    done = carnot(*arguments)
    assert done.returncode == 2
    assert done.stderr.strip()


def test_help_and_version():
    for arguments in (("--help",), ("build", "--help"), ("run", "--help"), ("bench", "--help"), ("inspect", "--help"), ("--version",)):
        done = carnot(*arguments)
        assert done.returncode == 0 and done.stdout.strip()


def test_output_folder_absent(model, out):
    refused("build", model, "-o", out / "no" / "such" / "x.engine", says=("x.engine",), leaves=out)
