"""A real kube-apiserver on etcd, on loopback: the whole API, no nodes and no controllers.

    with KubeApiserver(directory) as api:
        api.namespace("shop")                       # and its service account `default`
        api.apply({"apiVersion": "v1", "kind": "ConfigMap", …})
        api.kubectl("get", "pods", "-A")
        operator_reads(api.kubeconfig)              # of an administrator; kubeconfig_for() makes others

Ready about three seconds after start(). It can be stopped, killed and started again on the same port with the same
data; etcd too. etcd is 3.6, or Debian's 3.4 with etcd="3.4", on which streaming lists do not work.
"""

import contextlib
import http.client
import json
import select
import shutil
import signal
import ssl
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import paths
from .certificates import Authority
from .ports import free_port
from .process import Process, run
from .waiting import wait_for

ETCD = {"3.6": paths.KUBE_BIN / "etcd", "3.4": Path("/usr/bin/etcd")}
ISSUER = "https://kubernetes.default.svc"
_PATCHES = {"merge": "application/merge-patch+json", "json": "application/json-patch+json",
            "apply": "application/apply-patch+yaml", "strategic": "application/strategic-merge-patch+json"}


class Refused(Exception):
    """The API server's Status; `code` is that of HTTP, `status` the object."""

    def __init__(self, code: int, status: dict):
        super().__init__(f"{code} {status.get('reason')}: {status.get('message')}")
        self.code, self.status = code, status


