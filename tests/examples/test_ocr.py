# SPDX-License-Identifier: Apache-2.0
"""The reader of examples/ocr, in C++ and in Python, on the pictures beside it whose text is known."""
import json
import math
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw

import models

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CARNOT_BUILD", ROOT / "build"))
OCR = ROOT / "examples" / "ocr"
TRUTH = {entry["picture"]: entry["lines"] for entry in json.loads((OCR / "pictures" / "truth.json").read_text())}
NETWORKS = ("ppocr_det", "ppocr_cls", "ppocr_rec")


def run(*command, **environment):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          env={**os.environ, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache with the three models and no engine."""
    folder = tmp_path_factory.mktemp("cache")
    (folder / "real").mkdir()
    for name, path in zip(NETWORKS, models.real(*NETWORKS)):
        (folder / "real" / f"{name}.onnx").symlink_to(path.resolve())
    return folder


def demo(cache, *pictures):
    return run(OCR / "demo.sh", *pictures, CARNOT_TEST_CACHE=str(cache), BUILD=str(BUILD), THREADS="2")


@pytest.fixture(scope="module")
def engines(cache):
    """The folder of the engines, built by the demo."""
    assert "building" in demo(cache, OCR / "pictures" / "upside_down.png")
    return cache / "demo"


def report_of(folder, *command):
    path = folder / "report.json"
    run(*command, "--threads", 2, "--json", path, *(OCR / "pictures" / name for name in TRUTH))
    return {entry["picture"]: entry for entry in json.loads(path.read_text())["pictures"]}


@pytest.fixture(scope="module")
def cpp(engines):
    return report_of(engines, BUILD / "ocr_reader", "--models", engines)


@pytest.fixture(scope="module")
def python(engines):
    return report_of(engines, sys.executable, OCR / "reader.py", "--models", engines)


@pytest.fixture(scope="module")
def ort(engines):
    return report_of(engines, sys.executable, OCR / "reader.py", "--engine", "ort", "--models", engines.parent / "real")


def texts(entry):
    return [line["text"] for line in entry["lines"]]


@pytest.mark.parametrize("picture", TRUTH)
def test_reads_what_is_written(cpp, picture):
    """Every line, in reading order; a known misread of the recogniser is written beside the truth."""
    assert texts(cpp[picture]) == [line.get("reads_as", line["text"]) for line in TRUTH[picture]]


def overlap(box, other):
    """Area of the intersection over that of the union."""
    a, b = (Image.new("1", (1000, 1100)) for _ in range(2))
    for image, corners in ((a, box), (b, other)):
        ImageDraw.Draw(image).polygon([tuple(p) for p in corners], fill=1)
    a, b = np.asarray(a), np.asarray(b)
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("picture", TRUTH)
def test_finds_the_lines_where_they_are(cpp, picture):
    """The true box is the ink alone, the reader's has a margin. Its first corner tells which way up the line was read."""
    for line, truth in zip(cpp[picture]["lines"], TRUTH[picture], strict=True):
        assert overlap(line["box"], truth["box"]) > 0.6, truth["text"]
        height = math.dist(truth["box"][0], truth["box"][3])
        assert math.dist(line["box"][0], truth["box"][0]) < 0.6 * height, truth["text"]


@pytest.mark.parametrize("other", ["python", "ort"])
def test_agrees_with(cpp, other, request):
    """C++ and Python under Carnot, and Python under ONNX Runtime: the same text, boxes and confidence."""
    other = request.getfixturevalue(other)
    for picture in TRUTH:
        assert texts(cpp[picture]) == texts(other[picture])
        for a, b in zip(cpp[picture]["lines"], other[picture]["lines"]):
            assert np.abs(np.subtract(a["box"], b["box"])).max() < 1, a["text"]
            assert abs(a["confidence"] - b["confidence"]) < 1e-3, a["text"]


def test_second_demo_starts_from_the_saved_engines(cache, engines):
    before = [(engines / f"{name}.engine").stat().st_mtime_ns for name in NETWORKS]
    output = demo(cache, OCR / "pictures" / "upside_down.png")
    assert "building" not in output and "and this line is upside down" in output
    assert before == [(engines / f"{name}.engine").stat().st_mtime_ns for name in NETWORKS]


def test_comparison_tells_a_difference(cpp, tmp_path):
    """compare.py exits with 1 when a text differs, and only then."""
    report = {"load": 1.0, "pictures": list(cpp.values())}
    (tmp_path / "a.json").write_text(json.dumps(report))
    assert "DIFFERENT" not in run(sys.executable, OCR / "compare.py", tmp_path / "a.json", tmp_path / "a.json")
    report["pictures"][0]["lines"][0]["text"] += "?"
    (tmp_path / "b.json").write_text(json.dumps(report))
    done = subprocess.run([sys.executable, OCR / "compare.py", tmp_path / "a.json", tmp_path / "b.json"],
                          capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout.count("DIFFERENT") == 1


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_what_is_no_picture_is_refused(engines, tmp_path, content):
    (tmp_path / "bad.png").write_bytes(content)
    done = subprocess.run([BUILD / "ocr_reader", "--models", engines, tmp_path / "bad.png"], capture_output=True, text=True)
    assert done.returncode == 1 and "bad.png: cannot read the picture" in done.stderr


def test_reader_uses_the_public_header_alone():
    """It can be compiled by somebody who has the header and the runtime library, and nothing else of Carnot."""
    includes = {line.split()[1].strip('"<>') for path in [*OCR.glob("*.cpp"), *OCR.glob("*.hpp")]
                for line in path.read_text().splitlines() if line.startswith("#include")}
    own = {path.name for path in OCR.glob("*.hpp")}
    assert {name for name in includes - own if "/" in name} <= {
        "carnot/carnot.hpp", "stb/stb_image.h", "stb/stb_image_write.h", "CLI/CLI.hpp", "nlohmann/json.hpp"}
