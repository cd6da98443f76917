# SPDX-License-Identifier: Apache-2.0
"""The layer API: a network described layer by layer, with arrays as weights.

    net = carnot.Network()
    x = net.input("x", "f32", ["batch", 1, 8, 8])
    x = net.relu(net.conv(x, weights, bias, pads=[1, 1, 1, 1], name="conv1"))
    x = net.softmax(net.linear(net.flatten(x), w, b))
    net.output(x, "scores")
    engine = carnot.build(net)

Every operator of the vocabulary is a method: operands first (values, arrays, numbers; None leaves an optional one out), then its
attributes by name. `outputs=n` asks for n outputs, `bodies=[...]` hands over subgraphs made with net.body().
"""
import numpy as np

from . import _compiler, dtypes


class Value:
    """A tensor of a network."""

    def __init__(self, network, handle):
        self._network, self._handle = network, handle

    @property
    def name(self):
        return self._handle.name

    @property
    def dtype(self):
        return dtypes.numpy_of(self._handle.dtype)

    @property
    def shape(self):
        return tuple(int(dim) if dim.lstrip("-").isdigit() else dim for dim in self._handle.shape)

    def __repr__(self):
        return f"carnot.Value({self.name}: {self.dtype.name}{list(self.shape)})"

    def __add__(self, other):
        return self._network.add("add", [self, other])

    def __sub__(self, other):
        return self._network.add("sub", [self, other])

    def __mul__(self, other):
        return self._network.add("mul", [self, other])

    def __truediv__(self, other):
        return self._network.add("div", [self, other])

    def __matmul__(self, other):
        return self._network.add("matmul", [self, other])


class Network:
    def __init__(self, name="main", _handle=None):
        self._handle = _compiler.Network(name) if _handle is None else _handle

    @staticmethod
    def operators():
        """The names of all operators."""
        return _compiler.operators()

    def input(self, name, dtype, shape):
        """shape: numbers, and names for sizes that may vary."""
        return Value(self, self._handle.input(name, dtypes.code_of(dtype), list(shape)))

    def constant(self, array, name=""):
        code, dims, data = dtypes.flat_bytes(array)
        return Value(self, self._handle.constant(code, dims, data, name))

    def output(self, value, name=""):
        self._handle.output(value._handle, name)

    def metadata(self, key, value):
        self._handle.metadata(key, value)

    def body(self, name):
        """A subgraph for if, loop or scan. What it needs of this network becomes operands of the node."""
        return Network(name, self._handle.body(name))

    def text(self):
        """The graph, readable."""
        return self._handle.text()

    def _operand(self, value, like):
        if value is None:
            return _compiler.Value()
        if isinstance(value, Value):
            return value._handle
        if isinstance(value, (int, float)) and not isinstance(value, bool) and like is not None:
            value = np.asarray(value, dtype=like.dtype)
        elif isinstance(value, (list, tuple)) and all(isinstance(item, int) for item in value):
            value = np.asarray(value, dtype=np.int64)
        return self.constant(value)._handle

    def add(self, op, operands, name="", outputs=1, bodies=(), **attributes):
        """A layer of the operator `op`. Numbers among the operands get the type of the first value."""
        like = next((value for value in operands if isinstance(value, Value)), None)
        handles = [self._operand(value, like) for value in operands]
        values, types = [], []
        for key, value in attributes.items():
            if isinstance(value, (type, np.dtype)):
                types.append((key, dtypes.code_of(value)))
            elif key in ("to", "dtype") and isinstance(value, str):
                types.append((key, dtypes.code_of(value)))
            elif isinstance(value, (list, tuple)) and any(isinstance(item, float) for item in value):
                values.append((key, [float(item) for item in value]))
            elif isinstance(value, (list, tuple)):
                values.append((key, list(value)))
            else:
                values.append((key, int(value) if isinstance(value, (bool, np.integer)) else value))
        made = self._handle.add(op, handles, values, types, name, outputs, [body._handle for body in bodies])
        made = [Value(self, handle) for handle in made]
        return made[0] if outputs == 1 else made

    def linear(self, x, weights, bias=None, name=""):
        """x @ weights [in, out] + bias [out]."""
        y = self.add("matmul", [x, weights], name=name)
        return y if bias is None else self.add("add", [y, bias], name=name and name + ".bias")

    def reshape(self, x, shape, name=""):
        return self.add("reshape", [x, shape], name=name)

    def concat(self, values, axis, name=""):
        return self.add("concat", list(values), axis=axis, name=name)

    def __getattr__(self, op):
        if op.startswith("_") or op not in _compiler.operators():
            raise AttributeError(f"there is no operator '{op}'; Network.operators() lists them")
        return lambda *operands, **options: self.add(op, list(operands), **options)
