/* SPDX-License-Identifier: Apache-2.0
 * A libcuda.so.1 with the functions that the backend's copies need. Its "device" memory is the host's; it counts the copies. */
#include <stdint.h>
#include <string.h>

int fake_driver_copies = 0, fake_driver_depth = 0, fake_driver_fails = 0;

int cuInit(unsigned flags) { return (int)flags; }
int cuDeviceGet(int* device, int ordinal) {
  *device = ordinal;
  return ordinal == 0 ? 0 : 101;
}
int cuDevicePrimaryCtxRetain(void** context, int device) {
  static char storage;
  *context = &storage;
  return device;
}
int cuCtxPushCurrent_v2(void* context) { return ++fake_driver_depth, context ? 0 : 201; }
int cuCtxPopCurrent_v2(void** context) { return --fake_driver_depth, *context = 0, 0; }
int cuMemcpy(uintptr_t to, uintptr_t from, size_t bytes) {
  if (fake_driver_fails) return 700;
  if (fake_driver_depth != 1) return 201;
  memcpy((void*)to, (const void*)from, bytes);
  ++fake_driver_copies;
  return 0;
}
