#!/usr/bin/env python3
"""instruments.py KYBERN: what the processes tell of themselves, and the benchmark's program, on a control plane of its own.

/metrics in Prometheus' form (by promtool when it is installed, by a checker of our own always), /debug/ pages and profiles
with their authorization, on the API server and on the ports of the components; `kybern bench` by every way to reach an API,
in both loops, as JSON, and what is left when it is interrupted. On loopback, no root.
"""
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

LIMIT_S = 60
failed = 0


def check(good, what, more=""):
    global failed
    if not good:
        failed += 1
    print(f"{'ok' if good else 'FAILED'}: {what}{'' if good else ': ' + str(more)[:2000]}", flush=True)
    return good


def eventually(what, ask):
    end = time.monotonic() + LIMIT_S
    while True:
        got = ask()
        if got:
            return got
        if time.monotonic() > end:
            check(False, f"in time: {what}")
            raise SystemExit(1)
        time.sleep(0.05)


class Process:
    """A component of the program, ended by its pid."""

    def __init__(self, folder, name, *arguments):
        self.log = os.path.join(folder, name + ".log")
        self.out = open(self.log, "wb")
        self.p = subprocess.Popen(arguments, stdout=self.out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    def port(self, pattern):
        def look():
            if self.p.poll() is not None:
                check(False, "a component runs", open(self.log).read())
                raise SystemExit(1)
            found = re.search(pattern + r" port=(\d+)", open(self.log).read())
            return found and int(found.group(1))
        return eventually(f"{self.log}: {pattern}", look)

    def end(self):
        if self.p.poll() is None:
            self.p.terminate()
            try:
                self.p.wait(20)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
        self.out.close()


# -- the exposition format (prometheus.io/docs/instrumenting/exposition_formats), version 0.0.4 --

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\"|\\n)*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{((?:{LABEL},?)*)\}})? (\S+)(?: (-?\d+))?$")


def check_exposition(text):
    """The first thing that is wrong, or None."""
    if text and not text.endswith("\n"):
        return "the last line has no end"
    types, closed, current, series, buckets = {}, set(), None, set(), {}
    for number, line in enumerate(text.split("\n")[:-1], 1):
        where = f"line {number}: {line!r}: "
        if line.startswith("# "):
            parts = line.split(" ", 3)
            if parts[1] not in ("HELP", "TYPE"):
                continue
            if not re.fullmatch(NAME, parts[2]):
                return where + "no name"
            if parts[2] != current:
                if parts[2] in closed:
                    return where + "the family comes twice"
                closed.add(current)
                current = parts[2]
            if parts[1] == "TYPE":
                if parts[2] in types:
                    return where + "a second type"
                if parts[3] not in ("counter", "gauge", "histogram", "summary", "untyped"):
                    return where + "no such type"
                types[parts[2]] = parts[3]
            continue
        found = SAMPLE.fullmatch(line)
        if not found:
            return where + "no sample"
        name, labels, value, _ = found.groups()
        try:
            value = float(value.replace("Inf", "inf"))
        except ValueError:
            return where + "no number"
        family = name
        if types.get(current) == "histogram" and name in (current + "_bucket", current + "_sum", current + "_count"):
            family = current
        if family != current:
            return where + f"a sample of another family than {current}"
        if current not in types:
            return where + "a sample before its type"
        if types[current] == "histogram" and name == current:
            return where + "a histogram has buckets, a sum and a count"
        if (name, labels) in series:
            return where + "the series comes twice"
        series.add((name, labels))
        if types[current] == "counter" and value < 0:
            return where + "a counter below zero"
        if types[current] == "histogram":
            pairs = re.findall(LABEL, labels or "")
            rest = ",".join(p for p in pairs if not p.startswith("le="))
            seen = buckets.setdefault((current, rest), [])
            if name.endswith("_bucket"):
                le = next((p[4:-1] for p in pairs if p.startswith("le=")), None)
                if le is None:
                    return where + "a bucket without le"
                bound = float(le.replace("Inf", "inf"))
                if seen and (bound <= seen[-1][0] or value < seen[-1][1]):
                    return where + "buckets do not grow"
                seen.append((bound, value))
            elif name.endswith("_count") and (not seen or seen[-1] != (float("inf"), value)):
                return where + "the count is not that of the +Inf bucket"
    return None


