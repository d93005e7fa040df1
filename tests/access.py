#!/usr/bin/env python3
"""access.py KYBERN: who may come in and what is kept of it, by the flags of `kybern apiserver`, on the command line.

A control plane on loopback, no root: audit policy and log, secrets sealed on disk, OpenID Connect, a front proxy, webhooks
for tokens and for authorization, tokens in Secrets and certificates on request. A real kubectl is asked when there is one
($KYBERN_REFERENCE_KUBECTL, or kubectl.1.33), `kybern kubectl` otherwise. Needs openssl; exit 77 without it.
"""
import base64
import http.server
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
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
        if got or time.monotonic() > end:
            check(got, what)
            return got
        time.sleep(0.05)


def run(*command, data=None):
    return subprocess.run(command, input=data, capture_output=True, timeout=LIMIT_S)


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Folder:
    """The files that the flags name."""

    def __init__(self, path):
        self.path = path

    def __call__(self, name):
        return os.path.join(self.path, name)

    def write(self, name, text):
        with open(self(name), "w") as out:
            out.write(text)
        return self(name)

    def read(self, name):
        with open(self(name)) as text:
            return text.read()

    def ca(self, name):
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", self(name + ".key"), "-out", self(name + ".crt"))

    def certificate(self, ca, name, usage):
        self.write("ext", f"extendedKeyUsage={usage}\nsubjectAltName=IP:127.0.0.1\n")
        run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", self(name + ".key"), "-out", self(name + ".csr"))
        run("openssl", "x509", "-req", "-days", "1", "-in", self(name + ".csr"), "-CA", self(ca + ".crt"), "-CAkey", self(ca + ".key"), "-CAcreateserial", "-extfile", self("ext"), "-out", self(name + ".crt"))


class Outside:
    """An issuer of tokens, and two webhooks, behind one TLS server."""

    def __init__(self, folder):
        self.folder, self.reviews = folder, []
        outside = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def reply(self, body):
                text = json.dumps(body).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def do_GET(self):
                self.reply(outside.keys() if self.path == "/keys" else {"issuer": outside.url, "jwks_uri": outside.url + "/keys"})

            def do_POST(self):
                review = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outside.reviews.append(review)
                if review["kind"] == "TokenReview":
                    known = review["spec"]["token"] == "a-token-of-others"
                    status = {"authenticated": known, "user": {"username": "outsider", "groups": ["far"]} if known else {}}
                else:
                    status = {"allowed": review["spec"]["user"] == "outsider", "reason": "so it is written"}
                self.reply({"apiVersion": review["apiVersion"], "kind": review["kind"], "status": status})

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder("outside.crt"), folder("outside.key"))
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def keys(self):
        modulus = run("openssl", "rsa", "-in", self.folder("issuer.key"), "-noout", "-modulus").stdout.decode().strip().split("=")[1]
        return {"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "k", "n": b64url(bytes.fromhex(modulus)), "e": "AQAB"}]}

    def token(self, **claims):
        head = b64url(json.dumps({"alg": "RS256", "kid": "k"}).encode())
        body = b64url(json.dumps({"iss": self.url, "aud": "kube", "exp": int(time.time()) + 600, **claims}).encode())
        signed = run("openssl", "dgst", "-sha256", "-sign", self.folder("issuer.key"), data=f"{head}.{body}".encode()).stdout
        return f"{head}.{body}.{b64url(signed)}"

    def kubeconfig(self, name, path):
        return self.folder.write(name, f"clusters:\n- name: o\n  cluster:\n    server: {self.url}{path}\n    certificate-authority: {self.folder('ca.crt')}\n")


class Process:
    def __init__(self, folder, name, *arguments, environment=None):
        self.log = folder(name + ".log")
        self.out = open(self.log, "wb")
        self.p = subprocess.Popen(arguments, stdout=self.out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env={**os.environ, **(environment or {})})

    def port(self):
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end and self.p.poll() is None:
            found = re.search(r" ready port=(\d+)", open(self.log).read())
            if found:
                return int(found.group(1))
            time.sleep(0.05)
        check(False, "the server starts", open(self.log).read())
        raise SystemExit(1)

    def end(self):
        if self.p.poll() is None:
            self.p.terminate()
            try:
                self.p.wait(20)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
        self.out.close()


def find_kubectl(kybern):
    beside = os.path.join(os.path.dirname(os.path.realpath(shutil.which("kubectl") or "/none/kubectl")), "kubectl.1.33")
    for place in (os.environ.get("KYBERN_REFERENCE_KUBECTL"), shutil.which("kubectl.1.33"), beside):
        if place and os.access(place, os.X_OK):
            return [place]
    return [kybern, "kubectl"]


def main():
    if not shutil.which("openssl"):
        print("skipped: openssl is not installed")
        return 77
    kybern = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="kybern-access-") as path:
        running = []
        try:
            scenario(kybern, find_kubectl(kybern), Folder(path), running)
            unused_tokens(kybern, find_kubectl(kybern), Folder(path), running)
        finally:
            for process in reversed(running):
                process.end()
    return 1 if failed else 0


