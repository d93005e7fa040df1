#!/bin/bash
# survive.sh KYBERN: what a node keeps through sudden ends. containerd is killed and started again by its supervisor, the
# server is killed, both are killed; pods run on and are taken over. Static pods come, change and go with their files.
# Logs are rotated, and followed across it.
name=survive; . "$(dirname "$0")/lib.sh"
setup "$@"
manifests=$data/manifests; mkdir "$manifests"
server --static-pod-path "$manifests" --container-log-max-size 64Ki --container-log-max-files 3
wait_node
k apply -f - >/dev/null <<'YAML' || die "apply"
apiVersion: v1
kind: Pod
metadata: {name: steady}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: web, image: "kybern.io/sample-web:1", readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}}
  - {name: main, image: "kybern.io/busybox:1", command: [sh, -c, "trap 'exit 0' TERM; n=0; while :; do n=$((n+1)); echo line $n; sleep 0.1; done"]}
---
apiVersion: v1
kind: Pod
metadata: {name: mortal}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: main, image: "kybern.io/busybox:1", command: [sh, -c, "trap 'exit 3' TERM; echo $$; while :; do sleep 0.1; done"]}
---
apiVersion: v1
kind: Pod
metadata: {name: talker}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: main, image: "kybern.io/busybox:1", command: [sh, -c, "while [ ! -e /tmp/go ]; do sleep 0.1; done; n=0; while [ $n -lt 6000 ]; do n=$((n+1)); echo $n 0123456789012345678901234567890123456789; [ $((n % 20)) = 0 ] && sleep 0.05; done; while :; do echo after; sleep 0.2; done"]}
YAML
cat >"$manifests/first.yaml" <<'YAML'
apiVersion: v1
kind: Pod
metadata: {name: fixed, namespace: default, labels: {from: file}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: web, image: "kybern.io/sample-web:1"}]
YAML
eventually 60 "the pods run" k wait --for=condition=Ready pod/steady pod/mortal pod/talker --timeout=1s
nsenter --net=/run/netns/$ns "$kybern" kubectl logs -f talker >"$data/followed" 2>"$data/follow-err" </dev/null & background="$background $!"
eventually 20 "the talker begins" k exec talker -- touch /tmp/go

# --- static pods
eventually 20 "the mirror of a static pod is ready" k wait --for=condition=Ready pod/fixed-survive --timeout=1s
hash=$(field pod/fixed-survive '{.metadata.annotations.kubernetes\.io/config\.hash}')
is "its annotations: mirror" "$(field pod/fixed-survive '{.metadata.annotations.kubernetes\.io/config\.mirror}')" "$hash"
is "its annotations: source" "$(field pod/fixed-survive '{.metadata.annotations.kubernetes\.io/config\.source}')" file
[ -n "$(field pod/fixed-survive '{.metadata.annotations.kubernetes\.io/config\.seen}')" ] && ok "its annotations: seen" || bad "its annotations: seen is missing"
is "its owner" "$(field pod/fixed-survive '{.metadata.ownerReferences[0].kind} {.metadata.ownerReferences[0].name} {.metadata.ownerReferences[0].controller}')" "Node survive true"
is "its label" "$(field pod/fixed-survive '{.metadata.labels.from}')" file
before=$(field pod/fixed-survive '{.status.containerStatuses[0].containerID}')
uid=$(field pod/fixed-survive '{.metadata.uid}')
k delete pod fixed-survive --grace-period=0 --force --wait=false >/dev/null 2>&1
again() { new=$(field pod/fixed-survive '{.metadata.uid}') && [ -n "$new" ] && [ "$new" != "$uid" ] && has pod/fixed-survive '{.status.phase}' Running; }
eventually 20 "a mirror that is deleted comes again" again
is "and its pod ran on" "$(field pod/fixed-survive '{.status.containerStatuses[0].containerID}')" "$before"
sed -i 's/from: file/from: change/' "$manifests/first.yaml"
changed() { has pod/fixed-survive '{.metadata.labels.from}' change && k wait --for=condition=Ready pod/fixed-survive --timeout=1s; }
eventually 20 "a changed file is a new pod" changed
[ "$(field pod/fixed-survive '{.status.containerStatuses[0].containerID}')" != "$before" ] && ok "with a new container" || bad "the changed pod has the old container"
is "its log" "$(k logs fixed-survive >/dev/null && echo read)" read
rm "$manifests/first.yaml"
no_fixed() { [ -z "$(k get pods -o name | grep fixed)" ]; }
eventually 20 "the pod goes with its file" no_fixed

