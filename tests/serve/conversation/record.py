#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plays the conversation to a real tritonserver (CARNOT_TRITON, see tests/triton/real_triton.py) and writes recorded.json.

usage: record.py [FILE]
"""
import importlib.util
import json
import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "triton")]
import play  # noqa: E402
import real_triton  # noqa: E402
import script  # noqa: E402


def support():
    spec = importlib.util.spec_from_file_location("serve_support", HERE.parent / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def record():
    """The real server's answers."""
    s = support()
    with tempfile.TemporaryDirectory() as folder:
        repository = pathlib.Path(folder) / "repository"
        script.make_repository(repository, s.write_model, s.write_simple, s.write_scale)
        triton = real_triton.Triton(repository, "--model-control-mode=explicit", *(f"--load-model={m}" for m in script.INITIAL), cache=pathlib.Path(folder) / "engines")
        try:
            return play.play(triton, script.STEPS)
        finally:
            triton.stop()


def write(answers, path):
    """One line a step."""
    lines = [json.dumps({"step": step["name"], "answer": answer}, sort_keys=True, ensure_ascii=True) for step, answer in zip(script.STEPS, answers)]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    target = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "recorded.json"
    write(record(), target)
    print(f"{len(script.STEPS)} answers in {target}")