class KubeApiserver:
    """Context manager. `arguments` are further flags of kube-apiserver, which override those below."""

    def __init__(self, directory: Path, etcd: str = "3.6", arguments: list[str] | None = None):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.etcd_url = f"http://127.0.0.1:{free_port()}"
        self.admin_token = "admin-token"
        self.kubeconfig = self.directory / "admin.kubeconfig"
        self._etcd_program = ETCD[etcd]
        self._arguments = arguments or []
        self._kept = threading.local()
        self.etcd = Process("etcd", self.directory / "etcd.log")
        self.process = Process("kube-apiserver", self.directory / "kube-apiserver.log")
        self._make_credentials()

    def _make_credentials(self):
        self.authority = Authority(self.directory / "pki", "kubernetes test CA")
        self.ca = self.authority.certificate
        self._serving = self.authority.issue(
            "apiserver", "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1")
        self._account_key = self.directory / "pki/service-accounts.key"
        run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self._account_key])
        self._tokens = self.directory / "tokens.csv"
        self._tokens.write_text(f'{self.admin_token},admin,admin,"system:masters"\n')
        self._write_kubeconfig(self.kubeconfig, {"token": self.admin_token})

    def _write_kubeconfig(self, path: Path, user: dict, namespace: str = "default") -> Path:
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url, "certificate-authority": str(self.ca)}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
            "users": [{"name": "test", "user": user}]}, indent=1))
        path.chmod(0o600)
        return path

    # Life.

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()

    def start(self):
        self.start_etcd()
        self.start_apiserver()
        # A namespace's service account is a controller's work, and there are no controllers.
        for name in ("default", "kube-system"):
            self._default_account(name)
        return self

    def start_etcd(self):
        peer = f"http://127.0.0.1:{free_port()}"
        self.etcd.start([
            self._etcd_program, "--name=test", f"--data-dir={self.directory / 'etcd'}",
            f"--listen-client-urls={self.etcd_url}", f"--advertise-client-urls={self.etcd_url}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=test={peer}",
            "--log-level=warn", "--unsafe-no-fsync", "--quota-backend-bytes=4294967296"],
            env={"ETCD_UNSUPPORTED_ARCH": "arm64"})

    def start_apiserver(self, timeout: float = 60, wait: bool = True):
        certificate, key = self._serving
        self.process.start([
            paths.KUBE_BIN / "kube-apiserver", f"--etcd-servers={self.etcd_url}", "--bind-address=127.0.0.1",
            f"--secure-port={self.port}", f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}",
            f"--client-ca-file={self.ca}", f"--token-auth-file={self._tokens}", "--authorization-mode=Node,RBAC",
            f"--service-account-issuer={ISSUER}", f"--service-account-key-file={self._account_key}",
            f"--service-account-signing-key-file={self._account_key}", "--service-cluster-ip-range=10.96.0.0/16",
            "--endpoint-reconciler-type=none", "--allow-privileged=true", "--profiling=false",
            "--shutdown-delay-duration=0s", *self._arguments])
        if wait:
            self.wait_ready(timeout)

    def wait_ready(self, timeout: float = 60):
        def ready():
            if not self.process.alive():
                raise RuntimeError(self.process.log()[-2000:])
            return self.answer("GET", "/readyz", timeout=5)[0] == 200
        try:
            wait_for(ready, timeout, "kube-apiserver is ready", interval=0.1)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.etcd.log()[-1000:]}\n{self.process.log()[-2000:]}") from None

    def stop_apiserver(self, number: int = signal.SIGTERM):
        """SIGTERM ends watches in order, SIGKILL as a crash does; start_apiserver() brings it back."""
        self.process.stop(number, timeout=60)

    def restart(self, number: int = signal.SIGTERM):
        self.stop_apiserver(number)
        self.start_apiserver()

    def close(self):
        """Ends both at once: what they hold is thrown away."""
        for process in (self.process, self.etcd):
            if process.alive():
                process.kill()

    # Talking to it.

    def answer(self, method: str, path: str, body: bytes | None = None, token: str | None = None,
               content_type: str = "application/json", timeout: float = 30,
               accept: str = "application/json") -> tuple[int, bytes]:
        """Status and body, whatever they are."""
        connection = self._connection(timeout)
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {token or self.admin_token}",
                                                    "Content-Type": content_type, "Accept": accept})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except BaseException:
            connection.close()
            raise

    def _connection(self, timeout: float) -> http.client.HTTPSConnection:
        """Of this thread, and kept by it: most of what a request costs is the connection. One that has ended is readable."""
        kept, authority = getattr(self._kept, "connection", (None, None))
        if kept and kept.sock and authority == self.ca:
            ended = select.poll()
            ended.register(kept.sock, select.POLLIN)
            if not ended.poll(0):
                kept.sock.settimeout(timeout)
                return kept
        if kept:
            kept.close()
        made = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout,
                                           context=ssl.create_default_context(cafile=str(self.ca)))
        self._kept.connection = (made, self.ca)
        return made

    def request(self, method: str, path: str, body=None, token: str | None = None,
                content_type: str = "application/json") -> dict:
        """One request, JSON both ways; as administrator without a token. Refused for every status above 299."""
        code, answer = self.answer(method, path, None if body is None else json.dumps(body).encode(), token, content_type)
        try:
            parsed = json.loads(answer)
        except ValueError:
            parsed = {"message": answer.decode(errors="replace")}
        if code > 299:
            raise Refused(code, parsed)
        return parsed

    def make(self, path: str, bodies: list[dict], connections: int = 4):
        """POST of each, a few at a time."""
        with ThreadPoolExecutor(connections) as pool:
            list(pool.map(lambda body: self.request("POST", path, body), bodies))

    def get(self, path: str, token: str | None = None) -> dict:
        return self.request("GET", path, token=token)

    def versions(self, path: str) -> dict[str, str]:
        """resourceVersion by name, of a namespace's objects: without these, which may be large."""
        code, answer = self.answer("GET", path, accept="application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
        if code > 299:
            raise Refused(code, json.loads(answer))
        return {each["metadata"]["name"]: each["metadata"]["resourceVersion"] for each in json.loads(answer)["items"]}

    def patch(self, path: str, body, kind: str = "merge", token: str | None = None) -> dict:
        """kind: merge, json, apply (then with ?fieldManager=… in the path) or strategic."""
        return self.request("PATCH", path, body, token, _PATCHES[kind])

    def delete(self, path: str) -> dict:
        return self.request("DELETE", path)

    def kubectl(self, *arguments, input: str | None = None, check: bool = True, timeout: float = 60):
        """Its CompletedProcess."""
        return run([paths.KUBE_BIN / "kubectl", "--kubeconfig", self.kubeconfig,
                    f"--cache-dir={self.directory / 'kubectl-cache'}", *arguments], input=input, check=check,
                   timeout=timeout)

    def apply(self, *objects: dict | Path) -> str:
        """kubectl apply --server-side of objects, or of files of manifests."""
        for path in (each for each in objects if isinstance(each, Path)):
            self.kubectl("apply", "--server-side", "-f", path)
        items = [each for each in objects if not isinstance(each, Path)]
        if not items:
            return ""
        return self.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(
            {"apiVersion": "v1", "kind": "List", "items": items})).stdout

    # Identities.

    def namespace(self, name: str, labels: dict | None = None):
        """Makes it, with the service account that a controller would make."""
        self.request("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels or {}}})
        self._default_account(name)

    def _default_account(self, namespace: str):
        with contextlib.suppress(Refused):
            self.request("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "default"}})

    def account_token(self, namespace: str, name: str = "default", audience: str | None = None, seconds: int = 3600,
                      pod: dict | None = None) -> str:
        """A projected token of a service account; bound to a pod (the object) if given, as the kubelet asks for it."""
        spec = {"expirationSeconds": seconds}
        if audience:
            spec["audiences"] = [audience]
        if pod:
            spec["boundObjectRef"] = {"kind": "Pod", "apiVersion": "v1", "name": pod["metadata"]["name"],
                                      "uid": pod["metadata"]["uid"]}
        return self.request("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", {
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec})["status"]["token"]

    def kubeconfig_for(self, file: str, token: str | None = None, token_file: Path | None = None,
                       user: str | None = None, groups: list[str] | None = None, namespace: str = "default") -> Path:
        """A kubeconfig in this directory: with a token, a file with a token, or a client certificate for a user."""
        if token:
            credentials = {"token": token}
        elif token_file:
            credentials = {"tokenFile": str(token_file)}
        else:
            subject = "".join(f"/O={group}" for group in groups or []) + f"/CN={user}"
            certificate, key = self.authority.issue(f"client-{user}".replace(":", "-"), subject=subject,
                                                    usage="clientAuth")
            credentials = {"client-certificate": str(certificate), "client-key": str(key)}
        return self._write_kubeconfig(self.directory / file, credentials, namespace)

    # What goes wrong in the life of a cluster.

    def replace_serving_certificate(self, authority: Authority):
        """The next start serves with a certificate of this authority; kubeconfigs are not told."""
        self._serving = authority.issue("apiserver", "DNS:localhost,IP:127.0.0.1")

    def compact(self) -> int:
        """Forgets all history in etcd: older resource versions become 410. Returns the revision that is left."""
        revision = int(self._etcd("/v3/kv/range", {"key": "AA=="})["header"]["revision"])
        self._etcd("/v3/kv/compaction", {"revision": str(revision), "physical": True})
        return revision

    def _etcd(self, path: str, body: dict) -> dict:
        request = urllib.request.Request(self.etcd_url + path, json.dumps(body).encode(), method="POST")
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return json.loads(answer.read())


def available(etcd: str = "3.6") -> bool:
    return all(shutil.which(program) for program in
               (paths.KUBE_BIN / "kube-apiserver", paths.KUBE_BIN / "kubectl", ETCD[etcd]))
