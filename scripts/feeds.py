# SPDX-License-Identifier: Apache-2.0
"""Deterministic, meaningful input values for an ONNX model, shared by the tests and the benchmarks.

Random numbers alone do not exercise a model: token ids must lie inside the vocabulary, masks are 0 or 1, sounds lie in
[-1, 1], a sampling rate is one of two numbers. What cannot be seen in the graph stands in SHAPES and values().
"""
import zlib

import numpy as np
import onnx

# The sizes at which a model with dynamic dims is tried, first the one that benchmarks use: per model a list of {input: shape}.
# Other models get their symbolic first dim replaced by each of BATCHES.
BATCHES = (1, 3)
SHAPES = {
    "gpt2_decode.ts": [{"kv": (12, 2, 1, 12, 63, 64), "input_ids": (1, 1)}],  # the dim called batch counts the layers
    "ppocr_det": [{"x": (1, 3, 320, 320)}, {"x": (1, 3, 192, 416)}, {"x": (2, 3, 64, 96)}],
    "ppocr_cls": [{"x": (1, 3, 48, 192)}, {"x": (3, 3, 48, 192)}],
    "ppocr_rec": [{"x": (1, 3, 48, 320)}, {"x": (2, 3, 48, 173)}, {"x": (1, 3, 48, 64)}],
    "nudenet_320n": [{"images": (1, 3, 320, 320)}, {"images": (2, 3, 160, 224)}],
    "silero_vad": [{"input": (1, 576), "state": (2, 1, 128)}, {"input": (3, 576), "state": (2, 3, 128)},
                   {"input": (1, 288), "state": (2, 1, 128)}],
    "silero_vad_16k_op15": [{"input": (1, 576), "state": (2, 1, 128)}, {"input": (3, 576), "state": (2, 3, 128)}],
    "silero_vad_16k_sequence": [{"input": (8, 576)}, {"input": (1, 576)}],
    "silero_vad_half": [{"input": (1, 576), "state": (2, 1, 128)}, {"input": (3, 576), "state": (2, 3, 128)}],
    "silero_vad_op18_ifless": [{"input": (1, 576), "state": (2, 1, 128)}, {"input": (3, 576), "state": (2, 3, 128)},
                               {"input": (1, 288), "state": (2, 1, 128)}],
}
FOLLOWED = {"Cast", "Identity", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Slice", "Gather", "Transpose", "Split"}


def voice(rng, shape):
    """Vowel-like sound: the harmonics of a low tone under a falling envelope. Noise gives a probability of 0.0003, whose
    last digits are rounding in every implementation of the sigmoid."""
    time = np.arange(shape[-1]) / 16000
    pitch = rng.uniform(90, 250, shape[:-1] + (1,))
    parts = [rng.uniform(0.5, 1) / k * np.sin(2 * np.pi * k * pitch * time + rng.uniform(0, 6)) for k in range(1, 20)]
    return 0.2 * sum(parts) + 0.005 * rng.standard_normal(shape)


def notes(rng, shape):
    """Decaying tones after a silence, as in quiet music. The model measures the logarithm of each band's energy against the
    least one. In loud sound that is a band that cancels by chance: rounding, magnified to 1e-3 of the outputs."""
    time = np.arange(shape[1]) / 22050
    sound = np.zeros(shape[:2])
    for onset in np.arange(0.25, time[-1], 0.3):
        for key in rng.integers(36, 84, (3, shape[0], 1)):
            since = np.maximum(time - onset, 0)
            sound += 2e-4 * np.exp(-4 * since) * (time > onset) * np.sin(2 * np.pi * 440 * 2 ** ((key - 69) / 12) * since)
    return sound.reshape(shape)


def page(rng, shape):
    """Dark strokes in rows on a light ground, which a text detector takes for text (on noise its output is 1e-6)."""
    picture = np.ones(shape)
    for top in range(12, shape[2] - 20, 32):
        for left in range(12, shape[3] - 20, 8):
            x, height = left + rng.integers(0, 3), rng.integers(8, 18)
            picture[:, :, top:top + height, x:x + 3] = -0.9
            if rng.random() < 0.4:
                picture[:, :, top + height // 2:top + height // 2 + 3, x:x + 7] = -0.9
    return picture + 0.02 * rng.standard_normal(shape)


class Model:
    """What input generation needs to know of an ONNX file: its inputs, and which integers index which table."""

    def __init__(self, path, name):
        self.name = name
        graph = onnx.load(path, load_external_data=False).graph
        tables = {t.name: tuple(t.dims) for t in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                tables.update({node.output[0]: tuple(a.t.dims) for a in node.attribute if a.name == "value"})
        self.inputs = {}
        for value in graph.input:
            if value.name not in tables:
                tensor = value.type.tensor_type
                dims = [d.dim_value if d.dim_value > 0 else (d.dim_param or "?") for d in tensor.shape.dim]
                self.inputs[value.name] = (onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type), dims)
        self.limits = self.index_limits(graph, tables)

    def index_limits(self, graph, tables):
        """For each integer input the smallest table that values copied from it index by Gather."""
        origin = {name: name for name, (dtype, _) in self.inputs.items() if dtype.kind in "iu"}
        limits = {}
        for node in graph.node:
            if node.op_type == "Gather" and node.input[1] in origin and node.input[0] in tables:
                axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
                name = origin[node.input[1]]
                limits[name] = min(limits.get(name, 1 << 62), tables[node.input[0]][axis])
            elif node.op_type in FOLLOWED and node.input[0] in origin:
                origin.update({out: origin[node.input[0]] for out in node.output})
        return limits

    def shapes(self):
        """The list of {input: shape} to try; inputs without a symbolic dim are the same in all of them."""
        fixed = {name: tuple(dims) for name, (_, dims) in self.inputs.items() if all(isinstance(d, int) for d in dims)}
        if self.name in SHAPES:
            return [fixed | given for given in SHAPES[self.name]]
        if len(fixed) == len(self.inputs):
            return [fixed]
        return [{name: tuple(d if isinstance(d, int) else batch for d in dims) for name, (_, dims) in self.inputs.items()}
                for batch in BATCHES]

    def feeds(self, seed, shapes):
        feeds = {name: self.values(name, shapes[name], seed) for name in self.inputs}
        if self.name.startswith("silero") and "sr" in feeds and shapes["input"][1] == 288:
            feeds["sr"][...] = 8000  # a window is 36 ms long at either rate
        return feeds

    def values(self, name, shape, seed):
        dtype, _ = self.inputs[name]
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        if dtype.kind == "f":
            if self.name.startswith("silero") and name in ("state", "h", "c"):
                return (0.3 * seed * rng.standard_normal(shape)).astype(dtype)
            if self.name.startswith("silero"):
                return voice(rng, shape).astype(dtype)
            if self.name == "basic_pitch":
                return notes(rng, shape).astype(dtype)
            if self.name == "ppocr_det":
                return page(rng, shape).astype(dtype)
            # Pictures as 0..1 for one seed; normalised values, which are what most networks were trained on, for the others.
            if seed == 1 and len(shape) == 4:
                return rng.uniform(0, 1, shape).astype(dtype)
            return rng.standard_normal(shape).astype(dtype)
        if dtype.kind == "b":
            return rng.integers(0, 2, shape).astype(dtype)
        if name == "sr":
            return np.array(16000, dtype)
        if "mask" in name:
            mask = np.ones(shape, dtype)
            if seed:  # right padding of a different length in every row, never a whole row
                length = rng.integers(1, shape[-1] + 1, shape[:-1] + (1,))
                mask = (np.arange(shape[-1]) < length).astype(dtype)
            return mask
        if self.name == "magika":
            return rng.integers(0, 257, shape).astype(dtype)  # bytes, and 256 for padding
        return rng.integers(0, self.limits.get(name, 2 if "type" in name else 100), shape).astype(dtype)


def parse_shapes(options):
    """{input: shape} of --shape NAME:1x3x224x224 options."""
    shapes = {}
    for option in options or ():
        name, _, dims = option.rpartition(":")
        shapes[name] = tuple(int(d) for d in dims.split("x") if d)
    return shapes
