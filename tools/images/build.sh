#!/bin/bash
# build.sh OUT-FOLDER [CONTAINERD-SOCKET]
# Makes the images that tests, demos and the pod sandbox need, without any registry:
#   kybern.io/pause:1       holds a pod's namespaces
#   kybern.io/busybox:1     a shell and small tools (the machine's static busybox)
#   kybern.io/sample-web:1  a page server on port 8080: busybox httpd; answers with the pod's name and address
# and, when a socket is given, imports them where a kubelet looks (containerd's k8s.io namespace).
# Needs gcc and a static /bin/busybox (Debian: busybox-static).
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,8p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd) socket=${2:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

pack() { "$here/mkimage.sh" "$work/$1" "kybern.io/$1:1" "$out/$1.tar.new" "$2" && mv "$out/$1.tar.new" "$out/$1.tar"; }

mkdir "$work/pause"
gcc -Os -static -nostdlib -fno-stack-protector -fno-asynchronous-unwind-tables -Wl,--build-id=none -s -o "$work/pause/pause" "$here/pause.c"
pack pause '{"Entrypoint":["/pause"],"User":"65535:65535"}'

shell=$(command -v busybox)
mkdir -p "$work"/busybox/{bin,dev,etc,home,proc,root,sys,tmp,var/run,var/log}
chmod 1777 "$work/busybox/tmp"
cp "$shell" "$work/busybox/bin/busybox"
for applet in $("$shell" --list); do [ "$applet" = busybox ] || ln -s busybox "$work/busybox/bin/$applet"; done
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n' >"$work/busybox/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$work/busybox/etc/group"
pack busybox '{"Env":["PATH=/bin"],"Cmd":["sh"]}'

cp -a "$work/busybox" "$work/sample-web"
mkdir -p "$work/sample-web/www/cgi-bin"
cat >"$work/sample-web/www/index.html" <<'PAGE'
<!doctype html><title>Sample</title><h1>It works</h1><p>Served from a pod. <a href="/cgi-bin/where">Which one?</a>
PAGE
cat >"$work/sample-web/www/cgi-bin/where" <<'PAGE'
#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
echo "$(hostname) $(hostname -i 2>/dev/null)"
PAGE
printf 'ok\n' >"$work/sample-web/www/healthz"
chmod 755 "$work/sample-web/www/cgi-bin/where"
pack sample-web '{"Env":["PATH=/bin"],"Entrypoint":["/bin/httpd","-f","-v"],"Cmd":["-p","8080","-h","/www"],"ExposedPorts":{"8080/tcp":{}}}'

if [ -n "$socket" ]; then
  for image in pause busybox sample-web; do
    ctr --address "${socket#unix://}" --namespace k8s.io images import "$out/$image.tar" >/dev/null
  done
fi
ls -l "$out"/*.tar
