# make demo    set up, build, explain predictions of the shipped model
# make test    set up, build, run every test
# Everything else is for people who work on Spar: see CONTRIBUTING.md.

SHELL := /bin/bash
JOBS ?= $(shell nproc)
PRESET ?= release
BUILD := build/$(PRESET)

# Clones of this repository share one compiler cache.
export CCACHE_BASEDIR := $(CURDIR)
export CCACHE_NOHASHDIR := 1

.PHONY: demo test build setup configure demo-model demo-decomposition format check bench clean

demo: build
	tools/demo.sh

test: build
	ctest --test-dir $(BUILD) -j $(JOBS) --output-on-failure --no-tests=error

build: configure
	cmake --build $(BUILD) -j $(JOBS)

configure: setup
	@cmake --preset $(PRESET) >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }

setup:
	@tools/setup.sh
	@mkdir -p build

# Trains the shipped model anew: minutes on two cores.
demo-model: build
	$(BUILD)/bin/make_demo_model --out models/demo/model

# Trains the shipped model's decomposition anew: 73 minutes on one core of a
# busy machine. What was stopped goes on.
demo-decomposition: build
	$(BUILD)/bin/spard train --config models/demo/decomposition_training.json --resume --threads 1
	mkdir -p models/demo/decomposition
	cp build/demo_decomposition/decomposition/* models/demo/decomposition/

bench: build
	@find $(BUILD)/bench -maxdepth 1 -type f -executable | sort | while read -r program; do "$$program" || exit 1; done

format:
	tools/format.sh

# The checks beyond the tests; .ci/run makes all of them but clang-tidy.
check: setup
	tools/check.sh

clean:
	rm -rf build
