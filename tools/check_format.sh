#!/bin/bash
# check_format.sh [--fix]: whether the sources are as .clang-format says (clang-format 14, Debian 12's); --fix makes them so.
set -euo pipefail
cd "$(dirname "$0")/.."
formatter=$(command -v clang-format-14 || command -v clang-format) || { echo "clang-format is not installed" >&2; exit 1; }
mode=(--dry-run -Werror)
[ "${1:-}" = --fix ] && mode=(-i)
find src sim bench tests cmake \( -name '*.cpp' -o -name '*.h' \) -print0 | xargs -0 -P2 -n 40 "$formatter" "${mode[@]}"
