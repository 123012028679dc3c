#!/usr/bin/env bash
# The checks beyond `make test`. Without arguments all of them, else those named:
#   layers    which folder includes which
#   format    clang-format
#   headers   every header compiles alone
#   tsan      the thread sanitizer's build and its tests
#   asan      clang's build with the address and undefined-behaviour sanitizers,
#             lock annotations as errors, and its tests
#   tidy      clang-tidy, file by file
set -euo pipefail
cd "$(dirname "$0")/.."
jobs=${JOBS:-$(nproc)}
export CCACHE_BASEDIR=${CCACHE_BASEDIR:-$PWD} CCACHE_NOHASHDIR=1

step() { printf '\n== %s (at %s s)\n' "$*" "$SECONDS"; }

configure() {
  cmake --preset "$1" >"build/$1.log" 2>&1 || { cat "build/$1.log"; exit 1; }
}

# build PRESET [TARGET ...]
build() {
  configure "$1"
  cmake --build "build/$1" -j "$jobs" ${2:+--target "${@:2}"} >"build/$1.log" 2>&1 ||
    { tail -60 "build/$1.log"; exit 1; }
}

check_layers() { tools/check_layers.py; }

check_format() { tools/format.sh --check; }

check_headers() {
  [ -r build/release/compile_commands.json ] || configure release
  tools/check_headers.py build/release
}

# Of the tests that the preset could build, those of code that has threads.
check_tsan() {
  local folders=(tests/base tests/schedule tests/search)
  build tsan "${folders[@]/%//all}"
  for folder in "${folders[@]}"; do
    ctest --test-dir "build/tsan/$folder" -j "$jobs" --output-on-failure --no-tests=error
  done
}

# The preset leaves out the suites of parity, whose time goes into another
# library's arithmetic: `make test` has run them on the same code.
check_asan() {
  build asan
  ctest --test-dir build/asan -j "$jobs" --output-on-failure --no-tests=error
}

check_tidy() {
  configure clang
  cmake --build build/clang --target spar_proto_sources
  tools/tidy.sh build/clang
}

mkdir -p build
[ $# -gt 0 ] || set -- layers format headers tsan asan tidy
for check; do
  step "$check"
  "check_$check"
done
step "passed: $*"
