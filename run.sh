#!/bin/bash
# A one-node Kubernetes cluster on this machine, with a sample running in it. As root, on Debian 12:
#   ./run.sh                install what is missing, build, start, deploy the sample, show its answers
#   ./run.sh build          only install and build: the program is then build/kybern
#   ./run.sh down           stop everything; the data stays
#   ./run.sh down --purge   ... and remove the data
# KYBERN_DATA_DIR: where everything is kept (default /var/lib/kybern).   KYBERN_SECURE_PORT: of the API (default 6443).
set -euo pipefail
cd "$(dirname "$0")"
data=${KYBERN_DATA_DIR:-/var/lib/kybern}
port=${KYBERN_SECURE_PORT:-${KYBERN_PORT:-6443}}  # KYBERN_PORT: its name in earlier versions
kybern=build/kybern
pid_file=$data/server.pid
export KUBECONFIG=$data/kubeconfig

say() { printf '%s\n' "$*"; }
die() { say "run.sh: $*" >&2; exit 1; }
now_ms() { date +%s%3N; }
begin() { phase=$1; phase_start=$(now_ms); printf '%-44s' "$phase ..."; }
done_() { local ms=$(($(now_ms) - phase_start)); printf '%6d.%01d s\n' $((ms / 1000)) $((ms % 1000 / 100)); times+=("$(printf '  %-42s%6d.%01d s' "$phase" $((ms / 1000)) $((ms % 1000 / 100)))"); }
# wait_for SECONDS WHAT COMMAND...: tries until it works; a dot a second shows that it goes on.
wait_for() {
  local end=$(($(date +%s) + $1)) what=$2 shown=0; shift 2
  until "$@" >/dev/null 2>&1; do
    [ ! -s "$pid_file" ] || running || { say ""; tail -3 "$data/logs/server.log" >&2; die "the cluster ended while waiting for $what"; }
    [ "$(date +%s)" -lt "$end" ] || { say ""; say "gave up waiting for $what; the log is $data/logs/server.log, its end:" >&2; tail -15 "$data/logs/server.log" >&2; exit 1; }
    read -rt 0.2 <> <(:) || :
    shown=$((shown + 1))
    if [ $((shown % 5)) -eq 0 ]; then printf .; fi
  done
}
running() { [ -s "$pid_file" ] && kill -0 "$(cat "$pid_file")" 2>/dev/null && tr '\0' ' ' <"/proc/$(cat "$pid_file")/cmdline" | grep -q 'kybern server'; }
kubectl() { "$kybern" kubectl "$@"; }

build() {
  begin "Debian packages"; bash tools/packages.sh run >/tmp/kybern-packages.$$ || { cat /tmp/kybern-packages.$$; exit 1; }; rm -f /tmp/kybern-packages.$$; done_
  begin "Build"
  mkdir -p build
  # The benchmarks are targets to ask for, where their library (libbenchmark-dev) is there; nothing here needs it.
  local bench=OFF; compgen -G '/usr/lib/*/cmake/benchmark/benchmarkConfig.cmake' >/dev/null && bench=ON
  cmake --preset release -DKYBERN_BENCH=$bench >build/configure.log || { cat build/configure.log >&2; exit 1; }
  cmake --build build/release --target kybern >build/build.log 2>&1 || { grep -E 'error|Error' build/build.log | head -20 >&2; die "the build failed; see build/build.log"; }
  cp -f build/release/kybern "$kybern.new" && mv -f "$kybern.new" "$kybern"
  ln -sf kybern build/kubectl
  done_
}

down() {
  if running; then
    pid=$(cat "$pid_file"); kill "$pid"
    for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; read -rt 0.1 <> <(:) || :; done
    kill -9 "$pid" 2>/dev/null || :
  fi
  rm -f "$pid_file"
  if [ -d "$data" ]; then
    [ -x "$kybern" ] && "$kybern" shutdown --data-dir "$data" || :
    bash tools/cleanup.sh "$data"
  fi
  if [ "${1:-}" = --purge ]; then rm -rf --one-file-system "$data"; say "The cluster is down and its data removed."; else say "The cluster is down; its data is kept in $data."; fi
}

fetch() { curl -sS --max-time 5 --noproxy '*' "$@"; }  # these addresses are this machine's, no proxy knows them

up() {
  [ "$(id -u)" = 0 ] || die "pods need root: run it as root (./run.sh build works without)"
  times=()
  if running; then say "The cluster is up: export KUBECONFIG=$KUBECONFIG"; kubectl get nodes; exit 0; fi
  build
  mkdir -p "$data/logs" "$data/images"
  begin "Sample images"; [ -e "$data/images/sample-web.tar" ] || bash tools/images/build.sh "$data/images" >/dev/null; done_
  begin "Cluster"
  archives="$data/images/pause.tar,$data/images/busybox.tar,$data/images/sample-web.tar"
  setsid "$kybern" server --data-dir "$data" --secure-port "$port" --image-archives "$archives" >>"$data/logs/server.log" 2>&1 </dev/null &
  echo $! >"$pid_file"
  wait_for 60 "the API" kubectl get --raw /readyz
  node_ready() { kubectl get nodes -o name | grep -q . && kubectl wait --for=condition=Ready node --all --timeout=1s; }
  wait_for 120 "the node" node_ready
  done_
  begin "Sample"
  kubectl apply -f examples/web.yaml >/dev/null
  wait_for 120 "the sample's pods" kubectl rollout status deployment/web --timeout=1s
  done_
  begin "Answers"
  vip=$(kubectl get service web -o jsonpath='{.spec.clusterIP}')
  node_ip=$(kubectl get nodes -o jsonpath='{.items[0].status.addresses[0].address}')
  dns_ip=$(kubectl -n kube-system get service kube-dns -o jsonpath='{.spec.clusterIP}')
  name=web.default.svc.cluster.local
  wait_for 30 "the virtual IP" fetch "http://$vip/"
  by_vip=$(fetch "http://$vip/")
  resolve() { resolved=$(dig +short +time=2 +tries=1 "@$dns_ip" "$name" A) && [ "$resolved" = "$vip" ]; }
  wait_for 30 "the cluster's DNS" resolve
  by_name=$(fetch --resolve "$name:80:$(dig +short "@$dns_ip" "$name" A)" "http://$name/")
  wait_for 30 "the node port" fetch "http://$node_ip:30080/"
  by_port=$(fetch "http://$node_ip:30080/")
  done_
  say ""
  say "Virtual IP   http://$vip/                       $by_vip"
  say "DNS name     http://$name/  $by_name"
  say "Node port    http://$node_ip:30080/                  $by_port"
  say ""
  kubectl get pods -o wide
  say ""
  say "Time of each phase:"
  printf '%s\n' "${times[@]}"
  say ""
  say "Use it:   export KUBECONFIG=$KUBECONFIG;  $(pwd)/build/kubectl get all -A"
  say "Stop it:  ./run.sh down [--purge]"
}

case ${1:-up} in
  up) up ;;
  build) times=(); build; say "Built: $(pwd)/$kybern" ;;
  down) down "${2:-}" ;;
  *) sed -n '2,8p' "$0"; exit 2 ;;
esac
