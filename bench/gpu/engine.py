# SPDX-License-Identifier: Apache-2.0
"""Engines through Carnot's C interface, for whatever Python the GPU machine has: no module to build there."""
import ctypes as C
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
LIB = HERE / "lib"
DTYPES = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64"}
CODES = {np.dtype(name): code for code, name in DTYPES.items()}


def environment():
    """LD_LIBRARY_PATH with the bundle's own libraries and those of NVIDIA's Python wheels, for the carnot tool and for this process."""
    folders = [str(LIB)]
    for site in sys.path:
        folders += sorted(str(f) for f in pathlib.Path(site).glob("nvidia/*/lib") if f.is_dir())
    given = os.environ.get("LD_LIBRARY_PATH", "")
    return dict(os.environ, LD_LIBRARY_PATH=":".join(folders + ([given] if given else [])))


def restart_with_libraries():
    """The loader reads LD_LIBRARY_PATH once, at the start of a process."""
    if os.environ.get("CARNOT_BUNDLE") == str(HERE):
        return
    os.environ.update(environment(), CARNOT_BUNDLE=str(HERE))
    os.execv(sys.executable, [sys.executable] + sys.argv)


class Tensor(C.Structure):
    _fields_ = [("dtype", C.c_int), ("rank", C.c_size_t), ("dims", C.POINTER(C.c_int64)), ("data", C.c_void_p), ("bytes", C.c_size_t)]


class Options(C.Structure):
    _fields_ = [("struct_size", C.c_size_t), ("threads", C.c_int), ("memory_limit", C.c_size_t), ("profile", C.c_int), ("device", C.c_char_p),
                ("stream", C.c_void_p)]


def library():
    lib = C.CDLL(str(LIB / "libcarnot.so.0"))
    lib.carnot_last_error.restype = lib.carnot_engine_describe_json.restype = lib.carnot_session_profile_json.restype = C.c_char_p
    lib.carnot_session_memory.restype = C.c_size_t
    for name in ("engine_describe_json", "engine_release", "session_run", "session_enqueue", "session_wait", "session_memory", "session_release",
                 "session_profile_json"):
        getattr(lib, "carnot_" + name).argtypes = [C.c_void_p]
    return lib


def build(model, engine, *options):
    """Seconds that `carnot build` took."""
    begin = time.time()
    done = subprocess.run([str(HERE / "carnot"), "build", str(model), "-o", str(engine), "-q", *options], env=environment(), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError("carnot build: " + done.stderr.strip()[-400:])
    return time.time() - begin


class Session:
    """One session of an engine file. Host arrays by feed() and get(); device memory by bind()."""

    def __init__(self, path, stream=None, profile=False):
        self.lib = library()
        begin = time.time()
        self.engine, self.session, self.kept = C.c_void_p(), C.c_void_p(), {}
        self.check(self.lib.carnot_engine_load(str(path).encode(), C.byref(self.engine)))
        self.about = json.loads(self.lib.carnot_engine_describe_json(self.engine))
        options = Options(C.sizeof(Options), 0, 0, int(profile), None, stream)
        self.check(self.lib.carnot_session_create(self.engine, C.byref(options), C.byref(self.session)))
        self.load_seconds = time.time() - begin
        self.inputs = [v["name"] for v in self.about["inputs"]]
        self.outputs = [v["name"] for v in self.about["outputs"]]

    def check(self, status):
        if status:
            raise RuntimeError(self.lib.carnot_last_error().decode())

    def tensor(self, dtype, dims, pointer, size):
        array = (C.c_int64 * max(1, len(dims)))(*dims)
        tensor = Tensor(CODES[np.dtype(dtype)], len(dims), array, pointer, size)
        tensor.kept = array
        return tensor

    def feed(self, name, value):
        value = self.kept[name] = np.ascontiguousarray(value)
        tensor = self.tensor(value.dtype, value.shape, value.ctypes.data, value.nbytes)
        self.check(self.lib.carnot_session_set_input(self.session, name.encode(), C.byref(tensor)))

    def bind(self, name, dtype, dims, pointer, size, output=False):
        tensor = self.tensor(dtype, dims, pointer, size)
        call = self.lib.carnot_session_set_output_in if output else self.lib.carnot_session_set_input_in
        self.check(call(self.session, name.encode(), C.byref(tensor), 1))

    def get(self, name):
        tensor = Tensor()
        self.check(self.lib.carnot_session_get_output(self.session, name.encode(), C.byref(tensor)))
        dims = tuple(tensor.dims[i] for i in range(tensor.rank))
        dtype = np.dtype(DTYPES[tensor.dtype])
        return np.frombuffer(C.string_at(tensor.data, tensor.bytes), dtype).reshape(dims).copy() if tensor.bytes else np.zeros(dims, dtype)

    def run(self):
        self.check(self.lib.carnot_session_run(self.session))

    def enqueue(self):
        self.check(self.lib.carnot_session_enqueue(self.session))

    def wait(self):
        self.check(self.lib.carnot_session_wait(self.session))

    def memory(self):
        return self.lib.carnot_session_memory(self.session)

    def profile(self):
        return json.loads(self.lib.carnot_session_profile_json(self.session))

    def commands(self):
        return [c for plan in self.about["plans"] for c in plan["commands"]]

    def share_on_device(self):
        """Commands on the GPU of all that compute, and the names of the others."""
        work = [c for c in self.commands() if c["kernel"] != "copy"]
        host = [c for c in work if not c["kernel"].startswith("cuda.")]
        return (len(work) - len(host)) / max(1, len(work)), [f'{c["kernel"]} {c["where"][:60]}' for c in host]

    def close(self):
        if self.session:
            self.lib.carnot_session_release(self.session)
            self.lib.carnot_engine_release(self.engine)
            self.session = None


def error(want, have):
    """The largest difference as a share of the expected values' range (of its size, if there is one value only); inf for another shape or
    for what should be finite and is not."""
    if want.shape != have.shape:
        return float("inf")
    want, have = want.astype("d"), have.astype("d")
    if want.size == 0:
        return 0.0
    finite = np.isfinite(want)
    if not np.array_equal(finite, np.isfinite(have)):
        return float("inf")
    if not finite.any():
        return 0.0
    span = np.ptp(want[finite]) or np.abs(want[finite]).max()
    return float(np.abs(want - have)[finite].max() / max(span, 1e-6))
