#!/bin/bash
# road.sh KYBERN: the whole road on real parts, in a network namespace of its own. Apply a Deployment and two Services,
# reach the pods by virtual IP, DNS name and node port, look into them, kill the server and see the pods live on, roll a
# change out and back. Exit 77: skipped, with the reason. Everything that it makes is removed, also after a failure.
name=road; . "$(dirname "$0")/lib.sh"
setup "$@" dig
server
wait_node
k apply -f "$here/examples/web.yaml" >/dev/null || bad "apply"
eventually 90 "the deployment is rolled out" k rollout status deployment/web --timeout=1s
[ $failed = 0 ] || { k get pods -A; tail -30 "$data/server.log"; exit 1; }

vip=$(k get service web -o jsonpath='{.spec.clusterIP}')
dns=$(k -n kube-system get service kube-dns -o jsonpath='{.spec.clusterIP}')
eventually 20 "the virtual IP answers" inside curl -sf --max-time 2 "http://$vip/"
is "the virtual IP gives the page" "$(inside curl -s --max-time 5 "http://$vip/")" "Hello from Kybern"
eventually 20 "the node port answers" inside curl -sf --max-time 2 "http://$node_ip:30080/"
resolves() { [ "$(inside dig +short +time=1 +tries=1 "@$dns" web.default.svc.cluster.local)" = "$vip" ]; }
eventually 20 "the name resolves to the virtual IP" resolves

pod=$(k get pods -l app=web -o jsonpath='{.items[0].metadata.name}')
is "exec runs in the pod" "$(k exec "$pod" -- sh -c 'echo $GREETING')" "Hello from Kybern"
is "the mounted file" "$(k exec "$pod" -- cat /site/index.html)" "Hello from Kybern"
has_log() { k logs "$pod" | grep -q 'response:200'; }
eventually 20 "the log tells of a request" has_log

# kill -9, and start again: the cluster is as declared, and the containers are the same ones.
containers() { k get pods -l app=web -o jsonpath='{.items[*].status.containerStatuses[*].containerID}'; }
before=$(containers)
kill -9 "$server"; wait "$server" 2>/dev/null
is "pods answer without the server" "$(inside curl -s --max-time 5 "http://$vip/")" "Hello from Kybern"
server
eventually 60 "the API is back" k get --raw /readyz
eventually 60 "the node is ready again" k wait --for=condition=Ready node/road --timeout=1s
is "the same containers run" "$(containers)" "$before"

k scale deployment/web --replicas=1 >/dev/null || bad "scale"
one() { [ "$(k get pods -l app=web --no-headers | wc -l)" = 1 ]; }
eventually 60 "scaled to one pod" one
k patch deployment web -p '{"spec":{"template":{"metadata":{"annotations":{"round":"2"}}}}}' >/dev/null || bad "patch"
eventually 60 "the change is rolled out" k rollout status deployment/web --timeout=1s
k rollout undo deployment/web >/dev/null || bad "undo"
eventually 60 "and undone" k rollout status deployment/web --timeout=1s

one_pod() { [ "$(k get pods -l app=web -o name | wc -l)" = 1 ]; }
eventually 60 "the pods of the change are gone" one_pod
for real in $(real_kubectls); do
  pod=$(inside "$real" get pods -l app=web -o jsonpath='{.items[0].metadata.name}')
  is "$(basename "$real") get" "$(inside "$real" get deployment web -o jsonpath='{.status.readyReplicas}')" "1"
  inside "$real" create configmap "from-$(basename "$real" | tr . -)" --from-literal=a=b >/dev/null && ok "$(basename "$real") create" || bad "$(basename "$real") create"
  inside "$real" logs "$pod" >/dev/null && ok "$(basename "$real") logs" || bad "$(basename "$real") logs"
done

k delete -f "$here/examples/web.yaml" >/dev/null || bad "delete"
none() { [ -z "$(k get pods -l app=web -o name)" ]; }
eventually 60 "nothing is left of it" none
gone() { ! inside curl -sf --max-time 2 "http://$vip/"; }
eventually 20 "the virtual IP is gone" gone
finish
