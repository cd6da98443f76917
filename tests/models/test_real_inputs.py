# SPDX-License-Identifier: Apache-2.0
"""The trained models on what they were trained for: text, files, sound and pictures. What a user would read off the outputs
(characters, classes, speech, notes, boxes) must be the same as with ONNX Runtime, and where the truth is known, true."""
import pathlib

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image, ImageDraw, ImageFont

import agreement
import feeds
import models

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Pair:
    """One model under Carnot and ONNX Runtime; run() gives both output lists."""

    def __init__(self, name):
        import carnot
        path = str(models.real(name)[0])
        self.theirs = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.ours = carnot.build(path, device="cpu").session(threads=2)
        self.outputs = [output.name for output in self.theirs.get_outputs()]

    def run(self, **values):
        values = {name.replace("__", ":"): value for name, value in values.items()}
        got = self.ours.run(values)
        return [np.asarray(got[name]) for name in self.outputs], self.theirs.run(None, values)


def rendered(text, size=32):
    """A line of dark text on a light ground, 48 pixels high, as the recogniser wants it: BGR planes in -1..1."""
    font = ImageFont.load_default(size)
    picture = Image.new("RGB", (int(font.getlength(text)) + 24, 48), "white")
    ImageDraw.Draw(picture).text((12, 4), text, fill=(20, 20, 60), font=font)
    return (np.asarray(picture, np.float32)[:, :, ::-1].transpose(2, 0, 1)[None] / 255 - 0.5) / 0.5


def decoded(probabilities, characters):
    """Greedy CTC: the best class of each column, repeats and blanks (class 0) dropped."""
    best = probabilities[0].argmax(axis=1)
    kept = [b for i, b in enumerate(best) if b and (i == 0 or b != best[i - 1])]
    return "".join(characters[b - 1] for b in kept).strip()


def test_recogniser_reads_lines_of_different_widths():
    pair = Pair("ppocr_rec")
    metadata = {entry.key: entry.value for entry in onnx.load(models.real("ppocr_rec")[0]).metadata_props}
    characters = metadata["character"].splitlines() + [" "]
    for text in ("Carnot", "Hello World", "Invoice 2024/07/31", "The quick brown fox jumps over", "12,345.67 EUR"):
        got, want = pair.run(x=rendered(text))
        assert decoded(got[0], characters) == decoded(want[0], characters) == text


def test_detector_marks_the_same_pixels():
    """The pixels over the detector's threshold are the text boxes."""
    pair = Pair("ppocr_det")
    for width, height, size in ((320, 160, 18), (480, 320, 28)):
        picture = Image.new("RGB", (width, height), "white")
        for top in range(10, height - size, size + 22):
            ImageDraw.Draw(picture).text((14, top), "Heat into work", fill="black", font=ImageFont.load_default(size))
        planes = np.asarray(picture, np.float32)[:, :, ::-1].transpose(2, 0, 1) / 255
        mean, deviation = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], np.float32)[:, :, None, None]
        got, want = pair.run(x=((planes - mean) / deviation)[None])
        assert (want[0] > 0.3).mean() > 0.02
        assert np.array_equal(got[0] > 0.3, want[0] > 0.3)


@pytest.mark.parametrize("shape", [(1, 3, 320, 320), (1, 3, 192, 416), (2, 3, 64, 96)])
def test_detector_is_exact_before_its_sigmoid(shape, tmp_path):
    """Its outputs have a tolerance of their own since the sigmoid is steep; what goes into it is held to a quarter of everybody's."""
    import carnot
    path = models.real("ppocr_det")[0]
    model = onnx.load(path)
    logits = next(node for node in reversed(model.graph.node) if node.op_type == "Sigmoid").input[0]
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info(logits, onnx.TensorProto.FLOAT, None))
    onnx.save(model, tmp_path / "logits.onnx")
    theirs = onnxruntime.InferenceSession(str(tmp_path / "logits.onnx"), providers=["CPUExecutionProvider"])
    ours = carnot.build(tmp_path / "logits.onnx").session(threads=2)
    for seed in range(2):
        values = feeds.Model(path, "ppocr_det").feeds(seed, {"x": shape})
        want = theirs.run(None, values)[0]
        assert want.min() < -50 and want.max() > 50
        size, problem = agreement.error(ours.run(values)[logits], want)
        assert not problem and size < agreement.TOLERANCE / 4


@pytest.mark.parametrize("turned", [False, True])
def test_classifier_knows_upside_down(turned):
    pair = Pair("ppocr_cls")
    line = rendered("Upside down?")[:, :, :, :192]
    line = np.pad(line, ((0, 0), (0, 0), (0, 0), (0, 192 - line.shape[3])))
    got, want = pair.run(x=np.ascontiguousarray(line[:, :, ::-1, ::-1]) if turned else line)
    assert got[0].argmax() == want[0].argmax() == int(turned)


