#!/bin/bash
# fuzz.sh [SECONDS=20] [NAME...]: builds the fuzzers of src/**/NAME_fuzz.cpp (all without a name) with the address and the
# undefined-behaviour sanitizer in build/fuzz, and runs each for so many seconds from tests/fuzz/corpus/NAME. What reaches
# new code is kept in build/fuzz/found/NAME, and begins with next time. SECONDS 0 runs the corpora alone. Exit status 1 when an
# input breaks something; it is then named, with the command that repeats it.
#
# gcc's instrumentation and a driver of our own: clang 14, whose libFuzzer would do it, does not compile std::expected.
# KYBERN_FUZZ_BUILD: another build folder. KYBERN_FUZZ_JOBS: how many compilers at once.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${KYBERN_FUZZ_BUILD:-build/fuzz}
seconds=${1:-20}; [ $# = 0 ] || shift
if [ -n "${KYBERN_FUZZ_BUILD:-}" ]; then cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Dev "-DCMAKE_CXX_FLAGS_DEV=-O1 -g1" -DKYBERN_SANITIZE=address,undefined -DKYBERN_FUZZ=ON -DKYBERN_TESTS=OFF -DKYBERN_BENCH=OFF >/dev/null
else cmake --preset fuzz >/dev/null; fi
names=("$@")
if [ ${#names[@]} = 0 ]; then mapfile -t names < <(find src -name '*_fuzz.cpp' -printf '%f\n' | sed 's/_fuzz\.cpp$//' | sort); fi
ninja -C "$build" ${KYBERN_FUZZ_JOBS:+-j "$KYBERN_FUZZ_JOBS"} "${names[@]/%/_fuzz}" | tail -1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1
failed=0
for name in "${names[@]}"; do
  found=$build/found/$name corpus=tests/fuzz/corpus/$name
  mkdir -p "$found"
  [ -d "$corpus" ] || { echo "$name: no corpus in $corpus"; failed=1; continue; }
  if out=$(timeout $((seconds + 300)) "$build/fuzzers/${name}_fuzz" "$seconds" "$found" "$corpus" "$found" 2>&1); then
    printf '%-14s%s\n' "$name" "$(tail -1 <<<"$out")"
  else
    failed=1
    crash=$found/../$name.crash.$(date +%s)
    "$build/fuzzers/${name}_fuzz" + "$found" "$crash" || crash="(its input is gone)"
    rm -f "$found/current"
    printf '%s: BROKEN; again with: %s - %s\n' "$name" "$build/fuzzers/${name}_fuzz" "$crash"
    grep -E 'ERROR|SUMMARY|runtime error|too long|invariant|check' <<<"$out" | head -5 || :
  fi
done
exit $failed
