#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times Carnot, ONNX Runtime and OpenVINO on the same models, in turns, on the same cores.

usage: compare_cpu.py MODEL... [--all] [--threads 2] [--peers carnot,ort,openvino] [--shape NAME:1x3x224x224] [--json FILE]

MODEL is an ONNX file or a name of `scripts/models.py list`. Every peer is a process that is kept alive and pinned to the same
cores; the peers take turns of --turn seconds in --rounds rounds, and those not on turn are stopped, so that nobody's waiting
threads spin beside another's run. Each turn starts with an untimed run. Reported are min, median and 90th percentile in ms,
build time (file to first runnable session), peak resident memory beyond what importing the peer takes, and the largest
error against ONNX Runtime relative to the range of the output. Ratios are the other's time over the first peer's: above 1 the
first peer is faster. fp32 throughout. The peer "tuned" is Carnot with effort="tune", for the shapes at hand; $CARNOT_TIMING_CACHE names
the file that keeps its times.
"""
import argparse
import json
import math
import os
import pathlib
import select
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
import agreement
import feeds
import models
BUILD = pathlib.Path(os.environ.get("CARNOT_BUILD", ROOT / "build"))
NAMES = {"carnot": "Carnot", "tuned": "Carnot, tuned", "ort": "ONNX Runtime", "openvino": "OpenVINO"}


# --- inside a peer's process -------------------------------------------------------------------------------------------------


def carnot_peer(threads):
    sys.path.append(str(BUILD / "python"))
    import carnot

    def build(path, values):
        session = carnot.build(path, device="cpu").session(threads=threads)
        return lambda: session.run(values)
    return build


def tuned_peer(threads):
    sys.path.append(str(BUILD / "python"))
    import carnot

    def build(path, values):
        shapes = {name: value.shape for name, value in values.items()}
        engine = carnot.build(path, device="cpu", shapes=shapes, effort="tune", threads=threads, timing_cache=os.environ.get("CARNOT_TIMING_CACHE"))
        session = engine.session(threads=threads)
        return lambda: session.run(values)
    return build


def ort_peer(threads):
    import onnxruntime

    def build(path, values):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return lambda: dict(zip(names, session.run(None, values)))
    return build


def openvino_peer(threads):
    import openvino

    def build(path, values):
        core = openvino.Core()
        model = core.read_model(path)
        # ONNX names are kept as tensor names, in the order of the graph's outputs.
        names = [next(iter(output.get_names()), str(i)) for i, output in enumerate(model.outputs)]
        model.reshape({name: value.shape for name, value in values.items()})
        config = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        request = core.compile_model(model, "CPU", config).create_infer_request()
        for name, value in values.items():
            request.set_tensor(name, openvino.Tensor(value))

        def run():
            request.infer()
            return {name: request.get_output_tensor(i).data for i, name in enumerate(names)}
        return run
    return build


PEERS = {"carnot": carnot_peer, "tuned": tuned_peer, "ort": ort_peer, "openvino": openvino_peer}


def peak_mb():
    """The peak of this process alone (ru_maxrss would count what the parent held when it started this one)."""
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def work(peer, model, feeds_file, threads):
    """Serves one peer on one model: a JSON line in, a JSON line out."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not come between the answers
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    with np.load(feeds_file) as file:
        values = {name: file[name] for name in file.files}
    build = PEERS[peer](threads)
    idle = peak_mb()
    run = None
    for request in sys.stdin:
        request = json.loads(request)
        if "build" in request:
            start = time.perf_counter()
            run = build(model, values)
            answer = {"build_s": time.perf_counter() - start}
            outputs = {name: np.array(value) for name, value in run().items()}
            answer["peak_mb"] = peak_mb() - idle
            np.savez(request["build"], **outputs)
        else:
            run()
            times, end = [], time.perf_counter() + request["turn"]
            while len(times) < 3 or time.perf_counter() < end:
                start = time.perf_counter()
                run()
                times.append(1e3 * (time.perf_counter() - start))
            answer = {"times": times}
        print(json.dumps(answer), file=answers, flush=True)


# --- the process that gives the turns ----------------------------------------------------------------------------------------


class PeerFailed(Exception):
    pass


class Peer:
    """One peer's process, stopped except while it answers."""

    def __init__(self, name, model, feeds_file, threads, log):
        self.log = log
        command = [sys.executable, __file__, "--work", name, str(model), str(feeds_file), str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(log, "w"), text=True)

    def ask(self, request, timeout):
        self.process.send_signal(signal.SIGCONT)
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            ready, _, _ = select.select([self.process.stdout], [], [], timeout)
            if not ready:
                raise PeerFailed(f"no answer within {timeout:.0f} s")
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            code = self.process.wait()
            last = (self.log.read_text().strip().splitlines() or ["no message"])[-1][:200]
            raise PeerFailed(f"killed by signal {-code}" if code < 0 else last)
        self.process.send_signal(signal.SIGSTOP)
        return json.loads(answer)

    def end(self):
        self.process.kill()
        self.process.wait()