def check_the_checker():
    good = '# HELP a_total x\n# TYPE a_total counter\na_total{b="c\\"d",e="f"} 1\n# HELP h y\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{le="+Inf"} 2\nh_sum 3\nh_count 2\n'
    check(check_exposition(good) is None, "the checker takes what is right", check_exposition(good))
    for what, text in {
        "a type that does not exist": good.replace("counter", "meter"),
        "a sample without a value": good.replace("} 1\n# HELP", "}\n# HELP"),
        "a label without quotes": good.replace('e="f"', "e=f"),
        "a bare quote in a label": good.replace('c\\"d', 'c"d'),
        "buckets that shrink": good.replace('h_bucket{le="+Inf"} 2', 'h_bucket{le="+Inf"} 0'),
        "a count beside the buckets": good.replace("h_count 2", "h_count 3"),
        "a family in two places": good + "# HELP a_total x\n",
        "a series that comes twice": good.replace("h_sum 3\n", "h_sum 3\nh_sum 3\n"),
        "no end of the last line": good[:-1],
        "a sample before its type": good.replace("# TYPE a_total counter\n", ""),
    }.items():
        check(check_exposition(text) is not None, f"the checker refuses {what}")


def check_metrics(what, text, wanted):
    check(check_exposition(text) is None, f"{what}: /metrics is of Prometheus' form", check_exposition(text))
    for name in wanted:
        check(re.search(rf"^# TYPE {name} ", text, re.M), f"{what}: /metrics has {name}")
    promtool = shutil.which("promtool")
    if not promtool:
        print("skipped: promtool is not installed (Debian's package prometheus)")
        return
    done = subprocess.run([promtool, "check", "metrics"], input=text.encode(), capture_output=True, timeout=LIMIT_S)
    # 3: it would name some of Kubernetes' own names otherwise; 1: it cannot read them.
    check(done.returncode in (0, 3), f"{what}: promtool reads /metrics", done.stdout + done.stderr)


# -- HTTP --

context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE


def get(url, token=None, timeout=LIMIT_S):
    request = urllib.request.Request(url)
    if token:
        request.add_header("Authorization", "Bearer " + token)
    try:
        with urllib.request.urlopen(request, context=context, timeout=timeout) as answer:
            return answer.status, answer.headers.get("content-type"), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("content-type"), error.read()


def page(url, name, token):
    status, kind, body = get(f"{url}/debug/{name}", token)
    if not check(status == 200 and kind == "application/json", f"/debug/{name} is served", (status, kind, body)):
        return []
    parsed = json.loads(body)
    check(parsed["page"] == name and isinstance(parsed["items"], list), f"/debug/{name} is a page")
    return parsed["items"]


def check_access(url, health=True):
    for path in ("/metrics", "/debug/", "/debug/memory", "/debug/pprof/profile?seconds=1"):
        status, _, body = get(url + path)
        check(status in (401, 403), f"{path} is not for everybody", (status, body))
        status, _, body = get(url + path, "wrong-token")
        check(status == 401, f"{path} is not for a wrong token", (status, body))
        status, _, body = get(url + path, "nobody-token")
        check(status == 403, f"{path} is not for who may nothing", (status, body))
    status, _, body = get(url + "/metrics", "looker-token")
    check(status == 200, "/metrics is for whom a role allows it", (status, body))
    status, _, body = get(url + "/debug/memory", "looker-token")
    check(status == 200, "/debug/memory is for whom a role allows it", (status, body))
    status, _, body = get(url + "/debug/queues", "looker-token")
    check(status == 403, "and not what the role does not name", (status, body))


def check_profile(url, load):
    """A profile while `load` is running: its stacks name what the process does."""
    status, kind, body = get(url + "/debug/pprof/profile?seconds=2&format=folded", "admin-token")
    if not check(status == 200 and kind.startswith("text/plain"), "a profile as text", (status, kind, body)):
        return
    lines = body.decode().splitlines()
    check(all(re.fullmatch(r".+ \d+", line) for line in lines), "each line is a stack and a number", lines[:3])
    if load:
        check(any("kybern::" in line for line in lines), "its functions have names", lines[:5])
    status, kind, body = get(url + "/debug/pprof/profile?seconds=1", "admin-token")
    check(status == 200 and kind == "application/octet-stream" and len(body) > 100, "a profile for pprof", (status, kind, len(body)))
    status, _, body = get(url + "/debug/pprof/profile?seconds=9999", "admin-token")
    check(status == 400, "a profile has a longest time", (status, body))


# -- kybern bench --

def bench(kybern, folder, *arguments, want=0, environment=None):
    done = subprocess.run([kybern, "bench", "--progress=false", "--output", "json", *arguments], capture_output=True, timeout=120, cwd=folder,
                          env={"PATH": os.environ["PATH"], **(environment or {})})
    if not check(done.returncode == want, f"bench {' '.join(arguments)} ends with {want}", (done.returncode, done.stdout, done.stderr)):
        return {}
    return {r["name"]: r for r in json.loads(done.stdout)["results"]} if want == 0 else {"error": done.stderr.decode()}


def namespaces(url):
    _, _, body = get(url + "/api/v1/namespaces", "admin-token")
    return [n["metadata"]["name"] for n in json.loads(body)["items"] if not n["metadata"].get("deletionTimestamp")]