def scenario(kybern, program, folder, running):
    folder.ca("ca")
    folder.ca("gate-ca")
    folder.certificate("ca", "outside", "serverAuth")
    folder.certificate("gate-ca", "gate", "clientAuth")
    run("openssl", "genrsa", "-out", folder("issuer.key"), "2048")
    outside = Outside(folder)
    data = folder("data")
    folder.write("audit.yaml", "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n"
                 "- {level: Metadata, resources: [{group: '', resources: [secrets]}]}\n- {level: None}\n")
    folder.write("sealed.yaml", "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n"
                 f"  - secretbox: {{keys: [{{name: k, secret: {base64.b64encode(os.urandom(32)).decode()}}}]}}\n  - identity: {{}}\n")
    # A part by the file, a part by the environment, the rest by flags.
    folder.write("config.yaml", f"oidc-ca-file: {folder('ca.crt')}\noidc-username-claim: email\noidc-groups-claim: roles\n")
    arguments = [kybern, "apiserver", "--data-dir", data, "--bind-address", "127.0.0.1", "--secure-port", "0", "--config", folder("config.yaml"),
                 "--audit-policy-file", folder("audit.yaml"), "--audit-log-path", folder("audit.log"), "--audit-log-mode", "blocking",
                 "--encryption-provider-config", folder("sealed.yaml"),
                 "--oidc-issuer-url", outside.url,
                 "--authentication-token-webhook-config-file", outside.kubeconfig("tokens.kubeconfig", "/tokens"),
                 "--authorization-mode", "Node,RBAC,Webhook", "--authorization-webhook-version", "v1",
                 "--authorization-webhook-config-file", outside.kubeconfig("may.kubeconfig", "/may"),
                 "--requestheader-client-ca-file", folder("gate-ca.crt"), "--requestheader-allowed-names", "gate",
                 "--requestheader-username-headers", "X-Gate-User", "--requestheader-group-headers", "X-Gate-Group"]
    api = Process(folder, "api", *arguments, environment={"KYBERN_OIDC_CLIENT_ID": "kube"})
    running.append(api)
    port = api.port()
    admin = os.path.join(data, "kubeconfig")
    ca = os.path.join(data, "pki/ca.crt")

    def kubectl(*words, token=None, data_in=None):
        by = ["--kubeconfig", admin] if token is None else ["--kubeconfig", folder.write("none.kubeconfig", "apiVersion: v1\nkind: Config\n"), "--server", f"https://127.0.0.1:{port}", "--certificate-authority", ca, "--token", token]
        return run(*program, *by, *words, data=data_in)

    def whoami(token):
        done = kubectl("auth", "whoami", "-o", "json", token=token)
        return json.loads(done.stdout)["status"]["userInfo"] if done.returncode == 0 else {"username": "", "why": done.stderr.decode()}

    # Sealed on disk, plain to those who may see it.
    text = "the-plain-text-of-a-secret"
    done = kubectl("create", "secret", "generic", "deep", f"--from-literal=k={text}")
    check(done.returncode == 0, "a secret is made", done.stderr)
    check(base64.b64decode(kubectl("get", "secret", "deep", "-o", "jsonpath={.data.k}").stdout).decode() == text, "and read")
    stored = b"".join(open(os.path.join(data, f), "rb").read() for f in os.listdir(data) if f.startswith("kybern.db"))
    check(text.encode() not in stored and base64.b64encode(text.encode()) not in stored, "its text is not on disk")
    check(b"k8s:enc:secretbox:v1:k:" in stored, "but sealed")
    kubectl("create", "configmap", "open", f"--from-literal=k=open-{text}")
    stored = b"".join(open(os.path.join(data, f), "rb").read() for f in os.listdir(data) if f.startswith("kybern.db"))
    check(f"open-{text}".encode() in stored, "what the file does not name lies open")

    # The trail.
    events = [json.loads(line) for line in folder.read("audit.log").splitlines()]
    check(any(e["verb"] == "create" and e["objectRef"]["name"] == "deep" and e["user"]["username"] == "kubernetes-admin" for e in events), "who made it is on record", events[-3:])
    check(all(e["objectRef"]["resource"] == "secrets" and "requestObject" not in e for e in events), "by the policy's rules, and nothing else")
    check(text not in folder.read("audit.log") and base64.b64encode(text.encode()).decode() not in folder.read("audit.log"), "nor what is in it")

    # OpenID Connect.
    good = outside.token(sub="1", email="jane@example.com", roles=["readers"])
    user = whoami(good)
    check(user["username"] == "jane@example.com" and "readers" in user["groups"], "an issuer's token is its user", user)
    done = kubectl("get", "configmaps", token=good)
    check(done.returncode != 0 and b"forbidden" in done.stderr, "who may nothing yet", done.stderr)
    kubectl("create", "clusterrolebinding", "readers", "--clusterrole=view", "--group=readers")
    eventually("but by the group's role", lambda: kubectl("get", "configmaps", token=good).returncode == 0)
    check(whoami(outside.token(sub="1", email="jane@example.com", aud="others"))["username"] == "", "a token for others is none")
    check(whoami(good[:-6] + "AAAAAA")["username"] == "", "nor one with another signature")

    # Webhooks: whose token, and who may.
    user = whoami("a-token-of-others")
    check(user["username"] == "outsider" and "far" in user["groups"], "a webhook knows a token", user)
    check(kubectl("get", "pods", token="a-token-of-others").returncode == 0, "another says that its user may")
    check(any(r["kind"] == "SubjectAccessReview" and r["spec"].get("resourceAttributes", {}).get("resource") == "pods" for r in outside.reviews), "having been asked")
    done = kubectl("get", "pods", token=outside.token(sub="2", email="joe@example.com"))
    check(done.returncode != 0 and b"so it is written" in done.stderr, "and why another may not", done.stderr)
    rules = kubectl("auth", "can-i", "--list", token="a-token-of-others")
    check(rules.returncode == 0, "rules are listed", rules.stderr)

    # A front proxy.
    def by_proxy(headers, certificate="gate"):
        context = ssl.create_default_context(cafile=ca)
        if certificate:
            context.load_cert_chain(folder(certificate + ".crt"), folder(certificate + ".key"))
        body = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).encode()
        request = urllib.request.Request(f"https://127.0.0.1:{port}/apis/authentication.k8s.io/v1/selfsubjectreviews", body, {"content-type": "application/json", **headers})
        try:
            return json.load(urllib.request.urlopen(request, context=context, timeout=LIMIT_S))["status"]["userInfo"]
        except urllib.error.HTTPError as error:
            return {"username": "", "code": error.code}
    user = by_proxy({"X-Gate-User": "proxied", "X-Gate-Group": "many", "X-Remote-Extra-Team": "blue"})
    check(user["username"] == "proxied" and user["groups"] == ["many", "system:authenticated"] and user["extra"] == {"team": ["blue"]}, "a front proxy says who asks", user)
    check(by_proxy({"X-Gate-User": "proxied"}, None)["username"] != "proxied", "nobody else does")
    check(by_proxy({}).get("code") == 401, "a proxy alone is nobody")
    told = json.loads(kubectl("-n", "kube-system", "get", "configmap", "extension-apiserver-authentication", "-o", "json").stdout)["data"]
    check(told["requestheader-client-ca-file"] == folder.read("gate-ca.crt") and told["requestheader-username-headers"] == '["X-Gate-User"]', "others can read whom to believe", told)

    # Tokens in Secrets and certificates on request, by the controllers.
    controllers = Process(folder, "controllers", kybern, "controller-manager", "--kubeconfig", admin, "--leader-elect=false", "--secure-port", "0",
                          "--service-account-private-key-file", os.path.join(data, "pki/service-account.key"),
                          "--cluster-signing-cert-file", ca, "--cluster-signing-key-file", os.path.join(data, "pki/ca.key"))
    running.append(controllers)
    eventually("the controllers are there", lambda: kubectl("get", "serviceaccount", "default").returncode == 0)
    kubectl("apply", "-f", "-", data_in=b"apiVersion: v1\nkind: Secret\nmetadata: {name: robot, annotations: {kubernetes.io/service-account.name: default}}\ntype: kubernetes.io/service-account-token\n")
    token = eventually("a Secret is filled with a token", lambda: base64.b64decode(kubectl("get", "secret", "robot", "-o", "jsonpath={.data.token}").stdout).decode())
    check(whoami(token or "x")["username"] == "system:serviceaccount:default:default", "which is its account's")
    eventually("its use is noted", lambda: kubectl("get", "secret", "robot", "-o", r"jsonpath={.metadata.labels.kubernetes\.io/legacy-token-last-used}").stdout)
    run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/O=readers/CN=ann", "-keyout", folder("ann.key"), "-out", folder("ann.csr"))
    asked = base64.b64encode(folder.read("ann.csr").encode()).decode()
    kubectl("apply", "-f", "-", data_in=f"apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\nmetadata: {{name: ann}}\nspec: {{signerName: kubernetes.io/kube-apiserver-client, usages: [client auth], request: {asked}}}\n".encode())
    done = kubectl("certificate", "approve", "ann")
    check(done.returncode == 0, "a request is approved", done.stderr)
    signed = eventually("and signed", lambda: kubectl("get", "csr", "ann", "-o", "jsonpath={.status.certificate}").stdout)
    folder.write("ann.crt", base64.b64decode(signed or b"").decode())
    check(by_proxy({}, "ann")["username"] == "ann", "its certificate is a way in")

    # After a restart all is still there.
    controllers.end()
    api.end()
    api = Process(folder, "api2", *arguments, environment={"KYBERN_OIDC_CLIENT_ID": "kube"})
    running.append(api)
    port = api.port()
    check(base64.b64decode(kubectl("get", "secret", "deep", "-o", "jsonpath={.data.k}").stdout).decode() == text, "the sealed secret is read after a restart")
    check(whoami(token or "x")["username"] == "system:serviceaccount:default:default", "a token outlives it")
    api.end()

    # What cannot be is said.
    def refused(what, why, *flags):
        done = run(kybern, "apiserver", "--data-dir", folder("refused"), "--bind-address", "127.0.0.1", "--secure-port", "0", *flags)
        check(done.returncode == 1 and why in done.stderr.decode(), what, done.stderr.decode()[-500:])
    refused("an unknown mode", "is not a valid mode", "--authorization-mode", "Foo")
    refused("a webhook that is nowhere", "authorization config file not passed", "--authorization-mode", "Webhook")
    refused("two ways to say who is asked", "can not be specified when", "--authorization-mode", "RBAC", "--authorization-config", folder.write("a.yaml", ""))
    refused("half a front proxy", "go together", "--proxy-client-cert-file", ca)
    refused("a bad sealing key", "expected one of [32]", "--encryption-provider-config",
            folder.write("bad.yaml", "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources: [{resources: [secrets], providers: [{secretbox: {keys: [{name: k, secret: c2hvcnQ=}]}}]}]\n"))


