# SPDX-License-Identifier: Apache-2.0
"""Engines and sessions."""
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass

import numpy as np

from . import _runtime, dtypes
from ._runtime import Error


@dataclass(frozen=True)
class Tensor:
    """What an engine says of one input or output. A dim is a number, or a text such as "batch" or "4*seq+1".

    min, opt, max: the sizes of an input that the engine was built for (build(shapes=...)), None where there is no range; a dim without
    bounds has min 0, opt and max -1.
    """
    name: str
    dtype: np.dtype
    shape: tuple
    min: tuple | None = None
    opt: tuple | None = None
    max: tuple | None = None


def _tensors(described):
    return [Tensor(name, dtypes.numpy_of(code), tuple(dim if dim >= 0 else text for dim, text in zip(dims, names)),
                   *(tuple(bound) or None for bound in bounds))
            for name, code, dims, names, *bounds in described]


def _write(path, data):
    """Either the whole file stands there afterwards, or what was there before."""
    folder = os.path.dirname(os.path.abspath(path))
    try:
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".carnot-")
    except OSError as problem:
        raise Error(f"cannot write '{path}': {problem.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


@dataclass(frozen=True)
class CheckedValue:
    """How far a value of the engine lies from the reference's: an output, or what is left of a layer of the source model."""
    name: str
    where: str          # layers: nodes of the source model
    kernel: str
    max_abs: float
    relative: float     # to the range of the reference's value
    cosine: float
    tolerance: float    # of `relative`
    passed: bool
    problem: str        # not empty: cannot be compared, and why


@dataclass(frozen=True)
class CheckReport:
    """What build(check=True) found."""
    passed: bool
    text: str
    outputs: tuple
    layers: tuple       # in the order of execution

    def worst(self, count=5):
        return sorted(self.layers, key=lambda v: (not v.problem, -v.relative / v.tolerance))[:count]

    def __str__(self):
        return self.text


class CheckError(Error):
    """The engine is out of tolerance; `report` says where."""

    def __init__(self, message, report):
        super().__init__(f"{message}\n{report}")
        self.report = report


@dataclass(frozen=True)
class TuneReport:
    """What build(effort="tune") did."""
    text: str
    problems: int       # with more than one candidate; of them:
    timed: int          #   timed in this build
    cached: int         #   known from the timing cache
    left: int           #   left to the heuristic
    won: int            # where a timed candidate replaced the heuristic's
    candidates: int     # that were run in this build
    heuristic_ms: float  # estimates for one run of all commands that have times
    chosen_ms: float

    def __str__(self):
        return self.text


class Engine:
    """A built network. Immutable; any number of sessions may run it."""

    def __init__(self, handle, path=None):
        self._handle, self._path = handle, path
        self.inputs = _tensors(handle.inputs())
        self.outputs = _tensors(handle.outputs())
        self.metadata = Metadata(handle)
        self.check = None  # the CheckReport, if it was built with check=True
        self.tuning = None  # the TuneReport, if it was built with effort="tune" or "exhaustive", or a timing cache

    def save(self, path):
        path = os.fspath(path)
        if self._path is None:
            _write(path, self._handle.raw())
        elif os.path.abspath(self._path) != os.path.abspath(path):
            shutil.copyfile(self._path, path)

    def session(self, threads=0, memory_limit=0, profile=False):
        """threads: 0 for one a core; sessions with the same number share one pool. memory_limit: bytes, 0 for none."""
        return Session(self, threads, memory_limit, profile)

    def run(self, inputs):
        """One run in a session made for it."""
        return self.session().run(inputs)

    def describe(self):
        """Commands, buffers, memory and why each kernel was chosen."""
        return json.loads(self._handle.describe_json())

    def memory(self, shapes=None, threads=0):
        """What the engine takes of memory, in bytes; nothing is run.

        shapes: {input: dims}; an input that is not named has the largest size that the engine was built for, else 1 in its dynamic dims.
        Without shapes, inputs without bounds leave out what depends on them. The result has weights_bytes; working_bytes, workspace_bytes
        (scratch of kernels, for so many threads; 0 for one a core) and peak, the command at which most is alive; the number of values in
        working memory, and of those that share it: views, in_place, parts.
        """
        if shapes is None:
            return json.loads(self._handle.memory_json([], threads))
        unknown = set(shapes) - {t.name for t in self.inputs}
        if unknown:
            raise Error(f"the engine has no input '{sorted(unknown)[0]}'")

        def largest(tensor):
            bounds = tensor.max or [-1] * len(tensor.shape)
            return [dim if isinstance(dim, int) else max(bound, 1) for dim, bound in zip(tensor.shape, bounds)]
        return json.loads(self._handle.memory_json([list(shapes.get(t.name, largest(t))) for t in self.inputs], threads))

    def __repr__(self):
        def text(tensors):
            return ", ".join(f"{t.name}: {t.dtype.name}{list(t.shape)}" for t in tensors)
        return f"carnot.Engine({text(self.inputs)} -> {text(self.outputs)})"


class Metadata:
    """The texts that the model came with, by key."""

    def __init__(self, handle):
        self._handle = handle

    def get(self, key, default=None):
        value = self._handle.metadata(key)
        return default if value is None else value

    def __contains__(self, key):
        return self._handle.metadata(key) is not None

    def __getitem__(self, key):
        value = self._handle.metadata(key)
        if value is None:
            raise KeyError(key)
        return value


class Session:
    """Runs an engine, with memory and threads of its own. For one caller at a time."""

    def __init__(self, engine, threads=0, memory_limit=0, profile=False):
        self.engine = engine
        self._handle = _runtime.Session(engine._handle, threads, memory_limit, profile)

    def run(self, inputs):
        """inputs: {name: array}, numpy or anything with DLPack. Returns {name: numpy array}, the caller's own."""
        fed = []
        for name, value in inputs.items():
            try:
                fed.append((name, *dtypes.flat_bytes(value)))
            except (TypeError, ValueError, BufferError) as problem:
                raise Error(f"input '{name}': {problem}") from None
        missing = [t.name for t in self.engine.inputs if t.name not in inputs]
        if missing:
            raise Error(f"input '{missing[0]}' is missing; the engine takes {', '.join(repr(t.name) for t in self.engine.inputs)}")
        return {name: data.view(dtypes.numpy_of(code)).reshape(dims) for name, code, dims, data in self._handle.run(fed)}

    @property
    def memory(self):
        """Bytes of working memory held now, weights not counted."""
        return self._handle.memory()

    def profile(self):
        """Time of each command of the last run (sessions made with profile=True)."""
        return json.loads(self._handle.profile_json())


def _ranges(shapes):
    """{name: dims} or {name: (min, opt, max)} as {name: (min, opt, max)}."""
    out = {}
    for name, value in (shapes or {}).items():
        value = tuple(value)
        if all(isinstance(dim, (int, np.integer)) for dim in value):
            value = (value, value, value)
        elif len(value) == 2:
            value = (value[0], value[1], value[1])
        if len(value) != 3:
            raise Error(f"shape of '{name}': expected dims, or (min, opt, max)")
        out[name] = tuple([int(dim) for dim in dims] for dims in value)
    return out


def build(model, device="cpu", shapes=None, precision="fp32", effort="heuristic", progress=None, layer_precision=None,
          check=False, check_tolerance=None, threads=0, timing_cache=None):
    """An engine from an ONNX file (path, bytes or onnx.ModelProto) or a carnot.Network.

    shapes: {input: dims or (min, opt, max)}; inputs that are not named keep their dynamic dims. A range is tuned for opt, its sessions
    reserve memory for max, and inputs outside of it are refused.
    precision: "fp32", "tf32", "bf16" or "fp16" for the whole network; layer_precision: {glob: type} for single layers by the name of a node
    or result of the model, or {"op=Softmax": type}; the last that matches wins. Inputs and outputs keep the model's types.
    progress: called with (phase, share done); returning False cancels.
    check: run the engine and the reference, node by node, on the same random inputs. The engine's `check` is the report; an
    engine that is out of tolerance is a CheckError. check_tolerance: relative to an output's range, by default 1e-4 for fp32.
    effort: "heuristic" chooses kernels without timing them, "tune" times the likely ones on the device, "exhaustive" all of them.
    timing_cache: file that keeps times from build to build; what it knows is not timed again, and equal times give equal engines. The
    engine's `tuning` is the report.
    threads: of the runs that the build makes and is tuned for, 0 for all cores.
    """
    from . import _compiler
    from .network import Network
    reports, tunings = [], []

    def on_check(passed, text, outputs, layers):
        reports.append(CheckReport(passed, text, *(tuple(CheckedValue(*row) for row in rows) for rows in (outputs, layers))))

    def on_tune(*report):
        tunings.append(TuneReport(*report))

    more = dict(timing_cache=os.fspath(timing_cache or ""), on_tune=on_tune, check=bool(check), check_tolerance=float(check_tolerance or 0), threads=int(threads), on_check=on_check)
    settings = dict(device=device, precision=precision, effort=effort, shapes=_ranges(shapes), progress=progress,
                    layer_precision=[f"{glob}:{dtype}" for glob, dtype in (layer_precision or {}).items()], more=more)
    try:
        if isinstance(model, Network):
            data = model._handle.build(**settings)
        elif hasattr(model, "SerializeToString"):
            data = _compiler.build_onnx_bytes(model.SerializeToString(), **settings)
        elif isinstance(model, (bytes, bytearray, memoryview)):
            data = _compiler.build_onnx_bytes(bytes(model), **settings)
        else:
            data = _compiler.build_onnx_file(os.fspath(model), **settings)
    except Error as problem:
        if reports and not reports[-1].passed:
            raise CheckError(problem, reports[-1]) from None
        raise
    engine = Engine(_runtime.Engine.from_bytes(data))
    engine.check = reports[-1] if reports else None
    engine.tuning = tunings[-1] if tunings else None
    return engine


def _cache_file(path):
    """Where the engine of a model file is kept: by the model's path, size and time and the compiler's, so that a changed one builds again."""
    from . import _compiler
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = os.environ.get("CARNOT_CACHE_DIR") or os.path.join(home, "carnot")
    real, state = os.path.realpath(path), os.stat(path)
    compiler = os.stat(_compiler.__file__).st_mtime_ns
    key = f"{real}\n{state.st_size}\n{state.st_mtime_ns}\n{compiler}\n{_runtime.version}"
    return os.path.join(folder, f"python-{hashlib.sha256(key.encode()).hexdigest()[:32]}.engine")


def load(path):
    """An engine from its file. A model file goes too: it is built with defaults and kept in the user's cache."""
    path = os.fspath(path)
    try:
        with open(path, "rb") as file:
            is_engine = file.read(8) == b"CARNOTEN"
    except OSError as problem:
        raise Error(f"cannot read '{path}': {problem.strerror}") from None
    if is_engine or not path.endswith(".onnx"):
        return Engine(_runtime.Engine.load(path), path)
    cached = _cache_file(path)
    if os.path.exists(cached):
        try:
            return Engine(_runtime.Engine.load(cached), cached)
        except Error:
            pass  # of another version, or damaged: built again
    engine = build(path)
    try:
        os.makedirs(os.path.dirname(cached), exist_ok=True)
        engine.save(cached)
    except (OSError, Error):
        pass  # a cache that cannot be written is no reason to fail
    return engine
