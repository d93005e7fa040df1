#!/bin/bash
# Installs what is missing, builds, and runs every test that this machine can run.
#   ./test.sh            all of them
#   ./test.sh -R store   only those whose name matches (further arguments go to ctest)
# Tests that need root, containerd, nftables or network namespaces say that they were skipped where these are missing.
set -euo pipefail
cd "$(dirname "$0")"
bash tools/packages.sh test
cores=$(nproc)
cmake --preset dev >/dev/null || { echo "configuring failed" >&2; exit 1; }
echo "Building (six minutes the first time, on two cores) ..."
cmake --build build/dev -j "$cores" >build/dev/build.log 2>&1 || { grep -E 'error|undefined|FAILED' build/dev/build.log | head -30 >&2; exit 1; }
cd build/dev
exec ctest --output-on-failure -j "$cores" "$@"
