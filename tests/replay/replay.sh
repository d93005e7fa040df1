#!/bin/bash
# replay.sh KYBERN: recorded conversations with a Kubernetes API server are held with ours, and the answers compared. The
# recordings lie beside the source folder, in ../shared/recorded; exit 77 (skipped) where there are none. Fails when fewer
# cases are alike than the floor of a file says; src/apiserver/replay_differences.md explains those that are not.
set -u
kybern=$1
here=$(cd "$(dirname "$0")/../.." && pwd)
recorded=$here/../shared/recorded
skip() { echo "skipped: $*"; exit 77; }
[ -r "$recorded/replay.py" ] || skip "no recorded conversations in $recorded"
for tool in python3 curl; do command -v $tool >/dev/null || skip "$tool is not installed"; done

data=$(mktemp -d /tmp/kybern-replay.XXXXXX)
server=
cleanup() {
  [ -n "$server" ] && kill "$server" 2>/dev/null && wait "$server" 2>/dev/null
  rm -rf --one-file-system "$data"
}
trap cleanup EXIT
token=replay-$$-$RANDOM$RANDOM
echo "$token,admin,admin-uid,\"system:masters\"" >"$data/tokens"   # the recorded administrator has a uid
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url=https://127.0.0.1:$port
"$kybern" server --data-dir "$data" --bind-address 127.0.0.1 --secure-port "$port" --token-auth-file "$data/tokens" --agent=false --proxy=false --dns=false \
  >"$data/server.log" 2>&1 </dev/null &
server=$!
# The namespace `default` has its account: the API answers and the controllers work.
ready() { curl -sfk --max-time 2 -H "Authorization: Bearer $token" "$url/api/v1/namespaces/default/serviceaccounts/default" >/dev/null; }
end=$(($(date +%s) + 60))
until ready; do
  kill -0 $server 2>/dev/null && [ "$(date +%s)" -lt $end ] || { echo "FAILED: the server is not ready"; tail -20 "$data/server.log"; exit 1; }
  read -rt 0.1 <> <(:) || :
done

# replay FILE ALIKE NEAR: at least ALIKE cases answered the same, at least NEAR the same but for wording.
failed=0
replay() {
  local out same near
  out=$(cd "$recorded" && python3 -B replay.py --url "$url" --token "$token" --insecure --only "${4:-.}" "$1.json" 2>&1)
  same=$(sed -nE 's/^[0-9]+ cases: ([0-9]+) equal, ([0-9]+) differ only in wording.*/\1/p' <<<"$out")
  near=$(sed -nE 's/^[0-9]+ cases: ([0-9]+) equal, ([0-9]+) differ only in wording.*/\2/p' <<<"$out")
  if [ -n "$same" ] && [ "$same" -ge "$2" ] && [ $((same + near)) -ge "$3" ]; then
    echo "ok: $1: $(tail -1 <<<"$out")"
  else
    echo "FAILED: $1: expected $2 equal and $3 with those that differ in wording: $(tail -1 <<<"$out")"
    grep -E "^(failed|wording)" <<<"$out"
    failed=1
  fi
}
replay 10_generic 773 776
replay 20_core_defaults 124 124
replay 21_core_validation 293 355
replay 30_groups_defaults 97 97
replay 31_groups_validation 228 347
replay 40_apply 119 121
replay 41_patch 122 124
replay 42_crd 122 125
replay 43_admission_rbac 164 176
exit $failed
