# SPDX-License-Identifier: Apache-2.0
"""The rules that keep the runtime small and closed: who may include whom, and what libcarnot.so is made of."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
LIBRARY = pathlib.Path(os.environ.get("CARNOT_BUILD", ROOT / "build")) / "libcarnot.so"
CODE = {".cpp", ".hpp", ".h", ".inc", ".cu", ".cuh"}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
# The layer of a folder that does not have the layer's name, longest first. The writer shares its folder with the reader.
LAYER_OF = {"engine/writer": "engine_writer", "backends/cpu": "cpu", "backends/cuda": "cuda", "importers/onnx": "onnx"}
SIZE_LIMIT_MB = 12


def allowed_layers():
    lines = (ROOT / "cmake" / "layers.txt").read_text().splitlines()
    pairs = (line.split(" :", 1) for line in lines if re.match(r"[a-z_]+ :", line))
    return {layer: {layer, *below.split()} for layer, below in pairs}


def layer_of(path):
    """The layer that a path relative to src/ belongs to."""
    for prefix, layer in LAYER_OF.items():
        if path.startswith(prefix):
            return layer
    return path.split("/")[0]


def violations(files):
    """The includes that break cmake/layers.txt, of {path relative to src: text}."""
    allowed = allowed_layers()
    found = []
    for path, text in sorted(files.items()):
        layer = layer_of(path)
        if layer not in allowed:
            found.append(f"src/{path}: folder belongs to no layer of cmake/layers.txt")
            continue
        for included in INCLUDE.findall(text):
            target = layer_of(included)
            if target in allowed and target not in allowed[layer]:
                found.append(f"src/{path}: layer '{layer}' may not include \"{included}\" of layer '{target}'")
    return found


def sources():
    return {str(p.relative_to(SOURCE)): p.read_text() for p in SOURCE.rglob("*") if p.suffix in CODE}


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_includes_follow_the_layers():
    assert violations(sources()) == []


def test_the_include_rule_sees_a_violation():
    """The rule above must be able to fail: one file for each kind of mistake."""
    wrong = {"runtime/a.cpp": '#include "ir/graph.hpp"\n', "ops/a.cpp": '#include "backends/cpu/a.hpp"\n',
             "engine/reader.cpp": '  # include "engine/writer.hpp"\n', "nowhere/a.cpp": ""}
    right = {"runtime/b.cpp": '#include "base/result.hpp"\n#include <vector>\n', "engine/writer.cpp": '#include "engine/a.hpp"\n'}
    assert len(violations(wrong)) == len(wrong)
    assert violations(right) == []


def test_examples_use_the_public_headers_alone():
    """An example is what a user can write: it may include its own files and include/carnot."""
    inside = []
    for file in (ROOT / "examples").rglob("*"):
        if file.suffix in CODE:
            inside += [f"{file.relative_to(ROOT)}: {name}" for name in INCLUDE.findall(file.read_text())
                       if not (file.parent / name).is_file() and not (ROOT / "include" / name).is_file()]
    assert inside == []


def test_the_server_uses_the_public_headers_alone():
    server = ROOT / "server"
    generated = {"kserve.pb.h", "kserve.grpc.pb.h", "model_config.pb.h", "web_page.inc"}
    inside = []
    for file in server.rglob("*"):
        if file.suffix in CODE:
            inside += [f"{file.relative_to(ROOT)}: {name}" for name in INCLUDE.findall(file.read_text())
                       if name not in generated and not (server / name).is_file() and not (ROOT / "include" / name).is_file()]
    assert inside == []


def test_the_triton_backend_uses_the_c_interface_alone():
    """libtriton_carnot.so shares a process with Triton's libraries: the runtime under it, and nothing of its own to be seen."""
    folder = ROOT / "triton"
    inside = [f"{file.relative_to(ROOT)}: {name}" for file in folder.rglob("*") if file.suffix in CODE
              for name in INCLUDE.findall(file.read_text())
              if not (folder / name).is_file() and name not in {"carnot/carnot.h", "carnot/carnot.hpp", "carnot/compiler.h"}]
    assert inside == []
    library = LIBRARY.parent / "libtriton_carnot.so"
    symbols = [line.split()[-1] for line in output("nm", "-D", "--defined-only", str(library)).splitlines()]
    assert [name for name in symbols if not name.startswith("TRITONBACKEND_")] == []
    assert "TRITONBACKEND_ModelInstanceExecute" in symbols
    open_ones = [line.split()[-1] for line in output("nm", "-D", "--undefined-only", str(library)).splitlines()]
    declared = set(re.findall(r"\b(TRITON(?:BACKEND|SERVER)_\w+)\(", (folder / "api.h").read_text()))
    assert {name for name in open_ones if name.startswith("TRITON")} <= declared
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", output("readelf", "-d", str(library)))
    system = re.compile(r"(libcarnot|libc|libm|libstdc\+\+|libgcc_s|libdl|ld-linux-x86-64)\.so\.\d+$")
    assert [name for name in needed if not system.match(name)] == []


def test_every_source_names_its_licence():
    files = [p for folder in ("src", "include", "server", "triton", "tools", "python", "examples", "tests", "bench", "scripts")
             for p in (ROOT / folder).rglob("*") if p.suffix in CODE | {".py", ".sh"}]
    assert len(files) > 50
    assert [str(p.relative_to(ROOT)) for p in files if "SPDX-License-Identifier: Apache-2.0" not in p.read_text()[:200]] == []


def test_runtime_exports_the_c_interface_only():
    symbols = [line.split()[-1] for line in output("nm", "-D", "--defined-only", str(LIBRARY)).splitlines()]
    assert [name for name in symbols if not name.startswith("carnot_")] == []
    assert "carnot_version" in symbols


def test_runtime_needs_no_compiler_no_protobuf_no_python():
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", output("readelf", "-d", str(LIBRARY)))
    system = re.compile(r"(libc|libm|libstdc\+\+|libgcc_s|libpthread|libdl|librt|ld-linux-x86-64)\.so\.\d+$")
    assert [name for name in needed if not system.match(name)] == []
    # Hidden symbols still carry their names before stripping: nothing of the layers above may have been linked in.
    inside = output("nm", "--demangle", str(LIBRARY))
    above = re.findall(r"carnot::(?:ir|passes|tactics|compiler|onnx|importers)::\w+", inside)
    assert sorted(set(above)) == []
    assert "protozero::" not in inside and "google::protobuf" not in inside


def test_runtime_is_small(tmp_path):
    stripped = tmp_path / "libcarnot.so"
    shutil.copy(LIBRARY, stripped)
    output("strip", "--strip-all", str(stripped))
    assert stripped.stat().st_size <= SIZE_LIMIT_MB * 1e6


def test_no_file_names_a_machine():
    """Paths of one machine and hosts of package registries have no place in the repository."""
    machine = re.compile("|".join(["/wor" + "k/", "/hom" + "e/", "/roo" + "t/", "/tm" + "p/[a-z]", "arti" + "factory", "pyp" + r"i\.org"]))
    tracked = output("git", "-C", str(ROOT), "ls-files").splitlines()
    text = {name: (ROOT / name).read_bytes() for name in tracked if (ROOT / name).is_file()}
    found = [f"{name}: {match.group()!r}" for name, data in text.items() if b"\0" not in data
             for match in machine.finditer(data.decode(errors="replace"))]
    assert found == []
