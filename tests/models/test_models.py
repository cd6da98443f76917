# SPDX-License-Identifier: Apache-2.0
"""Whole models against ONNX Runtime: the trained ones and a choice of the graphs by default, all graphs with -m full."""
import pytest

import compare
import models

# Small or quick, and each with something that the others lack: recurrence, If and data-dependent boxes, grouped and depthwise
# and 3-D convolution, attention of both exporters, a key-value cache, embedding bags, resizing, dilation.
DEFAULT = {
    "convnext_tiny.dynamo", "deit_small.ts", "dlrm.dynamo", "dlrm.ts", "efficientnet_b0.ts", "gru_speech.ts", "lstm_bi.ts",
    "mobilenet_v3_large.dynamo", "mobilevit_s.dynamo", "resnet18.ts", "resnet50.dynamo", "segformer_b0.ts",
    "shufflenet_v2_x1_0.ts", "ssdlite320.ts", "squeezenet1_1.ts", "t5_encoder.ts", "unet.dynamo", "whisper_encoder.dynamo",
}
GRAPHS = [pytest.param(name, marks=() if name in DEFAULT else pytest.mark.full) for name in models.graph_names()]


def assert_agrees(row):
    print(compare.line(row))
    assert not row["problems"]
    assert compare.agrees(row), f"{row['worst']:.1e} of the range; the cases: {row['cases']}"


@pytest.mark.parametrize("name", models.REAL)
def test_trained(name):
    """Agrees on three inputs at every shape, and a second build gives the same bytes."""
    assert_agrees(compare.check(name, twice=True))


@pytest.mark.skipif(not GRAPHS, reason=f"the 40 graphs are not here: {models.SHARED / 'models'} is absent")
@pytest.mark.parametrize("name", GRAPHS or ["all"])
def test_graph(name):
    assert_agrees(compare.check(name))
