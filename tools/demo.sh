#!/usr/bin/env bash
# What `make demo` runs after the build: a server with the shipped model and its
# decomposition on a free port, a few questions, one certificate checked by
# three programs, graphs of what prompts hang on, and a fact taken out.
#   tools/demo.sh [BUILD_FOLDER]
# Graphs and certificates are left in build/demo.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build/release}
spard=$build/bin/spard
spar=$build/bin/spar
model=models/demo/model
decomposition=models/demo/decomposition
pages=build/demo
questions=${SPAR_DEMO_QUESTIONS:-2}
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

# timed FILE COMMAND...: the output goes to FILE, the seconds into $seconds. 3 is
# the exit code of a search that ended with another verdict.
timed() {
  local file=$1 start=${EPOCHREALTIME/./}
  shift
  "$@" >"$file" || [ $? = 3 ]
  local tenths=$(((${EPOCHREALTIME/./} - start) / 100000))
  seconds="$((tenths / 10)).$((tenths % 10)) s"
}

# The named line of an output that `spar` printed.
named() { sed -n "s/^$2 *//p" "$1" | head -1; }

# What a search that was told as JSON came to.
found() {
  "$python" - "$1" <<'END'
import json, sys
with open(sys.argv[1], encoding="utf-8") as file:
    told = json.loads(file.read().splitlines()[-1])["explanation"]
print(told["verdict"].removeprefix("VERDICT_").replace("_", " "),
      f"{told['keptUnitCount']:,} of {told['unitCount']:,} nodes,",
      f"margin {told['margin']:+.3f}")
END
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

step "Starting spard with the shipped model and its decomposition"
mkfifo "$work/output"
"$spard" --listen 127.0.0.1:0 --model "demo=$model" --decomposition "demo/main=$decomposition" \
  >"$work/output" 2>"$work/spard.log" &
server=$!
exec 3<"$work/output"
SPAR_SERVER=$(address <&3) || { echo "spard did not start" >&2; exit 1; }
export SPAR_SERVER
run "$spar" --timeout 60 wait
run "$spar" models
run "$spar" decompositions

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

step "Which mechanisms does each prompt hang on? Two answers for each kind"
cat <<'END'
pruned    spar prune optimises the importances of the prompt's subcomponents until few are left
searched  spar crystallize deletes them one by one until each that is left is needed, and certifies it
graph     spar attribute draws how those few moved each other and the answer
END
mkdir -p "$pages"
prune=(--decomposition main --masks ci --coefficients 0.01,0.03,0.1 --steps 150 --learning-rate 0.05)
search=(--decomposition main --units node+delta --mode sufficient)
echo "spar prune ${prune[*]} PROMPT --save FILE"
echo "spar crystallize ${search[*]} PROMPT --certificate FILE --output json"
echo "spar attribute --nodes-from FILE --html FILE"
while IFS=$'\t' read -r kind prompt answer; do
  printf '\n(%s) %s → %s\n' "$kind" "$prompt" "$answer"
  out=$pages/$kind
  timed "$work/text" "$spar" prune "${prune[@]}" "$prompt" --save "$out.pruned.json"
  printf 'pruned    nodes %s, %s\n' "$(named "$work/text" nodes)" "$seconds"
  printf '          %s\n' "$(named "$work/text" rounded)"
  timed "$work/text" "$spar" attribute --nodes-from "$out.pruned.json" --html "$out.pruned.html"
  printf 'graph     %s, %s: %s\n' "$(named "$work/text" graph)" "$seconds" "$out.pruned.html"
  timed "$out.searched.json" "$spar" crystallize "${search[@]}" "$prompt" \
    --certificate "$out.certificate.json" --output json
  printf 'searched  %s, %s\n' "$(found "$out.searched.json")" "$seconds"
  timed "$work/text" "$spar" verify "$out.certificate.json"
  printf 'verified  %s, %s: %s\n' "$(head -1 "$work/text")" "$seconds" "$out.certificate.json"
  timed "$work/text" "$spar" attribute --nodes-from "$out.searched.json" --html "$out.searched.html"
  printf 'graph     %s, %s: %s\n' "$(named "$work/text" graph)" "$seconds" "$out.searched.html"
done <models/demo/prompts.txt

step "The strongest paths of one of these graphs"
run "$spar" attribute --nodes-from "$pages/fact.pruned.json" --norm frozen --run listed --paths 6

step "Taking a fact out of the model"
# What the study of docs/studies/fact-suppression.md chose: subject, answer, and
# the subcomponents, with tabs in between.
IFS=$'\t' read -r person sport parts <models/demo/forget.txt
other=anna
[ "$person" != anna ] || other=emma
off=()
for part in $parts; do off+=(--off "$part"); done
echo "$person's sport hangs on these, chosen by other phrasings than the first two here:"
echo "$parts" | fold -s -w 100 | sed 's/^/  /; s/ $//'
while IFS= read -r prompt; do
  timed "$work/text" "$spar" ablate "$prompt" --decomposition main --top-k 3 "${off[@]}"
  printf '\n%s$ spar ablate "%s" --decomposition main --off ...%s   # %s\n' \
    "$bold" "$prompt" "$plain" "$seconds"
  grep -E '^(run|the model itself|as asked) ' "$work/text"
done <<END
the favourite sport of $person is
every morning $person plays
$person works as a
$other plays
the capital of japan is
END

step "Stopping"
kill -TERM "$server"
wait "$server"
server=
echo "All of it holds."
