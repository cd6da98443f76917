#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the C++ tests (CTest) and the Python tests (pytest) and closes with one line that counts both.

usage: test.py [--build DIR] [--models]        (make test; make test-models)
"""
import argparse
import os
import pathlib
import subprocess
import sys
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent


def count(report):
    """(passed, failed, skipped) of a JUnit file; a report that was not written is a failure."""
    if not report.is_file():
        return 0, 1, 0
    suites = xml.etree.ElementTree.parse(report).getroot()
    suites = [suites] if suites.tag == "testsuite" else list(suites)
    total = lambda key: sum(int(suite.get(key) or 0) for suite in suites)
    failed, skipped = total("failures") + total("errors"), total("skipped") + total("disabled")
    return total("tests") - failed - skipped, failed, skipped


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", help="the build folder")
    parser.add_argument("--models", action="store_true", help="every model against ONNX Runtime, and nothing else")
    options = parser.parse_args()
    build = (ROOT / options.build).resolve()
    reports, codes = [], []

    def run(name, command, argument):
        report = build / f"{name}.xml"
        report.unlink(missing_ok=True)
        environment = dict(os.environ, CARNOT_BUILD=str(build), PYTHONPATH=str(build / "python"))
        print("$", *command, flush=True)
        codes.append(subprocess.run([*command, f"{argument}{report}"], cwd=ROOT, env=environment).returncode)
        reports.append(count(report))

    pytest = [sys.executable, "-m", "pytest", "-o", f"pythonpath={build}/python scripts tests/models"]
    if options.models:
        run("pytest-models", [*pytest, "tests/models", "-m", "full or not full"], "--junitxml=")
    else:
        run("ctest", ["ctest", "--test-dir", str(build), "--output-on-failure", "--no-tests=error",
                      "-j", str(os.cpu_count()), "--timeout", "600", "--output-junit"], "")
        run("pytest", pytest, "--junitxml=")
    passed, failed, skipped = map(sum, zip(*reports))
    # A runner that stopped before it could count (a crash, no tests found) must not read as a success.
    failed = max(failed, sum(code != 0 for code in codes))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
