# SPDX-License-Identifier: Apache-2.0
"""Carnot: trained networks become engines, and engines run.

    engine = carnot.build("model.onnx")
    engine.save("model.engine")
    engine = carnot.load("model.engine")
    outputs = engine.session(threads=2).run({"x": array})    # dict of numpy arrays

`carnot.Network` describes a network layer by layer, `carnot.serve.Server` answers requests for a folder of models, `carnot.backend` is the
interface of onnx.backend.
Whatever is refused is a `carnot.Error` whose text says what, where and what to do.
"""
from ._runtime import Error
from ._runtime import version as __version__
from .engine import CheckedValue, CheckError, CheckReport, Engine, Session, Tensor, TuneReport, build, load
from .network import Network, Value

__all__ = ["CheckError", "CheckReport", "CheckedValue", "Engine", "Error", "Network", "Session", "Tensor", "TuneReport", "Value", "backend", "build", "load",
           "serve"]


def __getattr__(name):
    # The backend needs the onnx package, and the server its libraries; everything else does not.
    if name in ("backend", "serve"):
        import importlib
        return importlib.import_module("." + name, __name__)
    raise AttributeError(f"module 'carnot' has no attribute {name!r}")
