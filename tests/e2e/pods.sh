#!/bin/bash
# pods.sh KYBERN: the lives of pods on a real node: phases, restarts and their back-off, probes, hooks, grace, deadlines,
# init containers and sidecars, images that cannot be had, resources in cgroups, the end by lack of memory, `kubectl top`.
name=pods; . "$(dirname "$0")/lib.sh"
setup "$@"
server
wait_node
notes=$data/notes; mkdir -m 777 "$notes"

# [grace=SECONDS] [image=NAME] pod NAME SPEC-FIELDS CONTAINER-FIELDS SCRIPT: one more pod in the manifest.
manifest= grace=1 image=kybern.io/busybox:1
pod() {
  manifest+="---
apiVersion: v1
kind: Pod
metadata: {name: $1}
spec:
  terminationGracePeriodSeconds: $grace
  volumes: [{name: notes, hostPath: {path: \"$notes\"}}, {name: scratch, emptyDir: {}}]
  $2
  containers:
  - name: main
    image: $image
    volumeMounts: [{name: notes, mountPath: /notes}, {name: scratch, mountPath: /scratch}]
    $3
    command: [sh, -c, '$4']
"
}
stay='trap "exit 0" TERM; while :; do sleep 0.1; done'
container='{.status.containerStatuses[0]'

# --- ends
pod succeeds 'restartPolicy: Never' '' 'echo fine'
pod fails 'restartPolicy: Never' '' 'echo -n the reason >/dev/termination-log; exit 4'
pod fallback 'restartPolicy: Never' 'terminationMessagePolicy: FallbackToLogsOnError' 'echo first; echo last words; exit 1'
pod elsewhere 'restartPolicy: Never' 'terminationMessagePath: /tmp/message' 'echo written elsewhere >/tmp/message'
pod second-time 'restartPolicy: OnFailure' '' 'echo run; if [ -e /scratch/seen ]; then exit 0; fi; touch /scratch/seen; exit 1'
pod crashes '' '' 'echo this is the end; exit 7'
pod deadline 'activeDeadlineSeconds: 2' '' "$stay"
# --- grace and hooks
grace=3 pod slow '' '' 'trap "" TERM; while :; do sleep 0.1; done'
grace=600 pod stubborn '' '' 'trap "" TERM; while :; do sleep 0.1; done'
grace=20 pod hooks '' 'lifecycle: {postStart: {exec: {command: [sh, -c, "echo post >>/notes/hooks"]}}, preStop: {exec: {command: [sh, -c, "echo pre >>/notes/hooks"]}}}' \
  'trap "echo term >>/notes/hooks; exit 0" TERM; while :; do sleep 0.1; done'
grace=20 pod sleep-hook '' 'lifecycle: {preStop: {sleep: {seconds: 3}}}' "$stay"
grace=20 pod http-hook '' 'lifecycle: {preStop: {httpGet: {path: /cgi-bin/bye, port: 8080}}}' \
  'mkdir -p /tmp/www/cgi-bin; printf "#!/bin/sh\necho asked >>/notes/http-hook\nprintf \"Content-Type: text/plain\\r\\n\\r\\n\"\n" >/tmp/www/cgi-bin/bye; chmod +x /tmp/www/cgi-bin/bye; httpd -p 8080 -h /tmp/www; trap "echo term >>/notes/http-hook; exit 0" TERM; while :; do sleep 0.1; done'
pod bad-hook 'restartPolicy: Never' 'lifecycle: {postStart: {exec: {command: ["false"]}}}' 'exec sleep 3600'
# --- probes
pod live-exec '' 'livenessProbe: {exec: {command: [test, "!", -e, /scratch/sick]}, periodSeconds: 1, timeoutSeconds: 20, failureThreshold: 1}' \
  'if [ -e /scratch/sick ]; then rm /scratch/sick; touch /scratch/healed; else [ -e /scratch/healed ] || { sleep 0.5; touch /scratch/sick; }; fi; trap "exit 0" TERM; while :; do sleep 0.1; done'
pod live-http '' 'livenessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1, timeoutSeconds: 20, failureThreshold: 3}' \
  'mkdir -p /tmp/www; [ -e /scratch/twice ] && echo ok >/tmp/www/healthz; touch /scratch/twice; exec httpd -f -p 8080 -h /tmp/www'
pod ready-tcp '' 'readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1, timeoutSeconds: 20}' 'while [ ! -e /notes/listen ]; do sleep 0.1; done; exec httpd -f -p 8080'
pod starts-slowly '' 'startupProbe: {exec: {command: [test, -e, /notes/started]}, periodSeconds: 1, timeoutSeconds: 20, failureThreshold: 100}
    livenessProbe: {exec: {command: [test, -e, /notes/started]}, periodSeconds: 1, timeoutSeconds: 20, failureThreshold: 1}' "$stay"
pod gated 'readinessGates: [{conditionType: example.com/gate}]' '' "$stay"
# --- init containers and sidecars
grace=20 pod order 'restartPolicy: Never
  initContainers:
  - {name: one, image: "kybern.io/busybox:1", command: [sh, -c, "echo one >>/scratch/order"], volumeMounts: [{name: scratch, mountPath: /scratch}]}
  - name: side
    image: kybern.io/busybox:1
    restartPolicy: Always
    command: [sh, -c, "echo side >>/scratch/order; trap \"echo side ended >>/notes/side; exit 0\" TERM; while :; do sleep 0.1; done"]
    volumeMounts: [{name: scratch, mountPath: /scratch}, {name: notes, mountPath: /notes}]
    startupProbe: {exec: {command: [test, -s, /scratch/order]}, periodSeconds: 1, timeoutSeconds: 20}
  - {name: two, image: "kybern.io/busybox:1", command: [sh, -c, "echo two >>/scratch/order"], volumeMounts: [{name: scratch, mountPath: /scratch}]}' \
  '' 'echo main >>/scratch/order; cat /scratch/order'
pod init-fails 'restartPolicy: Never
  initContainers: [{name: one, image: "kybern.io/busybox:1", command: ["false"]}]' '' "$stay"
# --- images and configuration
image=kybern.io/absent:1 pod never-pull '' 'imagePullPolicy: Never' "$stay"
pod no-config '' 'env: [{name: X, valueFrom: {configMapKeyRef: {name: later, key: x}}}]' 'echo "X is $X"; trap "exit 0" TERM; while :; do sleep 0.1; done'
# --- resources
pod limited '' 'resources: {requests: {cpu: 100m, memory: 16Mi}, limits: {cpu: 200m, memory: 32Mi}}' "$stay"
pod guaranteed '' 'resources: {limits: {cpu: 50m, memory: 24Mi}}' "$stay"
pod eats '' 'resources: {limits: {memory: 16Mi}}' 'head -c 200000000 /dev/zero | tail'
manifest+='---
apiVersion: v1
kind: Pod
metadata: {name: cannot-pull}
spec: {containers: [{name: main, image: "127.0.0.1:1/none:1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: odd-name}
spec: {containers: [{name: main, image: "UPPER CASE"}]}
'
echo "$manifest" >"$data/pods.yaml"
k apply -f "$data/pods.yaml" >/dev/null || { bad apply; exit 1; }

phase() { becomes 40 "pod/$1" '{.status.phase}' "$2"; }
ended() { is "$1 ended with" "$(field "pod/$1" "$container.state.terminated.exitCode} $container.state.terminated.reason}")" "$2"; }
event() {  # POD REASON TEXT
  told() { k get events --field-selector "involvedObject.name=$1" -o jsonpath='{range .items[*]}{.reason}{": "}{.message}{"\n"}{end}' | grep -q "^$2: .*$3"; }
  eventually 15 "$1 has the event $2 $3" told "$@"
}

phase succeeds Succeeded; ended succeeds "0 Completed"
is "its log" "$(k logs succeeds)" fine
is "its conditions" "$(field pod/succeeds '{range .status.conditions[*]}{.type}={.status}:{.reason} {end}')" "PodReadyToStartContainers=False: Initialized=True:PodCompleted Ready=False:PodCompleted ContainersReady=False:PodCompleted PodScheduled=True: "
phase fails Failed; ended fails "4 Error"; is "its message" "$(field pod/fails "$container.state.terminated.message}")" "the reason"
phase fallback Failed; is "the end of its log as message" "$(field pod/fallback "$container.state.terminated.message}")" "$(printf 'first\nlast words')"
phase elsewhere Succeeded; is "a message from another file" "$(field pod/elsewhere "$container.state.terminated.message}")" "written elsewhere"
phase second-time Succeeded; is "restarted on failure" "$(field pod/second-time "$container.restartCount}")" 1
is "its last state" "$(field pod/second-time "$container.lastState.terminated.exitCode}")" 1
is "logs --previous" "$(k logs second-time --previous)" run
backs_off() { k get pod crashes -o jsonpath="$container.state.waiting.reason}: $container.state.waiting.message}" | grep -Eq '^CrashLoopBackOff: back-off [0-9ms]+ restarting failed container=main pod=crashes_default\('; }
eventually 60 "crashes backs off" backs_off
event crashes BackOff "Back-off restarting failed container main in pod crashes_default("
phase deadline Failed; is "its reason" "$(field pod/deadline '{.status.reason}: {.status.message}')" "DeadlineExceeded: Pod was active on the node longer than the specified deadline"

