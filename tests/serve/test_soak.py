# SPDX-License-Identifier: Apache-2.0
"""soak.py for some seconds: that it runs, that the server stands it, and that what it counts is not nothing."""
import re
import subprocess
import sys

from conftest import ROOT


def test_some_seconds_of_everything_at_once():
    done = subprocess.run([sys.executable, ROOT / "tests/serve/soak.py", "--minutes", "0.2", "--malformed", "1000"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    for what in ("right answers, HTTP", "right answers, gRPC", "right answers, coming and going", "loads and unloads", "clients killed", "malformed requests"):
        assert int(re.search(rf"^{what} +(\d+)$", done.stdout, re.M)[1]) > 0, done.stdout
    assert "48 of 48 answered" in done.stdout
