/* SPDX-License-Identifier: Apache-2.0
 * Carnot's C interface: load an engine, ask what it takes and gives, run it. Nothing here needs the compiler.
 *
 * Every function that can fail returns a carnot_status; CARNOT_OK is 0. The message of the last failure on the calling thread is
 * carnot_last_error(). Strings and arrays returned belong to the object asked and live as long as it does.
 * An engine may be used from many threads at once; a session by one caller at a time.
 */
#ifndef CARNOT_CARNOT_H
#define CARNOT_CARNOT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CARNOT_VERSION_MAJOR 0
#define CARNOT_VERSION_MINOR 1
#define CARNOT_VERSION_PATCH 0
#define CARNOT_EXPORT __attribute__((visibility("default")))

typedef enum carnot_status {
  CARNOT_OK = 0,
  CARNOT_INVALID_ARGUMENT = 1, /* the caller's or the model's mistake */
  CARNOT_NOT_FOUND = 2,        /* a file, name or kernel that does not exist */
  CARNOT_UNSUPPORTED = 3,
  CARNOT_DATA_CORRUPT = 4, /* not an engine, another version, flipped bytes */
  CARNOT_OUT_OF_MEMORY = 5,
  CARNOT_IO = 6,
  CARNOT_CANCELLED = 7,
  CARNOT_INTERNAL = 8 /* our bug: please report */
} carnot_status;

/* ONNX's TensorProto.DataType numbers. */
typedef enum carnot_dtype {
  CARNOT_F32 = 1,
  CARNOT_U8 = 2,
  CARNOT_I8 = 3,
  CARNOT_U16 = 4,
  CARNOT_I16 = 5,
  CARNOT_I32 = 6,
  CARNOT_I64 = 7,
  CARNOT_BOOL = 9,
  CARNOT_F16 = 10,
  CARNOT_F64 = 11,
  CARNOT_U32 = 12,
  CARNOT_U64 = 13,
  CARNOT_BF16 = 16
} carnot_dtype;

typedef struct carnot_engine carnot_engine;
typedef struct carnot_session carnot_session;

/* A dense row-major tensor in the caller's memory. */
typedef struct carnot_tensor {
  carnot_dtype dtype;
  size_t rank;
  const int64_t* dims;
  void* data;
  size_t bytes; /* size of the memory at data */
} carnot_tensor;

/* What an engine says of one input or output. A symbolic dim is -1 in dims and a text such as "batch" or "4*seq+1" in dim_names;
 * a fixed one has its decimal text there. */
typedef struct carnot_io {
  const char* name;
  carnot_dtype dtype;
  size_t rank;
  const int64_t* dims;
  const char* const* dim_names;
} carnot_io;

/* The sizes of an input that an engine was built for (build --shape), one entry a dim: what lies outside min..max is refused, opt is what
 * kernels were chosen for. A dim without bounds has 0 in min and -1 in opt and max. rank 0 and NULLs: the input has no range. */
typedef struct carnot_range {
  size_t rank;
  const int64_t *min, *opt, *max;
} carnot_range;

typedef struct carnot_session_options {
  size_t struct_size; /* sizeof(carnot_session_options) */
  int threads;        /* 0: one per core. Sessions with the same number share one pool. */
  size_t memory_limit; /* bytes of working memory, 0: no limit */
  int profile;        /* 1: time each command, see carnot_session_profile_json */
  const char* device; /* engines of a device: "cuda:1"; NULL: the first */
  void* stream;       /* the caller's stream (CUstream) for all work of the device; NULL: one of the session's own */
} carnot_session_options;

CARNOT_EXPORT const char* carnot_version(void);    /* "0.1.0" */
CARNOT_EXPORT const char* carnot_last_error(void); /* "" if the thread has not failed yet */
CARNOT_EXPORT size_t carnot_dtype_size(carnot_dtype dtype);
CARNOT_EXPORT const char* carnot_dtype_name(carnot_dtype dtype); /* "f32" */

/* Log lines go to this function instead of standard error. level: 0 error, 1 summary, 2 passes, 3 tactics ... NULL: back to default. */
typedef void (*carnot_log_fn)(void* user, int level, const char* channel, const char* message);
CARNOT_EXPORT void carnot_set_log(carnot_log_fn fn, void* user);

