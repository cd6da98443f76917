# SPDX-License-Identifier: Apache-2.0
"""Memory of one run of an engine, in a process that holds nothing else: the C interface by ctypes, no NumPy.

usage: footprint.py libcarnot.so ENGINE THREADS NAME=FILE.npy...        prints JSON, in bytes
"""
import ast
import ctypes
import json
import struct
import sys

DTYPES = {"f4": 1, "u1": 2, "i1": 3, "u2": 4, "i2": 5, "i4": 6, "i8": 7, "b1": 9, "f2": 10, "f8": 11, "u4": 12, "u8": 13}


class Tensor(ctypes.Structure):
    _fields_ = [("dtype", ctypes.c_int), ("rank", ctypes.c_size_t), ("dims", ctypes.POINTER(ctypes.c_int64)),
                ("data", ctypes.c_void_p), ("bytes", ctypes.c_size_t)]


class Options(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("threads", ctypes.c_int), ("memory_limit", ctypes.c_size_t), ("profile", ctypes.c_int)]


def read_npy(path):
    """(dtype number, dims, bytes) of a version 1 .npy file."""
    data = open(path, "rb").read()
    size = struct.unpack("<H", data[8:10])[0]
    header = ast.literal_eval(data[10:10 + size].decode())
    return DTYPES[header["descr"][1:]], header["shape"], data[10 + size:]


def peak():
    """The most that was resident at once since this program started (ru_maxrss counts its parent's too)."""
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main(library, engine_file, threads, *inputs):
    carnot = ctypes.CDLL(library)
    carnot.carnot_last_error.restype = carnot.carnot_engine_describe_json.restype = ctypes.c_char_p
    carnot.carnot_session_memory.restype = ctypes.c_size_t
    idle = peak()

    def call(function, *arguments):
        if function(*arguments):
            sys.exit(carnot.carnot_last_error().decode())

    engine, session = ctypes.c_void_p(), ctypes.c_void_p()
    call(carnot.carnot_engine_load, engine_file.encode(), ctypes.byref(engine))
    options = Options(ctypes.sizeof(Options), int(threads), 0, 0)
    call(carnot.carnot_session_create, engine, ctypes.byref(options), ctypes.byref(session))
    alive = []
    for text in inputs:
        name, _, path = text.rpartition("=")
        dtype, shape, data = read_npy(path)
        dims = (ctypes.c_int64 * len(shape))(*shape)
        alive.append((dims, data))
        tensor = Tensor(dtype, len(shape), dims, ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p), len(data))
        call(carnot.carnot_session_set_input, session, name.encode(), ctypes.byref(tensor))
    call(carnot.carnot_session_run, session)
    call(carnot.carnot_session_run, session)
    weights = json.loads(carnot.carnot_engine_describe_json(engine))["constant_bytes"]
    print(json.dumps({"peak": peak() - idle, "activations": carnot.carnot_session_memory(session), "weights": weights}))


if __name__ == "__main__":
    main(*sys.argv[1:])
