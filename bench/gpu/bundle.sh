#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A folder that a GPU machine runs as it is: the tool, the libraries with what they need beyond the C library, test-gpu and bench-gpu.
# usage: bundle.sh BUILD FOLDER [MODELS]     MODELS: the folder of the test graphs with its materialize.py, copied if given
set -eu
build=$1 to=$2 models=${3:-}
here=$(cd "$(dirname "$0")" && pwd)
rm -rf "$to"
mkdir -p "$to/lib" "$to/tests"
cp "$build/carnot" "$to/"
for lib in libcarnot.so.0 libcarnot_compiler.so.0 libcarnot_server.so.0 libcarnot_cuda.so; do
  if [ -e "$build/$lib" ]; then cp -L "$build/$lib" "$to/lib/"; fi
done
[ -e "$to/lib/libcarnot_cuda.so" ] || { echo "bundle.sh: $build has no libcarnot_cuda.so; the CUDA toolkit was not found when it was configured" >&2; exit 1; }
# Everything that the loader finds elsewhere, but for what every GNU system has.
ldd "$build/carnot" "$to"/lib/*.so* | awk '$2 == "=>" && $3 ~ /^\// {print $3}' | sort -u |
  grep -vE '/(libc|libm|libdl|librt|libpthread|libgcc_s|libstdc\+\+|libcarnot[a-z_]*|ld-linux-x86-64)\.so' | while read -r lib; do cp -L "$lib" "$to/lib/"; done
for program in "$build"/tests/gpu/*; do
  if [ -f "$program" ] && [ -x "$program" ]; then cp "$program" "$to/tests/"; fi
done
strip --strip-unneeded "$to/carnot" "$to"/lib/*.so* 2>/dev/null || true
cp "$here/engine.py" "$here/torch_models.py" "$here/../../scripts/feeds.py" "$to/"
for tool in bench test; do
  cp "$here/${tool}_gpu.py" "$to/$tool-gpu"
  chmod +x "$to/$tool-gpu"
done
if [ -n "$models" ]; then
  mkdir "$to/models"
  cp "$models"/*.onnx "$models"/*.json "$models/materialize.py" "$to/models/"
fi
du -sh "$to"