# ---- tokens in Secrets that nobody uses

def unused_tokens(kybern, program, folder, running):
    data = folder("tokens")
    admin = os.path.join(data, "kubeconfig")
    api = Process(folder, "tokens-api", kybern, "apiserver", "--data-dir", data, "--bind-address", "127.0.0.1", "--secure-port", "0")
    running.append(api)
    port = api.port()

    def kubectl(*words, data_in=None):
        return run(*program, "--kubeconfig", admin, *words, data=data_in)

    def begin_controllers(name, *flags):
        out = Process(folder, name, kybern, "controller-manager", "--kubeconfig", admin, "--leader-elect=false", "--secure-port", "0",
                      "--service-account-private-key-file", os.path.join(data, "pki/service-account.key"), *flags)
        running.append(out)
        return out

    def secret(name):
        done = kubectl("get", "secret", name, "--ignore-not-found", "-o", "json")
        return json.loads(done.stdout) if done.stdout else {}

    label = "kubernetes.io/legacy-token-invalid-since"
    controllers = begin_controllers("tokens-controllers")
    eventually("the account's namespace is ready", lambda: kubectl("get", "serviceaccount", "default").returncode == 0)
    kubectl("apply", "-f", "-", data_in=b"apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: robot}\nsecrets: [{name: old}, {name: older}]\n")
    for name in ("old", "older", "own"):
        kubectl("apply", "-f", "-", data_in=f"apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, annotations: {{kubernetes.io/service-account.name: robot}}}}\ntype: kubernetes.io/service-account-token\n".encode())
    eventually("the Secrets are filled", lambda: all("token" in secret(name).get("data", {}) for name in ("old", "older", "own")))
    token = base64.b64decode(secret("old")["data"]["token"]).decode()
    kubectl("label", "secret", "older", label + "=2026-01-01")
    done = kubectl("-n", "kube-system", "patch", "configmap", "kube-apiserver-legacy-service-account-token-tracking", "--type", "merge", "-p", '{"data":{"since":"2026-01-01"}}')
    check(done.returncode == 0, "since when uses are noted is on record", done.stderr)
    made = time.time()
    controllers.end()
    eventually("the tokens are old enough", lambda: time.time() > made + 2.5)
    begin_controllers("tokens-controllers2", "--legacy-service-account-token-clean-up-period", "1s")
    eventually("a token that was made for its account and that nobody uses is marked", lambda: label in secret("old").get("metadata", {}).get("labels", {}))
    eventually("one that was marked long ago is removed", lambda: not secret("older"))
    check(label not in secret("own")["metadata"].get("labels", {}), "what was made by hand stays", secret("own"))
    context = ssl.create_default_context(cafile=os.path.join(data, "pki/ca.crt"))
    request = urllib.request.Request(f"https://127.0.0.1:{port}/version", headers={"authorization": "Bearer " + token})
    try:
        code = urllib.request.urlopen(request, context=context, timeout=LIMIT_S).status
    except urllib.error.HTTPError as error:
        code = error.code
    check(code == 401, "a marked token is no way in", code)
    eventually("that it was tried is noted", lambda: "kubernetes.io/legacy-token-last-used" in secret("old")["metadata"]["labels"])
    done = run(kybern, "controller-manager", "--kubeconfig", admin, "--legacy-service-account-token-clean-up-period", "soon")
    check(done.returncode == 1 and b"is no duration such as 8760h" in done.stderr, "a period is a duration", done.stderr)


if __name__ == "__main__":
    sys.exit(main())