# --- what the node says of itself and of a pod
conditions() { field node/survive '{range .status.conditions[*]}{.type}={.status}:{.reason} {end}'; }
is "the node's conditions" "$(conditions)" "MemoryPressure=False:KubeletHasSufficientMemory DiskPressure=False:KubeletHasNoDiskPressure PIDPressure=False:KubeletHasSufficientPID Ready=True:KubeletReady "
is "its capacity" "$(field node/survive '{.status.capacity.cpu} {.status.capacity.memory} {.status.capacity.pods}')" "$(nproc) $(awk '/^MemTotal/{print $2}' /proc/meminfo)Ki 110"
is "its addresses" "$(field node/survive '{range .status.addresses[*]}{.type}={.address} {end}')" "InternalIP=$node_ip Hostname=survive "
is "its labels" "$(field node/survive '{.metadata.labels.kubernetes\.io/hostname} {.metadata.labels.kubernetes\.io/os}')" "survive linux"
renewed=$(k get lease -n kube-node-lease survive -o jsonpath='{.spec.renewTime}')
is "its lease" "$(k get lease -n kube-node-lease survive -o jsonpath='{.spec.holderIdentity} {.spec.leaseDurationSeconds}')" "survive 40"
figures() { k get --raw /api/v1/nodes/survive/proxy/stats/summary | grep -q '"podRef":{"name":"steady","namespace":"default"' ; }
eventually 20 "stats/summary through the API server" figures
is "the kubelet's health" "$(k get --raw /api/v1/nodes/survive/proxy/healthz)" ok
contains "resource metrics" "$(k get --raw /api/v1/nodes/survive/proxy/metrics/resource)" 'container_memory_working_set_bytes{container="web",namespace="default",pod="steady"}'
contains "its own metrics" "$(k get --raw /api/v1/nodes/survive/proxy/metrics | grep -o 'kubelet_runtime_operations_total{operation_type="run_podsandbox"}')" run_podsandbox
# Every field of a running pod's status, in the API's order; what differs from run to run is made alike.
k get pod steady -o yaml | sed -n '/^status:/,$p' | sed -E 's/"20[0-9T:-]+Z"/TIME/; s/(containerd:\/\/|sha256:)[0-9a-f]{64}/\1ID/; s/kube-api-access-[a-z0-9]+/kube-api-access/; s/10\.244\.0\.[0-9]+/POD/' >"$data/status"
sed "s/NODE/$node_ip/" >"$data/wanted" <<'YAML'
status:
  conditions:
  - lastProbeTime: null
    lastTransitionTime: TIME
    observedGeneration: 1
    status: "True"
    type: PodReadyToStartContainers
  - lastProbeTime: null
    lastTransitionTime: TIME
    observedGeneration: 1
    status: "True"
    type: Initialized
  - lastProbeTime: null
    lastTransitionTime: TIME
    observedGeneration: 1
    status: "True"
    type: Ready
  - lastProbeTime: null
    lastTransitionTime: TIME
    observedGeneration: 1
    status: "True"
    type: ContainersReady
  - lastProbeTime: null
    lastTransitionTime: TIME
    observedGeneration: 1
    status: "True"
    type: PodScheduled
  containerStatuses:
  - containerID: containerd://ID
    image: kybern.io/busybox:1
    imageID: sha256:ID
    lastState: {}
    name: main
    ready: true
    resources: {}
    restartCount: 0
    started: true
    state:
      running:
        startedAt: TIME
    volumeMounts:
    - mountPath: /var/run/secrets/kubernetes.io/serviceaccount
      name: kube-api-access
      readOnly: true
      recursiveReadOnly: Disabled
  - containerID: containerd://ID
    image: kybern.io/sample-web:1
    imageID: sha256:ID
    lastState: {}
    name: web
    ready: true
    resources: {}
    restartCount: 0
    started: true
    state:
      running:
        startedAt: TIME
    volumeMounts:
    - mountPath: /var/run/secrets/kubernetes.io/serviceaccount
      name: kube-api-access
      readOnly: true
      recursiveReadOnly: Disabled
  hostIP: NODE
  hostIPs:
  - ip: NODE
  observedGeneration: 1
  phase: Running
  podIP: POD
  podIPs:
  - ip: POD
  qosClass: BestEffort
  startTime: TIME
