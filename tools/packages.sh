#!/bin/bash
# packages.sh build|run|test: installs what is missing of Debian's packages (root; does nothing when all are there).
set -euo pipefail
build="g++ lld cmake ninja-build ccache pkg-config python3 libssl-dev libnghttp2-dev libyaml-dev libsqlite3-dev libnftables-dev libldns-dev libfmt-dev libre2-dev zlib1g-dev"
run="containerd runc containernetworking-plugins nftables iproute2 iptables kmod curl ca-certificates busybox-static gcc libc6-dev dnsutils"
test="libgtest-dev libbenchmark-dev procps util-linux conntrack etcd-server openssl clang-format"
case ${1:-run} in
  build) wanted="$build" ;;
  run) wanted="$build $run" ;;
  test) wanted="$build $run $test" ;;
  *) echo "usage: packages.sh build|run|test" >&2; exit 2 ;;
esac
missing=()
for package in $wanted; do
  dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -q '^installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" != 0 ]; then
  echo "these packages are missing; install them as root: apt-get install ${missing[*]}" >&2
  exit 1
fi
echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# A service that a package would start (containerd, etcd) is not wanted here: the cluster brings its own.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy
  trap 'rm -f "$log" '$policy EXIT
fi
{ apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 || { tail -20 "$log" >&2; exit 1; }
