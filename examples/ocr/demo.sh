#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Converts the three OCR models into engines, unless that is done already, and reads pictures with them (make demo).
#
# usage: demo.sh [--compare] [PICTURE...]      the pictures of this folder by default
#   --compare   reads them with ONNX Runtime as well; prints both times and whether the texts are the same
# Environment: BUILD (build), PYTHON (python3; for --compare), THREADS (one per core), CARNOT_TEST_CACHE (.cache)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${BUILD:-$root/build}
cache=${CARNOT_TEST_CACHE:-$root/.cache}
threads=${THREADS:-$(nproc)}
compare=
if [ "${1:-}" = --compare ]; then
  compare=yes
  shift
fi
[ $# -gt 0 ] || set -- "$here"/pictures/*.png

mkdir -p "$cache/demo"
for name in ppocr_det ppocr_cls ppocr_rec; do
  model=$cache/real/$name.onnx engine=$cache/demo/$name.engine
  # An engine that an older compiler built may have another format.
  if [ "$engine" -nt "$model" ] && [ "$engine" -nt "$build/carnot" ]; then
    echo "demo: $engine is up to date"
  else
    echo "demo: building $engine"
    "$build/carnot" build "$model" -o "$engine"
  fi
done

if [ -z "$compare" ]; then
  exec "$build/ocr_reader" --models "$cache/demo" --threads "$threads" "$@"
fi
# Each picture is read several times and the fastest counts: the first run of a new size lays out its memory.
"$build/ocr_reader" --models "$cache/demo" --threads "$threads" --repeat 3 --json "$cache/demo/carnot.json" "$@"
"${PYTHON:-python3}" "$here/reader.py" --engine ort --models "$cache/real" --threads "$threads" --repeat 3 \
  --json "$cache/demo/ort.json" "$@" >/dev/null
"${PYTHON:-python3}" "$here/compare.py" "$cache/demo/carnot.json" "$cache/demo/ort.json"
