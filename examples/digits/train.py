#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains the network of this example and writes weights.npz and split.npz. Both are kept: run this only to change them.

usage: train.py        (needs numpy and scikit-learn, for its 1,797 pictures of handwritten digits, 8 x 8 pixels)

The network, on pictures [n, 1, 8, 8] with values from 0 to 1:
    conv 3x3, 1 -> 16, pad 1 | relu | conv 3x3, 16 -> 32, pad 1 | relu | max pool 2x2 | flatten | linear 512 -> 64 | relu |
    linear 64 -> 10 | softmax
Weights of a linear layer are [in, out].
"""
import pathlib

import numpy as np

FOLDER = pathlib.Path(__file__).resolve().parent
TEST = 360  # pictures kept for the test


def windows(x):
    """[n, c, h, w] -> [n, h, w, c*9]: the 3 x 3 neighbourhood of each pixel, zeros outside."""
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3)).transpose(0, 2, 3, 1, 4, 5).reshape(
        x.shape[0], x.shape[2] - 2, x.shape[3] - 2, -1)


def conv(x, w, b):
    return (windows(x) @ w.reshape(len(w), -1).T + b).transpose(0, 3, 1, 2)


def forward(x, w):
    """The class probabilities [n, 10], and what the backward pass needs."""
    a = np.maximum(conv(x, w["conv1.weight"], w["conv1.bias"]), 0)
    c = np.maximum(conv(a, w["conv2.weight"], w["conv2.bias"]), 0)
    n, channels, h, width = c.shape
    tiles = c.reshape(n, channels, h // 2, 2, width // 2, 2).transpose(0, 1, 2, 4, 3, 5)
    tiles = tiles.reshape(n, channels, h // 2, width // 2, 4)
    f = tiles.max(-1).reshape(n, -1)
    g = np.maximum(f @ w["fc1.weight"] + w["fc1.bias"], 0)
    z = g @ w["fc2.weight"] + w["fc2.bias"]
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True), (a, c, tiles, f, g)


def backward(x, labels, w):
    """The gradient of the mean cross-entropy by each weight."""
    p, (a, c, tiles, f, g) = forward(x, w)
    d = p.copy()
    d[np.arange(len(x)), labels] -= 1
    d /= len(x)
    grad = {"fc2.weight": g.T @ d, "fc2.bias": d.sum(0)}
    d = (d @ w["fc2.weight"].T) * (g > 0)
    grad |= {"fc1.weight": f.T @ d, "fc1.bias": d.sum(0)}
    d = (d @ w["fc1.weight"].T).reshape(tiles.shape[:4])
    d = (tiles.argmax(-1)[..., None] == np.arange(4)) * d[..., None]
    n, channels, h, width, _ = tiles.shape
    d = d.reshape(n, channels, h, width, 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(c.shape) * (c > 0)
    grad |= {"conv2.weight": np.tensordot(d, windows(a), ((0, 2, 3), (0, 1, 2))).reshape(w["conv2.weight"].shape),
             "conv2.bias": d.sum((0, 2, 3))}
    turned = w["conv2.weight"][:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    d = conv(d, turned, 0) * (a > 0)
    grad |= {"conv1.weight": np.tensordot(d, windows(x), ((0, 2, 3), (0, 1, 2))).reshape(w["conv1.weight"].shape),
             "conv1.bias": d.sum((0, 2, 3))}
    return grad


def train(x, labels, random):
    """Adam, 40 passes over the data."""
    shapes = {"conv1": (16, 1, 3, 3), "conv2": (32, 16, 3, 3), "fc1": (64, 512), "fc2": (10, 64)}
    w = {}
    for name, shape in shapes.items():
        drawn = random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))  # [out, in, ...]
        w[f"{name}.weight"] = drawn if len(shape) == 4 else drawn.T
        w[f"{name}.bias"] = np.zeros(shape[0])
    first, second = ({k: np.zeros_like(v) for k, v in w.items()} for _ in range(2))
    step = 0
    for epoch in range(40):
        order = random.permutation(len(x))
        for i in range(0, len(x), 32):
            batch, step = order[i:i + 32], step + 1
            for k, g in backward(x[batch], labels[batch], w).items():
                first[k] = 0.9 * first[k] + 0.1 * g
                second[k] = 0.999 * second[k] + 0.001 * g * g
                rate = 2e-3 * 0.93**epoch * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
                w[k] -= rate * first[k] / (np.sqrt(second[k]) + 1e-8)
    return {k: v.astype(np.float32) for k, v in w.items()}


def main():
    from sklearn.datasets import load_digits
    pictures, labels = load_digits(return_X_y=True)
    random = np.random.default_rng(1824)
    order = random.permutation(len(pictures))
    x = (pictures[order].reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    labels = labels[order].astype(np.int64)
    w = train(x[TEST:].astype(np.float64), labels[TEST:], random)
    right = int((forward(x[:TEST], w)[0].argmax(1) == labels[:TEST]).sum())
    np.savez(FOLDER / "weights.npz", **w)
    np.savez(FOLDER / "split.npz", pictures=(x[:TEST] * 16).astype(np.uint8), labels=labels[:TEST].astype(np.uint8),
             train=order[TEST:].astype(np.int16), test=order[:TEST].astype(np.int16), right=np.int64(right))
    print(f"{right} of {TEST} right ({100 * right / TEST:.2f} %)")


if __name__ == "__main__":
    main()
