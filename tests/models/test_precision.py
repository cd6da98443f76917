# SPDX-License-Identifier: Apache-2.0
"""Narrow engines of whole models against the fp32 engine; the options of Python and of the layer API."""
import pathlib
import sys

import numpy as np
import pytest

import models
import precision

sys.path.insert(0, str(pathlib.Path(precision.BUILD) / "python"))
import carnot

# Convolutions of every kind, attention of several exporters, embeddings, resizing, squeeze and excitation.
SMALL = ["mobilenet_v3_large.dynamo", "resnet18.ts", "shufflenet_v2_x1_0.ts", "deit_small.ts", "mobilevit_s.dynamo", "unet.dynamo"]
LARGE = ["resnet50.ts", "mobilenet_v2.ts", "efficientnet_b0.ts", "bert_base.ts", "vit_b_16.dynamo", "gpt2.dynamo", "swin_t.ts"]
GRAPHS = [pytest.param(name, marks=() if name in SMALL else pytest.mark.full) for name in SMALL + LARGE]


@pytest.mark.skipif(not models.graph_names(), reason="the 40 graphs are not here")
@pytest.mark.parametrize("name", GRAPHS)
def test_narrow_engine(name):
    rows = precision.check(name)
    print(name, rows)
    assert rows["fp16"]["error"] <= 1e-2, rows["fp16"]
    assert rows["bf16"]["error"] <= 5e-2, rows["bf16"]
    assert max(row["size"] for row in rows.values()) <= 0.6


def small_network():
    rng = np.random.default_rng(1)
    net = carnot.Network()
    x = net.input("x", "f32", [4, 64])
    w = [net.constant(rng.standard_normal((64, 64), dtype=np.float32) / 8) for _ in range(2)]
    h = net.add("matmul", [x, w[0]], name="first")
    y = net.add("matmul", [net.add("softmax", [h], name="middle"), w[1]], name="second")
    net.output(y, "y")
    return net


def kernels(engine):
    return [command["precision"] for command in engine.describe()["plans"][0]["commands"] if command["kernel"] == "cpu.gemm"]


def test_layer_rules_in_python():
    x = {"x": np.ones((4, 64), np.float32)}
    net = small_network()
    wanted = carnot.build(net).session(threads=1).run(x)["y"]
    for settings, types in [({"precision": "bf16"}, ["bf16", "bf16"]),
                            ({"precision": "fp16", "layer_precision": {"sec*": "fp32"}}, ["f16", "f32"]),
                            ({"layer_precision": {"op=MatMul": "fp16", "second": "fp32"}}, ["f16", "f32"])]:
        engine = carnot.build(net, **settings)
        assert kernels(engine) == types
        assert np.abs(engine.session(threads=1).run(x)["y"] - wanted).max() <= 1e-2


@pytest.mark.parametrize("settings, message", [
    ({"precision": "int8"}, "scales"),
    ({"precision": "half"}, "is no precision"),
    ({"layer_precision": {"frist": "fp16"}}, "'first'"),
    ({"layer_precision": {"first": "fp8"}}, "scales"),
])
def test_refusals(settings, message):
    with pytest.raises(carnot.Error, match=message):
        carnot.build(small_network(), **settings)
