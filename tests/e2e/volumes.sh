#!/bin/bash
# volumes.sh KYBERN: what pods are given: volumes of every kind that needs no driver, and how they follow changes; tokens;
# environment variables; the node's network, processes and ports; containers that join later.
name=volumes; . "$(dirname "$0")/lib.sh"
setup "$@"
server
wait_node
host=$data/host; mkdir "$host"; echo from the host >"$host/file"; mknod "$host/null" c 1 3
k create configmap settings --from-literal=plain=one --from-literal=second=two --from-literal=9bad=x >/dev/null
k create secret generic hidden --from-literal=password=s3cret >/dev/null
k create configmap all --from-literal=A=1 --from-literal=B=2 >/dev/null
k apply -f - >/dev/null <<YAML || die "apply"
apiVersion: v1
kind: Pod
metadata: {name: full, labels: {app: full, changed: "no"}, annotations: {note: "a \\"quoted\\" one"}}
spec:
  terminationGracePeriodSeconds: 1
  hostname: named
  subdomain: sub
  volumes:
  - {name: memory, emptyDir: {medium: Memory, sizeLimit: 8Mi}}
  - {name: disk, emptyDir: {}}
  - {name: settings, configMap: {name: settings, defaultMode: 0440}}
  - {name: some, configMap: {name: settings, items: [{key: plain, path: deep/down/it, mode: 0400}]}}
  - {name: absent, configMap: {name: no-such, optional: true}}
  - {name: hidden, secret: {secretName: hidden}}
  - {name: about, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}, {path: limit, resourceFieldRef: {containerName: main, resource: limits.memory, divisor: 1Mi}}]}}
  - name: mixed
    projected:
      sources:
      - {configMap: {name: settings, items: [{key: plain, path: plain}]}}
      - {secret: {name: hidden, items: [{key: password, path: password}]}}
      - {downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}}
      - {serviceAccountToken: {path: token, audience: somebody, expirationSeconds: 600}}
  - {name: host, hostPath: {path: "$host", type: Directory}}
  - {name: hostfile, hostPath: {path: "$host/file", type: File}}
  - {name: made, hostPath: {path: "$host/made", type: DirectoryOrCreate}}
  containers:
  - name: main
    image: kybern.io/busybox:1
    command: [sh, -c, 'trap "exit 0" TERM; while :; do sleep 0.1; done']
    resources: {limits: {memory: 32Mi}, requests: {cpu: 20m}}
    ports: [{containerPort: 8080, hostPort: 18080}]
    volumeMounts:
    - {name: memory, mountPath: /memory}
    - {name: disk, mountPath: /disk}
    - {name: disk, mountPath: /part, subPath: a/b}
    - {name: disk, mountPath: /expr, subPathExpr: \$(POD)-x}
    - {name: settings, mountPath: /settings}
    - {name: settings, mountPath: /one-file, subPath: plain}
    - {name: some, mountPath: /some}
    - {name: absent, mountPath: /absent}
    - {name: hidden, mountPath: /hidden}
    - {name: about, mountPath: /about}
    - {name: mixed, mountPath: /mixed}
    - {name: host, mountPath: /host, readOnly: true}
    - {name: hostfile, mountPath: /hostfile}
    - {name: made, mountPath: /made}
    envFrom:
    - {configMapRef: {name: all}, prefix: P_}
    - {secretRef: {name: hidden}}
    - {configMapRef: {name: no-such, optional: true}}
    env:
    - {name: PLAIN, value: text}
    - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: REFERS, value: "\$(PLAIN)-\$(P_A)-\$\$(PLAIN)-\$(NONE)"}
    - {name: SETTING, valueFrom: {configMapKeyRef: {name: settings, key: second}}}
    - {name: ABSENT, valueFrom: {secretKeyRef: {name: hidden, key: none, optional: true}}}
    - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}
    - {name: HOST, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
    - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    - {name: ACCOUNT, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}
    - {name: LABEL, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
    - {name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory}}}
    - {name: CPU, valueFrom: {resourceFieldRef: {resource: requests.cpu, divisor: 1m}}}
