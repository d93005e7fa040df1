#!/bin/bash
# apart.sh KYBERN: every component as a process of its own, over HTTP: API server, controllers, scheduler, node agent, service
# proxy, DNS. Pods run and are reached by virtual IP and node port; names resolve; each may be ended and started again.
# Exit 77: skipped, with the reason.
name=apart; . "$(dirname "$0")/lib.sh"
setup "$@" dig
# start COMPONENT [FLAGS...]
start() {
  # No function here: $! must be the component itself.
  nsenter --net=/run/netns/$ns "$kybern" "$@" >>"$data/$1.log" 2>&1 </dev/null &
  pid=$!
  background="$background $pid"
}
dns_port=10053
start_dns() { start dns --kubeconfig "$KUBECONFIG" --listen-address $node_ip --port $dns_port --resolv-conf /nonexistent; dns=$pid; }
start_proxy() { start proxy --kubeconfig "$KUBECONFIG" --node-name $name --node-ip $node_ip --cluster-cidr 10.244.0.0/16 "$@"; proxy=$pid; }

start_core() {
  start apiserver --data-dir "$data" --advertise-address $node_ip
  core=$pid
}
start_deciders() {
  start controller-manager --kubeconfig "$KUBECONFIG"
  core="$core $pid"
  start scheduler --kubeconfig "$KUBECONFIG"
  core="$core $pid"
}
start_kubelet() {
  start kubelet --kubeconfig "$KUBECONFIG" --data-dir "$data" --node-name $name --node-ip $node_ip --pod-cidr 10.244.0.0/24 --cgroup-root "/$ns" "$@"
  core="$core $pid"
}
start_core
eventually 60 "the API is ready" k get --raw /readyz || { tail -5 "$data/apiserver.log"; exit 1; }
start_deciders
start_proxy
start_dns
start_kubelet --image-archives "$data/images/pause.tar,$data/images/busybox.tar,$data/images/sample-web.tar"
eventually 90 "the node is ready" k wait --for=condition=Ready node/$name --timeout=1s
eventually 60 "the default service account is there" k get serviceaccount default
k apply -f "$here/examples/web.yaml" >/dev/null || bad "apply"
eventually 90 "the deployment is rolled out" k rollout status deployment/web --timeout=1s
[ $failed = 0 ] || { k get pods -A; tail -n 5 "$data"/*.log; exit 1; }

vip=$(field service/web '{.spec.clusterIP}')
resolves() { [ "$(inside dig +short +time=1 +tries=1 -p $dns_port "@$node_ip" "$1.default.svc.cluster.local")" = "$2" ]; }
page() { [ "$(inside curl -s --max-time 2 "$1")" = "Hello from Kybern" ]; }
eventually 20 "the virtual IP gives the page" page "http://$vip/"
eventually 20 "the node port gives the page" page "http://$node_ip:30080/"
eventually 20 "the name resolves to the virtual IP" resolves web "$vip"

# The proxy's rules outlive it, and the next one goes on from them.
kill "$proxy" && wait "$proxy"
is "the proxy ends cleanly" $? 0
page "http://$vip/" && ok "the virtual IP answers without the proxy" || bad "the virtual IP does not answer without the proxy"
start_proxy --cleanup
k expose deployment web --name=late --port=80 --target-port=8080 >/dev/null || bad "expose"
late=$(field service/late '{.spec.clusterIP}')
eventually 20 "a new service is served by the next proxy" page "http://$late/"
eventually 20 "and its name resolves" resolves late "$late"
kill "$proxy" && wait "$proxy"
is "the proxy that is to clean up ends cleanly" $? 0
is "and leaves no rules" "$(inside nft list tables | grep kybern)" ""

kill "$dns" && wait "$dns"
is "the DNS server ends cleanly" $? 0
start_dns
eventually 20 "the next DNS server knows all names" resolves late "$late"

# All are killed at once in the middle of a change; the next ones bring it to its end, on a runtime that is named to them: the
# containerd that the first node agent left running. What ran runs on.
start_proxy
eventually 20 "the virtual IP gives the page by the next proxy's rules" page "http://$vip/"
containers() { k get pods -l app=web -o jsonpath='{range .items[*]}{.status.containerStatuses[*].containerID}{"\n"}{end}' | sort; }
before=$(containers)
k scale deployment web --replicas=5 >/dev/null || bad "scale"
for p in $core $proxy $dns; do kill -9 "$p"; done
for p in $core $proxy $dns; do wait "$p" 2>/dev/null; done
page "http://$vip/" && ok "the virtual IP answers while nothing of the cluster runs" || bad "the virtual IP does not answer while nothing runs"
start_core
eventually 60 "the API is ready again" k get --raw /readyz
is "the change that was acknowledged is there" "$(field deployment/web '{.spec.replicas}')" 5
start_deciders
start_proxy
start_dns
start_kubelet --container-runtime-endpoint "unix://$data/containerd/containerd.sock"
five() { [ "$(field deployment/web '{.status.readyReplicas}')" = 5 ]; }
eventually 120 "all five pods are ready" five
is "the containers of before run on" "$(comm -23 <(echo "$before") <(containers))" ""
eventually 20 "the virtual IP gives the page again" page "http://$vip/"
eventually 20 "and the name resolves" resolves web "$vip"
finish
