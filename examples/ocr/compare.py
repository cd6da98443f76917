#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints two reports of the reader (--json) side by side: Carnot's and ONNX Runtime's. Exits with 1 if a text differs.

usage: compare.py CARNOT.json ORT.json
"""
import json
import pathlib
import sys

STAGES = ("det", "cls", "rec")


def main(ours_path, theirs_path):
    ours, theirs = (json.loads(pathlib.Path(path).read_text()) for path in (ours_path, theirs_path))
    print("\nmilliseconds in each network, Carnot / ONNX Runtime (the work on pixels around them is not counted)\n")
    print(f"{'picture':18}" + "".join(f"{stage:>18}" for stage in (*STAGES, "all three")) + "  speed  texts")
    sums, different = [0.0] * 8, 0
    for a, b in zip(ours["pictures"], theirs["pictures"], strict=True):
        same = [line["text"] for line in a["lines"]] == [line["text"] for line in b["lines"]]
        different += not same
        times = [report["ms"][stage] for stage in STAGES for report in (a, b)]
        times += [sum(times[0::2]), sum(times[1::2])]
        sums = [x + y for x, y in zip(sums, times)]
        row(a["picture"], times, f"{len(a['lines'])} {'identical' if same else 'DIFFERENT'}")
    row("sum", sums, "")
    print(f"\nloading the three networks: {ours['load']:.0f} / {theirs['load']:.0f} ms")
    return 1 if different else 0


def row(name, times, texts):
    pairs = "".join(f"{f'{a:.1f} / {b:.1f}':>18}" for a, b in zip(times[0::2], times[1::2]))
    print(f"{name:18}{pairs}  {times[-1] / times[-2]:4.2f}x  {texts}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