---
apiVersion: v1
kind: Pod
metadata: {name: host}
spec:
  terminationGracePeriodSeconds: 1
  hostNetwork: true
  hostPID: true
  dnsPolicy: ClusterFirstWithHostNet
  containers:
  - {name: main, image: "kybern.io/busybox:1", command: [sh, -c, 'trap "exit 0" TERM; while :; do sleep 0.1; done'], ports: [{containerPort: 18081}]}
---
apiVersion: v1
kind: Pod
metadata: {name: shared}
spec:
  terminationGracePeriodSeconds: 1
  shareProcessNamespace: true
  securityContext: {runAsUser: 1000, runAsGroup: 2000, fsGroup: 3000, supplementalGroups: [4000]}
  volumes: [{name: disk, emptyDir: {}}]
  containers:
  - {name: main, image: "kybern.io/busybox:1", command: [sh, -c, 'trap "exit 0" TERM; while :; do sleep 0.1; done'], volumeMounts: [{name: disk, mountPath: /disk}],
     securityContext: {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}
  - {name: other, image: "kybern.io/busybox:1", command: [sleep, "3601"]}
---
apiVersion: v1
kind: Pod
metadata: {name: not-there}
spec:
  volumes: [{name: host, hostPath: {path: "$host/nothing", type: Directory}}]
  containers: [{name: main, image: "kybern.io/busybox:1", command: [sleep, "3602"], volumeMounts: [{name: host, mountPath: /host}]}]
YAML
eventually 60 "the pods run" k wait --for=condition=Ready pod/full pod/host pod/shared --timeout=1s || k describe pod full | tail -15
[ $failed = 0 ] || exit 1
in_full() { k exec full -- sh -c "$1"; }

contains "emptyDir in memory" "$(in_full 'grep " /memory " /proc/mounts')" "tmpfs"
contains "with its size" "$(in_full 'grep " /memory " /proc/mounts')" "size=8192k"
is "subPath" "$(in_full 'echo x >/part/file; cat /disk/a/b/file; echo y >/expr/file; cat /disk/full-x/file')" "$(printf 'x\ny')"
is "files of a config map" "$(in_full 'cat /settings/plain /settings/second; stat -L -c " %a" /settings/plain')" "onetwo 440"
is "chosen items" "$(in_full 'cat /some/deep/down/it; stat -L -c " %a" /some/deep/down/it; ls /some')" "$(printf 'one 400\ndeep')"
is "an optional one that is absent" "$(in_full 'ls /absent')" ""
is "a secret" "$(in_full 'cat /hidden/password; grep " /hidden " /proc/mounts | cut -d" " -f1')" "s3crettmpfs"
is "the downward API" "$(in_full 'cat /about/labels; echo; cat /about/limit')" "$(printf 'app="full"\nchanged="no"\n32')"
is "a projected volume" "$(in_full 'cat /mixed/plain /mixed/password /mixed/name')" "ones3cretfull"
is "hostPath" "$(in_full 'cat /host/file /hostfile; touch /host/x 2>&1 | tail -c 22; ls -d /made')" "$(printf 'from the host\nfrom the host\nRead-only file system\n/made')"
is "environment" "$(in_full 'echo "$PLAIN $POD $REFERS $SETTING <$ABSENT> $NODE $ACCOUNT $LABEL $MEMORY $CPU $P_A$P_B $password"')" \
  'text full text-1-$(PLAIN)-$(NONE) two <> volumes default full 33554432 20 12 s3cret'
is "addresses" "$(in_full 'echo "$IP $IPS $HOST"')" "$(field pod/full '{.status.podIP}') $(field pod/full '{.status.podIP}') $node_ip"
contains "services" "$(in_full env)" "KUBERNETES_SERVICE_HOST="
is "host name" "$(in_full 'hostname; hostname -f; grep -c "named.sub.default.svc.cluster.local" /etc/hosts')" "$(printf 'named\nnamed.sub.default.svc.cluster.local\n1')"
contains "the resolver" "$(in_full 'cat /etc/resolv.conf')" "search default.svc.cluster.local svc.cluster.local cluster.local"
is "the account's folder" "$(in_full 'cat /var/run/secrets/kubernetes.io/serviceaccount/namespace; ls /var/run/secrets/kubernetes.io/serviceaccount')" "$(printf 'defaultca.crt\nnamespace\ntoken')"
claims() { in_full "cat $1" | cut -d. -f2 | tr '_-' '/+' | { cat; printf '=='; } | base64 -d 2>/dev/null; }
contains "a token for an audience" "$(claims /mixed/token)" '"aud":["somebody"]'
contains "bound to the pod" "$(claims /mixed/token)" "$(field pod/full '{.metadata.uid}')"
token=$(in_full 'cat /var/run/secrets/kubernetes.io/serviceaccount/token')
is "the account's token is taken" "$(inside curl -sk -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $token" https://$node_ip:6443/api)" 200

# Changes arrive, by a symbolic link that is exchanged.
link=$(in_full 'readlink /settings/..data')
k patch configmap settings --type=merge -p '{"data":{"plain":"changed","new":"file"}}' >/dev/null
k patch secret hidden --type=merge -p '{"stringData":{"password":"other"}}' >/dev/null
k label pod full changed=yes --overwrite >/dev/null
now() { [ "$(in_full 'cat /settings/plain /settings/new /hidden/password /mixed/plain /mixed/password; grep -c yes /about/labels')" = "changedfileotherchangedother1" ]; }
eventually 20 "changes of config map, secret and labels arrive" now
[ "$(in_full 'readlink /settings/..data')" != "$link" ] && ok "by another link" || bad "the link is the old one"
is "what is mounted by subPath stays" "$(in_full 'cat /one-file')" one

# The node's network, processes and ports.
is "hostPort" "$(in_full 'mkdir -p /tmp/w; echo port >/tmp/w/index.html; httpd -p 8080 -h /tmp/w'; inside curl -s --max-time 5 "http://$node_ip:18080/")" port
is "hostNetwork" "$(field pod/host '{.status.podIP}') $(k exec host -- ip -4 -o addr show node0 | tr -s ' ' | cut -d' ' -f4)" "$node_ip $node_ip/24"
is "hostPID" "$(k exec host -- sh -c "tr '\\0' ' ' </proc/$server/cmdline" | grep -c 'kybern server')" 1
is "processes are shared" "$(k exec shared -c main -- sh -c 'ps | grep -c "[s]leep 3601"')" 1
is "security context" "$(k exec shared -c main -- sh -c 'id -u; id -g; id -G; stat -c "%g" /disk; touch /x 2>&1 | tail -c 22; grep CapEff /proc/self/status | tr -d "\t"; grep NoNewPrivs /proc/self/status | tr -d "\t"')" \
  "$(printf '1000\n2000\n2000 3000 4000\n3000\nRead-only file system\nCapEff:0000000000000000\nNoNewPrivs:1')"
told() { k get events --field-selector involvedObject.name=not-there -o jsonpath='{.items[*].message}' | grep -q 'hostPath type check failed'; }
eventually 10 "a host path of the wrong type is refused" told
mkdir "$host/nothing"; becomes 20 pod/not-there '{.status.phase}' Running

# A container that joins later.
real=$(real_kubectls | tail -1)
if [ -n "$real" ]; then
  got=$({ pause 2; echo go; pause 3; } | inside timeout 30 "$real" debug -q full --image=kybern.io/busybox:1 -c guest --target=main -i -- sh -c 'read go; ps | grep -c "[t]rap"; hostname' 2>/dev/null)
  contains "kubectl debug" "$got" "$(printf '1\nnamed')"
  becomes 20 pod/full '{.status.ephemeralContainerStatuses[0].state.terminated.exitCode}' 0
fi
k delete pods --all --wait=false >/dev/null
none() { [ -z "$(k get pods -o name)" ]; }
eventually 40 "all pods are gone" none
left() { ! grep -q "$data/kubelet/pods" /proc/mounts && [ -z "$(find "$data/kubelet/pods" -mindepth 1 -maxdepth 1)" ]; }
eventually 20 "no volume is left" left
is "the host's files are" "$(cat "$host/file")" "from the host"
finish
