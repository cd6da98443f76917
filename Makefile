# SPDX-License-Identifier: Apache-2.0
# One word per task. `make help` lists them.
SHELL := /bin/sh
VENV ?= .venv
BUILD ?= build
PYTHON = $(VENV)/bin/python
# A translation unit takes up to 1.5 GB: no more jobs at once than the memory holds.
JOBS ?= $(shell n=$$(nproc); m=$$(awk '/MemAvailable/ {print int($$2 / 1500000)}' /proc/meminfo); \
          [ $$m -lt 1 ] && m=1; [ $$n -lt $$m ] && echo $$n || echo $$m)
FUZZ ?= $(notdir $(wildcard tests/fuzz/seeds/*))
FUZZ_SECONDS ?= 60
export PYTHONPATH := $(BUILD)/python

.PHONY: help setup build test test-models demo bench gpu-bundle asan tsan fuzz clean

help:             ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

setup: $(VENV)/.stamp  ## install the Debian and Python packages that are missing (root or sudo)

$(VENV)/.stamp: scripts/setup.sh scripts/requirements.txt
	@scripts/setup.sh $(VENV)

build: setup      ## compile: build/carnot, the libraries, and the Python module in build/python
	cmake --preset release -B $(BUILD) -DPython_EXECUTABLE="$(abspath $(PYTHON))"
	cmake --build $(BUILD) -j $(JOBS)

test: build       ## all tests that fit into some minutes; ends with "N passed, N failed"
	$(PYTHON) scripts/test.py --build $(BUILD)

test-models: build  ## every model against ONNX Runtime (long)
	$(PYTHON) scripts/test.py --build $(BUILD) --models

demo: build       ## read the pictures of examples/ocr (COMPARE=1: with ONNX Runtime beside it)
	$(PYTHON) scripts/models.py real ppocr_det ppocr_cls ppocr_rec
	BUILD="$(abspath $(BUILD))" PYTHON="$(abspath $(PYTHON))" examples/ocr/demo.sh $(if $(COMPARE),--compare) $(DEMO)

bench: build      ## time Carnot, ONNX Runtime and OpenVINO side by side (MODELS="a.onnx b.onnx" or all)
	$(PYTHON) bench/compare_cpu.py $(if $(MODELS),$(MODELS),--all) --json $(BUILD)/bench.json

gpu-bundle: build ## a folder for GPU machines, build/gpu-bundle, with test-gpu and bench-gpu (GRAPHS=folder of the test graphs)
	bench/gpu/bundle.sh $(BUILD) $(BUILD)/gpu-bundle $(GRAPHS)

asan: setup       ## build with AddressSanitizer and UndefinedBehaviorSanitizer, then run the C++ tests
	cmake --preset asan
	cmake --build build-asan -j $(JOBS)
	ctest --test-dir build-asan --output-on-failure --no-tests=error -j $(JOBS)

tsan: setup       ## build the thread pool and the server with ThreadSanitizer, then run their tests
	cmake --preset tsan
	cmake --build build-tsan -j $(JOBS) --target threads_test embedded_server_test
	ctest --test-dir build-tsan --output-on-failure --no-tests=error -R '^(threads|embedded_server)_test$$'

fuzz: setup       ## feed mutated ONNX files, engines and graph texts to the parsers, FUZZ_SECONDS=60 each
	cmake --preset fuzz
	cmake --build build-fuzz -j $(JOBS) --target fuzz
	cd build-fuzz && for f in $(FUZZ); do tests/fuzz_$$f --seconds $(FUZZ_SECONDS) ../tests/fuzz/seeds/$$f || exit 1; done

clean:            ## remove what was built (not the Python environment, not the downloaded models)
	rm -rf $(BUILD) build-asan build-tsan build-fuzz
