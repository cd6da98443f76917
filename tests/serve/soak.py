#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server under everything at once, for minutes: right answers are checked, bad requests must be refused, memory must stay flat.

usage: soak.py [--minutes 20] [--malformed 100000] [--seed N]      (CARNOT_BUILD names the build folder; an ASan build is worth its time)

At the same time: correct requests (JSON, binary, gzip, chunked, gRPC, streams), models that are loaded, reloaded and unloaded, clients that
are killed, connections that are left open, half-closed or reset, clients that send a byte now and then, and requests with random mistakes.
At the end SIGTERM while requests run: each must be answered, and the process gone two seconds later.
"""
import argparse
import gzip
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

import grpc
import numpy as np
from tritonclient.grpc import service_pb2 as pb

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from conftest import Server, read_reply, write_scale, write_simple, write_slow  # noqa: E402

SECRET = "the-soak-must-never-read-this"
CLIENT = """
import socket, sys
while True:
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    for _ in range(20):
        s.sendall(sys.argv[2].encode()); s.recv(100)
"""


class Soak:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.counts, self.problems, self.lock = {}, [], threading.Lock()
        self.stop = threading.Event()
        self.memory = []
        repository = folder / "models"
        write_simple(repository / "simple/1/model.onnx")
        write_scale(repository / "scale/1/model.onnx", 2.0)
        write_scale(repository / "come/1/model.onnx", 3.0)
        write_slow(repository / "slow/1/model.onnx", width=256, layers=200)
        (folder / "secret").write_text(SECRET)
        (repository / "simple/config.pbtxt").write_text("max_batch_size: 8 dynamic_batching { max_queue_delay_microseconds: 500 }")
        (repository / "slow/config.pbtxt").write_text("max_batch_size: 0")
        self.server = Server(repository, "--model-control", "explicit", "--load-model", "*", "--read-timeout", "2", "--idle-timeout", "5", "--max-connections", "512",
                             "--max-body", "4", cache=folder / "cache")

    # ---- bookkeeping

    def count(self, what, n=1):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + n

    def problem(self, text):
        with self.lock:
            self.problems.append(text[:500])
        if len(self.problems) > 50:
            self.stop.set()

    def actor(self, function, pause):
        """Repeats until the end; an exception in an actor is a finding."""
        rng = random.Random(f"{self.options.seed} {function.__name__} {threading.get_ident()}")

        def work():
            while not self.stop.is_set():
                try:
                    function(rng)
                except Exception as e:
                    self.problem(f"{function.__name__}: {type(e).__name__}: {e}")
                self.stop.wait(rng.expovariate(1 / pause))

        thread = threading.Thread(target=work, name=function.__name__)
        thread.start()
        return thread

    # ---- correct requests

    def ask(self, sock, path, data, headers=(), chunked=False):
        if not chunked:
            return self.server.request("POST", path, data, headers, sock=sock)
        data = data.encode() if isinstance(data, str) else data
        pieces = b"".join(b"%x\r\n%s\r\n" % (len(data[i:i + 1000]), data[i:i + 1000]) for i in range(0, len(data), 1000))
        lines = [f"POST {path} HTTP/1.1", "Host: x", "Transfer-Encoding: chunked", *(f"{k}: {v}" for k, v in dict(headers).items())]
        sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + pieces + b"0\r\n\r\n")
        return read_reply(sock)

    def right_over_http(self, rng):
        with self.server.connect() as sock:
            for _ in range(rng.randint(1, 60)):
                n = rng.randint(1, 8)
                a, b = (np.random.default_rng(rng.getrandbits(32)).integers(-2**31, 2**31, (n, 16), dtype=np.int32) for _ in range(2))
                binary, packed, chunked = rng.random() < .5, rng.random() < .2, rng.random() < .2
                data, headers = infer_body(a, b, binary)
                if packed:
                    data = gzip.compress(data)
                    headers["Content-Encoding"] = "gzip"
                status, got, reply = self.ask(sock, "/v2/models/simple/infer", data, headers, chunked)
                if status != 200:
                    return self.problem(f"right_over_http: {status} {reply[:200]!r}")
                outputs = read_outputs(got, reply)
                if not np.array_equal(outputs["OUTPUT0"], a + b) or not np.array_equal(outputs["OUTPUT1"], a - b):
                    return self.problem(f"right_over_http: wrong answer (binary={binary}, packed={packed}, chunked={chunked})")
                self.count("right answers, HTTP")
                if self.stop.wait(rng.expovariate(200)):
                    return

    def right_over_grpc(self, rng):
        with grpc.insecure_channel(self.server.grpc, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            unary = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer", pb.ModelInferRequest.SerializeToString, pb.ModelInferResponse.FromString)
            stream = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer", pb.ModelInferRequest.SerializeToString, pb.ModelStreamInferResponse.FromString)
            pairs = [tuple(np.random.default_rng(rng.getrandbits(32)).integers(-2**31, 2**31, (rng.randint(1, 8), 16), dtype=np.int32) for _ in range(2)) for _ in range(30)]
            pairs = [(a, b[:1].repeat(len(a), 0)) for a, b in pairs]
            requests = [grpc_request(a, b, str(i)) for i, (a, b) in enumerate(pairs)]
            answers = [r.infer_response for r in stream(iter(requests), timeout=60)] if rng.random() < .5 else [unary(r, timeout=60) for r in requests]
            for answer in answers:
                a, b = pairs[int(answer.id)]
                got = [np.frombuffer(raw, np.int32).reshape(a.shape) for raw in answer.raw_output_contents]
                if not np.array_equal(got[0], a + b) or not np.array_equal(got[1], a - b):
                    return self.problem("right_over_grpc: wrong answer")
            if len(answers) != len(requests):
                self.problem(f"right_over_grpc: {len(answers)} answers to {len(requests)} requests")
            self.count("right answers, gRPC", len(answers))

    # ---- models that come and go

    def control(self, rng):
        for path, expected in (("come/unload", (200,)), ("come/load", (200,)), ("simple/load", (200,)), ("scale/load", (200,)), ("none/load", (404,))):
            status, _, reply = self.server.post(f"/v2/repository/models/{path}", "{}")
            if status not in expected:
                self.problem(f"control: {path}: {status} {reply!r}")
            self.count("loads and unloads")
            self.stop.wait(rng.expovariate(5))

    def coming_and_going(self, rng):
        data = json.dumps({"inputs": [{"name": "x", "shape": [4], "datatype": "FP32", "data": [1, 2, 3, 4]}]})
        with self.server.connect() as sock:
            for model, factor in (("come", 3), ("scale", 2)) * 20:
                status, _, reply = self.ask(sock, f"/v2/models/{model}/infer", data)
                if status == 200 and json.loads(reply)["outputs"][0]["data"] != [factor * x for x in (1, 2, 3, 4)]:
                    self.problem(f"coming_and_going: wrong answer {reply!r}")
                elif status != 200 and (model != "come" or status != 404):
                    self.problem(f"coming_and_going: {model}: {status} {reply!r}")
                self.count("right answers, coming and going")

    # ---- clients that misbehave

    def killed(self, rng):
        data, _ = infer_body(np.ones((1, 16), np.int32), np.ones((1, 16), np.int32), False)
        text = f"POST /v2/models/simple/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n{data.decode()}"
        client = subprocess.Popen([sys.executable, "-S", "-c", CLIENT, str(self.server.ports["HTTP"]), text], stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(.05, .4))
        client.kill()
        client.wait()
        self.count("clients killed")

    def abandoned(self, rng):
        sock = self.server.connect()
        start = b"POST /v2/models/slow/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"
        sock.sendall(start[:rng.randint(0, len(start))])
        how = rng.choice(["reset", "half", "hold", "close"])
        if how == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif how == "half":
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
        elif how == "hold":  # the server ends it
            sock.settimeout(15)
            while sock.recv(65536):
                pass
        sock.close()
        self.count(f"connections abandoned ({how})")

    def dripping(self, rng):
        """Bytes now and then: closed after the time for a request, however many come."""
        with self.server.connect() as sock:
            begin = time.monotonic()
            try:
                for byte in b"GET /v2/health/live HTTP/1.1\r\nHost: " + b"x" * 1000:
                    sock.sendall(bytes([byte]))
                    sock.settimeout(.1)
                    try:
                        if not sock.recv(1000):
                            break
                    except TimeoutError:
                        pass
                    if time.monotonic() - begin > 12:
                        return self.problem("dripping: still open after 12 s")
            except OSError:
                pass
        self.count("slow clients closed")

    def malformed_over_http(self, rng):
        for _ in range(20):
            try:
                with self.server.connect() as sock:
                    sock.settimeout(10)
                    request = mutated_http(rng)
                    sock.sendall(request)
                    sock.shutdown(socket.SHUT_WR)
                    reply = b""
                    while part := sock.recv(65536):
                        reply += part
            except (ConnectionError, TimeoutError):
                reply = b""  # refused before all of it was sent
            for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", reply):
                if int(status) >= 500 and int(status) not in (501, 503):
                    self.problem(f"malformed_over_http: {status} to {request[:300]!r}: {reply[:300]!r}")
            if SECRET.encode() in reply:
                self.problem(f"malformed_over_http: a file outside the repository was read: {request[:300]!r}")
            self.count("malformed requests")

    def malformed_over_grpc(self, rng):
        with grpc.insecure_channel(self.server.grpc, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            for _ in range(20):
                method = rng.choice(["ModelInfer", "ModelMetadata", "ModelConfig", "ModelStatistics", "RepositoryIndex", "RepositoryModelLoad", "LogSettings", "TraceSetting",
                                     "SystemSharedMemoryRegister"])
                good = grpc_request(np.ones((2, 16), np.int32), np.ones((2, 16), np.int32), "m").SerializeToString()
                call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}", lambda b: b, lambda b: b)
                try:
                    reply = call(mutated(rng, good), timeout=20)
                    if SECRET.encode() in reply:
                        self.problem("malformed_over_grpc: a file outside the repository was read")
                except grpc.RpcError as e:
                    # Bytes that are no message are gRPC's own to refuse, as INTERNAL.
                    if e.code() in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED) or (e.code() == grpc.StatusCode.INTERNAL and e.details() not in ("", "Unable to parse request")):
                        self.problem(f"malformed_over_grpc: {method}: {e.code()} {e.details()}")
                self.count("malformed requests")

    def watch(self, rng):
        with open(f"/proc/{self.server.process.pid}/status") as file:
            self.memory.append((time.monotonic(), int(re.search(r"VmRSS:\s+(\d+)", file.read())[1]) / 1024))
        descriptors = len(os.listdir(f"/proc/{self.server.process.pid}/fd"))
        with self.lock:
            self.counts["most open files"] = max(self.counts.get("most open files", 0), descriptors)
        if self.server.process.poll() is not None:
            self.problem("the server is gone")
            self.stop.set()

    # ---- the run

    def run(self):
        minutes, malformed = self.options.minutes, self.options.malformed
        pause = max(.001, 20 * 60 * minutes / max(1, malformed) * 3)  # of each of four actors, for 20 requests that take a while themselves
        actors = [self.actor(self.right_over_http, .05), self.actor(self.right_over_http, .05), self.actor(self.right_over_grpc, .2), self.actor(self.coming_and_going, .2),
                  self.actor(self.control, .5), self.actor(self.killed, .5), *(self.actor(self.abandoned, .3) for _ in range(4)), *(self.actor(self.dripping, 1) for _ in range(3)),
                  *(self.actor(self.malformed_over_http, pause) for _ in range(3)), self.actor(self.malformed_over_grpc, pause), self.actor(self.watch, max(.2, minutes * .3))]
        end = time.monotonic() + 60 * minutes
        while time.monotonic() < end and not self.stop.wait(1):
            pass
        self.stop.set()
        for a in actors:
            a.join()
        if self.server.process.poll() is None:
            self.flat()
            self.end_under_load()
        else:
            self.problem(f"the server ended with {self.server.process.returncode}: " + "".join(self.server.lines[-30:]))
        if any("\udc80" <= c <= "\udcff" for c in "".join(self.server.lines)):
            self.problem("the log is no UTF-8")
        reports = [line for line in self.server.lines if "AddressSanitizer" in line or "runtime error" in line]
        if reports:
            self.problem("sanitizer: " + "".join(reports[:3]))
            (pathlib.Path(tempfile.gettempdir()) / "carnot-soak-sanitizer.txt").write_text("".join(self.server.lines))

    def flat(self):
        if len(self.memory) < 20:
            return
        begin, end = self.memory[0][0], self.memory[-1][0]
        part = lambda low, high: statistics.median(mib for t, mib in self.memory if low <= (t - begin) / (end - begin) <= high)
        # Caches fill and the allocator settles in the first part.
        early, late = part(.3, .5), part(.8, 1)
        self.counts["memory, MiB, early and late"] = f"{early:.1f} {late:.1f} ({100 * (late / early - 1):+.1f} %)"
        if self.options.minutes >= 2 and late > 1.05 * early:
            self.problem(f"memory grew from {early:.1f} to {late:.1f} MiB")

    def end_under_load(self):
        text = json.dumps({"inputs": [{"name": "x", "shape": [64, 256], "datatype": "FP32", "parameters": {"binary_data_size": 65536}}], "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}).encode()
        request = b"POST /v2/models/slow/infer HTTP/1.1\r\nHost: x\r\nInference-Header-Content-Length: %d\r\nContent-Length: %d\r\n\r\n" % (len(text), len(text) + 65536) + text + bytes(65536)
        count, answers = 48, []
        sent = threading.Barrier(count + 1)

        def work():
            with self.server.connect() as sock:
                sock.settimeout(60)
                sock.sendall(request)
                sent.wait()
                try:
                    status = read_reply(sock)[0]
                except OSError as e:
                    status = repr(e)
                answers.append((status, time.monotonic()))

        threads = [threading.Thread(target=work) for _ in range(count)]
        for t in threads:
            t.start()
        sent.wait()
        time.sleep(.1)
        begin = time.monotonic()
        try:
            code = self.server.stop(signal.SIGTERM, 60)
        except subprocess.TimeoutExpired:
            self.server.process.kill()
            return self.problem("the server did not end within a minute of SIGTERM")
        gone = time.monotonic()
        for t in threads:
            t.join()
        last = max(t for _, t in answers)
        self.counts["SIGTERM"] = f"{sum(s == 200 for s, _ in answers)} of {count} answered, the last {last - begin:.2f} s after it, the end {gone - last:.2f} s later, exit code {code}"
        if code != 0 or any(s != 200 for s, _ in answers) or gone - last > 2:
            self.problem("SIGTERM: " + self.counts["SIGTERM"] + f" {sorted({str(s) for s, _ in answers})} " + "".join(self.server.lines[-30:]))

def infer_body(a, b, binary):
    """(body, headers) of a request to `simple`."""
    inputs = [{"name": name, "shape": list(x.shape), "datatype": "INT32", **({"parameters": {"binary_data_size": x.nbytes}} if binary else {"data": x.reshape(-1).tolist()})}
              for name, x in (("INPUT0", a), ("INPUT1", b))]
    text = json.dumps({"inputs": inputs, "outputs": [{"name": n, "parameters": {"binary_data": binary}} for n in ("OUTPUT0", "OUTPUT1")]}).encode()
    return (text + a.tobytes() + b.tobytes(), {"Inference-Header-Content-Length": len(text)}) if binary else (text, {})


def read_outputs(headers, reply):
    size = int(headers.get("inference-header-content-length", len(reply)))
    outputs, at = {}, size
    for o in json.loads(reply[:size])["outputs"]:
        n = o.get("parameters", {}).get("binary_data_size")
        outputs[o["name"]] = (np.array(o["data"], np.int32) if n is None else np.frombuffer(reply[at:at + n], np.int32)).reshape(o["shape"])
        at += n or 0
    return outputs


def grpc_request(a, b, identity):
    return pb.ModelInferRequest(model_name="simple", id=identity, raw_input_contents=[a.tobytes(), b.tobytes()],
                                inputs=[pb.ModelInferRequest.InferInputTensor(name=n, datatype="INT32", shape=x.shape) for n, x in (("INPUT0", a), ("INPUT1", b))])


NASTY = [b"", b"\0", b"-1", b"0", b"9223372036854775807", b"18446744073709551616", b"1e308", b"[" * 200, b"{" * 200, b'"', b"null", b"\xff\xfe", b"\r\n\r\n", b"..", b"../../secret",
         b"/etc/passwd", b"%2e%2e%2f", b"NaN", b"[[[]]]", b'{"inputs":', b"INT32", b"BYTES", b"4294967296", b"true", b"A" * 3000, b"shared_memory_region", b"binary_data_size"]


def mutated(rng, data):
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        at, how = rng.randrange(len(data) + 1), rng.randrange(6)
        if how == 0 and data:
            data[min(at, len(data) - 1)] ^= 1 << rng.randrange(8)
        elif how == 1:
            data[at:at] = rng.choice(NASTY)
        elif how == 2:
            del data[at:at + rng.randint(1, 20)]
        elif how == 3:
            data[at:at + rng.randint(1, 8)] = rng.choice(NASTY)
        elif how == 4:
            data[at:at] = data[at:at + rng.randint(1, 60)]
        else:
            numbers = [m.span() for m in re.finditer(rb"-?\d+", data)]
            if numbers:
                low, high = rng.choice(numbers)
                data[low:high] = rng.choice(NASTY)
    return bytes(data)


def mutated_http(rng):
    a = np.arange(16, dtype=np.int32).reshape(1, 16)
    data, headers = infer_body(a, a, rng.random() < .5)
    path = rng.choice(["/v2/models/simple/infer"] * 6 + ["/v2/models/simple", "/v2/models/simple/config", "/v2/repository/index", "/v2/repository/models/none/load", "/v2/logging", "/v2/trace/setting",
                                                        "/v2/systemsharedmemory/region/r/register", "/v2/models/..%2f..%2fsecret/infer", "/v2/models/simple/versions/1/infer", "/../secret", "/metrics", "/"])
    if "load" in path:
        data = json.dumps({"parameters": {"config": '{"name":"none"}', "file:../../secret": "aGVsbG8="}}).encode()
    where = rng.random()
    if where < .6:  # the body, with a length that is right
        data = mutated(rng, data)
    head = f"{rng.choice(['POST'] * 8 + ['GET', 'PUT', 'X'])} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n"
    head = head.encode()
    if .5 < where < .9:  # the header
        head = mutated(rng, head)
    elif where >= .9:
        return mutated(rng, head + data)
    return head + data


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--malformed", type=int, default=100000, help="requests with mistakes that the run tries to send")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="carnot-soak-"))
    soak = Soak(options, folder)
    try:
        soak.run()
    finally:
        soak.stop.set()
        if soak.server.process.poll() is None:
            soak.server.process.kill()
        shutil.rmtree(folder, ignore_errors=True)
    for what, value in sorted(soak.counts.items()):
        print(f"{what:34} {value}")
    for text in soak.problems[:20]:
        print("PROBLEM", text)
    print(f"{len(soak.problems)} problems in {options.minutes:g} minutes")
    return 1 if soak.problems else 0


if __name__ == "__main__":
    sys.exit(main())
