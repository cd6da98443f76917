# SPDX-License-Identifier: Apache-2.0
"""A real tritonserver with libtriton_carnot.so as its backend, where CARNOT_TRITON says where the program lies.

`pip download --no-deps nvidia-pytriton==0.7.0` has one (2.51.0) that starts without a GPU: unpack the wheel, and set
CARNOT_TRITON=.../pytriton/tritonserver/bin/tritonserver.
"""
import http.client
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CARNOT_BUILD", ROOT / "build"))
PROGRAM = os.environ.get("CARNOT_TRITON")


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Triton:
    """A running server. `options` are its own; the log is a file."""

    def __init__(self, repository, *options, cache, ready=True):
        self.folder = tempfile.TemporaryDirectory()
        backend = pathlib.Path(self.folder.name) / "backends/carnot"
        backend.mkdir(parents=True)
        for name in ("libtriton_carnot.so", "libcarnot.so.0", "libcarnot_compiler.so.0"):
            (backend / name).symlink_to((BUILD / name).resolve())
        http_port, grpc_port, metrics_port = free_ports(3)
        self.ports = {"HTTP": http_port, "gRPC": grpc_port, "metrics": metrics_port}
        self.http, self.grpc = f"127.0.0.1:{http_port}", f"127.0.0.1:{grpc_port}"
        self.log = pathlib.Path(self.folder.name) / "log"
        command = [PROGRAM, f"--model-repository={repository}", f"--backend-directory={backend.parent}",
                   f"--http-port={http_port}", f"--grpc-port={grpc_port}", f"--metrics-port={metrics_port}",
                   "--http-address=127.0.0.1", "--grpc-address=127.0.0.1", "--exit-timeout-secs=2", "--exit-on-error=false",
                   f"--backend-config=carnot,cache-directory={cache}", *options]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        end = time.monotonic() + 120
        while not self.answers("/v2/health/ready" if ready else "/v2/health/live"):
            assert time.monotonic() < end and self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)

    def answers(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["HTTP"], timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self):
        # SIGTERM waits half a minute for idle connections.
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.folder.cleanup()
