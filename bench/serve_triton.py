#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`carnot serve` and a real tritonserver (CARNOT_TRITON, see tests/triton/real_triton.py) side by side: the same engines, the same client
(`carnot load`), the same cores, in turns.

Both servers run all the time; rounds alternate between them. Of each server's rounds the best throughput and the lowest latencies
count, since what else runs on the machine can only take away; of processor time (the server's, a request) the median.
Identity and ResNet-50 are served with and without dynamic batching, and each server is shown with what suits it better.

usage: serve_triton.py [--rounds N] [--seconds S] [--concurrency 1,8,32] [--models identity,tensors,resnet50] [--json FILE]
"""
import argparse
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests/triton"), str(ROOT / "scripts")]
import models  # noqa: E402
import real_triton  # noqa: E402

CARNOT = real_triton.BUILD / "carnot"
CONFIG = """backend: "carnot"
max_batch_size: 8
input [ {{ name: "{input}" data_type: TYPE_{type} dims: {dims} }} ]
output [ {{ name: "{output}" data_type: TYPE_{type} dims: {result} }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
"""
# Model: the ways to serve it. "tensors" takes and gives what ResNet-50 does and computes next to nothing: both servers run the same engines,
# so that with ResNet-50 itself the time of its run hides what they differ in.
WAYS = {"identity": ["identity", "identity_batching"], "tensors": ["tensors"], "resnet50": ["resnet50", "resnet50_batching"]}


def support():
    spec = importlib.util.spec_from_file_location("serve_support", ROOT / "tests/serve/conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_repository(folder, wanted, serve):
    def engine(name, source):
        (folder / name / "1").mkdir(parents=True)
        subprocess.run([CARNOT, "build", source, "-o", folder / name / "1/model.engine"], check=True, capture_output=True)

    for name in wanted:
        if name == "identity":
            source = folder.parent / "identity.onnx"
            serve.write_model(source, [serve.helper.make_node("Identity", ["IN0"], ["OUT0"])], [("IN0", serve.T.INT32, ["b", 16])], [("OUT0", serve.T.INT32, ["b", 16])])
            values = {"input": "IN0", "output": "OUT0", "type": "INT32", "dims": [16], "result": [16]}
        elif name == "tensors":
            source = folder.parent / "tensors.onnx"
            ints = lambda key, values: serve.onnx.numpy_helper.from_array(serve.np.array(values, serve.np.int64), key)
            serve.write_model(source, [serve.helper.make_node("Reshape", ["input", "flat"], ["all"]), serve.helper.make_node("Slice", ["all", "first", "last", "axis"], ["output"])],
                              [("input", serve.T.FLOAT, ["b", 3, 224, 224])], [("output", serve.T.FLOAT, ["b", 1000])],
                              [ints("flat", [0, -1]), ints("first", [0]), ints("last", [1000]), ints("axis", [1])])
            values = {"input": "input", "output": "output", "type": "FP32", "dims": [3, 224, 224], "result": [1000]}
        else:
            source = models.graphs("resnet50.ts")[0]
            values = {"input": "input", "output": "output", "type": "FP32", "dims": [3, 224, 224], "result": [1000]}
        for way in WAYS[name]:
            engine(way, source)
            (folder / way / "config.pbtxt").write_text(CONFIG.format(**values) + ("dynamic_batching { }\n" if way.endswith("_batching") else ""))


def processor_seconds(process):
    """User and system time that a process has used."""
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(server, protocol, model, concurrency, seconds):
    """One round: requests a second, p50 and p99 in us, processor time of the server in us a request."""
    url = server.http if protocol == "http" else server.grpc
    warm_up = 2 * concurrency
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [CARNOT, "load", url, "-i", protocol, "-m", model, "--concurrency-range", str(concurrency), "-p", str(int(seconds * 1000)), "-r", "1",
                   "--warmup-request-count", str(warm_up), "--json", file.name]
        before = processor_seconds(server.process)
        done = subprocess.run(command, capture_output=True, text=True)
        used = processor_seconds(server.process) - before
        level = json.loads(pathlib.Path(file.name).read_text())["levels"][0] if done.returncode == 0 else None
    if not level or level["failed"]:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}")
    return {"throughput": level["throughput"], "p50": level["latency_us"]["p50"], "p99": level["latency_us"]["p99"], "processor": 1e6 * used / (level["requests"] + warm_up)}


def best(rounds):
    """The best of each figure, but for processor time: the median."""
    worst_last = {key: sorted(r[key] for r in rounds) for key in rounds[0]}
    return {key: values[-1] if key == "throughput" else values[len(values) // 2] if key == "processor" else values[0] for key, values in worst_last.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--concurrency", default="1,8,32")
    parser.add_argument("--models", default="identity,tensors,resnet50")
    parser.add_argument("--json")
    a = parser.parse_args()
    if not real_triton.PROGRAM:
        raise SystemExit("CARNOT_TRITON does not name a tritonserver")
    wanted, serve, results = a.models.split(","), support(), []
    with tempfile.TemporaryDirectory() as folder:
        repository = pathlib.Path(folder) / "repository"
        make_repository(repository, wanted, serve)
        triton = real_triton.Triton(repository, cache=folder)
        ours = serve.Server(repository, cache=folder)
        try:
            print(f"{'model':9} {'':5} {'clients':>7}   {'Triton/s':>9} {'ours/s':>9} {'ratio':>6}   {'p50 us':>8} {'ours':>8}   {'p99 us':>8} {'ours':>8}   {'CPU us':>8} {'ours':>8}")
            for model in wanted:
                for protocol in ("http", "grpc"):
                    for concurrency in map(int, a.concurrency.split(",")):
                        rounds = {(who, way): [] for who in ("triton", "ours") for way in WAYS[model]}
                        for _ in range(a.rounds):
                            for (who, way), got in rounds.items():
                                got.append(measure(triton if who == "triton" else ours, protocol, way, concurrency, a.seconds))
                        theirs, here = (max((best(got) for (by, _), got in rounds.items() if by == who), key=lambda b: b["throughput"]) for who in ("triton", "ours"))
                        results.append({"model": model, "protocol": protocol, "concurrency": concurrency, "triton": theirs, "carnot": here})
                        print(f"{model:9} {protocol:5} {concurrency:7}   {theirs['throughput']:9.0f} {here['throughput']:9.0f} {here['throughput'] / theirs['throughput']:6.2f}   "
                              f"{theirs['p50']:8.0f} {here['p50']:8.0f}   {theirs['p99']:8.0f} {here['p99']:8.0f}   {theirs['processor']:8.1f} {here['processor']:8.1f}", flush=True)
        finally:
            triton.stop()
            ours.stop()
    if a.json:
        pathlib.Path(a.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
