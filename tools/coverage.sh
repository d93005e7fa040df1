#!/bin/bash
# coverage.sh [--html FOLDER] [ROOM...]: builds the rooms' tests (all without names) with gcc's coverage counters in
# build/coverage, runs them, and prints by room how many lines they reach. --html wants gcovr (Debian's package of that name)
# and writes pages with the sources. KYBERN_COVERAGE_BUILD: another build folder. KYBERN_COVERAGE_JOBS: how many compilers at once.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${KYBERN_COVERAGE_BUILD:-build/coverage} html=
if [ "${1:-}" = --html ]; then html=$2; shift 2; fi
if [ -n "${KYBERN_COVERAGE_BUILD:-}" ]; then cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Dev "-DCMAKE_CXX_FLAGS_DEV=-O0 -g1 --coverage -fprofile-update=atomic" -DKYBERN_PCH=OFF -DKYBERN_BENCH=OFF >/dev/null
else cmake --preset coverage >/dev/null; fi
rooms=("$@")
if [ ${#rooms[@]} = 0 ]; then mapfile -t rooms < <(find src -name '*_test.cpp' -printf '%P\n' | cut -d/ -f1 | grep -vx bin | sort -u); fi
ninja -C "$build" ${KYBERN_COVERAGE_JOBS:+-j "$KYBERN_COVERAGE_JOBS"} "${rooms[@]/%/_test}" | tail -1
find "$build" -name '*.gcda' -delete
failed=0
for room in "${rooms[@]}"; do
  timeout 1800 "$build/${room}_test" >"$build/$room.coverage.log" 2>&1 || { echo "$room: its tests failed; see $build/$room.coverage.log"; failed=1; }
done
python3 tools/coverage.py "$build" || failed=1
if [ -n "$html" ]; then
  mkdir -p "$html"
  gcovr -r . --object-directory "$build" -f 'src/' -e '.*_test\.cpp' -e '.*test_' --html-details "$html/index.html" && echo "pages: $html/index.html"
fi
exit $failed
