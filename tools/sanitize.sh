#!/bin/bash
# sanitize.sh address|thread [ROOM...]: builds the rooms' tests (all without names) with gcc's sanitizers in build/asan (memory
# errors, leaks, undefined behaviour) or build/tsan (data races), runs them, and prints a line for each. Exit status 1 when one fails
# or a sanitizer has something to say; the log is named. KYBERN_SANITIZE_JOBS: how many compilers at once.
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in
  address) preset=asan ;;
  thread) preset=tsan ;;
  *) sed -n '2,4s/^# //p' "$0" >&2; exit 2 ;;
esac
shift
rooms=("$@")
if [ ${#rooms[@]} = 0 ]; then mapfile -t rooms < <(find src -name '*_test.cpp' -printf '%P\n' | cut -d/ -f1 | grep -vx bin | sort -u); fi
cmake --preset $preset >/dev/null
ninja -C build/$preset ${KYBERN_SANITIZE_JOBS:+-j "$KYBERN_SANITIZE_JOBS"} "${rooms[@]/%/_test}" | tail -1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 ASAN_OPTIONS=detect_leaks=1 TSAN_OPTIONS=halt_on_error=0:exitcode=66:second_deadlock_stack=1:history_size=5:suppressions=$PWD/tools/thread_suppressions.txt
failed=0
for room in "${rooms[@]}"; do
  log=build/$preset/$room.log
  if timeout 1800 "build/$preset/${room}_test" >"$log" 2>&1; then
    printf '%-14s%s\n' "$room" "$(grep -E '^\[  PASSED  \]' "$log" | tail -1)"
  else
    failed=1
    printf '%-14sFAILED; see %s\n' "$room" "$log"
    grep -E '^\[  FAILED  \]|ERROR: |WARNING: ThreadSanitizer|SUMMARY: |runtime error: ' "$log" | sort -u | head -5 || :
  fi
done
exit $failed
