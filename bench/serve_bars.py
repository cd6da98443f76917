#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `carnot serve` owes under load, measured by `carnot load` on the same machine:

    python bench/serve_bars.py [--build build] [--model NAME=model.onnx] [--max-batch 32] [--instances 1] [--rounds 9]

1. Poisson arrivals at 70 % of the offline throughput: p99 against the latency of one request at a time, and what a queue without any cost
   of its own would have that starts all that is there as soon as an instance is free.
2. Dynamic batching against none, at 64 requests under way.
3. A shared-memory request: time in the server besides the model's run, from the parsed header to the answer.

All of it with the same configuration: --instances of them share the cores. Without --model a chain of 24 matrix products of 1024 x 1024 is served: one item reads 96 MiB of weights, so a batch profits. Every figure
is measured in short rounds, and the best of them counts (for the Poisson load the median, too): on a machine with other work that is the
round which was disturbed the least. The rate of the Poisson load follows from the best offline round. Prints a Markdown table.
"""
import argparse
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/serve"))
from conftest import write_simple, write_slow  # noqa: E402


def queue_alone(one, many, max_batch, instances, load, count=200000):
    """p99 over `one` where a run of b items takes a + c b: `one` seconds for b = 1, and full batches give `many` items a second."""
    full = instances * max_batch / many
    c = max(0, (full - one) / (max_batch - 1)) if max_batch > 1 else 0
    a = one - c if max_batch > 1 else full
    rng, rate = random.Random(1), load * many
    free, due, t, late = [0.0] * instances, [], 0.0, []
    head = 0
    while len(late) < count:
        i = min(range(instances), key=free.__getitem__)
        if head == len(due):
            t += rng.expovariate(rate)
            due.append(t)
        start = max(free[i], due[head])
        while due[-1] <= start:
            t += rng.expovariate(rate)
            due.append(t)
        here = head
        while here < len(due) and due[here] <= start and here - head < max_batch:
            here += 1
        free[i] = start + a + c * (here - head)
        late += [free[i] - d for d in due[head:here]]
        head = here
    return sorted(late)[len(late) * 99 // 100] / one


class Served:
    def __init__(self, build, repository):
        self.carnot = build / "carnot"
        self.process = subprocess.Popen([self.carnot, "serve", repository, "--http", "0", "--grpc", "-1", "--metrics", "-1", "--address", "127.0.0.1", "--allow-client-shm", "true"],
                                        stderr=subprocess.PIPE, text=True, env=dict(os.environ, CARNOT_CACHE_DIR=str(repository / ".engines")))
        self.address, lines = None, []
        for line in self.process.stderr:
            lines.append(line)
            if match := re.search(r"HTTP at (127\.0\.0\.1:\d+)", line):
                self.address = match[1]
                break
        assert self.address, "".join(lines)
        self.reader = threading.Thread(target=lambda: [None for _ in self.process.stderr], daemon=True)
        self.reader.start()
        while b" 200 " not in self.head("/v2/health/ready"):
            time.sleep(0.1)

    def head(self, path):
        import socket
        host, port = self.address.split(":")
        with socket.create_connection((host, int(port))) as s:
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
            return s.recv(4096).split(b"\r\n")[0]

    def load(self, model, *options):
        with tempfile.NamedTemporaryFile(suffix=".json") as out:
            subprocess.run([self.carnot, "load", self.address, "-m", model, "--json", out.name, *map(str, options)], check=True, stdout=subprocess.DEVNULL)
            return json.load(open(out.name))["levels"][0]

    def stop(self):
        self.process.terminate()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[1] / "build")
    parser.add_argument("--model", help="NAME=model.onnx with an open batch dim, instead of the chain")
    parser.add_argument("--shape", action="append", default=[], help="as in `carnot load`")
    parser.add_argument("--max-batch", type=int, default=32)
    parser.add_argument("--instances", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        name, path = a.model.split("=", 1) if a.model else ("mlp", None)
        for model, more in ((name, "dynamic_batching { }"), (name + "_alone", "")):
            if path:
                (folder / model / "1").mkdir(parents=True)
                (folder / model / "1/model.onnx").symlink_to(pathlib.Path(path).resolve())
            else:
                write_slow(folder / model / "1/model.onnx")
            (folder / model / "config.pbtxt").write_text(f"max_batch_size: {a.max_batch} instance_group {{ count: {a.instances} kind: KIND_CPU }} " + more)
        write_simple(folder / "simple/1/model.onnx")
        served = Served(a.build, folder)
        shapes = [x for s in a.shape for x in ("--shape", s)]

        def rounds(model, count, *options):
            return [served.load(model, "--request-count", count, *options) for _ in range(a.rounds)]

        try:
            one = min(rounds(name, 100, *shapes), key=lambda r: r["latency_us"]["p50"])
            each = one["latency_us"]["p50"]
            quarter = max(100, int(0.25e6 / each))  # requests of a quarter of a second, one by one
            many = max(rounds(name, 4 * quarter, *shapes, "--concurrency", 64), key=lambda r: r["throughput"])
            alone = max(rounds(name + "_alone", quarter, *shapes, "--concurrency", 64), key=lambda r: r["throughput"])
            rate = 0.7 * many["throughput"]
            poisson = rounds(name, max(300, int(rate / 3)), *shapes, "--rate", round(rate, 2), "--request-distribution", "poisson")
            shared = min(rounds("simple", 5000, "--shared-memory", "system"), key=lambda r: r["latency_us"]["p50"])
        finally:
            served.stop()
    side = shared["server"][0]
    added = side["request_us"] - side["compute_infer_us"]
    run = many["server"][0]
    tails = sorted(r["latency_us"]["p99"] for r in poisson)
    best, median = tails[0], tails[len(tails) // 2]
    alone_ratio = queue_alone(each * 1e-6, many["throughput"], a.max_batch, a.instances, 0.7)
    print("| what | measured | bar |\n|---|---|---|")
    print(f"| one request at a time, {name} | p50 {each / 1000:.2f} ms | |")
    print(f"| 64 under way, dynamic batching | {many['throughput']:.0f}/s, {run['inferences'] / max(run['executions'], 1):.1f} a run | |")
    print(f"| 64 under way, one by one | {alone['throughput']:.0f}/s: batching gives {many['throughput'] / alone['throughput']:.2f} times | >= 2 |")
    print(f"| Poisson, {rate:.0f}/s (70 %) | p99 {best / 1000:.2f} ms (median round {median / 1000:.2f} ms): {best / each:.2f} times one request (median {median / each:.2f}; a queue without cost {alone_ratio:.2f}) | <= 3 |")
    print(f"| shared memory, INT32[1,16], in the server besides the run | {added:.1f} us (client: p50 {shared['latency_us']['p50']:.0f} us) | <= 25 us |")


if __name__ == "__main__":
    main()
