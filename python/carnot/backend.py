# SPDX-License-Identifier: Apache-2.0
"""The interface of onnx.backend: prepare(model, device).run(inputs)."""
import numpy as np
import onnx
import onnx.backend.base
from onnx import helper

from .engine import build


class BackendRep(onnx.backend.base.BackendRep):
    def __init__(self, engine):
        self._session = engine.session()
        self._inputs = [tensor.name for tensor in engine.inputs]
        self._outputs = [tensor.name for tensor in engine.outputs]

    def run(self, inputs, **kwargs):
        """inputs: a list in the order of the model's inputs, or {name: array}. Returns a tuple in the order of its outputs."""
        fed = dict(inputs) if isinstance(inputs, dict) else dict(zip(self._inputs, inputs))
        results = self._session.run({name: value for name, value in fed.items() if value is not None})
        return onnx.backend.base.namedtupledict("Outputs", self._outputs)(*(results[name] for name in self._outputs))


class Backend(onnx.backend.base.Backend):
    @classmethod
    def is_compatible(cls, model, device="CPU", **kwargs):
        try:
            build(model)
        except Exception:
            return False
        return cls.supports_device(device)

    @classmethod
    def prepare(cls, model, device="CPU", **kwargs):
        if not cls.supports_device(device):
            raise ValueError(f"there is no device {device!r}")
        return BackendRep(build(model, **kwargs))

    @classmethod
    def run_model(cls, model, inputs, device="CPU", **kwargs):
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(cls, node, inputs, device="CPU", outputs_info=None, **kwargs):
        names = [name for name in node.input if name]
        arrays = inputs if isinstance(inputs, dict) else dict(zip(names, inputs))
        arrays = {name: np.asarray(value) for name, value in arrays.items()}
        infos = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape) for name, value in arrays.items()]
        results = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        opsets = [helper.make_opsetid(node.domain, kwargs.pop("opset_version", onnx.defs.onnx_opset_version()))]
        model = helper.make_model(helper.make_graph([node], "node", infos, results), opset_imports=opsets)
        return cls.run_model(model, arrays, device, **kwargs)

    @classmethod
    def supports_device(cls, device):
        return device.split(":")[0].upper() == "CPU"


is_compatible = Backend.is_compatible
prepare = Backend.prepare
run_model = Backend.run_model
run_node = Backend.run_node
supports_device = Backend.supports_device