def test_file_types():
    """Magika names the type of files of this repository from their first and last 1024 bytes."""
    pair = Pair("magika")
    kinds = {}
    for name in ("scripts/models.py", "Makefile", "src/ops/gather.cpp", "CMakePresets.json", "scripts/setup.sh", "LICENSE"):
        data = (ROOT / name).read_bytes().strip()
        ends = [np.frombuffer(part, np.uint8).astype(np.int32) for part in (data[:1024], data[-1024:])]
        first = np.pad(ends[0], (0, 1024 - len(ends[0])), constant_values=256)
        last = np.pad(ends[1], (1024 - len(ends[1]), 0), constant_values=256)
        got, want = pair.run(bytes=np.concatenate([first, last])[None])
        assert got[0].argmax() == want[0].argmax(), name
        kinds[name] = int(got[0].argmax())
    assert len(set(kinds.values())) >= 5


def speech_like(seconds, rate):
    """Syllables: bursts of a buzzing tone through moving formants, with pauses between."""
    time = np.arange(int(seconds * rate)) / rate
    pitch = 120 + 15 * np.sin(2 * np.pi * 0.7 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    sound = np.zeros_like(time)
    for k in range(1, 25):
        formants = sum(np.exp(-((k * 120 - f) / 180) ** 2) for f in (500 + 200 * np.sin(3 * time), 1500 + 400 * np.sin(2 * time)))
        sound += formants * np.sin(k * phase)
    return (0.15 * sound * (np.sin(2 * np.pi * 2.5 * time) > -0.3) * (time % 2 < 1.3)).astype(np.float32)


@pytest.mark.parametrize("name", ["silero_vad", "silero_vad_op18_ifless"])
@pytest.mark.parametrize("rate", [16000, 8000])
def test_speech_probabilities_over_a_recording(name, rate):
    """Each runtime feeds its own state back for 4 s: errors would add up."""
    pair = Pair(name)
    window, context = (512, 64) if rate == 16000 else (256, 32)
    sound = np.pad(speech_like(4, rate), (context, 0))
    states = [np.zeros((2, 1, 128), np.float32)] * 2
    ours, theirs = [], []
    for start in range(0, len(sound) - window - context + 1, window):
        piece = sound[None, start:start + window + context]
        sr = np.array(rate, np.int64)
        got = pair.ours.run({"input": piece, "state": states[0], "sr": sr})
        want = pair.theirs.run(None, {"input": piece, "state": states[1], "sr": sr})
        states = [np.asarray(got["stateN"]), want[1]]
        ours.append(float(np.asarray(got["output"])[0, 0]))
        theirs.append(float(want[0][0, 0]))
    assert max(theirs) - min(theirs) > 0.2
    assert np.abs(np.subtract(ours, theirs)).max() < 1e-4
    assert [p > 0.5 for p in ours] == [p > 0.5 for p in theirs]


def test_notes_of_a_chord():
    """A C major chord: the same note activations, and its three notes among the loudest."""
    pair = Pair("basic_pitch")
    time = np.arange(43844) / 22050
    keys = (60, 64, 67)
    sound = sum(0.2 * np.exp(-time) * np.sin(2 * np.pi * 440 * 2 ** ((key - 69) / 12) * time) for key in keys)
    got, want = pair.run(serving_default_input_2__0=sound.astype(np.float32)[None, :, None])
    index = next(i for i, name in enumerate(pair.outputs) if name.endswith(":1"))
    for mine, other in zip(got, want):
        assert np.abs(mine - other).max() < 5e-3
    loudness = got[index][0].mean(axis=0)
    assert sorted(int(k) + 21 for k in np.argsort(loudness)[-3:]) == sorted(keys)


def test_boxes_of_a_picture():
    """The detector's candidates on a picture: the same best class and the same box for each of the 2100 anchors."""
    pair = Pair("nudenet_320n")
    picture = Image.new("RGB", (320, 320), (180, 200, 220))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((110, 60, 210, 190), fill=(224, 172, 140))
    draw.ellipse((135, 105, 150, 115), fill=(40, 40, 40))
    draw.ellipse((170, 105, 185, 115), fill=(40, 40, 40))
    draw.arc((140, 130, 180, 165), 20, 160, fill=(150, 40, 40), width=5)
    draw.rectangle((90, 190, 230, 320), fill=(40, 60, 120))
    got, want = pair.run(images=np.asarray(picture, np.float32).transpose(2, 0, 1)[None] / 255)
    scores, wanted = got[0][0, 4:], want[0][0, 4:]
    sure = wanted.max(axis=0) > 0.05
    assert sure.any()
    assert np.array_equal(scores.argmax(axis=0)[sure], wanted.argmax(axis=0)[sure])
    assert np.abs(got[0][0, :4] - want[0][0, :4])[:, sure].max() < 0.01
