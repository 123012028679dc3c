#!/usr/bin/env bash
# clang-tidy with .clang-tidy over the torch-free sources of a clang build.
#   tidy.sh BUILD_FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t files < <(
  git ls-files 'base/*.cc' 'graph/*.cc' 'models/*.cc' 'server/*.cc' 'client/*.cc' |
    grep -v -e '^models/torch/' -e '^models/demo/')
printf '%s\0' "${files[@]}" |
  xargs -0 -n 1 -P "$(nproc)" clang-tidy --quiet -p "$1" 2>/dev/null
echo "tidy: ${#files[@]} files"
