# SPDX-License-Identifier: Apache-2.0
"""`carnot load` counts what it sent, what came back and what failed; nothing here looks at how long anything took."""
import csv
import json
import re
import socket
import subprocess
import threading

import numpy as np
import pytest
import tritonclient.http as client

from conftest import CARNOT

TABLE = r"""\*\*\* Measurement Settings \*\*\*
  Batch size: 2
  Service Kind: TRITON
  Sending a total of 60 requests

Request concurrency: 1
  Client: 
    Request count: 60
    Throughput: [\d.e+]+ infer/sec
    Avg latency: \d+ usec \(standard deviation \d+ usec\)
    p50 latency: \d+ usec
    p90 latency: \d+ usec
    p95 latency: \d+ usec
    p99 latency: \d+ usec
    p99.9 latency: \d+ usec
    max latency: \d+ usec
    Avg HTTP time: \d+ usec \(send/recv \d+ usec \+ response wait \d+ usec\)
  Server: 
    Inference count: 120
    Execution count: 60
    Successful request count: 60
    Avg request latency: \d+ usec \(overhead \d+ usec \+ queue \d+ usec \+ compute input \d+ usec \+ compute infer \d+ usec \+ compute output \d+ usec\)

Request concurrency: 3
"""


def load(*arguments, code=0):
    done = subprocess.run([CARNOT, "load", *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stdout + done.stderr


def successes(server, model):
    with client.InferenceServerClient(server.http) as c:
        stats = c.get_inference_statistics(model)["model_stats"][0]
        return stats["inference_stats"]["success"]["count"], stats["inference_count"]


def test_table_csv_and_json(server, tmp_path):
    out = load(server.http, "-m", "simple", "-b", 2, "--concurrency-range", "1:5:2", "--request-count", 60, "-f", tmp_path / "t.csv", "--json", tmp_path / "t.json")
    assert re.match(TABLE, out), out
    assert len(re.findall(r"^Concurrency: [135], throughput: [\d.e+]+ infer/sec, latency \d+ usec$", out, re.M)) == 3
    with open(tmp_path / "t.csv") as f:
        rows = list(csv.DictReader(f))
    assert [r["Concurrency"] for r in rows] == ["1", "3", "5"]
    assert list(rows[0]) == ["Concurrency", "Inferences/Second", "Client Send", "Network+Server Send/Recv", "Server Queue", "Server Compute Input",
                             "Server Compute Infer", "Server Compute Output", "Client Recv", "p50 latency", "p90 latency", "p95 latency", "p99 latency"]
    for r in rows:
        assert 0 < float(r["p50 latency"]) <= float(r["p90 latency"]) <= float(r["p99 latency"]) and float(r["Inferences/Second"]) > 0
    levels = json.loads((tmp_path / "t.json").read_text())["levels"]
    assert [(l["requests"], l["failed"], l["server"][0]["inferences"], l["server"][0]["requests"]) for l in levels] == [(60, 0, 120, 60)] * 3


@pytest.mark.parametrize("way", [["-i", "grpc"], ["--input-tensor-format", "json"], ["--shared-memory", "system"], ["-i", "grpc", "--shared-memory", "system"],
                                 ["--rate", "2000", "--request-distribution", "poisson"], ["-i", "grpc", "--rate", "2000"], ["--threads", "3"]])
def test_every_way_sends_what_it_was_told(server, way):
    before = successes(server, "simple")
    if "--rate" not in way:
        way = way + ["--concurrency", "4"]
    out = load(server.grpc if "grpc" in way else server.http, "-m", "simple", "--samples", 3, "--warmup-request-count", 10, "--request-count", 100, *way)
    after = successes(server, "simple")
    assert "Request count: 100\n" in out and "Successful request count: 100\n" in out
    assert (after[0] - before[0], after[1] - before[1]) == (110, 110)
    with client.InferenceServerClient(server.http) as c:
        assert c.get_system_shared_memory_status() == [], "regions are unregistered at the end"


def test_windows_end_once_they_agree(server):
    out = load(server.http, "-m", "simple", "-p", 100, "-s", 1000, "--percentile", 95)
    assert "Stabilizing using p95 latency" in out and "NOT STABLE" not in out and re.search(r"Client p95 Batch Latency\nConcurrency: 1, ", out)
    assert "NOT STABLE" in load(server.http, "-m", "simple", "-p", 20, "-r", 2), "two windows do not tell"
    assert "no further levels" in load(server.http, "-m", "simple", "--request-count", 20, "--concurrency-range", "1:3", "-l", 0.001)


def test_input_data(server, tmp_path):
    x = np.arange(16, dtype=np.int32)
    rows = [{"INPUT0": [int(v) for v in x], "INPUT1": {"content": [[1] * 8, [2] * 8], "shape": [16]}}, {"INPUT0": [0] * 16, "INPUT1": [5] * 16}]
    (tmp_path / "data.json").write_text(json.dumps({"data": rows}))
    assert "Request count: 10\n" in load(server.http, "-m", "simple", "-b", 2, "--input-data", tmp_path / "data.json", "--request-count", 10)
    for name in ("INPUT0", "INPUT1"):
        (tmp_path / name).write_bytes(x.tobytes())
    assert "Request count: 10\n" in load(server.http, "-m", "simple", "--input-data", tmp_path, "--request-count", 10)
    assert "Request count: 10\n" in load(server.http, "-m", "types", "--input-data", "zero", "--request-count", 10)
    assert "Request count: 10\n" in load(server.http, "-m", "open", "--shape", "x:7,2", "--request-count", 10)
    (tmp_path / "INPUT1").write_bytes(b"short")
    (tmp_path / "bad.json").write_text('{"data": [{"INPUT0": [1, 2], "INPUT1": [1]}]}')
    (tmp_path / "less.json").write_text('{"data": [{"INPUT0": [1]}]}')
    for arguments, message in [(["-m", "simple", "--input-data", tmp_path], "input 'INPUT1' with shape \\[16\\] takes 64 bytes, the data has 5"),
                               (["-m", "simple", "--input-data", tmp_path / "bad.json"], "input 'INPUT0' with shape \\[16\\]"),
                               (["-m", "simple", "--input-data", tmp_path / "none.json"], "is no file"),
                               (["-m", "open"], "input 'x' has open dims \\[-1,2\\]: give them, for example --shape x:"),
                               (["-m", "open", "--shape", "x:7,3"], "shape \\[7,3\\] given for input 'x' does not fit \\[-1,2\\]"),
                               (["-m", "open", "--shape", "z:7"], "names input 'z'"),
                               (["-m", "open", "--shape", "x:7,2", "-b", 2], "has no batch dim"),
                               (["-m", "types", "--input-tensor-format", "json"], "FP16, which JSON cannot carry"),
                               (["-m", "none"], "unknown model: 'none'"),
                               (["-m", "simple", "--concurrency", "0"], "write START|START must be above 0"),
                               (["-m", "simple", "--concurrency", "5:1"], "END not below it"),
                               (["-m", "simple", "-H", "nothing"], "write NAME:VALUE")]:
        assert re.search(message, load(server.http, *arguments, "--request-count", 1, code=1)), message
    assert "cannot connect" in load("127.0.0.1:1", "-m", "m", code=1)
    assert "no TLS" in load("https://127.0.0.1", "-m", "m", code=1)


def test_failures_are_counted(server, tmp_path):
    arguments = [server.http, "-m", "simple", "-b", 9, "--request-count", 25, "--concurrency", 2, "--json", tmp_path / "t.json"]
    assert "25 requests failed (above)" in load(*arguments, code=1)
    out = load(*arguments, "--allow-failures")
    assert "Failed request count: 25\n      25 x 400 " in out and "inference request batch-size must be <= 8" in out and "Request count: 0\n" in out
    level = json.loads((tmp_path / "t.json").read_text())["levels"][0]
    assert (level["requests"], level["failed"]) == (0, 25) and sum(level["errors"].values()) == 25
    out = load(server.grpc, "-i", "grpc", *arguments[1:], "--allow-failures")
    assert "25 x gRPC status 3: " in out


class Scripted(threading.Thread):
    """An HTTP server that answers in a way of its own: slow headers, chunks, or a connection that ends."""

    def __init__(self, answer):
        super().__init__(daemon=True)
        self.answer, self.listener, self.seen = answer, socket.create_server(("127.0.0.1", 0)), 0
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.start()

    def run(self):
        while True:
            s, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                part = s.recv(65536)
                if not part:
                    return
                data += part
            head, data = data.split(b"\r\n\r\n", 1)
            length = int(re.search(rb"Content-Length: (\d+)", head, re.I)[1])
            while len(data) < length:
                data += s.recv(65536)
            data = data[length:]
            self.seen += b"/infer " in head
            self.header = head
            target = head.split()[1]
            if target == b"/v2":
                body = b'{"name":"x","version":"1","extensions":[]}'
            elif target == b"/v2/models/m":
                body = b'{"name":"m","versions":["1"],"platform":"p","inputs":[{"name":"a","datatype":"BYTES","shape":[2]}],"outputs":[],"new_field":1}'
            elif target.endswith(b"/infer"):
                if not self.answer(s, self.seen):
                    s.close()
                    return
                continue
            else:
                s.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}")
                continue
            s.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


def test_servers_of_other_makers(tmp_path):
    def chunks(s, _):
        for part in (b"HTTP/1.1 200 OK\r\nTransfer-Enc", b"oding: chunked\r\n", b"\r\n3\r\n{}", b" \r\n0\r\n\r\n"):
            s.sendall(part)
        return True

    other = Scripted(chunks)
    out = load(other.address, "-m", "m", "--request-count", 5, "-H", "Authorization: Bearer x")
    assert "Request count: 5\n" in out and "Server:" not in out, "no statistics, no section for them"
    assert b"Authorization: Bearer x" in other.header

    def every_other(s, count):
        if count % 2:
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        return False

    out = load(Scripted(every_other).address, "-m", "m", "--request-count", 8, "--allow-failures")
    assert "Request count: 4\n" in out and "Failed request count: 4\n" in out and "closed the connection" in out
    assert "no HTTP/1.1 answer" in load(Scripted(lambda s, _: s.sendall(b"nonsense, nonsense\r\n\r\n")).address, "-m", "m", "--request-count", 1, code=1)


def test_a_stall_is_charged_to_all_who_were_due(tmp_path):
    """Coordinated omission: one second of silence at 100 requests a second makes about 100 late answers, not one."""
    import time

    def stall(s, count):
        if count == 50:
            time.sleep(1)
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        return True

    load(Scripted(stall).address, "-m", "m", "--rate", 100, "--request-count", 300, "--connections", 1, "--json", tmp_path / "t.json")
    level = json.loads((tmp_path / "t.json").read_text())["levels"][0]
    assert level["requests"] == 300 and level["delayed"] >= 50
    assert level["latency_us"]["p90"] > 100_000, "a tenth of the requests waited for a good part of that second"
