#!/usr/bin/env bash
# What `make demo` runs after the build: a server with the shipped model on a
# free port, a few questions, and one certificate checked by three programs.
#   tools/demo.sh [BUILD_FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build/release}
spard=$build/bin/spard
spar=$build/bin/spar
model=models/demo/model
questions=${SPAR_DEMO_QUESTIONS:-3}
python=${VIRTUAL_ENV:-.venv}/bin/python3

# A model this small gains little from threads, and loses much where another
# program wants the same cores.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
export OPENBLAS_NUM_THREADS=${OPENBLAS_NUM_THREADS:-1}

work=$(mktemp -d)
server=
bold= plain=
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
  bold=$(printf '\033[1m') plain=$(printf '\033[0m')
fi

finish() {
  status=$?
  trap - EXIT
  if [ -n "$server" ] && kill -0 "$server" 2>/dev/null; then
    kill -TERM "$server" && wait "$server" || status=$?
  fi
  [ "$status" = 0 ] || tail -20 "$work/spard.log" 2>/dev/null || true
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

step() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

run() {
  local shown="$*"
  printf '%s$ %s%s\n' "$bold" "${shown//"$work"\//}" "$plain"
  "$@"
}

# Prints the server's address once it listens; fails when it ends before.
address() {
  local line
  while IFS= read -r -t 120 line; do
    case $line in
      "listening on "*) echo "${line#listening on }"; return 0 ;;
    esac
  done
  return 1
}

step "Starting spard with the shipped model"
mkfifo "$work/output"
"$spard" --listen 127.0.0.1:0 --model "demo=$model" >"$work/output" 2>"$work/spard.log" &
server=$!
exec 3<"$work/output"
SPAR_SERVER=$(address <&3) || { echo "spard did not start" >&2; exit 1; }
export SPAR_SERVER
run "$spar" --timeout 60 wait
run "$spar" models

step "Why did the model say that?"
certificate=$work/certificate.json
count=0
# Every line: what it shows, the prompt, the answer, with tabs in between.
while IFS=$'\t' read -r kind prompt _ && [ "$count" -lt "$questions" ]; do
  count=$((count + 1))
  printf '%s\n' "($kind)"
  # 3 is a verdict too: the first question that crystallizes is certified.
  if [ -s "$certificate" ]; then
    run "$spar" crystallize "$prompt" || [ $? = 3 ]
  else
    run "$spar" crystallize "$prompt" --certificate "$certificate" || [ $? = 3 ]
  fi
  echo
done <models/demo/prompts.txt
[ -s "$certificate" ] || { echo "no question left a certificate" >&2; exit 1; }

step "Do three programs agree with the certificate?"
echo "The server, by another code path (dense masks, float64, one row at a time):"
run "$spar" verify "$certificate"
echo "Offline, without the server:"
run "$spard" verify "$certificate" --model "$model" 2>>"$work/spard.log"
echo "A Python program that shares nothing with Spar but the definition:"
run "$python" client/python/spar_verify.py "$certificate" "$model"

step "Stopping"
kill -TERM "$server"
wait "$server"
server=
echo "All of it holds."
