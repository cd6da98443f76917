#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The test graphs on a GPU against Carnot's CPU engines, and whatever test programs the bundle holds in tests/.

usage: test-gpu [MODEL...] [--precision fp32,fp16] [--models FOLDER] [--jobs 4] [--json FILE]

Each graph runs with two sets of inputs in turns, eagerly, recorded and replayed, from host memory. A row names the largest difference of all
outputs as a share of the output's range (fp32: at most 1e-4, fp16 and bf16: 1e-2, tf32: 2e-3), and the share of commands on the GPU (at
least 95 %). Where boxes are chosen by sorted scores, the scores are compared, not the order of boxes that tie.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import engine

BOUNDS = {"fp32": 1e-4, "tf32": 2e-3, "fp16": 1e-2, "bf16": 5e-2}
SORTED = {"ssdlite320"}
SHARE = 0.95


def compare(name, want, have):
    import numpy as np
    if name.split(".")[0] not in SORTED:
        return engine.error(want, have)
    if want.ndim != 1 or want.dtype.kind != "f":
        return 0.0
    n = min(want.size, have.size)
    return engine.error(np.sort(want)[::-1][:n], np.sort(have)[::-1][:n]) if n else 0.0


def check(args, name):
    """One graph in a process of its own; prints a row."""
    import feeds
    row = {"model": name}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        subprocess.run([sys.executable, str(args.models / "materialize.py"), str(folder), name], check=True, capture_output=True)
        path = folder / (name + ".onnx")
        model = feeds.Model(str(path), name)
        sets = [model.feeds(seed, model.shapes()[0]) for seed in (0, 1)]
        engine.build(path, folder / "cpu")
        cpu, want = engine.Session(folder / "cpu"), []
        for values in sets:
            for k, v in values.items():
                cpu.feed(k, v)
            cpu.run()
            want.append({o: cpu.get(o) for o in cpu.outputs})
        cpu.close()
        for precision in args.precision:
            result = row[precision] = {}
            try:
                result["build_s"] = round(engine.build(path, folder / "cuda", "--device", "cuda", "--precision", precision), 2)
                session = engine.Session(folder / "cuda")
                share, host = session.share_on_device()
                result.update(share=round(share, 4), host=host[:8], load_s=round(session.load_seconds, 2), error=0.0)
                for turn in range(6):
                    for k, v in sets[turn % 2].items():
                        session.feed(k, v)
                    session.run()
                    for o, w in want[turn % 2].items():
                        result["error"] = max(result["error"], compare(name, w, session.get(o)))
                session.close()
                result["good"] = result["error"] <= BOUNDS[precision] and share >= SHARE
            except RuntimeError as e:
                result.update(good=False, message=str(e)[:300])
    print("ROW " + json.dumps(row), flush=True)


def programs():
    """Test programs that need a device: every file of tests/ that can run."""
    good = True
    for program in sorted((engine.HERE / "tests").glob("*")):
        if not program.is_file() or not program.stat().st_mode & 0o100:
            continue
        done = subprocess.run([str(program)], env=engine.environment(), capture_output=True, text=True)
        print(f"{program.name}: {'passed' if done.returncode == 0 else 'FAILED'}: {(done.stdout.strip().splitlines() or [''])[-1]}", flush=True)
        if done.returncode:
            print(done.stdout[-2000:], done.stderr[-500:])
        good = good and done.returncode == 0
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--precision", default="fp32,fp16")
    parser.add_argument("--models", type=pathlib.Path, default=engine.HERE / "models")
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.precision = args.precision.split(",")
    engine.restart_with_libraries()
    if args.one:
        return check(args, args.names[0])
    names = args.names or sorted(p.stem for p in args.models.glob("*.onnx"))
    rows, good = [], programs()

    def one(name):
        done = subprocess.run([sys.executable, str(pathlib.Path(__file__).resolve()), name, "--one", "--precision", ",".join(args.precision), "--models", str(args.models)],
                              capture_output=True, text=True)
        for text in done.stdout.splitlines():
            if text.startswith("ROW "):
                return json.loads(text[4:])
        return {"model": name, "failed": f"ended with {done.returncode}: {done.stderr.strip()[-300:]}"}

    with ThreadPoolExecutor(args.jobs) as pool:
        for row in pool.map(one, names):
            rows.append(row)
            parts = [row["model"]]
            for p in args.precision:
                r = row.get(p, {"good": False, "message": row.get("failed", "")})
                good = good and r["good"]
                parts.append(f'{p} {"ok" if r["good"] else "FAILED"} {r.get("error", float("nan")):.1e} {100 * r.get("share", 0):.1f}% {r.get("message", "")}{" ".join(r.get("host", []))[:200]}')
            print(" | ".join(parts), flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))
    passed = sum(all(r.get(p, {}).get("good") for p in args.precision) for r in rows)
    print(f"{passed} graphs passed, {len(rows) - passed} failed")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
