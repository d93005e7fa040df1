#!/bin/bash
# up.sh KYBERN: run.sh itself, but for its compiling: up, up again, down, up with the data of before, down --purge. Nothing may
# be left after a down, and nothing of another cluster may be gone. Exit 77: skipped, with the reason.
name=up; . "$(dirname "$0")/lib.sh"
setup "$@" dig setsid
for package in $(sed -n 's/^\(build\|run\)="\(.*\)"$/\2/p' "$here/tools/packages.sh"); do
  dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -q '^installed' || skip "run.sh would install $package"
done

# A folder like the sources', whose build gives the program that is tested.
base=$data tree=$data/tree data=$data/cluster
export KUBECONFIG=$data/kubeconfig
trap '[ ! -e "$data" ] || run down >/dev/null; cleanup; [ $failed = 1 ] && [ -n "${KYBERN_KEEP:-}" ] || rm -rf --one-file-system "$base"' EXIT
mkdir -p "$tree" "$base/bin" "$data"
mv "$base/images" "$data/images"
cp "$here/run.sh" "$tree" && ln -s "$here/tools" "$here/examples" "$tree"
cat >"$base/bin/cmake" <<END
#!/bin/bash
mkdir -p build/release && cp "$kybern" build/release/kybern
END
chmod +x "$base/bin/cmake"
# http_proxy: what makes apt work behind a proxy knows nothing of the cluster's addresses.
run() {
  inside env -u KUBECONFIG PATH="$base/bin:$PATH" KYBERN_DATA_DIR="$data" KYBERN_NODE_NAME=$name KYBERN_CGROUP_ROOT="/$ns" http_proxy=http://127.0.0.1:9 \
    bash "$tree/run.sh" "$@" 2>&1 </dev/null
}
spaces() { ip netns list | grep -o '^cni-[^ ]*' | sort; }
spaces_before=$(spaces)
# leftovers: what the kernel still has of the cluster.
leftovers() {
  for process in /proc/[0-9]*; do
    tr '\0' ' ' 2>/dev/null <"$process/cmdline" | grep -F "$data/" | sed 's/^/process: /'
  done
  awk -v d="$data/" 'index($5, d) == 1 {print "mount: " $5}' /proc/self/mountinfo
  find /sys/fs/cgroup -type d -path "*/$ns*" 2>/dev/null | sed 's/^/cgroup: /'
  inside nft list tables | grep kybern
  ip -n $ns -o link show type bridge
  comm -13 <(echo "$spaces_before") <(spaces)
}

# Of a cluster that never ran here nothing is removed: the bridge of this name is another's.
ip -n $ns link add cni0 type bridge || bad "a bridge cannot be made"
run down >/dev/null
ip -n $ns link show cni0 >/dev/null 2>&1 && ok "another cluster's bridge stays" || bad "another cluster's bridge is gone"
ip -n $ns link delete cni0

out=$(run) || { bad "run.sh failed: $out"; exit 1; }
is "three answers" "$(grep -Ec '^(Virtual IP|DNS name|Node port) .* Hello from Kybern$' <<<"$out")" 3
is "three pods" "$(grep -Ec '^web-.* 1/1 +Running' <<<"$out")" 3
contains "the time of each phase" "$out" "Time of each phase:"
for phase in "Debian packages" Build "Sample images" Cluster Sample Answers; do
  grep -Eq "^  $phase +[0-9.]+ s$" <<<"$out" || bad "no time of \"$phase\" in: $out"
done
contains "where the kubeconfig is" "$out" "export KUBECONFIG=$data/kubeconfig"
contains "run again, it says that the cluster is up" "$(run)" "The cluster is up: export KUBECONFIG=$data/kubeconfig"
k create configmap kept >/dev/null || bad "create"

contains "down" "$(run down)" "The cluster is down; its data is kept in $data."
is "nothing is left" "$(leftovers)" ""

out=$(run) || { bad "run.sh failed the second time: $out"; exit 1; }
k get configmap kept >/dev/null && ok "the data of before is there" || bad "the data of before is gone"
contains "down --purge" "$(run down --purge)" "The cluster is down and its data removed."
is "nothing is left" "$(leftovers)" ""
[ ! -e "$data" ] && ok "the data is gone" || bad "the data is still there"
finish
