#!/usr/bin/env python3
"""cli_e2e.py KYBERN [FILE...]: every verb of `kybern kubectl`, held against its golden files and against a real kubectl.

A file of tests/cli_golden/ is a list of shell commands with what they print, run in order on a control plane of its own
(loopback, no root). When a kubectl v1.33 is there ($KYBERN_REFERENCE_KUBECTL, or kubectl.1.33), the same commands run with
it on a second control plane, and output, errors and exit status must be the same byte for byte. What differs from run to
run (ages, times, uids, addresses, random suffixes) is replaced by its name first.

    #: a comment
    $ kubectl get pods -n nowhere
    ! No resources found in nowhere namespace.     a line of standard error
    > NAME   STATUS                                a line of standard output; ">~" when no newline ends it
    ? 1                                            the exit status, when it is not 0
    ~ why                                          the real kubectl prints something else, and that is right

--update writes the files again from what our kubectl prints: read the difference before you commit it.
"""
import argparse
import concurrent.futures
import difflib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "cli_golden")
COMMAND_SECONDS = 60
SUFFIX = "[bcdfghjklmnpqrstvwxz2456789]"

NORMAL = [
    (r"https://(127\.0\.0\.1|localhost):\d+", "<server>"),
    (r"\b127\.0\.0\.1:\d{4,5}\b", "<address>"),
    (r"/tmp/kybern-cli\.[\w.]+/[ab](?=/)", "<dir>"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<uid>"),
    (r"\beyJ[\w-]+\.[\w-]+\.[\w-]+", "<token>"),
    (r'(resourceVersion"?: )"\d+"', r'\1"<version>"'),
    (r"(Resource Version: +)\d+", r"\1<version>"),
    (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "<time>"),
    (r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000", "<time>"),
    (r"\b10\.(9[6-9]|1[01]\d)\.\d+\.\d+\b( +(?=\S))?", lambda m: "<ip>" + ("   " if m.group(2) else "")),
    (r"CLUSTER-IP +", "CLUSTER-IP   "),
    (rf"\b([a-z0-9-]+-[a-z0-9]{{7,10}})-{SUFFIX}{{5}}\b", r"\1-<random>"),
    (rf"\b(node-debugger-[a-z0-9-]+|debugger)-{SUFFIX}{{5}}\b", r"\1-<random>"),
    (r"(?<![\w.=:/-])(\d+[smhdy]){1,2}(?![\w.])( +(?=\S))?", lambda m: "<age>" + ("   " if m.group(2) else "")),
    (r"<invalid>( +(?=\S))?", lambda m: "<age>" + ("   " if m.group(1) else "")),
    (r"\b(AGE|LAST SEEN|Age) {2,}", r"\1   "),
    (r"\b3[0-2]\d{3}/(TCP|UDP)( +(?=\S))?", lambda m: f"<port>/{m.group(1)}" + ("   " if m.group(2) else "")),
    (r"(nodePort\"?: )3\d{4}", r"\1<port>"),
    (r"PORT\(S\) +", "PORT(S)   "),
]
# kubectl v1.33 said less than v1.36, whose words are ours.
SINCE_THE_REFERENCE = [
    (r"(?m)^(> ( *)metadata:)\n> *creationTimestamp: null\n(?!> \2  )", r"\1 {}\n"),
    (r"(?m)^> *creationTimestamp: null\n", ""),
    (r"(?m)^! [EIW]\d{4} .*\n", ""),  # its log
    (r"(\d+/(?:TCP|UDP|SCTP)) \([a-z][a-z0-9-]*\)", r"\1"),
    (r"( deleted) from \S+ namespace", r"\1"),
]


def normal(text, rules=NORMAL):
    for pattern, replacement in rules:
        text = re.sub(pattern, replacement, text)
    return text


class Side:
    """One control plane and the kubectl that talks to it."""

    def __init__(self, folder, kybern, kubectl):
        self.folder = folder
        self.bin = os.path.join(folder, "bin")
        os.makedirs(self.bin)
        os.symlink(kubectl, os.path.join(self.bin, "kubectl"))
        os.symlink(kybern, os.path.join(self.bin, "kybern"))
        self.log = open(os.path.join(folder, "server.log"), "wb")
        data = os.path.join(folder, "data")
        self.kubeconfig = os.path.join(data, "kubeconfig")
        tokens = os.path.join(folder, "tokens.csv")
        with open(tokens, "w") as out:
            out.write('a-token,jane,7,"developers,testers"\n')
        self.server = subprocess.Popen(
            [kybern, "server", "--data-dir", data, "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1", "--secure-port", "0",
             "--token-auth-file", tokens, "--agent=false", "--proxy=false", "--dns=false",
             "--node-monitor-grace-period", "3600"],  # nodes are objects here; nobody renews their leases
            stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)

    def environment(self, cwd):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("KUBE", "KYBERN"))}
        env.update(PATH=self.bin + ":" + env.get("PATH", "/usr/bin:/bin"), HOME=self.folder, KUBECONFIG=os.path.join(cwd, "kubeconfig"), LC_ALL="C", TZ="UTC", TERM="dumb", COLUMNS="80")
        return env

    def ready(self):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if os.path.exists(self.kubeconfig):
                done = subprocess.run([os.path.join(self.bin, "kubectl"), "--kubeconfig", self.kubeconfig, "get", "--raw", "/readyz"], capture_output=True, timeout=COMMAND_SECONDS)
                more = subprocess.run([os.path.join(self.bin, "kubectl"), "--kubeconfig", self.kubeconfig, "get", "serviceaccount", "default"], capture_output=True, timeout=COMMAND_SECONDS)
                if done.returncode == 0 and more.returncode == 0:
                    return True
            if self.server.poll() is not None:
                return False
            time.sleep(0.1)  # between two looks at the condition
        return False

    def begin(self):
        """A fresh folder with the manifests and an unchanged kubeconfig, for one file of commands."""
        cwd = os.path.join(self.folder, "files")
        shutil.rmtree(cwd, ignore_errors=True)
        shutil.copytree(os.path.join(GOLDEN, "manifests"), cwd)
        shutil.copy(self.kubeconfig, os.path.join(cwd, "kubeconfig"))
        return cwd

    def run(self, command, cwd):
        process = subprocess.Popen(["bash", "-c", command], cwd=cwd, env=self.environment(cwd), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        try:
            out, err = process.communicate(timeout=COMMAND_SECONDS)
            status = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # the group that this command began
            out, err = process.communicate()
            status = "timeout"
        return out.decode(errors="replace"), err.decode(errors="replace"), status

    def stop(self):
        self.server.terminate()
        try:
            self.server.wait(20)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()
        self.log.close()


class Case:
    def __init__(self, command):
        self.command, self.comments, self.differs, self.lines = command, [], None, []


def read_cases(path):
    cases, comments = [], []
    for line in open(path).read().split("\n"):
        if line.startswith("#:"):
            comments.append(line)
        elif line.startswith("$ "):
            cases.append(Case(line[2:]))
            cases[-1].comments, comments = comments, []
        elif line.startswith("~ "):
            cases[-1].differs = line[2:]
        elif line:
            cases[-1].lines.append(line)
    return cases


def rendered(result):
    out, err, status = result
    lines = []
    for mark, text in ((">", normal(out)), ("!", normal(err))):
        pieces = text.split("\n")
        whole = pieces.pop() == ""
        if not whole:
            pieces.append(text.split("\n")[-1])
        for i, piece in enumerate(pieces):
            last = i + 1 == len(pieces) and not whole
            lines.append((mark + ("~ " if last else " ") + piece).rstrip(" ") if piece.strip() == "" else mark + ("~ " if last else " ") + piece)
    if status != 0:
        lines.append(f"? {status}")
    return lines


def written(cases):
    out = []
    for case in cases:
        if out:
            out.append("")
        out += case.comments + ["$ " + case.command] + ([f"~ {case.differs}"] if case.differs else []) + case.lines
    return "\n".join(out) + "\n"


def difference(command, wanted, got, names):
    diff = list(difflib.unified_diff(wanted, got, names[0], names[1], lineterm="", n=2))
    return f"$ {command}\n    " + "\n    ".join(diff)


def find_reference(given):
    beside = os.path.join(os.path.dirname(os.path.realpath(shutil.which("kubectl") or "/none/kubectl")), "kubectl.1.33")
    for place in (given, os.environ.get("KYBERN_REFERENCE_KUBECTL"), shutil.which("kubectl.1.33"), beside):
        if place == "none":
            return None
        if place and os.access(place, os.X_OK):
            return os.path.abspath(place)
    return None


def run_file(path, sides, update, verbose):
    cases, failures = read_cases(path), []
    folders = [side.begin() for side in sides]
    with concurrent.futures.ThreadPoolExecutor(len(sides)) as pool:
        for case in cases:
            results = list(pool.map(lambda pair: pair[0].run(case.command, pair[1]), zip(sides, folders)))
            ours = rendered(results[0])
            if verbose:
                print(f"$ {case.command}\n" + "\n".join(ours), flush=True)
            if len(results) > 1 and not case.differs:
                wanted, got = (normal("\n".join(lines), SINCE_THE_REFERENCE).split("\n") for lines in (rendered(results[1]), ours))
                if wanted != got:
                    failures.append(difference(case.command, wanted, got, ("kubectl v1.33", "kybern kubectl")))
            if update:
                case.lines = ours
            elif case.lines != ours:
                failures.append(difference(case.command, case.lines, ours, (os.path.basename(path), "kybern kubectl")))
    if update:
        with open(path, "w") as out:
            out.write(written(cases))
    return len(cases), failures


def real_kubectls():
    """The oldest and the newest that are installed side by side."""
    folder = os.path.dirname(os.path.realpath(shutil.which("kubectl") or shutil.which("kubectl.1.33") or "/none/kubectl"))
    found = [f for f in (os.listdir(folder) if os.path.isdir(folder) else []) if re.fullmatch(r"kubectl\.1\.\d+", f)]
    found.sort(key=lambda f: int(f.rsplit(".", 1)[1]))
    return [os.path.join(folder, f) for f in dict.fromkeys(found[:1] + found[-1:])]


# What a real kubectl is to do, in order, in a namespace of its own: the command, its exit status, what its output says.
REAL = [
    ("kubectl create namespace real", 0, "namespace/real created"),
    ("kubectl config set-context --current --namespace=real", 0, "modified"),
    ("kubectl explain deployment.spec.replicas", 0, r"(?s)KIND: +Deployment.*FIELD: replicas <integer>\s+DESCRIPTION:\s+\w+"),
    ("kubectl explain pod.spec.containers.nothing", 1, 'field "nothing" does not exist'),
    ("kubectl apply -f web.yaml", 0, r"(?s)deployment.apps/web created\s+service/web created"),
    ("kubectl apply -f web.yaml", 0, r"(?s)deployment.apps/web unchanged\s+service/web unchanged"),
    ("sed 's/replicas:/replicsa:/' web.yaml | kubectl apply --validate=strict -f -", 1, 'unknown field "spec.replicsa"'),
    ("sed 's/replicas:/replicsa:/' web.yaml | kubectl apply --validate=warn -f - 2>&1", 0, 'Warning: .*unknown field "spec.replicsa"'),
    ("kubectl apply --server-side --force-conflicts -f web.yaml", 0, "deployment.apps/web serverside-applied"),
    ("kubectl describe deployment web", 0, r"(?s)Name: +web.*Pod Template:.*Image: +example.org/web:1"),
    ("kubectl get deployment web -o wide --show-labels", 0, r"(?s)^NAME +READY.*SELECTOR.*web "),
    ("kubectl label deployment web mood=good", 0, "deployment.apps/web labeled"),
    ("kubectl annotate deployment web kubernetes.io/change-cause=one", 0, "deployment.apps/web annotate"),
    ("kubectl wait deployment/web --for=jsonpath='{.metadata.annotations.deployment\\.kubernetes\\.io/revision}'=1 --timeout=20s", 0, "condition met"),
    ("kubectl set image deployment/web web=example.org/web:2", 0, "deployment.apps/web image updated"),
    ("kubectl wait deployment/web --for=jsonpath='{.metadata.annotations.deployment\\.kubernetes\\.io/revision}'=2 --timeout=20s", 0, "condition met"),
    ("kubectl rollout history deployment/web", 0, r"(?s)REVISION +CHANGE-CAUSE\s+1 .*2 "),
    ("kubectl rollout undo deployment/web", 0, "deployment.apps/web rolled back"),
    ("kubectl rollout restart deployment/web", 0, "deployment.apps/web restarted"),
    ("kubectl rollout status deployment/web --watch=false", 0, "Waiting for deployment"),
    ("kubectl scale deployment/web --replicas=0", 0, "deployment.apps/web scaled"),
    ("kubectl patch deployment web -p '{\"spec\":{\"minReadySeconds\":7}}'", 0, "deployment.apps/web patched"),
    ("kubectl get deployment web -o jsonpath='{.spec.minReadySeconds}/{.metadata.labels.mood}'", 0, "^7/good$"),
    ("kubectl auth can-i create pods", 0, "^yes"),
    ("kubectl api-resources --api-group=apps -o name", 0, "deployments.apps"),
    ("kubectl delete -f web.yaml", 0, r'(?s)deployment.apps "web" deleted.*service "web" deleted'),
    ("kubectl delete namespace real", 0, 'namespace "real" deleted'),
]


def run_real(side, kubectl):
    """Runs REAL with this kubectl on the first control plane."""
    cwd, failures = side.begin(), []
    place = os.path.join(side.folder, "real")
    shutil.rmtree(place, ignore_errors=True)
    os.mkdir(place)
    os.symlink(kubectl, os.path.join(place, "kubectl"))
    for command, status, says in REAL:
        out, err, got = side.run(f"PATH={place}:$PATH; {command}", cwd)
        if got != status or not re.search(says, out + err):
            failures.append(f"$ {command}\n    exit {got}, wanted {status} and {says!r}\n    {out}{err}")
    return failures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kybern")
    parser.add_argument("files", nargs="*", help="names of golden files, without .txt")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--reference", default=None, help="a kubectl v1.33, or none")
    parser.add_argument("--kubectl", default=None, help="another program than KYBERN to try as kubectl")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_intermixed_args()
    kybern = os.path.abspath(arguments.kybern)
    reference = find_reference(arguments.reference)
    names = arguments.files or sorted(f[:-4] for f in os.listdir(GOLDEN) if f.endswith(".txt"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was begun is ended
    root = tempfile.mkdtemp(prefix="kybern-cli.")
    ours = os.path.join(root, "a")
    os.mkdir(ours)
    sides, failed, total = [], 0, 0
    try:
        sides.append(Side(ours, kybern, os.path.abspath(arguments.kubectl or kybern)))
        if reference:
            other = os.path.join(root, "b")
            os.mkdir(other)
            sides.append(Side(other, kybern, reference))
        for side in sides:
            if not side.ready():
                print("FAILED: the control plane did not start:", open(os.path.join(side.folder, "server.log")).read()[-2000:])
                return 1
        print("reference:", reference or "none: the golden files alone")
        for name in names:
            begun = time.monotonic()
            count, failures = run_file(os.path.join(GOLDEN, name + ".txt"), sides, arguments.update, arguments.verbose)
            total += count
            failed += len(failures)
            print(f"{name}: {count} commands, {len(failures)} differences, {time.monotonic() - begun:.1f} s", flush=True)
            for failure in failures:
                print("FAILED:", failure)
        for kubectl in [] if arguments.files or arguments.reference == "none" else real_kubectls():
            failures = run_real(sides[0], kubectl)
            total += len(REAL)
            failed += len(failures)
            print(f"{os.path.basename(kubectl)}: {len(REAL)} commands, {len(failures)} differences", flush=True)
            for failure in failures:
                print("FAILED:", failure)
    finally:
        for side in sides:
            side.stop()
        shutil.rmtree(root, ignore_errors=True)
    print(f"{total} commands, {failed} differences")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
