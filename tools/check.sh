#!/usr/bin/env bash
# Every check beyond `make test`: layers, format, headers that compile alone,
# and the TSan, clang and ASan+UBSan builds with their tests.
set -euo pipefail
cd "$(dirname "$0")/.."
jobs=${JOBS:-$(nproc)}
export CCACHE_BASEDIR=${CCACHE_BASEDIR:-$PWD} CCACHE_NOHASHDIR=1

step() { printf '\n== %s (at %s s)\n' "$*" "$SECONDS"; }

configure() {
  cmake --preset "$1" >"build/$1.log" 2>&1 || { cat "build/$1.log"; exit 1; }
}

build() {
  configure "$1"
  cmake --build "build/$1" -j "$jobs" >"build/$1.log" 2>&1 ||
    { tail -60 "build/$1.log"; exit 1; }
}

mkdir -p build
step layers
tools/check_layers.py
step format
tools/format.sh --check
step headers
[ -r build/release/compile_commands.json ] || configure release
tools/check_headers.py build/release
step "thread sanitizer"
build tsan
ctest --test-dir build/tsan -j "$jobs" --output-on-failure --no-tests=error
step "clang: thread safety as errors"
build clang
step clang-tidy
tools/tidy.sh build/clang
step "address and undefined-behaviour sanitizers"
build asan
ctest --test-dir build/asan -j "$jobs" --output-on-failure --no-tests=error
step "all checks passed"