def check_bench(kybern, folder, url, server_pid):
    kubeconfig = os.path.join(folder, "kubeconfig")
    small = ["--count", "60", "--seconds", "1", "--connections", "4", "--watchers", "5"]
    before = namespaces(url)
    results = bench(kybern, folder, "--kubeconfig", kubeconfig, "--server-pid", str(server_pid), "--think-ms", "5", *small)
    names = ["create", "get", "list", "pages", "update", "patch", "apply", "leases", "custom", "mixed", "watch", "delete", "clear"]
    check(list(results) == names, "every scenario runs, in order", list(results))
    for name, r in results.items():
        check("skipped" not in r and r.get("failed") == 0 and r.get("operations", 0) > 0, f"bench {name} went well", r)
        l = r.get("latencyMs", {})
        # An event may reach every watcher before the write's own answer is read: then its latency is 0.
        shortest = 0 if name == "watch" else 1e-6
        check(shortest <= l.get("p50", -1) <= l["p90"] <= l["p99"] <= l["p99.9"] <= l["max"], f"bench {name} has latencies", l)
        check(r["ownCpuMicrosecondsPerOperation"] > 0 and r["serverResidentKb"] > 0, f"bench {name} tells what it and the server used", r)
        check(r["loop"] == ("open" if name in ("leases", "watch") else "closed"), f"bench {name} says which loop it was", r["loop"])
    check(results["create"]["operations"] == 60 and results["delete"]["operations"] == 60, "the count ends what makes objects")
    check(namespaces(url) == before, "bench removes its namespace", namespaces(url))

    r = bench(kybern, folder, "--server", url, "--token", "admin-token", "--insecure", "--scenarios", "create,get", "--rate", "200", *small)
    check(r.get("get", {}).get("loop") == "open" and r["get"]["offeredPerSecond"] == 200, "an open loop has the rate that was asked for", r.get("get"))
    check(100 <= r.get("get", {}).get("operations", 0) <= 200, "an open loop offers rate times seconds", r.get("get"))
    r = bench(kybern, folder, "--scenarios", "create", *small, environment={"KUBECONFIG": kubeconfig})
    check(r.get("create", {}).get("failed") == 0, "bench finds the kubeconfig of its environment")
    r = bench(kybern, folder, "--kubeconfig", kubeconfig, "--scenarios", "schedule", "--nodes", "5", *small)
    check(r.get("schedule", {}).get("operations") == 60 and r["schedule"]["latencyMs"]["p99"] > 0, "bench measures the scheduler", r)
    _, _, body = get(url + "/api/v1/nodes", "admin-token")
    check(not json.loads(body)["items"], "and removes its nodes")
    r = bench(kybern, folder, "--server", url, "--token", "nobody-token", "--insecure", "--scenarios", "create", *small, want=1)
    check("forbidden" in r.get("error", "").lower(), "bench says why it may not", r)
    r = bench(kybern, folder, "--kubeconfig", kubeconfig, "--scenarios", "creat", want=1)
    check("choose among create, get" in r.get("error", ""), "bench names the scenarios there are", r)

    for sent, name in ((signal.SIGINT, "SIGINT"), (signal.SIGTERM, "SIGTERM")):
        with open(os.path.join(folder, "interrupted"), "wb") as out:
            p = subprocess.Popen([kybern, "bench", "--kubeconfig", kubeconfig, "--progress=false", "--scenarios", "create,get", "--count", "1000000", "--seconds", "100", "--output", "json"],
                                 stdout=out, stderr=subprocess.STDOUT, env={"PATH": os.environ["PATH"]})
        own = eventually("the benchmark's namespace", lambda: [n for n in namespaces(url) if n not in before])
        eventually("its pods", lambda: json.loads(get(f"{url}/api/v1/namespaces/{own[0]}/pods?limit=1", "admin-token")[2]).get("items"))
        p.send_signal(sent)
        try:
            p.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
            check(False, f"bench ends on {name}")
        check(namespaces(url) == before, f"bench removes its namespace on {name}", namespaces(url))
        text = open(os.path.join(folder, "interrupted")).read()
        check(json.loads(text)["results"][0]["operations"] > 0, f"and tells what it has on {name}", text)


