#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ports a trained network by the layer API: the twin of digits.cpp.

usage: digits.py        (PYTHONPATH=build/python)
"""
import pathlib

import carnot
import numpy as np

FOLDER = pathlib.Path(__file__).resolve().parent


def describe(weights):
    net = carnot.Network("digits")
    conv = lambda x, name: net.relu(net.conv(x, weights[f"{name}.weight"], weights[f"{name}.bias"], pads=[1, 1, 1, 1], name=name))
    linear = lambda x, name: net.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"], name=name)
    x = net.input("pictures", "f32", ["batch", 1, 8, 8])
    x = conv(x, "conv1")
    x = conv(x, "conv2")
    x = net.max_pool(x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.flatten(x)
    x = net.relu(linear(x, "fc1"))
    x = net.softmax(linear(x, "fc2"), axis=-1)
    net.output(x, "probabilities")
    return net


def main():
    weights, split = np.load(FOLDER / "weights.npz"), np.load(FOLDER / "split.npz")
    engine = carnot.build(describe(weights))
    pictures = split["pictures"].astype(np.float32) / 16
    guess = engine.run({"pictures": pictures})["probabilities"].argmax(1)
    right, count = int((guess == split["labels"]).sum()), len(guess)
    print(f"{right} of {count} right ({100 * right / count:.2f} %)")


if __name__ == "__main__":
    main()
