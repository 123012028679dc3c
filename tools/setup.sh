#!/usr/bin/env bash
# Installs everything that Spar is built and tested with on Debian 12: the
# packages below (root or sudo), and .venv with the pinned Python packages, of
# which torch is also LibTorch. Safe to run again; quick when nothing is missing.
#
#   VIRTUAL_ENV      an existing virtual environment to use instead of .venv
#   SPAR_TORCH_DIR   a LibTorch (>= 2.6, CPU or CUDA) to build against instead of
#                    the virtual environment's torch
#   SPAR_SETUP       "all" (default); "runtime": only the Debian packages that
#                    an installed spard and spar need to run
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }

packages=(
  build-essential cmake ninja-build ccache mold pkg-config git ca-certificates
  libgrpc++-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev
  libabsl-dev prometheus-cpp-dev libgtest-dev libgmock-dev libbenchmark-dev
  libpcre2-dev libssl-dev libutf8proc-dev nlohmann-json3-dev libcli11-dev
  clang clang-format clang-tidy libclang-rt-14-dev
  python3 python3-venv
)
runtime_packages=(
  ca-certificates libgomp1 libgrpc++1.51 libprotobuf32 libabsl20220623
  libprometheus-cpp-core1.0 libprometheus-cpp-pull1.0 libpcre2-8-0 libssl3
  libutf8proc2
)
[ "${SPAR_SETUP:-all}" = runtime ] && packages=("${runtime_packages[@]}")

install_packages() {
  local missing=()
  local package
  for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null |
      grep -q 'install ok installed' || missing+=("$package")
  done
  if [ ${#missing[@]} -eq 0 ]; then
    say "Debian packages: all ${#packages[@]} present"
    return
  fi
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
      say "need root or sudo to install: ${missing[*]}"
      exit 1
    }
    as_root=(sudo)
  fi
  say "installing ${#missing[@]} Debian packages: ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

install_python() {
  local venv=${VIRTUAL_ENV:-.venv}
  if [ ! -x "$venv/bin/python" ]; then
    say "creating $venv"
    python3 -m venv "$venv"
  fi
  local stamp=$venv/.spar-requirements
  if cmp -s tools/requirements.txt "$stamp"; then
    say "Python packages: as pinned in tools/requirements.txt"
    return
  fi
  say "installing the Python packages of tools/requirements.txt into $venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    -r tools/requirements.txt
  cp tools/requirements.txt "$stamp"
}

if ! command -v apt-get >/dev/null; then
  say "this script knows Debian 12; elsewhere install the packages it lists"
  exit 1
fi
install_packages
if [ "${SPAR_SETUP:-all}" = all ]; then
  install_python
fi
if [ -n "${SPAR_TORCH_DIR:-}" ]; then
  say "building against the LibTorch in $SPAR_TORCH_DIR"
fi
say done