def main():
    kybern = os.path.abspath(sys.argv[1])
    check_the_checker()
    folder = tempfile.mkdtemp(prefix="kybern-instruments.")
    processes = []

    def start(name, *arguments):
        processes.append(Process(folder, name, kybern, *arguments))
        return processes[-1]

    try:
        tokens = os.path.join(folder, "tokens")
        with open(tokens, "w") as f:
            f.write('admin-token,admin,1,"system:masters"\nnobody-token,nobody,2\nlooker-token,looker,3\n')
        server = start("apiserver", "apiserver", "--data-dir", folder, "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1", "--secure-port", "0", "--token-auth-file", tokens)
        url = f"https://127.0.0.1:{server.port('ready')}"
        kubeconfig = os.path.join(folder, "kubeconfig")
        eventually("the API is ready", lambda: get(url + "/readyz", "admin-token")[0] == 200)
        for manifest in ({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "looker"},
                          "rules": [{"verbs": ["get"], "nonResourceURLs": ["/metrics", "/debug/memory"]}]},
                         {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "looker"},
                          "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "looker"},
                          "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "looker"}]}):
            done = subprocess.run([kybern, "kubectl", "--kubeconfig", kubeconfig, "apply", "-f", "-"], input=json.dumps(manifest).encode(), capture_output=True, timeout=LIMIT_S)
            check(done.returncode == 0, f"{manifest['kind']} is made", done.stderr)
        manager = start("controller-manager", "controller-manager", "--kubeconfig", kubeconfig, "--secure-port", "0")
        scheduler = start("scheduler", "scheduler", "--kubeconfig", kubeconfig, "--secure-port", "0")
        manager_url = f"https://127.0.0.1:{manager.port('metrics and /debug')}"
        scheduler_url = f"https://127.0.0.1:{scheduler.port('metrics and /debug')}"
        eventually("the controllers work", lambda: b'workqueue_adds_total{name="' in get(manager_url + "/metrics", "admin-token")[2])

        for one in (url, manager_url, scheduler_url):
            check_access(one)
            check(get(one + "/livez")[0] == 200, "health is for everybody")
            check("/debug/memory" in get(one + "/debug/", "admin-token")[2].decode(), "/debug/ lists the pages")
            check(get(one + "/debug/nothing", "admin-token")[0] == 404, "there is no other page")

        check_bench(kybern, folder, url, server.p.pid)

        check_metrics("apiserver", get(url + "/metrics", "admin-token")[2].decode(),
                      ["apiserver_request_duration_seconds", "apiserver_request_total", "apiserver_current_inflight_requests", "apiserver_longrunning_requests", "apiserver_resource_objects",
                       "apiserver_flowcontrol_current_executing_seats", "apiserver_flowcontrol_dispatched_requests_total", "process_resident_memory_bytes", "process_cpu_seconds_total"])
        check_metrics("controller-manager", get(manager_url + "/metrics", "admin-token")[2].decode(),
                      ["workqueue_adds_total", "workqueue_depth", "workqueue_queue_duration_seconds", "workqueue_work_duration_seconds", "process_start_time_seconds"])
        check_metrics("scheduler", get(scheduler_url + "/metrics", "admin-token")[2].decode(), ["scheduler_pending_pods", "scheduler_schedule_attempts_total", "scheduler_scheduling_algorithm_duration_seconds", "process_open_fds"])

        items = page(url, "memory", "admin-token")
        by_resource = {i["resource"]: i for i in items if i["type"] == "objects"}
        check(by_resource.get("clusterroles", {}).get("bytes", 0) > by_resource.get("clusterroles", {}).get("objects", 0) > 10, "live memory by type of object", by_resource)
        check(any(i["type"] == "malloc" and i["usedBytes"] > 0 for i in items), "and of the heap", items[:1])
        watches = page(url, "watches", "admin-token")
        check(any(i["type"] == "watch" and i["resource"] == "pods" and i["open"] >= 1 and i["user"] for i in watches), "open watches by resource and user", watches)
        levels = {i["name"]: i for i in page(url, "flow", "admin-token")}
        check(levels.get("global-default", {}).get("nominalSeats", 0) > 0 and levels.get("exempt", {}).get("exempt"), "the state of flow control", levels)
        queues = {i["name"]: i for i in page(manager_url, "queues", "admin-token") if i["type"] == "workqueue"}
        check(len(queues) > 3 and all(q["ready"] >= 0 and q["workers"] > 0 for q in queues.values()), "the lengths of the queues", queues)
        mirrors = {i["path"]: i for i in page(manager_url, "memory", "admin-token") if i["type"] == "mirror"}
        check(mirrors.get("/api/v1/namespaces", {}).get("objects", 0) >= 4, "memory of the mirrors", mirrors)

        load = subprocess.Popen([kybern, "bench", "--kubeconfig", kubeconfig, "--progress=false", "--scenarios", "get", "--seconds", "8", "--connections", "4"], stdout=subprocess.DEVNULL)
        try:
            eventually("the load has begun", lambda: len(namespaces(url)) > 4)
            check_profile(url, True)
            check_profile(manager_url, False)
        finally:
            load.send_signal(signal.SIGINT)
            load.wait(LIMIT_S)
    finally:
        for process in reversed(processes):
            process.end()
        shutil.rmtree(folder, ignore_errors=True)
    print("all is well" if not failed else f"{failed} checks failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
