# SPDX-License-Identifier: Apache-2.0
"""Element types: Carnot's numbers (those of ONNX) and numpy's dtypes."""
import numpy as np

from ._runtime import Error

NUMPY = {1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_,
         10: np.float16, 11: np.float64, 12: np.uint32, 13: np.uint64}
CODES = {np.dtype(value): code for code, value in NUMPY.items()}
WORDS = {"f32": 1, "u8": 2, "i8": 3, "u16": 4, "i16": 5, "i32": 6, "i64": 7, "bool": 9, "f16": 10, "f64": 11, "u32": 12,
         "u64": 13, "bf16": 16, "bfloat16": 16}
BFLOAT16 = 16


def code_of(dtype):
    """The number of a numpy dtype, or of a word such as "f32" or "float32"."""
    if isinstance(dtype, str) and dtype in WORDS:
        return WORDS[dtype]
    dtype = np.dtype(dtype)
    if dtype.newbyteorder("=") in CODES:
        return CODES[dtype.newbyteorder("=")]
    if dtype.name == "bfloat16":  # of ml_dtypes
        return BFLOAT16
    raise Error(f"arrays of {dtype} are not supported")


def numpy_of(code):
    """The numpy dtype of a number; bfloat16 needs the package ml_dtypes, without it the bits come as uint16."""
    if code == BFLOAT16:
        try:
            import ml_dtypes
        except ImportError:
            return np.dtype(np.uint16)
        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(NUMPY[code])


def flat_bytes(array):
    """(code, dims, flat uint8 view) of anything that numpy or DLPack understands; copies only what is not dense."""
    if not isinstance(array, np.ndarray):
        array = np.from_dlpack(array) if hasattr(array, "__dlpack__") else np.asarray(array)
    code = code_of(array.dtype)
    dims = list(array.shape)
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    return code, dims, array.reshape(-1).view(np.uint8)
