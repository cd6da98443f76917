#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the narrow precisions of Carnot with its own fp32 on whole models.

usage: precision.py [MODEL...] [--all] [--types fp16,bf16] [--seconds 0.5]

MODEL is a name of `scripts/models.py list`. The error is that of scripts/agreement.py against the fp32 engine on one input;
size and time are shares of the fp32 engine's, times the least of two turns each. --seconds 0 leaves times out.
"""
import argparse
import os
import pathlib
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import agreement
import feeds
import models
BUILD = pathlib.Path(os.environ.get("CARNOT_BUILD", ROOT / "build"))
sys.path.insert(0, str(BUILD / "python"))
THREADS = 2


def least(session, values, seconds):
    """Seconds of the quickest of the runs that fit in so much time."""
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        session.run(values)
        best = min(best, time.perf_counter() - start)
    return best


def check(name, types=("fp16", "bf16"), seconds=0.0):
    """{type: {error, why, size, time}} of one model; time is absent without seconds."""
    import carnot
    path = models.path(name)
    model = feeds.Model(path, name)
    values = model.feeds(0, model.shapes()[0])
    rows, sessions, outputs, sizes = {}, {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for precision in ("fp32", *types):
            engine = carnot.build(str(path), precision=precision)
            file = pathlib.Path(folder) / "model.engine"
            engine.save(str(file))
            sizes[precision] = file.stat().st_size
            sessions[precision] = engine.session(threads=THREADS)
            outputs[precision] = sessions[precision].run(values)
    times = dict.fromkeys(sessions, float("inf"))
    if seconds:
        for _ in range(2):
            for precision, session in sessions.items():
                times[precision] = min(times[precision], least(session, values, seconds))
    for precision in types:
        errors = [agreement.error(outputs[precision][key], wanted, name in agreement.BOXES) for key, wanted in outputs["fp32"].items()]
        error, why = max(errors)
        rows[precision] = {"error": error, "why": why, "size": sizes[precision] / sizes["fp32"]}
        if seconds:
            rows[precision]["time"] = times[precision] / times["fp32"]
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--all", action="store_true", help="the 40 graphs")
    parser.add_argument("--types", default="fp16,bf16")
    parser.add_argument("--seconds", type=float, default=0.5, help="of timing a type and turn")
    a = parser.parse_args()
    print(f"{'model':28} {'type':5} {'error':>8} {'size':>6} {'time':>6}")
    for name in models.graph_names() if a.all else a.models:
        for precision, row in check(name, a.types.split(","), a.seconds).items():
            print(f"{name:28} {precision:5} {row['error']:8.1e} {row['size']:6.2f} {row.get('time', float('nan')):6.2f} {row['why']}", flush=True)


if __name__ == "__main__":
    main()
