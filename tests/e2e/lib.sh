# What the scenarios have in common: a cluster of one node on real parts, in a network namespace and a cgroup of its own,
# and checks that go on after a failure. Use:
#
#   name=streams; . "$(dirname "$0")/lib.sh"; setup "$@"; server [FLAGS...]; wait_node; ...; finish
#
# Exit 77: skipped, with the reason. Everything that is made is removed at the end, also after a failure.
# KYBERN_KEEP=1 keeps the data folder (logs, database) after a failure.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
node_ip=192.0.2.10
failed=0 server= background=

skip() { echo "skipped: $*"; exit 77; }
ok() { [ -n "${KYBERN_QUIET:-}" ] || echo "ok: $*"; }
bad() { echo "FAILED: $*"; failed=1; }
die() { bad "$*"; exit 1; }
now_ms() { local now=${EPOCHREALTIME/./}; echo $((now / 1000)); }
pause() { read -rt "$1" <> <(:) || :; }  # without a process

inside() { nsenter --net=/run/netns/$ns "$@"; }

cleanup() {
  for pid in $background; do kill -9 "$pid" 2>/dev/null; done
  [ -n "$server" ] && kill -9 "$server" 2>/dev/null
  inside "$kybern" shutdown --data-dir "$data" >/dev/null 2>&1
  inside bash "$here/tools/cleanup.sh" "$data"
  ip netns delete $ns 2>/dev/null
  if [ $failed = 0 ] || [ -z "${KYBERN_KEEP:-}" ]; then rm -rf --one-file-system "$data"; else echo "kept: $data"; fi
}

# setup KYBERN [TOOL...]: looks whether the machine can do it, makes the namespace, the data folder and the images.
setup() {
  kybern=$(readlink -f "$1"); shift
  [ "$(id -u)" = 0 ] || skip "needs root"
  for tool in containerd runc nft ip nsenter curl busybox "$@"; do command -v "$tool" >/dev/null || skip "$tool is not installed"; done
  [ -x /usr/lib/cni/bridge ] || [ -x /opt/cni/bin/bridge ] || skip "the CNI plugins are not installed"
  ns=kybern-$name-$$
  data=$(mktemp -d "/tmp/kybern-$name.XXXXXX")
  trap cleanup EXIT
  trap 'exit 1' INT TERM
  ip netns add $ns && ip -n $ns link set lo up && ip -n $ns link add node0 type veth peer name node1 && ip -n $ns addr add $node_ip/24 dev node0 &&
    ip -n $ns link set node0 up && ip -n $ns link set node1 up && ip -n $ns route add default dev node0 || skip "network namespaces cannot be made here"
  export KUBECONFIG=$data/kubeconfig
  bash "$here/tools/images/build.sh" "$data/images" >/dev/null || die "the images could not be built"
}

# server [FLAGS...]: starts it, again with the same flags when none are given.
server_flags=()
server() {
  [ $# = 0 ] || server_flags=("$@")
  # No function here: $! must be the server itself, not a shell that waits for it.
  nsenter --net=/run/netns/$ns "$kybern" server --data-dir "$data" --node-name "$name" --node-ip $node_ip --advertise-address $node_ip --cgroup-root "/$ns" \
    --image-archives "$data/images/pause.tar,$data/images/busybox.tar,$data/images/sample-web.tar" "${server_flags[@]}" >>"$data/server.log" 2>&1 </dev/null &
  server=$!
}
k() { inside "$kybern" kubectl "$@"; }
wait_node() {
  eventually 60 "the API is ready" k get --raw /readyz
  eventually 90 "the node is ready" k wait --for=condition=Ready "node/$name" --timeout=1s
  eventually 20 "the default service account is there" k get serviceaccount default
  [ $failed = 0 ] || { tail -30 "$data/server.log"; exit 1; }
}

# eventually SECONDS DESCRIPTION COMMAND...: waits for the condition, within a bound.
eventually() {
  local end=$((SECONDS + $1)) what=$2; shift 2
  until "$@" >/dev/null 2>&1; do
    [ -z "$server" ] || kill -0 "$server" 2>/dev/null || { bad "$what: the server ended"; tail -5 "$data/server.log"; return 1; }
    if [ $SECONDS -ge $end ]; then bad "$what: $* did not come true"; return 1; fi
    pause 0.1
  done
  ok "$what"
}
is() { [ "$2" = "$3" ] && ok "$1" || bad "$1: expected \"$3\", got \"$2\""; }
contains() { case $2 in *"$3"*) ok "$1" ;; *) bad "$1: \"$3\" is not in \"$2\"" ;; esac }
# field OBJECT JSONPATH
field() { k get "$1" -o "jsonpath=$2"; }
# has OBJECT JSONPATH VALUE: for `eventually`
has() { [ "$(field "$1" "$2" 2>/dev/null)" = "$3" ]; }
# becomes SECONDS OBJECT JSONPATH VALUE
becomes() {
  local shown=${3//[\{\}]/}
  eventually "$1" "$2 $shown is $4" has "$2" "$3" "$4" || echo "  it is \"$(field "$2" "$3")\""
}
# real_kubectls: the oldest and the newest that are installed side by side (kubectl.1.27 ... kubectl.1.33).
real_kubectls() { ls "$(dirname "$(readlink -f "$(command -v kubectl 2>/dev/null || echo /none)")")"/kubectl.1.* 2>/dev/null | sort -V | sed -n '1p;$p' | uniq; }
finish() { exit $failed; }