phase slow Running; phase stubborn Running; phase hooks Running
begin=$(now_ms); k delete pod slow >/dev/null; took=$(($(now_ms) - begin))
[ $took -ge 2900 ] && [ $took -lt 20000 ] && ok "the grace period is honoured ($took ms of 3 s)" || bad "the pod took $took ms to end with 3 s of grace"
uid=$(field pod/stubborn '{.metadata.uid}')
begin=$(now_ms); k delete pod stubborn --grace-period=0 --force >/dev/null 2>&1; took=$(($(now_ms) - begin))
[ $took -lt 20000 ] && ok "a forced deletion does not wait ($took ms)" || bad "a forced deletion took $took ms"
no_cgroup() { [ -z "$(find /sys/fs/cgroup -type d -name "*$uid*" 2>/dev/null)" ]; }
eventually 15 "nor does its end on the node" no_cgroup
no_folder() { [ ! -e "$data/kubelet/pods/$uid" ]; }
eventually 10 "its folder is gone" no_folder
k delete pod hooks >/dev/null; is "hooks in their order" "$(tr '\n' ' ' <"$notes/hooks")" "post pre term "
phase sleep-hook Running; phase http-hook Running
begin=$(now_ms); k delete pod sleep-hook >/dev/null; took=$(($(now_ms) - begin))
[ $took -ge 3000 ] && [ $took -lt 15000 ] && ok "a hook that sleeps holds the end back for its time" || bad "sleep-hook took $took ms"
k delete pod http-hook >/dev/null; is "a hook over HTTP comes before the signal" "$(tr '\n' ' ' <"$notes/http-hook")" "asked term "
event bad-hook FailedPostStartHook PostStartHook
phase bad-hook Failed