YAML
is "the whole status of a pod" "$(diff "$data/wanted" "$data/status")" ""

# --- containerd is killed
ids() { k get pods steady mortal -o jsonpath='{.items[*].status.containerStatuses[*].containerID}'; }
web_ip=$(field pod/steady '{.status.podIP}')
containerd_pid() { cut -d' ' -f1 "$data/containerd/containerd.pid"; }
before=$(ids) old=$(containerd_pid) lines=$(k logs steady -c main | wc -l)
kill -9 "$old"
is "a pod answers without containerd" "$(inside curl -s --max-time 5 "http://$web_ip:8080/healthz")" ok
restarted() { local now; now=$(containerd_pid) && [ "$now" != "$old" ] && k exec steady -c main -- true; }
eventually 20 "containerd is started again, exec works" restarted
is "the same containers run after containerd's end" "$(ids)" "$before"
more() { [ "$(k logs steady -c main | wc -l)" -gt $((lines + 20)) ]; }
eventually 10 "a container's log goes on" more
k logs steady -c main >"$data/log"; is "no line twice" "$(sort "$data/log" | uniq -d)" ""
# --- a container ends while containerd is away
pid=$(inside "$kybern" kubectl exec mortal -- cat /proc/1/stat >/dev/null && for p in /proc/[0-9]*; do grep -qs "trap 'exit 3'" "$p/cmdline" && [ "$(ls -l "$p/ns/net" 2>/dev/null | sed 's/.*-> //')" != "$(inside ls -l /proc/self/ns/net | sed 's/.*-> //')" ] && basename "$p"; done | head -1)
kill -9 "$(containerd_pid)"; kill -9 "$pid"
becomes 30 pod/mortal '{.status.containerStatuses[0].restartCount}' 1
is "its end is known" "$(field pod/mortal '{.status.containerStatuses[0].lastState.terminated.exitCode}')" 137
becomes 20 pod/mortal '{.status.containerStatuses[0].ready}' true
eventually 20 "the node is ready" k wait --for=condition=Ready node/survive --timeout=1s

# --- a log that was followed from its beginning, across its rotations
complete() { grep -qx after "$data/followed"; }
eventually 60 "a log is followed to its end" complete
is "without a gap" "$(grep -v after "$data/followed" | cut -d' ' -f1 | cmp - <(seq 6000) 2>&1)" ""
rotated() { [ "$(ls "$data"/logs/pods/default_talker_*/main | wc -l)" -gt 1 ]; }
eventually 20 "it is rotated" rotated
is "at most three files of it" "$([ "$(ls "$data"/logs/pods/default_talker_*/main | wc -l)" -le 3 ] && echo yes)" yes
some() { [ "$(k logs talker --tail=3 | tr '\n' ' ')" = "after after after " ]; }
eventually 5 "--tail" some
[ "$(k logs steady -c main --since=2s | wc -l)" -lt 60 ] && ok "--since" || bad "--since=2s gives $(k logs steady -c main --since=2s | wc -l) lines"
case $(k logs steady -c main --timestamps --tail=1) in 20[0-9][0-9]-*T*Z" line "*) ok "--timestamps" ;; *) bad "--timestamps: $(k logs steady -c main --timestamps --tail=1)" ;; esac
is "--limit-bytes" "$(k logs steady -c main --limit-bytes=5 | wc -c)" 5
[ "$(k get lease -n kube-node-lease survive -o jsonpath='{.spec.renewTime}')" != "$renewed" ] && ok "the lease is renewed" || bad "the lease is as it was"

# --- both are killed
before=$(ids)
kill -9 "$server" "$(containerd_pid)"; wait "$server" 2>/dev/null
is "a pod answers without both" "$(inside curl -s --max-time 5 "http://$web_ip:8080/healthz")" ok
server
eventually 60 "the API is back" k get --raw /readyz
eventually 60 "the node is ready again" k wait --for=condition=Ready node/survive --timeout=1s
eventually 20 "exec works again" k exec steady -c main -- true
is "the same containers run after both ends" "$(ids)" "$before"
finish
