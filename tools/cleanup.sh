#!/bin/bash
# cleanup.sh DATA-DIR: removes what a cluster that was run from this folder has left in the kernel: containers' processes,
# mounts, network namespaces, the bridge, cgroups and nft tables. Processes are ended by pid, and only those that belong
# to this folder's containerd.
set -u
data=$(realpath -m "$1")
sock=$data/containerd/containerd.sock
state=$data/containerd

# Shims carry the address of their containerd; the processes of their containers are below them.
for pid in $(ls /proc | grep -E '^[0-9]+$'); do
  [ -r "/proc/$pid/cmdline" ] || continue
  command=$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null) || continue
  case $command in
    *containerd-shim*"$state"*) children=$(cat /proc/"$pid"/task/*/children 2>/dev/null)
      kill -9 $children "$pid" 2>/dev/null ;;
  esac
done

# Mounts below the data folder, the deepest first.
awk -v d="$data/" 'index($5, d) == 1 {print $5}' /proc/self/mountinfo | sort -r | while read -r mount; do umount -l "$(printf '%b' "$mount")" 2>/dev/null; done

for namespace in $(ip netns list 2>/dev/null | awk '{print $1}' | grep '^cni-'); do
  # Only those that this cluster's containerd made; it keeps a note of each by name.
  grep -rqs -- "$namespace" "$state" 2>/dev/null && ip netns delete "$namespace" 2>/dev/null
done
# Without a note of the node agent's the bridge and the cgroups are another cluster's.
if [ -s "$data/kubelet/bridge" ]; then ip link delete "$(cat "$data/kubelet/bridge")" 2>/dev/null; fi
if [ -e "$data/kubelet/cgroup-root" ]; then
  root=$(cat "$data/kubelet/cgroup-root")
  for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*; do
    [ -d "$hierarchy$root/kubepods" ] || continue
    find "$hierarchy$root/kubepods" -depth -type d -exec rmdir {} + 2>/dev/null
    [ -n "$root" ] && rmdir "$hierarchy$root" 2>/dev/null
  done
fi
nft list tables 2>/dev/null | awk '$3 ~ /^kybern/ {print $2, $3}' | while read -r family table; do nft delete table "$family" "$table" 2>/dev/null; done
exit 0
