# SPDX-License-Identifier: Apache-2.0
"""A running `carnot serve` with small models, and raw HTTP for what no client library would send."""
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper

ROOT = pathlib.Path(__file__).resolve().parents[2]
CARNOT = pathlib.Path(os.environ.get("CARNOT_BUILD", ROOT / "build")) / "carnot"


def write_model(path, nodes, inputs, outputs, initializers=()):
    info = lambda ios: [helper.make_tensor_value_info(name, dtype, dims) for name, dtype, dims in ios]
    model = helper.make_model(helper.make_graph(nodes, "g", info(inputs), info(outputs), list(initializers)),
                              opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)


def write_simple(path):
    """Two INT32[16], their sum and their difference."""
    names = ["INPUT0", "INPUT1"]
    write_model(path, [helper.make_node("Add", names, ["OUTPUT0"]), helper.make_node("Sub", names, ["OUTPUT1"])],
                [(n, T.INT32, ["batch", 16]) for n in names], [(n, T.INT32, ["batch", 16]) for n in ("OUTPUT0", "OUTPUT1")])


def write_scale(path, factor):
    """y = factor * x, FP32[4], no batch dim."""
    write_model(path, [helper.make_node("Mul", ["x", "f"], ["y"])], [("x", T.FLOAT, [4])], [("y", T.FLOAT, [4])],
                [helper.make_tensor("f", T.FLOAT, [], [factor])])


def write_slow(path, width=1024, layers=24):
    """Some milliseconds of work for each item: a chain of matrix products."""
    rng = np.random.default_rng(0)
    weights = [onnx.numpy_helper.from_array((rng.standard_normal((width, width)) / width ** 0.5).astype(np.float32), f"w{i}") for i in range(layers)]
    nodes = [helper.make_node("MatMul", ["x" if i == 0 else f"t{i - 1}", f"w{i}"], [f"t{i}" if i + 1 < layers else "y"]) for i in range(layers)]
    write_model(path, nodes, [("x", T.FLOAT, ["n", width])], [("y", T.FLOAT, ["n", width])], weights)


def make_repository(folder):
    write_simple(folder / "simple/1/model.onnx")
    (folder / "simple/config.pbtxt").write_text("""
        name: "simple"
        max_batch_size: 8
        input [ { name: "INPUT0" data_type: TYPE_INT32 dims: [ 16 ] }, { name: "INPUT1" data_type: TYPE_INT32 dims: [ 16 ] } ]
        output [ { name: "OUTPUT0" data_type: TYPE_INT32 dims: [ 16 ] label_filename: "labels.txt" }, { name: "OUTPUT1" data_type: TYPE_INT32 dims: [ 16 ] } ]
        dynamic_batching { }
        parameters { key: "origin" value { string_value: "test" } }
    """)
    (folder / "simple/labels.txt").write_text("\n".join(f"label{i}" for i in range(16)))
    write_model(folder / "types/1/model.onnx",
                [helper.make_node("Identity", [f"i_{name}"], [f"o_{name}"]) for name, _ in TYPES],
                [(f"i_{name}", dtype, ["n", 3]) for name, dtype in TYPES], [(f"o_{name}", dtype, ["n", 3]) for name, dtype in TYPES])
    write_scale(folder / "scale/1/model.onnx", 2.0)
    write_scale(folder / "scale/3/model.onnx", 3.0)
    (folder / "scale/config.pbtxt").write_text("version_policy: { all { } }")
    write_model(folder / "open/1/model.onnx", [helper.make_node("Neg", ["x"], ["y"])], [("x", T.FLOAT, ["a", 2])], [("y", T.FLOAT, ["a", 2])])
    (folder / "open/config.pbtxt").write_text("max_batch_size: 0")


TYPES = [("BOOL", T.BOOL), ("UINT8", T.UINT8), ("INT8", T.INT8), ("INT16", T.INT16), ("INT32", T.INT32), ("INT64", T.INT64),
         ("UINT16", T.UINT16), ("UINT32", T.UINT32), ("UINT64", T.UINT64), ("FP16", T.FLOAT16), ("FP32", T.FLOAT), ("FP64", T.DOUBLE)]


class Server:
    """A `carnot serve` process; its ports are free ones that it chose."""

    def __init__(self, repository, *options, cache, ready=True):
        environment = dict(os.environ, CARNOT_CACHE_DIR=str(cache))
        self.process = subprocess.Popen([CARNOT, "serve", repository, "--http", "0", "--grpc", "0", "--metrics", "0", "--address", "127.0.0.1", *options],
                                        stderr=subprocess.PIPE, encoding="utf-8", errors="surrogateescape", env=environment)
        self.lines, self.ports = [], {}
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        self.wait(lambda: len(self.ports) == 3, "the server opened no ports")
        self.http, self.grpc = f"127.0.0.1:{self.ports['HTTP']}", f"127.0.0.1:{self.ports['gRPC']}"
        if ready:
            self.wait(lambda: self.get("/v2/health/ready")[0] == 200, "the server never became ready")

    def read(self):
        for line in self.process.stderr:
            self.lines.append(line)
            if match := re.search(r"(HTTP|gRPC|metrics) at 127\.0\.0\.1:(\d+)", line):
                self.ports[match[1]] = int(match[2])

    def wait(self, condition, message, seconds=30):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end and self.process.poll() is None, message + "\n" + "".join(self.lines)
            time.sleep(0.02)

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.ports["HTTP"]), timeout=20)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def request(self, method, path, body=b"", headers=(), sock=None):
        """(status, headers, body) of one request."""
        own = sock is None
        sock = sock or self.connect()
        lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *(f"{k}: {v}" for k, v in dict(headers).items())]
        sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + (body.encode() if isinstance(body, str) else body))
        try:
            return read_reply(sock, method)
        finally:
            if own:
                sock.close()

    def get(self, path):
        return self.request("GET", path)

    def post(self, path, body=b"", headers=()):
        return self.request("POST", path, body, headers)

    def stop(self, number=signal.SIGTERM, seconds=20):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(seconds)


def read_reply(sock, method="GET"):
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65536)
        if not part:
            raise ConnectionError(f"closed after {data!r}")
        data += part
    head, data = data.split(b"\r\n\r\n", 1)
    status, *lines = head.decode().split("\r\n")
    headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
    length = 0 if method == "HEAD" else int(headers.get("content-length", 0))
    while len(data) < length:
        part = sock.recv(65536)
        if not part:
            raise ConnectionError("closed in the body")
        data += part
    return int(status.split()[1]), headers, data


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """Engines that one server built serve the next."""
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="session")
def server(tmp_path_factory, cache):
    folder = tmp_path_factory.mktemp("repository")
    make_repository(folder)
    s = Server(folder, "--allow-client-shm", "true", "--model-control", "explicit", "--load-model", "*", cache=cache)
    s.folder = folder
    yield s
    assert s.stop() == 0, "".join(s.lines)


@pytest.fixture
def start(cache):
    """Starts further servers, which end with the test."""
    running = []

    def run(repository, *options, **more):
        running.append(Server(repository, *options, cache=cache, **more))
        return running[-1]

    yield run
    for s in running:
        s.stop(signal.SIGKILL)
