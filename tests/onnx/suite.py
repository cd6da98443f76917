#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The official ONNX backend tests, through carnot.backend.

usage: suite.py [--kind node] [--filter TEXT] [--out FILE] [--expanded]

Compares as the official runner does: equal shape and dtype, |got - want| <= 1e-7 + 1e-3 |want|. Each share of the tests runs in a
process of its own, so a crash is one failure. What cannot be imported counts as failed. FILE gets the failures by operator.
"""
import argparse
import collections
import os
import pathlib
import subprocess
import sys

import numpy as np
import onnx
from onnx import numpy_helper

DATA = pathlib.Path(onnx.__file__).parent / "backend" / "test" / "data"


def read(path, info):
    if info.type.WhichOneof("value") != "tensor_type":
        raise NotImplementedError(f"values of type {info.type.WhichOneof('value')}")
    tensor = onnx.TensorProto()
    tensor.ParseFromString(path.read_bytes())
    return numpy_helper.to_array(tensor)


def same(got, want):
    if got.shape != want.shape:
        return f"shape {got.shape}, expected {want.shape}"
    if got.dtype != want.dtype:
        return f"dtype {got.dtype}, expected {want.dtype}"
    if got.dtype.kind not in "biufc":
        got, want = got.astype(np.float32), want.astype(np.float32)
    if not np.allclose(got, want, rtol=1e-3, atol=1e-7, equal_nan=True):
        with np.errstate(all="ignore"):
            return f"differs by {np.nanmax(np.abs(got.astype(np.float64) - want.astype(np.float64))):.3g}"
    return ""


def run_one(folder):
    import carnot
    model = onnx.load(folder / "model.onnx")
    prepared = carnot.backend.prepare(model)
    constants = {tensor.name for tensor in model.graph.initializer}
    feeds = [info for info in model.graph.input if info.name not in constants]
    for case in sorted(folder.glob("test_data_set_*")):
        inputs = {info.name: read(case / f"input_{i}.pb", info) for i, info in enumerate(feeds)}
        outputs = prepared.run(inputs)
        for i, info in enumerate(model.graph.output):
            problem = same(np.asarray(outputs[i]), read(case / f"output_{i}.pb", info))
            if problem:
                return f"output {info.name}: {problem}"
    return ""


def run_share(folders):
    for folder in folders:
        print(f"BEGIN {folder.name}", flush=True)
        try:
            problem = run_one(folder)
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        print(f"END {folder.name} {'ok' if not problem else problem.splitlines()[0][:300]}", flush=True)


def folders_of(kind):
    return [folder for folder in sorted((DATA / kind).iterdir()) if (folder / "model.onnx").exists()]


def run_all(folders):
    results, left = {}, list(folders)
    while left:
        share = left[:200]
        done = subprocess.run([sys.executable, __file__, "--share", *map(str, share)], capture_output=True, text=True, timeout=900,
                              env=dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path))))
        current = None
        for line in done.stdout.splitlines():
            word, _, rest = line.partition(" ")
            if word == "BEGIN":
                current = rest
            elif word == "END":
                name, _, verdict = rest.partition(" ")
                results[name], current = verdict, None
        if current:
            results[current] = f"crashed with status {done.returncode}"
        elif done.returncode:
            raise SystemExit(done.stderr)
        left = [folder for folder in left if folder.name not in results]
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", default="node")
    parser.add_argument("--filter", default="")
    parser.add_argument("--out")
    parser.add_argument("--expanded", action="store_true", help="the *_expanded tests too")
    parser.add_argument("--share", nargs="*")
    options = parser.parse_args()
    if options.share is not None:
        return run_share(map(pathlib.Path, options.share))
    folders = [f for f in folders_of(options.kind) if options.filter in f.name]
    if not options.expanded:
        folders = [f for f in folders if "_expanded" not in f.name]
    results = run_all(folders)
    failed = collections.defaultdict(list)
    for folder in folders:
        if results[folder.name] != "ok":
            model = onnx.load(folder / "model.onnx")
            operators = collections.Counter(node.op_type for node in model.graph.node)
            name = next((op for op in operators if op.lower() in folder.name.replace("_", "")), model.graph.node[0].op_type)
            failed[name].append(f"  {folder.name}: {results[folder.name]}")
    passed = sum(verdict == "ok" for verdict in results.values())
    lines = [f"{passed} of {len(folders)} passed, {len(folders) - passed} failed"]
    for name, rows in sorted(failed.items(), key=lambda item: -len(item[1])):
        lines += [f"{name}: {len(rows)}", *rows]
    print(lines[0])
    if options.out:
        pathlib.Path(options.out).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
