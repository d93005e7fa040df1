#!/bin/bash
# streams.sh KYBERN: exec, attach, port-forward, cp and logs into a real pod, by each kubectl: ours, the oldest installed
# (SPDY) and the newest (WebSocket).
name=streams; . "$(dirname "$0")/lib.sh"
setup "$@"
server --container-log-max-size 64Ki --container-log-max-files 3
wait_node
k apply -f - >/dev/null <<'YAML' || die "apply"
apiVersion: v1
kind: Pod
metadata: {name: box}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: main, image: "kybern.io/busybox:1", command: [sh, -c, "trap exit TERM; while :; do sleep 0.2; done"]}
  - {name: web, image: "kybern.io/sample-web:1"}
  - {name: echo, image: "kybern.io/busybox:1", stdin: true, command: [sh, -c, "while read line; do echo got $line; done; echo ended; sleep 3600"]}
---
apiVersion: v1
kind: Pod
metadata: {name: typist}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: main, image: "kybern.io/busybox:1", stdin: true, tty: true, command: [sh]}]
YAML
eventually 60 "the pods run" k wait --for=condition=Ready pod/box pod/typist --timeout=1s

work=$data/work; mkdir "$work"
head -c 10000000 /dev/urandom >"$work/big"
sum=$(sha256sum <"$work/big" | cut -d' ' -f1)