def measure(name, options):
    """The row of one model: {"model", "shapes", peer: {min, p50, p90, build_s, peak_mb, error} or {"failed": why}}."""
    path = models.path(name)
    model = feeds.Model(path, name)
    shapes = {**model.shapes()[0], **feeds.parse_shapes(options.shape)}
    row = {"model": name if name in models.REAL else path.stem, "shapes": shapes}
    peers, times, outputs = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        np.savez(folder / "feeds.npz", **model.feeds(0, shapes))
        del model

        def attempt(peer, request, timeout):
            try:
                return peers[peer].ask(request, timeout)
            except PeerFailed as failure:
                row[peer] = {"failed": str(failure)}
                peers.pop(peer).end()
                return None

        for peer in options.peers:
            peers[peer] = Peer(peer, path, folder / "feeds.npz", options.threads, folder / f"{peer}.log")
            row[peer] = attempt(peer, {"build": str(folder / f"{peer}.npz")}, options.timeout) or row[peer]
            if peer in peers:
                with np.load(folder / f"{peer}.npz") as file:
                    outputs[peer] = {key: file[key] for key in file.files}
        order = list(peers)
        for _ in range(options.rounds):
            for peer in [p for p in order if p in peers]:
                answer = attempt(peer, {"turn": options.turn}, options.timeout)
                if answer:
                    times.setdefault(peer, []).extend(answer["times"])
            order.append(order.pop(0)) if order else None  # nobody always follows the same neighbour
        for peer in list(peers):
            peers.pop(peer).end()
            row[peer] |= {"min": float(np.min(times[peer])), "p50": float(np.percentile(times[peer], 50)),
                          "p90": float(np.percentile(times[peer], 90)), "runs": len(times[peer])}
            if "ort" in outputs and peer != "ort":
                both = [(outputs[peer].get(key), want) for key, want in outputs["ort"].items()]
                boxes = row["model"] in agreement.BOXES
                row[peer]["error"] = max(agreement.error(got, want, boxes)[0] if got is not None else math.inf for got, want in both)
    return row


def ratios(rows, first, other, key):
    return {row["model"]: row[other][key] / row[first][key] for row in rows if key in row[first] and key in row[other]}


def geomean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def header(peers):
    titles = [f"{NAMES[p]:^45}" for p in peers]
    columns = [f"{'min':>8} {'p50':>8} {'p90':>8} {'build s':>7} {'MB':>5} {'err':>5}" for _ in peers]
    return "\n".join([f"{'':26} | " + " | ".join(titles), f"{'model (ms)':26} | " + " | ".join(columns)])


def line(row, peers):
    def cell(entry):
        if "failed" in entry:
            return f"{'failed':<45}"
        error = f"{entry['error']:.0e}" if "error" in entry else ""
        return (f"{entry['min']:8.3f} {entry['p50']:8.3f} {entry['p90']:8.3f} {entry['build_s']:7.2f} {entry['peak_mb']:5.0f} "
                f"{error.replace('e-0', 'e-'):>5}")
    first = row[peers[0]]
    against = [f"{row[p]['min'] / first['min']:5.2f}x" if "min" in row[p] and "min" in first else "    -" for p in peers[1:]]
    return f"{row['model']:26} | " + " | ".join(cell(row[p]) for p in peers) + " | " + " ".join(against)


def summary(rows, peers):
    text = []
    for other in peers[1:]:
        for key in ("min", "p50"):
            all_ratios = ratios(rows, peers[0], other, key)
            if all_ratios:
                worst = min(all_ratios, key=all_ratios.get)
                text.append(f"{NAMES[peers[0]]} against {NAMES[other]}, {key}: geomean {geomean(all_ratios.values()):.2f}x, "
                            f"worst {all_ratios[worst]:.2f}x ({worst}), over {len(all_ratios)} models")
    for row in rows:
        text += [f"{row['model']}: {NAMES[p]} failed: {row[p]['failed']}" for p in peers if "failed" in row[p]]
    return "\n".join(text)


def main():
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--all", action="store_true", help="the real models and the 40 graphs")
    parser.add_argument("--graphs", action="store_true", help="the 40 graphs")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peers", default="carnot,ort,openvino", type=lambda text: text.split(","))
    parser.add_argument("--shape", action="append", metavar="NAME:1x3x224x224", help="an input's shape (default: batch 1)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turn", type=float, default=0.4, help="seconds of one turn")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for one answer of a peer")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    names = options.models + (list(models.REAL) if options.all else [])
    names += models.graph_names() if options.all or options.graphs else []
    unknown = [peer for peer in options.peers if peer not in PEERS]
    if unknown or not names:
        parser.error(f"no such peer: {unknown[0]} (there are {', '.join(PEERS)})" if unknown else "no model given")
    print(header(options.peers), flush=True)
    rows = []
    for name in names:
        rows.append(measure(name, options))
        print(line(rows[-1], options.peers), flush=True)
        if options.json:
            options.json.write_text(json.dumps({"threads": options.threads, "rows": rows}, indent=1))
    print(summary(rows, options.peers))
    return 1 if any("failed" in row[options.peers[0]] for row in rows) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except models.Unavailable as problem:
        print(f"compare_cpu: error: {problem}", file=sys.stderr)
        sys.exit(1)
