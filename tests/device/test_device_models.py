# SPDX-License-Identifier: Apache-2.0
"""Whole models on the stand-in of a GPU (stand_in/) against the CPU: every generated kernel, copy and wait of an engine for a
device, without one. Products and convolutions run as generated kernels, as the vendor's libraries cannot be stood in for."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CARNOT_BUILD", ROOT / "build"))
STAND_IN = BUILD / "tests" / "stand_in"
sys.path.insert(0, str(ROOT / "scripts"))
import models

# The vendor's kernels and those compiled beforehand; and generated convolutions, which take too long where threads take turns: they run on the CPU, in the middle
# of the engine.
LIBRARIES = "cuda.gemm,cuda.conv,cuda.sdpa,cuda.recurrent"
CONVOLUTIONS = "cuda.conv_tile,cuda.conv_depthwise"
# What each has: gathers, concatenations and products; recurrence, on the host here; sizes that only the run knows, If, and hundreds of
# changes between host and device.
NAMES = ["dlrm.ts", "dlrm.dynamo", "gru_speech.ts", "lstm_bi.ts", "ssdlite320.ts"]


def compare(name):
    """In a process of its own: {output: error}, by shapes and seed, and how many commands run where."""
    import numpy as np

    import agreement
    import carnot
    import feeds
    path = models.path(name)
    model = feeds.Model(path, name)
    host, device = (carnot.build(str(path), device=d) for d in ("cpu", "cuda"))
    kernels = [c["kernel"] for plan in device.describe()["plans"] for c in plan["commands"]]
    row = {"device": sum(k.startswith("cuda.") for k in kernels), "host": sum(not k.startswith("cuda.") and k != "copy" for k in kernels), "cases": []}
    wanted, got = host.session(threads=2), device.session(threads=2)
    for shapes in model.shapes():
        for seed in range(3):
            values = model.feeds(seed, shapes)
            expected, results = wanted.run(values), got.run(values)
            row["cases"].append({o: agreement.error(np.asarray(results[o]), np.asarray(expected[o]), name in agreement.BOXES) for o in expected})
    print(json.dumps(row))


@pytest.mark.skipif(not STAND_IN.exists(), reason="the CUDA backend is not built: the toolkit is missing")
@pytest.mark.skipif(not models.graph_names(), reason=f"the 40 graphs are not here: {models.SHARED / 'models'} is absent")
@pytest.mark.parametrize("name", NAMES)
def test_model(name):
    environment = dict(os.environ, LD_LIBRARY_PATH=f"{STAND_IN}:{BUILD}", CARNOT_DISABLE_TACTICS=f"{LIBRARIES},{CONVOLUTIONS}")
    done = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    row = json.loads(done.stdout.splitlines()[-1])
    assert row["device"] >= 6
    for case in row["cases"]:
        for output, (size, reason) in case.items():
            assert not reason and size <= 1e-4, f"output {output}: {size:.1e} of the range {reason}"


if __name__ == "__main__":
    compare(sys.argv[1])