/* Maps the file; constants are used in place. The file may be deleted afterwards, but not changed. */
CARNOT_EXPORT carnot_status carnot_engine_load(const char* path, carnot_engine** engine);
/* The bytes must outlive the engine and be 64-byte aligned, else they are copied. */
CARNOT_EXPORT carnot_status carnot_engine_load_memory(const void* bytes, size_t size, carnot_engine** engine);
CARNOT_EXPORT void carnot_engine_release(carnot_engine* engine); /* sessions made of it stay valid */
CARNOT_EXPORT size_t carnot_engine_input_count(const carnot_engine* engine);
CARNOT_EXPORT size_t carnot_engine_output_count(const carnot_engine* engine);
CARNOT_EXPORT carnot_status carnot_engine_input(const carnot_engine* engine, size_t index, carnot_io* io);
CARNOT_EXPORT carnot_status carnot_engine_output(const carnot_engine* engine, size_t index, carnot_io* io);
CARNOT_EXPORT carnot_status carnot_engine_input_range(const carnot_engine* engine, size_t index, carnot_range* range);
/* Metadata the model came with ("character" of an OCR model, say); NULL if there is no such key. */
CARNOT_EXPORT const char* carnot_engine_metadata(const carnot_engine* engine, const char* key);
/* Commands, buffers, memory and why each kernel was chosen, as JSON. */
CARNOT_EXPORT const char* carnot_engine_describe_json(const carnot_engine* engine);

/* What the engine takes of memory, as JSON: weights_bytes; for inputs of these shapes (one tensor an input, in the engine's order; only rank
 * and dims are looked at) and so many threads (0: one per core) working_bytes, workspace_bytes and the peak: the command at which most
 * is alive; the number of values in working memory and of those that share it (views, in_place, parts). Engines of a device also have
 * device_working_bytes and device_peak; the device is not needed. count 0: the largest inputs that the engine admits, or, without bounds,
 * only what no shape changes. Nothing is run. The text is valid until the thread's next call. */
CARNOT_EXPORT carnot_status carnot_engine_memory_json(const carnot_engine* engine, const carnot_tensor* inputs, size_t count, int threads,
                                                      const char** json);

/* Working memory for the largest inputs of the engine's ranges is taken here; runs within the ranges take no more. */
CARNOT_EXPORT carnot_status carnot_session_create(const carnot_engine* engine, const carnot_session_options* options,
                                                  carnot_session** session);
CARNOT_EXPORT void carnot_session_release(carnot_session* session);

/* Binds an input for the next runs; the memory is read in place during run. */
CARNOT_EXPORT carnot_status carnot_session_set_input(carnot_session* session, const char* name, const carnot_tensor* tensor);
/* Where a tensor's memory lies. */
typedef enum carnot_memory {
  CARNOT_MEMORY_HOST = 0,
  CARNOT_MEMORY_DEVICE = 1 /* of the session's device */
} carnot_memory;
/* As carnot_session_set_input and carnot_session_set_output, for memory that may lie on the session's device. What a session does with
 * it is ordered with the other work of its stream. */
CARNOT_EXPORT carnot_status carnot_session_set_input_in(carnot_session* session, const char* name, const carnot_tensor* tensor,
                                                        carnot_memory memory);
CARNOT_EXPORT carnot_status carnot_session_set_output_in(carnot_session* session, const char* name, const carnot_tensor* tensor,
                                                         carnot_memory memory);
/* Has an output written to the caller's memory (`bytes` of it); dims and rank are ignored. NULL: back to the session's own. The memory
 * must not overlap that of an input: results that come to lie there are written while inputs are still being read. */
CARNOT_EXPORT carnot_status carnot_session_set_output(carnot_session* session, const char* name, const carnot_tensor* tensor);
CARNOT_EXPORT carnot_status carnot_session_run(carnot_session* session);
/* As carnot_session_run, but returns when the work is on its way: outputs are there, and inputs may change, after carnot_session_wait.
 * Engines of the CPU, and commands of the CPU, run before it returns. */
CARNOT_EXPORT carnot_status carnot_session_enqueue(carnot_session* session);
CARNOT_EXPORT carnot_status carnot_session_wait(carnot_session* session);
/* The output of the last run, valid until the next run or release. */
CARNOT_EXPORT carnot_status carnot_session_get_output(carnot_session* session, const char* name, carnot_tensor* tensor);
/* Working memory held now, in bytes (weights not counted). */
CARNOT_EXPORT size_t carnot_session_memory(const carnot_session* session);
/* Mean time of each command over all runs (options.profile = 1), as JSON. Commands of a device run many times over, and the device's clock
 * tells how long one takes. */
CARNOT_EXPORT const char* carnot_session_profile_json(carnot_session* session);

#ifdef __cplusplus
}
#endif
#endif
