#!/bin/bash
# pod_start.sh KYBERN POD_START_BENCH [PODS=10]: starts a cluster of its own, says how long pods take to run in it compared
# with the container runtime alone, and what the cluster costs with three idle pods (memory, processor) over a minute.
# Needs root, containerd and runc (see tests/e2e/lib.sh); removes everything that it makes.
name=podstart; . "$(cd "$(dirname "$0")" && pwd)/../tests/e2e/lib.sh"
KYBERN_QUIET=1
bench=$(readlink -f "$2") pods=${3:-10}
setup "$1"
server
wait_node
inside "$bench" "$KUBECONFIG" "unix://$data/containerd/containerd.sock" "$pods" "/$ns" || bad "the measurement did not end well"
find /sys/fs/cgroup/*/"$ns" -depth -type d -path '*/alone-*' -exec rmdir {} + 2>/dev/null

k apply -f - >/dev/null <<'YAML'
apiVersion: apps/v1
kind: Deployment
metadata: {name: idle}
spec:
  replicas: 3
  selector: {matchLabels: {app: idle}}
  template:
    metadata: {labels: {app: idle}}
    spec: {terminationGracePeriodSeconds: 0, containers: [{name: main, image: "kybern.io/sample-web:1"}]}
YAML
eventually 60 "three pods run" k rollout status deployment/idle --timeout=1s
pause "${SETTLE:-10}"
ticks() { cut -d' ' -f14,15 "/proc/$server/stat" | tr ' ' '+' | { read -r sum; echo $((sum)); }; }
seconds=${IDLE:-60} before=$(ticks)
pause "$seconds"
used=$(($(ticks) - before))
awk -v t=$used -v hz="$(getconf CLK_TCK)" -v s="$seconds" -v rss="$(awk '/^VmRSS/{print $2}' "/proc/$server/status")" \
  'BEGIN { printf "idle with 3 pods for %d s     %7.2f %% of a core, %.1f MB resident\n", s, 100 * t / hz / s, rss / 1024 }'
finish
