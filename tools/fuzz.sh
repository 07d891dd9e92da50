#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# tools/fuzz.sh DIR NAME TIME: one fuzz test for TIME.
#
# Up to Go 1.26 a fuzz test may fail for its own end: the coordinator is woken
# by the deadline of -fuzztime before its workers' context is cancelled, and
# takes that deadline for an error (go.dev/issue/75804, mended in 1.27). Such a
# run says "context deadline exceeded" by itself and writes no input; it is
# begun again. Whatever else fails, fails.
set -euo pipefail

dir=$1 name=$2 time=$3
log=$(mktemp)
trap 'rm -f "$log"' EXIT

for _ in 1 2 3; do
  if go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 20x "$dir" 2>&1 | tee "$log"; then
    exit 0
  fi
  if grep -q 'Failing input written to' "$log" || [ "$(grep -A1 -- "^--- FAIL: $name " "$log" | tail -n1)" != "    context deadline exceeded" ]; then
    exit 1
  fi
  echo "$name: ended by go.dev/issue/75804, once more"
done
exit 1