restarted() { [ "$(field "pod/$1" "$container.restartCount}")" -ge 1 ]; }
eventually 40 "live-exec is restarted" restarted live-exec
event live-exec Unhealthy "Liveness probe failed: "
event live-exec Killing "Container main failed liveness probe, will be restarted"
eventually 40 "live-http is restarted" restarted live-http
event live-http Unhealthy "Liveness probe failed: HTTP probe failed with statuscode: 404"
becomes 40 pod/live-http "$container.ready}" true
phase ready-tcp Running
event ready-tcp Unhealthy "Readiness probe failed: dial tcp .*:8080: connect: connection refused"
is "not ready while nobody listens" "$(field pod/ready-tcp '{.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="Ready")].reason}')" "False ContainersNotReady"
touch "$notes/listen"; becomes 20 pod/ready-tcp "$container.ready}" true
is "not started before its startup probe" "$(field pod/starts-slowly "$container.started} $container.ready}")" "false false"
touch "$notes/started"; becomes 20 pod/starts-slowly "$container.started}" true
becomes 20 pod/starts-slowly "$container.ready}" true
is "never restarted meanwhile" "$(field pod/starts-slowly "$container.restartCount}")" 0
becomes 20 pod/gated '{.status.conditions[?(@.type=="ContainersReady")].status}' True
is "not ready before its gate" "$(field pod/gated '{.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="Ready")].reason}')" "False ReadinessGatesNotReady"
k patch pod gated --subresource=status --type=merge -p '{"status":{"conditions":[{"type":"example.com/gate","status":"True"}]}}' >/dev/null 2>&1 ||
  k patch pod gated --subresource=status -p '{"status":{"conditions":[{"type":"example.com/gate","status":"True"}]}}' >/dev/null || bad "the gate's condition cannot be written"
becomes 20 pod/gated '{.status.conditions[?(@.type=="Ready")].status}' True

phase order Succeeded
is "containers in their order" "$(k logs order -c main | tr '\n' ' ')" "one side two main "
is "the sidecar ended after the others" "$(cat "$notes/side" 2>/dev/null)" "side ended"
phase init-fails Failed
is "the failed init container" "$(field pod/init-fails '{.status.initContainerStatuses[0].state.terminated.exitCode} {.status.containerStatuses[0].state.waiting.reason}')" "1 PodInitializing"

