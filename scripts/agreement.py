# SPDX-License-Identifier: Apache-2.0
"""When do two implementations agree on an output?

The error of an output is the largest absolute difference divided by the output's range: the width of the interval that holds
its values and zero. Integers and booleans must be equal, shapes, types and the places of NaN and infinity too.
"""
import numpy as np

TOLERANCE = 2e-5
# Where two correct implementations differ by more. PP-OCRv4's detector ends in a steep sigmoid (the differentiable
# binarisation of DBNet): it takes logits from -160 to 94, so that an error of 1e-6 of their range, 2e-4, is up to 5e-5 of an output that
# lies between 0 and 1. Against the network in float64, on pages of text of 192x416, Carnot is off by 3.8e-5, OpenVINO by 3.3e-5 and ONNX
# Runtime by 1.5e-5; no layer stands out, the errors grow evenly from 1e-7 to 1e-6 (root mean square, relative) with the sums. The logits
# themselves differ by 2e-6 of their range at most (test_real_inputs.py).
TOLERANCES = {"ppocr_det": 1e-4}
# Outputs that are lists of boxes, best first. Equal scores may come in any order, so boxes are paired before comparing.
BOXES = {"ssdlite320.ts"}


def error(got, want, boxes=False):
    """(error, "") of one output against the wanted array; (infinity, why) where the two cannot be compared."""
    if got.dtype != want.dtype or got.shape != want.shape:
        return float("inf"), f"is {got.dtype}{list(got.shape)}, not {want.dtype}{list(want.shape)}"
    if want.size == 0:
        return 0.0, ""
    if want.dtype.kind not in "f":
        equal = np.array_equal(got, want)
        return (0.0, "") if equal else (float("inf"), f"{int((got != want).sum())} of {want.size} values differ")
    got, want = got.astype(np.float64), want.astype(np.float64)
    if boxes:
        got = paired(got, want)
    finite = np.isfinite(want)
    if not np.array_equal(got[~finite], want[~finite], equal_nan=True) or not np.isfinite(got[finite]).all():
        return float("inf"), "NaN or infinity in other places"
    if not finite.any():
        return 0.0, ""
    reach = max(want[finite].max(), 0.0) - min(want[finite].min(), 0.0)
    difference = np.abs(got[finite] - want[finite]).max()
    return (float(difference / reach) if reach else float(difference)), ""


def paired(got, want):
    """The rows of `got` in the order of the nearest rows of `want`, each used once."""
    left, order = list(range(len(got))), []
    for row in want:
        nearest = min(left, key=lambda i: np.abs(got[i] - row).max())
        left.remove(nearest)
        order.append(nearest)
    return got[order]
