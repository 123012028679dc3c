#!/usr/bin/env bash
# format.sh            formats every C++ file in place
# format.sh --check    prints what is not formatted and fails
set -euo pipefail
cd "$(dirname "$0")/.."
mode=(-i)
[ "${1:-}" = --check ] && mode=(--dry-run --Werror)
git ls-files -z '*.h' '*.cc' | xargs -0 -n 32 -P "$(nproc)" clang-format "${mode[@]}"
echo "format: $(git ls-files '*.h' '*.cc' | wc -l) files"
