#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads the text in pictures with three networks: find lines, turn them upright, recognise them. The twin of reader.cpp.

FOLDER holds ppocr_{det,cls,rec}.engine (or .onnx; ONNX Runtime takes .onnx only).
A box is (centre, half of the line's width, half of its height), three vectors; the text runs along the second."""
import argparse, json, math, pathlib, time
import numpy as np
from PIL import Image

length = lambda v: math.hypot(*v)
ratio = lambda box: length(box[1]) / length(box[2])

class Network:
    def __init__(self, options, name):
        files = [pathlib.Path(options.models, f"ppocr_{name}.{kind}") for kind in ("engine", "onnx")]
        self.ms = 0
        if options.engine == "ort":
            import onnxruntime as ort
            settings = ort.SessionOptions()
            settings.intra_op_num_threads, settings.log_severity_level = options.threads, 3
            session = ort.InferenceSession(str(files[1]), settings, providers=["CPUExecutionProvider"])
            self.run, self.metadata = lambda x: session.run(None, {"x": x})[0], session.get_modelmeta().custom_metadata_map
        else:
            import carnot
            engine = carnot.load(next(file for file in files if file.exists()))
            session, self.metadata = engine.session(threads=options.threads), engine.metadata
            self.run = lambda x: next(iter(session.run({"x": x}).values()))

    def __call__(self, x):
        start, y = time.perf_counter(), self.run(x)
        self.ms += (time.perf_counter() - start) * 1e3
        return y

def sample(image, box, width, height):
    """The part of the picture under the box, bilinear, as planes for a network; where it shrinks, the mean of m x n samples."""
    centre, a, b = np.asarray(box, np.float64)
    n, m = (max(1, round(2 * length(v) / size)) for v, size in ((a, width), (b, height)))
    s, t = ((np.arange(size) + 0.5) * 2 / size - 1 for size in (width * n, height * m))
    at = np.clip(centre + s[None, :, None] * a + t[:, None, None] * b - 0.5, 0, [image.shape[1] - 1, image.shape[0] - 1]).astype(np.float32)
    low = at.astype(np.int32)
    (x, y), (fx, fy) = np.moveaxis(low, 2, 0), np.moveaxis(at - low, 2, 0)[..., None]
    x1, y1 = np.minimum(x + 1, image.shape[1] - 1), np.minimum(y + 1, image.shape[0] - 1)
    top, bottom = ((1 - fx) * image[r, x] + fx * image[r, x1] for r in (y, y1))
    pixels = ((1 - fy) * top + fy * bottom).reshape(height, m, width, n, 3).mean((1, 3))
    return (pixels / 127.5 - 1)[..., ::-1].transpose(2, 0, 1).astype(np.float32)  # the networks want blue first

def strip(image, box, width):
    """The box as the input of a network, 48 pixels high: cut or padded with grey on the right."""
    centre, a, b = box
    part, used = min(1, width / (48 * ratio(box))), min(width, math.ceil(48 * ratio(box)))
    return np.pad(sample(image, (centre + (part - 1) * a, part * a, b), used, 48), ((0, 0), (0, 0), (0, width - used)))

def components(mask):
    """The ends of the pixel rows of each 8-connected region: a list of (n, 2) arrays."""
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))))
    (y, x0), x1 = np.nonzero(edges > 0), np.nonzero(edges < 0)[1] - 1
    rows, pairs = np.searchsorted(y, np.arange(len(mask) + 1)), []
    for a, b, c in zip(rows, rows[1:], rows[2:]):  # runs a to b lie above b to c
        i, j = np.nonzero((x0[a:b, None] <= x1[b:c] + 1) & (x1[a:b, None] >= x0[b:c] - 1))
        pairs.append((i + a, j + b))
    i, j = np.concatenate(pairs, 1)
    label, before = np.arange(len(y)), None
    while before is None or (label != before).any():  # each run takes the least label among its neighbours, and that one's
        before = label.copy()
        np.minimum.at(label, i, before[j])
        np.minimum.at(label, j, label[i])
        label = label[label]
    ends = np.stack([np.r_[x0, x1], np.r_[y, y]], 1).astype(np.float64)
    return [np.unique(ends[np.tile(label == region, 2)], axis=0) for region in np.unique(label)]

def smallest_rectangle(points):
    """The rectangle of least area around the points, which are sorted; its first half side is the more horizontal one."""
    hull = []
    for side in (points, points[::-1]):
        half = []
        for p in side:
            while len(half) > 1 and np.linalg.det([half[-1] - half[-2], p - half[-2]]) <= 0:
                half.pop()
            half.append(p)
        hull += half[:-1]
    u = np.roll(hull, -1, 0) - hull
    u = u / np.hypot(*u.T)[:, None] if len(hull) > 1 else np.array([[1.0, 0.0]])
    u = np.where(abs(u[:, :1]) >= abs(u[:, 1:]), u, u[:, ::-1] * [-1, 1])
    u *= np.where(u[:, :1] >= 0, 1, -1)
    v = u[:, ::-1] * [-1, 1]
    (l, r), (t, b) = ((side.min(0), side.max(0)) for side in (np.array(hull or points) @ u.T, np.array(hull or points) @ v.T))
    k = np.argmax((r - l) * (b - t) <= ((r - l) * (b - t)).min() + 1e-6)
    return (l + r)[k] / 2 * u[k] + (t + b)[k] / 2 * v[k], (r - l)[k] / 2 * u[k], (b - t)[k] / 2 * v[k]

