#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# tools/fuzz.sh TIME DIR [NAME...]: the fuzz tests of a package, or those that are
# named, each for TIME. They are linked once.
#
# Up to Go 1.26 a fuzz test may fail for its own end: the coordinator is woken
# by the deadline of -fuzztime before its workers' context is cancelled, and
# takes that deadline for an error (go.dev/issue/75804, mended in 1.27). Such a
# run says "context deadline exceeded" by itself and writes no input; it is
# begun again. Whatever else fails, fails.
set -euo pipefail

time=$1 dir=$2
shift 2
if [ $# = 0 ]; then
  mapfile -t names < <(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$dir"/*_test.go | cut -c6-)
  set -- "${names[@]}"
fi

room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
go test -c -fuzz . -o "$room/fuzz" "$dir"
found=$(go env GOCACHE)/fuzz/$(go list "$dir") # where go test has what it found
mkdir -p "$found"

once() { # NAME
  (cd "$dir" && "$room/fuzz" -test.run '^$' -test.fuzz "^$1\$" -test.fuzztime "$time" \
    -test.fuzzminimizetime 20x -test.fuzzcachedir "$found") 2>&1 | tee "$room/log"
}

each() { # NAME
  for _ in 1 2 3; do
    once "$1" && return
    if grep -q 'Failing input written to' "$room/log" || [ "$(grep -A1 -- "^--- FAIL: $1 " "$room/log" | tail -n1)" != "    context deadline exceeded" ]; then
      return 1
    fi
    echo "$1: ended by go.dev/issue/75804, once more"
  done
  return 1
}

for name; do
  echo "$dir $name"
  each "$name" || exit 1
done
