#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares Carnot with ONNX Runtime on whole models.

usage: compare.py [MODEL...] [--all] [--seeds 3] [--shape NAME:1x3x224x224] [--tol 2e-5] [--json FILE]

MODEL is a name of `scripts/models.py list` or an ONNX file. Each model runs in a process of its own (a crash or a hang is
a row of the table) at every shape that scripts/feeds.py knows for it, with --seeds different inputs. The error is that of
scripts/agreement.py: the largest absolute difference divided by the output's range.
Build times are those of Carnot's build and of ONNX Runtime's session; memory (MB) is that of a run of the saved engine in a
process of its own.
"""
import argparse
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import agreement
import feeds
import models
BUILD = pathlib.Path(os.environ.get("CARNOT_BUILD", ROOT / "build"))
THREADS = 2
# What a run may take, in bytes: 1.3 times its weights and activations, and 30 MB for code, stacks and the allocator.
MEMORY_FACTOR, MEMORY_EXTRA = 1.3, 30e6


def compare_one(name, seeds, shapes, engine_file, twice):
    """Runs both on one model in this process; the result is a dict for JSON."""
    import onnxruntime
    path = models.path(name)
    model = feeds.Model(path, name)
    variants = [{**variant, **shapes} for variant in (model.shapes()[:1] if shapes else model.shapes())]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.log_severity_level = 3
    # Its idle threads must not take the time that the build of the other is measured by.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    start = time.perf_counter()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    row = {"model": name, "ort_session_s": time.perf_counter() - start, "cases": [], "worst": 0.0, "problems": []}
    outputs = [output.name for output in session.get_outputs()]
    cases = []
    for variant in variants:
        for seed in range(seeds):
            values = model.feeds(seed, variant)
            try:
                cases.append((variant, seed, values, session.run(None, values)))
            except Exception as refusal:  # what ONNX Runtime refuses cannot be compared
                row["cases"].append({"shapes": variant, "seed": seed, "ort": str(refusal)[:200]})
                break
    del session

    import carnot
    start = time.perf_counter()
    engine = carnot.build(str(path), device="cpu")
    row["build_s"] = time.perf_counter() - start
    engine.save(str(engine_file))
    if twice:
        again = engine_file.with_suffix(".again")
        carnot.build(str(path), device="cpu").save(str(again))
        digests = [hashlib.sha256(file.read_bytes()).digest() for file in (engine_file, again)]
        again.unlink()
        if digests[0] != digests[1]:
            row["problems"].append("a second build gives other bytes")
    start = time.perf_counter()
    engine = carnot.load(str(engine_file))
    row["load_s"] = time.perf_counter() - start
    run = engine.session(threads=THREADS)
    import numpy as np
    first = cases[0][2]
    np.savez(engine_file.with_suffix(".npz"), **first)
    boxes = name in agreement.BOXES
    for variant, seed, values, wanted in cases:
        case = {"shapes": variant, "seed": seed}
        row["cases"].append(case)
        try:
            got = run.run(values)
        except Exception as refusal:
            case["refused"] = str(refusal).splitlines()[0][:300]
            row["problems"].append(f"{variant}: {case['refused']}")
            row["worst"] = float("inf")
            continue
        case["errors"] = {}
        for output, want in zip(outputs, wanted):
            size, reason = agreement.error(np.asarray(got[output]), want, boxes) if output in got else (float("inf"), "missing")
            case["errors"][output] = size
            row["worst"] = max(row["worst"], size)
            if reason:
                row["problems"].append(f"{variant} seed {seed}: output {output} {reason}")
    return row


def memory(engine_file):
    """Peak, weights and activations (bytes) of a run of the engine with the first inputs that were compared, see footprint.py."""
    import numpy as np
    command = [sys.executable, "-S", str(pathlib.Path(__file__).with_name("footprint.py")), str(BUILD / "libcarnot.so"),
               str(engine_file), str(THREADS)]
    with np.load(engine_file.with_suffix(".npz")) as values:
        for index, name in enumerate(values.files):
            file = engine_file.with_suffix(f".{index}.npy")
            np.save(file, values[name])
            command.append(f"{name}={file}")
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1])
    return json.loads(done.stdout)


def check(name, seeds=3, shapes=None, timeout=900, twice=False, want_memory=True):
    """The row of one model, measured in a child process. row["problems"] is empty when all is well but the error size."""
    with tempfile.TemporaryDirectory() as folder:
        engine_file = pathlib.Path(folder) / "model.engine"
        request = {"name": name, "seeds": seeds, "shapes": shapes or {}, "engine": str(engine_file), "twice": twice}
        row = {"model": name, "worst": float("inf"), "problems": []}
        try:
            done = subprocess.run([sys.executable, __file__, "--one", json.dumps(request)], capture_output=True, text=True,
                                  stdin=subprocess.DEVNULL, timeout=timeout)
        except subprocess.TimeoutExpired:
            row["problems"].append(f"did not end within {timeout} s")
            return row
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            row["problems"].append(f"killed by signal {-done.returncode}: {last}" if done.returncode < 0 else last)
            return row
        row = json.loads(done.stdout.strip().splitlines()[-1])
        if want_memory:
            try:
                row |= memory(engine_file)
                limit = MEMORY_FACTOR * (row["weights"] + row["activations"]) + MEMORY_EXTRA
                if row["peak"] > limit:
                    row["problems"].append(f"a run takes {row['peak'] / 1e6:.0f} MB, more than {limit / 1e6:.0f}")
            except (RuntimeError, OSError, subprocess.TimeoutExpired) as problem:
                row["problems"].append(f"memory: {problem}")
        return row


def agrees(row, tolerance=agreement.TOLERANCE):
    """Everything was compared, nothing was refused, and no output is further off than it may be."""
    return not row["problems"] and row["worst"] <= max(tolerance, agreement.TOLERANCES.get(row["model"], 0))


def line(row):
    number = lambda key, form: format(row[key], form) if key in row else f"{'-':>7}"
    megabytes = lambda key: f"{row[key] / 1e6:7.0f}" if key in row else f"{'-':>7}"
    compared = sum("errors" in case for case in row.get("cases", ()))
    return (f"{row['model']:26} {row['worst']:8.1e} {compared:5}  {number('build_s', '7.2f')} {number('ort_session_s', '7.2f')} "
            f"{number('load_s', '7.3f')} {megabytes('weights')} {megabytes('activations')} {megabytes('peak')}  {'; '.join(row['problems'])[:200]}")


def main():
    if sys.argv[1:2] == ["--one"]:
        request = json.loads(sys.argv[2])
        row = compare_one(request["name"], request["seeds"], {k: tuple(v) for k, v in request["shapes"].items()},
                          pathlib.Path(request["engine"]), request["twice"])
        print(json.dumps(row), flush=True)
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--all", action="store_true", help="the real models and all graphs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shape", action="append", metavar="NAME:1x3x224x224", help="one input's shape, instead of the usual ones")
    parser.add_argument("--tol", type=float, default=agreement.TOLERANCE)
    parser.add_argument("--timeout", type=float, default=900, help="seconds for one model")
    parser.add_argument("--twice", action="store_true", help="also build again and compare the bytes")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    names = options.models or ([*models.REAL, *models.graph_names()] if options.all else parser.error("no model given"))
    print(f"{'model':26} {'error':>8} {'cases':>5}  {'build s':>7} {'ort s':>7} {'load s':>7} {'weights':>7} {'activ.':>7} {'peak MB':>7}")
    rows = []
    for name in names:
        rows.append(check(name, options.seeds, feeds.parse_shapes(options.shape), options.timeout, options.twice,
                          not options.no_memory))
        print(line(rows[-1]), flush=True)
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1))
    bad = [row["model"] for row in rows if not agrees(row, options.tol)]
    print(f"{len(rows) - len(bad)} of {len(rows)} models agree within {options.tol:g}", *(["; not:", *bad] if bad else []))
    return 1 if bad else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except models.Unavailable as problem:
        print(f"compare: error: {problem}", file=sys.stderr)
        sys.exit(1)