streams() {  # KUBECTL LABEL
  local kubectl=$1 label=$2 got status pid
  x() { inside timeout 60 $kubectl "$@"; }
  is "$label exec" "$(x exec box -c main -- echo hello)" hello
  is "$label exec: standard error" "$(x exec box -c main -- sh -c 'echo out; echo err >&2' 2>&1 >/dev/null)" err
  x exec box -c main -- sh -c 'exit 42' >/dev/null 2>&1; is "$label exec: exit code" $? 42
  x exec box -c main -- /no/such >/dev/null 2>"$work/err"; status=$?
  [ $status != 0 ] && ok "$label exec of what is not there fails ($status)" || bad "$label exec of what is not there succeeded"
  is "$label exec -i: input to its end" "$(printf 'one\ntwo\n' | x exec -i box -c main -- cat)" "$(printf 'one\ntwo')"
  is "$label exec -i: what follows the end of the input" "$(printf abc | x exec -i box -c main -- sh -c 'wc -c; echo after')" "$(printf '3\nafter')"
  is "$label exec: 10 MB out" "$(x exec box -c main -- head -c 10000000 /dev/zero | sha256sum)" "$(head -c 10000000 /dev/zero | sha256sum)"
  is "$label exec -i: 10 MB there and back" "$(x exec -i box -c main -- cat <"$work/big" | sha256sum | cut -d' ' -f1)" "$sum"
  is "$label exec -it: a terminal" "$(x exec -it box -c main -- tty </dev/null 2>/dev/null | tr -d '\r')" "not a tty" # without a terminal here there is none there
  got=$(script -qec "nsenter --net=/run/netns/$ns timeout --foreground 30 $kubectl exec -it box -c main -- sh -c 'tty; stty size; exit 7'" /dev/null </dev/null | tr -d '\r'; exit ${PIPESTATUS[0]}); status=$?
  contains "$label exec -it in a terminal" "$got" /dev/pts/
  is "$label exec -it: exit code" $status 7
  if ! x cp --help >/dev/null 2>&1; then echo "not tried: $label cp, it has no such command"
  else
  x cp "$work/big" "box:/tmp/big-$label" -c main >/dev/null 2>&1 && x cp "box:/tmp/big-$label" "$work/back-$label" -c main >/dev/null 2>&1
  is "$label cp there and back" "$(sha256sum <"$work/back-$label" | cut -d' ' -f1)" "$sum"
  fi
  got=$(printf 'from %s\n' "$label" | { cat; pause 1; } | inside timeout 15 $kubectl attach -i box -c echo 2>/dev/null)
  contains "$label attach -i" "$got" "got from $label"
  # A terminal that was there before: what is typed is answered. (Ended from here: leaving would end the shell.)
  : >"$work/typed"
  script -qec "nsenter --net=/run/netns/$ns timeout --foreground 20 $kubectl attach -it typist" /dev/null < <(exec 2>/dev/null; pause 0.5; printf 'echo $((6*7)) %s\n' "$label"; pause 10) >"$work/typed" 2>&1 &
  pid=$!; background="$background $pid"
  answered() { tr -d '\r' <"$work/typed" | grep -q "^42 $label"; }
  eventually 10 "$label attach -it" answered || cat "$work/typed"
  kill -9 "$pid" 2>/dev/null; wait "$pid" 2>/dev/null
  # Input that nobody reads must not hold the end up, output that nobody reads must not either. (Only as much input as a
  # pipe takes: containerd 1.6 waits forever to pass on the rest to a process that has ended.)
  head -c 4000 "$work/big" | x exec -i box -c main -- true; is "$label exec -i: input that is not read" $? 0
  is "$label exec: output that is not read on" "$(x exec box -c main -- yes 2>/dev/null | head -n 1)" y
  is "$label exec -i: a slow reader" "$(x exec box -c main -- head -c 3000000 /dev/zero | { pause 0.5; sha256sum; })" "$(head -c 3000000 /dev/zero | sha256sum)"
  contains "$label exec in no such container" "$(x exec box -c none -- true 2>&1)" "container none is not valid for pod box"
  contains "$label exec in no such pod" "$(x exec nobody -- true 2>&1)" 'pods "nobody" not found'
  [ $label = ours ] && echo "not tried: ours run -i, it attaches to nothing" ||
    is "$label run -i --rm" "$(echo hello | x run "once-${label//./-}" -i --rm -q --restart=Never --image=kybern.io/busybox:1 -- tr a-z A-Z 2>/dev/null | grep -v '^pod ')" HELLO
  forward "$kubectl" "$label"
}
forward() {
  local kubectl=$1 label=$2 pid port status
  : >"$work/forward"
  nsenter --net=/run/netns/$ns $kubectl port-forward pod/box :8080 >"$work/forward" 2>&1 </dev/null &
  pid=$!; background="$background $pid"
  forwarded() { port=$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\) .*/\1/p' "$work/forward"); [ -n "$port" ]; }
  eventually 10 "$label port-forward listens" forwarded || { cat "$work/forward"; return; }
  contains "$label port-forward" "$(inside curl -s --max-time 20 "http://127.0.0.1:$port/")" "It works"
  is "$label port-forward: many at once" "$(for i in 1 2 3 4 5 6 7 8; do echo "url = http://127.0.0.1:$port/healthz"; done | inside curl -s --no-progress-meter --max-time 10 --parallel -K - | sort | uniq -c | tr -s ' ')" " 8 ok"
  is "$label port-forward: 10 MB" "$(inside curl -s --max-time 20 "http://127.0.0.1:$port/big" | sha256sum | cut -d' ' -f1)" "$sum"
  kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null
  # A port that nobody listens on: that connection ends, and says why.
  : >"$work/forward"
  nsenter --net=/run/netns/$ns $kubectl port-forward pod/box :8081 >"$work/forward" 2>&1 </dev/null &
  pid=$!; background="$background $pid"
  eventually 10 "$label port-forward listens for another port" forwarded || { cat "$work/forward"; return; }
  inside curl -s --max-time 20 "http://127.0.0.1:$port/" >/dev/null; status=$?
  [ $status != 0 ] && [ $status != 28 ] && ok "$label port-forward to a closed port ends ($status)" || bad "$label port-forward to a closed port: curl gives $status"
  tells() { grep -q 'an error occurred forwarding .* -> 8081' "$work/forward"; }
  eventually 20 "$label port-forward says why" tells || cat "$work/forward"
  kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null
}
inside "$kybern" kubectl exec -i box -c web -- sh -c 'cat >/www/big; sync' <"$work/big"
streams "$kybern kubectl" ours
for real in $(real_kubectls); do streams "$real" "$(basename "$real")"; done
finish
