#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads the text in pictures with three networks: find lines, turn them upright, recognise them. The twin of reader.cpp.

usage: reader.py [--engine carnot|ort] [--models FOLDER] [--threads N] [--repeat N] [--json FILE] PICTURE...

FOLDER holds ppocr_{det,cls,rec}.engine (or .onnx; ONNX Runtime takes .onnx only).
A box is (centre, half of the line's width, half of its height), three vectors; the text runs along the second.
"""
import argparse, json, math, pathlib, time
import numpy as np
from PIL import Image


def network(options, name):
    """(run, metadata) of one network: run takes the only input and gives the only output."""
    path = lambda kind: next((p for p in [pathlib.Path(options.models, f"ppocr_{name}.{kind}")] if p.exists()), None)
    if options.engine == "ort":
        import onnxruntime as ort
        settings = ort.SessionOptions()
        settings.intra_op_num_threads, settings.log_severity_level = options.threads, 3
        session = ort.InferenceSession(str(path("onnx")), settings, providers=["CPUExecutionProvider"])
        return (lambda x: session.run(None, {"x": x})[0]), session.get_modelmeta().custom_metadata_map
    import carnot
    engine = carnot.load(str(path("engine") or path("onnx")))
    session = engine.session(threads=options.threads)
    return (lambda x: next(iter(session.run({"x": x}).values()))), engine.metadata


def sample(image, box, width, height):
    """The part of the picture under the box, width x height, bilinear; where it shrinks, the mean of m x n samples."""
    centre, a, b = (np.asarray(v, np.float64) for v in box)
    n, m = (max(1, round(2 * math.hypot(*v) / size)) for v, size in ((a, width), (b, height)))
    s = ((np.arange(width * n) + 0.5) * 2 / (width * n) - 1)[None, :, None]
    t = ((np.arange(height * m) + 0.5) * 2 / (height * m) - 1)[:, None, None]
    at = np.clip(centre + s * a + t * b - 0.5, 0, [image.shape[1] - 1, image.shape[0] - 1]).astype(np.float32)
    low = at.astype(np.int32)
    (x, y), (fx, fy) = np.moveaxis(low, 2, 0), np.moveaxis(at - low, 2, 0)[..., None]
    x1, y1 = np.minimum(x + 1, image.shape[1] - 1), np.minimum(y + 1, image.shape[0] - 1)
    top, bottom = ((1 - fx) * image[r, x] + fx * image[r, x1] for r in (y, y1))
    return ((1 - fy) * top + fy * bottom).reshape(height, m, width, n, 3).mean((1, 3))


def normalise(pixels):
    return ((pixels / 127.5 - 1)[..., ::-1]).transpose(2, 0, 1).astype(np.float32)  # the networks want blue first


def components(mask):
    """The ends of the pixel rows of each 8-connected region: a list of (n, 2) arrays."""
    parent, runs, above = [], [], []

    def root(i):
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    for y in np.flatnonzero(mask.any(1)):
        edges = np.flatnonzero(np.diff(np.pad(mask[y].astype(np.int8), 1)))
        row = [(y, x0, x1 - 1, len(runs) + k) for k, (x0, x1) in enumerate(edges.reshape(-1, 2))]
        runs += row
        parent += [r[3] for r in row]
        for _, x0, x1, i in row:
            for v, u0, u1, j in above:
                if v == y - 1 and u0 <= x1 + 1 and u1 >= x0 - 1:
                    low, high = sorted((root(i), root(j)))
                    parent[high] = low
        above = row
    regions = {}
    for y, x0, x1, i in runs:
        regions.setdefault(root(i), []).extend([(x0, y), (x1, y)])
    return [np.array(sorted(set(points)), np.float64) for points in regions.values()]


def smallest_rectangle(points):
    """The rectangle of least area around the points; its first half side is the more horizontal one."""
    cross = lambda o, p, q: (p[0] - o[0]) * (q[1] - o[1]) - (p[1] - o[1]) * (q[0] - o[0])
    hull = []
    for side in (points, points[::-1]):
        half = []
        for p in side:
            while len(half) > 1 and cross(half[-2], half[-1], p) <= 0:
                half.pop()
            half.append(p)
        hull += half[:-1]
    best = (math.inf,)
    for p, q in zip(hull, hull[1:] + hull[:1]):
        if (length := math.hypot(*(q - p))) == 0:
            continue
        u = (q - p) / length
        u = u if abs(u[0]) >= abs(u[1]) else np.array([-u[1], u[0]])
        u = u if u[0] >= 0 else -u
        v = np.array([-u[1], u[0]])
        along, across = np.array(hull) @ u, np.array(hull) @ v
        (l, r), (t, b) = (along.min(), along.max()), (across.min(), across.max())
        if (r - l) * (b - t) < best[0] - 1e-6:
            best = ((r - l) * (b - t), (l + r) / 2 * u + (t + b) / 2 * v, (r - l) / 2 * u, (b - t) / 2 * v)
    return best[1:]


def find_lines(image, detector):
    """Boxes of the lines of text: regions of the detector's map, as rectangles, grown by what the map's outlines lack."""
    height, width = image.shape[:2]
    scale = min(max(1, 736 / min(height, width)), 2000 / max(height, width))
    h, w = (max(32, round(n * scale / 32) * 32) for n in (height, width))
    whole = ((width / 2, height / 2), (width / 2, 0), (0, height / 2))
    heat = detector(normalise(sample(image, whole, w, h))[None])[0, 0]
    mask = heat > 0.3
    mask[1:] |= mask[:-1]  # closes gaps of one pixel; the mask's points are pixel corners from here on
    mask[:, 1:] |= mask[:, :-1]
    boxes = []
    for points in components(mask):
        centre, a, b = smallest_rectangle(points)
        la, lb = math.hypot(*a), math.hypot(*b)
        if 2 * min(la, lb) < 3:
            continue
        (x0, y0), (x1, y1) = points.min(0).astype(int), points.max(0).astype(int)
        d = np.stack(np.meshgrid(np.arange(x0, x1 + 1), np.arange(y0, y1 + 1)), 2) + 0.5 - centre
        inside = (abs(d @ a) <= la * la) & (abs(d @ b) <= lb * lb)
        if not inside.any() or heat[y0:y1 + 1, x0:x1 + 1][inside].mean(dtype=np.float64) < 0.5:
            continue
        grow = 2.0 * la * lb / (la + lb)
        a, b = a * (1 + grow / la), b * (1 + grow / lb)
        if lb + grow >= 1.5 * (la + grow):
            a, b = b, -a  # a tall box is a line that runs downwards
        boxes.append(tuple(v * (width / w, height / h) for v in (centre, a, b)))
    return in_reading_order(boxes)


def in_reading_order(boxes):
    """Rows from top to bottom, each from left to right, seen along the median slope of the lines."""
    slopes = sorted(math.atan2(a[1], a[0]) for _, a, _ in boxes)
    slope = slopes[len(slopes) // 2] if boxes else 0
    slope = slope if abs(slope) < math.pi / 4 else 0
    along, across = np.array([math.cos(slope), math.sin(slope)]), np.array([-math.sin(slope), math.cos(slope)])
    rows = []
    for box in sorted(boxes, key=lambda box: box[0] @ across):
        if rows and (box[0] - rows[-1][0][0]) @ across < min(math.hypot(*box[2]), math.hypot(*rows[-1][0][2])):
            rows[-1].append(box)
        else:
            rows.append([box])
    return [box for row in rows for box in sorted(row, key=lambda box: box[0] @ along)]


def turn_upright(image, boxes, classifier):
    """The boxes, turned by 180 degrees where the classifier is sure that the text is upside down. It sees how a line begins."""
    turned = []
    for i in range(0, len(boxes), 6):
        p = classifier(np.stack([strip(image, box, 192) for box in boxes[i:i + 6]]))
        turned += [(c, -a, -b) if up < down and down > 0.9 else (c, a, b) for (c, a, b), (up, down) in zip(boxes[i:], p)]
    return turned


def strip(image, box, width):
    """The box as the input of a network, 48 pixels high: cut or padded with grey on the right."""
    centre, a, b = box
    ratio = math.hypot(*a) / math.hypot(*b)
    part = min(1, width / (48 * ratio))
    box, used = (centre + (part - 1) * a, part * a, b), min(width, math.ceil(48 * ratio))
    return np.pad(normalise(sample(image, box, used, 48)), ((0, 0), (0, 0), (0, width - used)))


def recognise(image, boxes, recogniser, characters):
    """(text, confidence) of each box. Lines of similar length go together, for a batch is as wide as its longest."""
    lines = [None] * len(boxes)
    ratio = [math.hypot(*a) / math.hypot(*b) for _, a, b in boxes]
    order = sorted(range(len(boxes)), key=ratio.__getitem__)
    for i in range(0, len(order), 6):
        batch = order[i:i + 6]
        width = max(320, math.ceil(48 * ratio[batch[-1]] / 32) * 32)
        for k, p in zip(batch, recogniser(np.stack([strip(image, boxes[k], width) for k in batch]))):
            best = p.argmax(1)
            kept = (best != 0) & np.insert(best[1:] != best[:-1], 0, True)  # 0 is the gap; a repeat is the same letter
            score = p[np.arange(len(best)), best][kept]
            lines[k] = "".join(characters[c] for c in best[kept]), float(score.mean(dtype=np.float64)) if len(score) else 0.0
    return lines


class Reader:
    def __init__(self, options):
        start, self.ms = time.perf_counter(), {}
        (self.det, _), (self.cls, _), (self.rec, metadata) = (self.timed(n, *network(options, n)) for n in ("det", "cls", "rec"))
        self.characters = ["", *metadata["character"].removesuffix("\n").split("\n"), " "]
        self.load_ms = (time.perf_counter() - start) * 1e3

    def timed(self, name, run, metadata):
        def timed_run(x):
            start = time.perf_counter()
            y = run(x)
            self.ms[name] = self.ms.get(name, 0) + (time.perf_counter() - start) * 1e3
            return y
        return timed_run, metadata

    def read(self, path):
        """({text, confidence, box: corners} of each line, milliseconds of each stage)"""
        image, self.ms, start = np.asarray(Image.open(path).convert("RGB"), np.float32), {}, time.perf_counter()
        boxes = turn_upright(image, find_lines(image, self.det), self.cls)
        texts = recognise(image, boxes, self.rec, self.characters)
        lines = [{"text": text, "confidence": sure, "box": [(c + i * a + j * b).tolist() for i, j in CORNERS]}
                 for (text, sure), (c, a, b) in zip(texts, boxes) if sure >= 0.5]
        total = (time.perf_counter() - start) * 1e3
        ms = {name: self.ms.get(name, 0.0) for name in ("det", "cls", "rec")}
        return lines, {**ms, "other": total - sum(ms.values()), "total": total}


CORNERS = [(-1, -1), (1, -1), (1, 1), (-1, 1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("--engine", choices=["carnot", "ort"], default="carnot")
    parser.add_argument("--models", default=".cache/demo")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--json")
    options = parser.parse_args()
    reader = Reader(options)
    report = {"load": reader.load_ms, "pictures": []}
    print(f"ms: load {reader.load_ms:.1f}")
    for path in options.pictures:
        lines, ms = min((reader.read(path) for _ in range(options.repeat)), key=lambda reading: reading[1]["total"])
        print(f"\n{pathlib.Path(path).name}")
        for line in lines:
            print(f"  {line['confidence']:.3f} ", *(f"{x:4.0f},{y:<4.0f}" for x, y in line["box"]), f" {line['text']}")
        print("  ms: " + "  ".join(f"{name} {value:.1f}" for name, value in ms.items()))
        report["pictures"].append({"picture": pathlib.Path(path).name, "lines": lines, "ms": ms})
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(report, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
