#!/bin/bash
# refusals.sh KYBERN: what cannot start says why and what to do, in one line, and exits with 1. What needs root, or a mount
# namespace, is left out without it.
set -u
kybern=$(readlink -f "$1")
data=$(mktemp -d /tmp/kybern-refusals.XXXXXX)
chmod 755 "$data"
failed=0 holder=
cleanup() { [ -z "$holder" ] || kill "$holder" 2>/dev/null; rm -rf "$data"; }
trap cleanup EXIT

# refused WHAT PATTERN COMMAND...: the command ends by itself with 1, and the line on standard error that is no log line matches.
refused() {
  local what=$1 pattern=$2 out rc; shift 2
  out=$(timeout 20 "$@" 2>&1 </dev/null); rc=$?
  out=$(grep '^kybern: ' <<<"$out")
  if [ $rc = 1 ] && [ "$(wc -l <<<"$out")" = 1 ] && grep -Eq "$pattern" <<<"$out"; then echo "ok: $what"; else echo "FAILED: $what: exit $rc: $out"; failed=1; fi
}

refused "unknown flag" 'unknown flag --dta-dir; did you mean --data-dir\?' "$kybern" server --dta-dir x
refused "unknown command" 'unknown command "serve"; did you mean server\?' "$kybern" serve
refused "a port that is no number" '"abc" is no number' "$kybern" apiserver --data-dir "$data/a" --secure-port abc
refused "a port out of range" 'from 0 to 65535' "$kybern" apiserver --data-dir "$data/a" --secure-port 99999
refused "a kubeconfig that is not there" '/nope' "$kybern" scheduler --kubeconfig /nope
refused "an address of another machine" 'no network interface of this machine' "$kybern" apiserver --data-dir "$data/a" --bind-address 192.0.2.77 --secure-port 0
printf 'data-dri: x\n' >"$data/config.yaml"
refused "unknown line in the config file" 'data-dri.*data-dir' "$kybern" apiserver --config "$data/config.yaml"

# A port in use.
"$kybern" apiserver --data-dir "$data/b" --bind-address 127.0.0.1 --secure-port 0 >"$data/holder.log" 2>&1 &
holder=$!
port=
for _ in $(seq 200); do
  port=$(sed -n 's/.* ready port=\([0-9]*\).*/\1/p' "$data/holder.log" 2>/dev/null); [ -z "$port" ] || break
  read -rt 0.1 <> <(:) || :
done
[ -n "$port" ] || { echo "FAILED: the server did not start"; cat "$data/holder.log"; exit 1; }
refused "port in use" "127.0.0.1:$port: address already in use: .*choose another port" "$kybern" apiserver --data-dir "$data/c" --bind-address 127.0.0.1 --secure-port "$port"
refused "a DNS port in use" "^kybern: dns: listen 127.0.0.1:$port \(TCP\): address already in use: .*choose another port" \
  "$kybern" dns --kubeconfig "$data/b/kubeconfig" --listen-address 127.0.0.1 --port "$port"
refused "a DNS port out of range" '^kybern: dns: .*from 0 to 65535' "$kybern" dns --kubeconfig "$data/b/kubeconfig" --port 99999
refused "a misspelt environment variable" 'unknown environment variable KYBERN_DTA_DIR; did you mean KYBERN_DATA_DIR\?' \
  env KYBERN_DTA_DIR="$data/a" "$kybern" apiserver --secure-port 0
refused "a data folder in use" "$data/b" "$kybern" apiserver --data-dir "$data/b" --bind-address 127.0.0.1 --secure-port 0

if [ "$(id -u)" = 0 ] && setpriv --reuid 65534 --regid 65534 --clear-groups test -x "$kybern"; then
  refused "no root" 'needs root: run as root, or with --agent=false' setpriv --reuid 65534 --regid 65534 --clear-groups "$kybern" server --data-dir "$data/d" --secure-port 0
  mkdir -m 700 "$data/e"
  refused "a data folder that cannot be written" 'Permission denied.*(needs to write|--data-dir)' \
    setpriv --reuid 65534 --regid 65534 --clear-groups "$kybern" apiserver --data-dir "$data/e" --secure-port 0
  if unshare -n true 2>/dev/null; then
    cp "$data/b/kubeconfig" "$data/readable" && chmod 644 "$data/readable"
    refused "no root for the proxy" '^kybern: proxy: .*(ip_forward|nftables).*needs root; run as root, or .*--proxy=false' \
      unshare -n setpriv --reuid 65534 --regid 65534 --clear-groups "$kybern" proxy --kubeconfig "$data/readable"
  fi
else
  echo "left out: what a user without rights sees (needs root, and the program where everyone may read it)"
fi
if [ "$(id -u)" = 0 ] && containerd=$(command -v containerd) && unshare -m true 2>/dev/null; then
  refused "no containerd" 'containerd is not installed.*apt-get install containerd.*--container-runtime-endpoint' \
    unshare -m -n bash -c 'mount --bind /dev/null "$1" && exec "$2" kubelet --kubeconfig "$3" --data-dir "$4" --node-ip 127.0.0.1' - "$containerd" "$kybern" "$data/b/kubeconfig" "$data/f"
else
  echo "left out: a machine without containerd (needs root, mount namespaces and a containerd to hide)"
fi
exit $failed