becomes 20 pod/never-pull "$container.state.waiting.reason}" ErrImageNeverPull
is "its message" "$(field pod/never-pull "$container.state.waiting.message}")" 'Container image "kybern.io/absent:1" is not present with pull policy of Never'
becomes 40 pod/cannot-pull "$container.state.waiting.reason}" ImagePullBackOff
event cannot-pull Failed 'Failed to pull image "127.0.0.1:1/none:1": '
event cannot-pull Failed "Error: ErrImagePull"
event cannot-pull BackOff 'Back-off pulling image "127.0.0.1:1/none:1"'
becomes 20 pod/odd-name "$container.state.waiting.reason}" InvalidImageName
becomes 20 pod/no-config "$container.state.waiting.reason}" CreateContainerConfigError
is "its message" "$(field pod/no-config "$container.state.waiting.message}")" 'configmap "later" not found'
k create configmap later --from-literal=x=here >/dev/null; phase no-config Running
x_is() { [ "$(k logs no-config)" = "X is here" ]; }; eventually 5 "and it has its variable" x_is

# cgroup figures, of v1 or v2
figure() {  # POD-or-CONTAINER-PATH V1-CONTROLLER/FILE V2-FILE
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then cat "/sys/fs/cgroup$1/$3"; else cat "/sys/fs/cgroup/${2%/*}$1/${2#*/}"; fi
}
phase limited Running; phase guaranteed Running
uid=$(field pod/limited '{.metadata.uid}') id=$(field pod/limited "$container.containerID}"); id=${id#*://}
path=/$ns/kubepods/burstable/pod$uid
is "a pod's memory limit" "$(figure "$path" memory/memory.limit_in_bytes memory.max)" $((32 << 20))
is "a container's memory limit" "$(figure "$path/$id" memory/memory.limit_in_bytes memory.max)" $((32 << 20))
is "a container's CPU limit" "$(figure "$path/$id" cpu/cpu.cfs_quota_us cpu.max | cut -d' ' -f1)" 20000
[ -e /sys/fs/cgroup/cgroup.controllers ] || is "a container's shares" "$(figure "$path/$id" cpu/cpu.shares -)" 102
is "its class" "$(field pod/limited '{.status.qosClass}') $(field pod/guaranteed '{.status.qosClass}') $(field pod/crashes '{.status.qosClass}')" "Burstable Guaranteed BestEffort"
[ -d "$(ls -d /sys/fs/cgroup/{memory/,}$ns/kubepods/pod"$(field pod/guaranteed '{.metadata.uid}')" /sys/fs/cgroup/{memory/,}$ns/kubepods/guaranteed/pod"$(field pod/guaranteed '{.metadata.uid}')" 2>/dev/null | head -1)" ] && ok "the guaranteed pod's cgroup" || bad "the guaranteed pod has no cgroup"
# containerd may tell of an end before it knows why: one of several tells it.
oom_killed() { k get pod eats -o jsonpath='{.status.containerStatuses[0].state.terminated};{.status.containerStatuses[0].lastState.terminated}' | grep -q '"exitCode":137.*"reason":"OOMKilled"'; }
eventually 90 "eats is killed for its memory" oom_killed

# --- what they use
# tops WHO KUBECTL...: `top` by one client. The figures come a moment after the pods: two looks at their counters are needed.
top_row() { "${@:2}" 2>/dev/null | grep -Eq "$1"; }
tops() {
  local who=$1; shift
  eventually 60 "top nodes by $who" top_row "^$name +[0-9]+m +[0-9]+% +[0-9]+Mi +[0-9]+% *\$" "$@" top nodes
  eventually 60 "top pods by $who" top_row '^limited +[0-9]+m +[0-9]+Mi *$' "$@" top pods
  eventually 60 "top pods --containers by $who" top_row '^limited +main +[0-9]+m +[0-9]+Mi *$' "$@" top pods --containers
  contains "no pods, no figures, by $who" "$("$@" top pods -l none=such 2>&1)" "No resources found in default namespace."
  local used; used=$("$@" top pod limited --no-headers | awk '{print $3 + 0}')
  [ "${used:-99}" -le 32 ] && ok "limited uses ${used}Mi of its 32" || bad "limited uses ${used}Mi of its 32 by $who"
  "$@" top pods --no-headers | grep -q '^succeeds ' && bad "a pod that is done is listed by $who" || ok "a pod that is done is not listed"
}
tops "ours" k
for real in $(real_kubectls); do tops "$(basename "$real")" inside "$real"; done

# --- everything goes, and nothing stays
k delete pods --all --grace-period=1 --wait=false >/dev/null
none() { [ -z "$(k get pods -o name)" ]; }
eventually 40 "all pods are gone" none
nothing() { [ -z "$(find "$data/kubelet/pods" -mindepth 1 -maxdepth 1)$(ls "$data/logs/pods")$(find /sys/fs/cgroup/ -maxdepth 5 -path "*$ns*" -name 'pod*' | grep -v kubepods$ | grep '/pod[0-9a-f]*-')" ]; }
eventually 20 "nothing of them is left" nothing
finish