def find_lines(image, detector):
    """Boxes of the lines of text: regions of the detector's map, as rectangles, grown by what the map's outlines lack."""
    height, width = image.shape[:2]
    scale = min(max(1, 736 / min(height, width)), 2000 / max(height, width))
    h, w = (max(32, round(n * scale / 32) * 32) for n in (height, width))
    heat = detector(sample(image, ((width / 2, height / 2), (width / 2, 0), (0, height / 2)), w, h)[None])[0, 0]
    mask = heat > 0.3
    mask[1:] |= mask[:-1]  # closes gaps of one pixel; the mask's points are pixel corners from here on
    mask[:, 1:] |= mask[:, :-1]
    boxes = []
    for points in components(mask):
        centre, a, b = smallest_rectangle(points)
        la, lb = length(a), length(b)
        (x0, y0), (x1, y1) = points.min(0).astype(int), points.max(0).astype(int)
        d = np.stack(np.meshgrid(np.arange(x0, x1 + 1), np.arange(y0, y1 + 1)), 2) + 0.5 - centre
        inside = (abs(d @ a) <= la * la) & (abs(d @ b) <= lb * lb)
        if 2 * min(la, lb) < 3 or not inside.any() or heat[y0:y1 + 1, x0:x1 + 1][inside].mean(dtype=np.float64) < 0.5:
            continue
        grow = 2.0 * la * lb / (la + lb)
        a, b = a * (1 + grow / la), b * (1 + grow / lb)
        if lb + grow >= 1.5 * (la + grow):
            a, b = b, -a  # a tall box is a line that runs downwards
        boxes.append(tuple(v * (width / w, height / h) for v in (centre, a, b)))
    # Rows from top to bottom, each from left to right, seen along the median slope of the lines.
    slopes, rows = sorted(math.atan2(a[1], a[0]) for _, a, _ in boxes), []
    slope = slopes[len(slopes) // 2] if boxes and abs(slopes[len(slopes) // 2]) < math.pi / 4 else 0
    along, across = np.array([math.cos(slope), math.sin(slope)]), np.array([-math.sin(slope), math.cos(slope)])
    for box in sorted(boxes, key=lambda box: box[0] @ across):
        same = rows and (box[0] - rows[-1][0][0]) @ across < min(length(box[2]), length(rows[-1][0][2]))
        rows[-1].append(box) if same else rows.append([box])
    return [box for row in rows for box in sorted(row, key=lambda box: box[0] @ along)]

def turn_upright(image, boxes, classifier):
    """The boxes, turned by 180 degrees where the classifier is sure that the text is upside down. It sees how a line begins."""
    batches = [boxes[i:i + 6] for i in range(0, len(boxes), 6)]
    sure = [p for batch in batches for p in classifier(np.stack([strip(image, box, 192) for box in batch]))]
    return [(c, -a, -b) if up < down and down > 0.9 else (c, a, b) for (c, a, b), (up, down) in zip(boxes, sure)]

def recognise(image, boxes, recogniser, characters):
    """(text, confidence) of each box. Lines of similar length go together, for a batch is as wide as its longest."""
    lines, order = [None] * len(boxes), sorted(range(len(boxes)), key=lambda k: ratio(boxes[k]))
    for batch in (order[i:i + 6] for i in range(0, len(order), 6)):
        width = max(320, math.ceil(48 * ratio(boxes[batch[-1]]) / 32) * 32)
        for k, p in zip(batch, recogniser(np.stack([strip(image, boxes[k], width) for k in batch]))):
            best = p.argmax(1)
            kept = (best != 0) & np.insert(best[1:] != best[:-1], 0, True)  # 0 is the gap; a repeat is the same letter
            lines[k] = "".join(characters[c] for c in best[kept]), float(p.max(1)[kept].mean(dtype=np.float64)) if kept.any() else 0.0
    return lines

def read(path, networks):
    """({text, confidence, box: corners} of each line, milliseconds of each stage)"""
    image, start = np.asarray(Image.open(path).convert("RGB"), np.float32), time.perf_counter()
    before = {name: network.ms for name, network in networks.items()}
    boxes = turn_upright(image, find_lines(image, networks["det"]), networks["cls"])
    texts = recognise(image, boxes, networks["rec"], ["", *networks["rec"].metadata["character"].removesuffix("\n").split("\n"), " "])
    lines = [{"text": text, "confidence": sure, "box": [(c + i * a + j * b).tolist() for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))]}
             for (text, sure), (c, a, b) in zip(texts, boxes) if sure >= 0.5]
    total, ms = (time.perf_counter() - start) * 1e3, {name: network.ms - before[name] for name, network in networks.items()}
    return lines, {**ms, "other": total - sum(ms.values()), "total": total}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("--engine", choices=["carnot", "ort"], default="carnot")
    parser.add_argument("--models", metavar="FOLDER", default=".cache/demo")
    for name, default in (("--threads", 0), ("--repeat", 1)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--json")
    options, start = parser.parse_args(), time.perf_counter()
    networks = {name: Network(options, name) for name in ("det", "cls", "rec")}
    report = {"load": (time.perf_counter() - start) * 1e3, "pictures": []}
    print(f"ms: load {report['load']:.1f}")
    for path in map(pathlib.Path, options.pictures):
        lines, ms = min((read(path, networks) for _ in range(options.repeat)), key=lambda reading: reading[1]["total"])
        print(f"\n{path.name}")
        for line in lines:
            print(f"  {line['confidence']:.3f} ", *(f"{x:4.0f},{y:<4.0f}" for x, y in line["box"]), f" {line['text']}")
        print("  ms: " + "  ".join(f"{name} {value:.1f}" for name, value in ms.items()))
        report["pictures"].append({"picture": path.name, "lines": lines, "ms": ms})
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(report, ensure_ascii=False, indent=1))
