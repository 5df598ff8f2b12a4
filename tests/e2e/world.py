"""What the scenarios share: a cluster, a database on the host's end of its network, the chart, application pods.

The cluster is tests/cluster's, or any other: KUBECONFIG, DBPROXY_LOAD (a command that is run with the name of an
image's archive appended, like "kind load image-archive"), and DBPROXY_HOST (an address of this machine that its pods
can reach) say so.
"""

import base64
import copy
import json
import os
import shlex
from pathlib import Path

from cluster import images
from cluster.host import Cluster as LocalCluster
from support import manifests, paths
from support.postgres import PASSWORDS, Cluster
from support.process import run
from support.waiting import wait_for

SYSTEM = "dbproxy-system"
CHART = paths.ROOT / "helm/dbproxy"
RELEASE = "dbproxy"
OPERATOR = "dbproxy-operator"


class Kubernetes:
    """kubectl and helm against one cluster."""

    def __init__(self, kubeconfig: Path, load, host: str, node: LocalCluster | None = None):
        self.kubeconfig, self.load, self.host = kubeconfig, load, host
        self.node = node  # what a scenario that takes a part of the cluster away needs; None for other people's clusters

    def kubectl(self, *arguments, input: str | None = None, check: bool = True, timeout: float = 90):
        return run([paths.KUBE_BIN / "kubectl", "--kubeconfig", self.kubeconfig, *arguments], input=input, check=check,
                   timeout=timeout)

    def helm(self, *arguments, check: bool = True, timeout: float = 180):
        return run([paths.KUBE_BIN / "helm", "--kubeconfig", self.kubeconfig, "--namespace", SYSTEM, *arguments],
                   check=check, timeout=timeout)

    def get(self, *arguments) -> dict:
        return json.loads(self.kubectl("get", "-o", "json", *arguments).stdout)

    def apply(self, *objects: dict, check: bool = True):
        return self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", check=check, input=json.dumps(
            {"apiVersion": "v1", "kind": "List", "items": list(objects)}))


def connect(directory: Path):
    """A context manager whose value is a Kubernetes."""
    import contextlib

    @contextlib.contextmanager
    def other(kubeconfig: str):
        command = shlex.split(os.environ["DBPROXY_LOAD"])
        yield Kubernetes(Path(kubeconfig), lambda archive: run([*command, archive], timeout=300),
                         os.environ["DBPROXY_HOST"])

    @contextlib.contextmanager
    def own():
        with LocalCluster(directory / "cluster") as node:
            yield Kubernetes(node.kubeconfig, node.load, node.host, node)

    return other(os.environ["KUBECONFIG"]) if "DBPROXY_LOAD" in os.environ else own()


class World:
    """One installation, one database, one namespace with DBProxy `orders` in it."""

    namespace = "shop"

    def __init__(self, kubernetes: Kubernetes, directory: Path):
        self.kubernetes, self.directory = kubernetes, directory
        self.database = Cluster(directory / "pg", replicas=1, address=kubernetes.host)
        self.kubectl, self.get, self.apply = kubernetes.kubectl, kubernetes.get, kubernetes.apply
        self.before: set[str] = set()  # the inventory without anything of ours
        self.values = directory / "values.json"
        self.values.write_text(json.dumps({
            "image": {"repository": images.DBPROXY.rpartition(":")[0], "tag": images.DBPROXY.rpartition(":")[2],
                      "pullPolicy": "Never"},
            "sidecar": {"pullPolicy": "Never"},
            "rdsCA": {"pem": self.database.authority.certificate.read_text()}}))

    def load_images(self):
        for archive in images.build(self.directory / "images", ("dbproxy", "next", "app")):
            self.kubernetes.load(archive)

    # The installation.

    def install(self):
        self.kubernetes.helm("install", RELEASE, CHART, "--create-namespace", "--values", self.values, "--wait",
                             "--timeout", "120s")

    def operators(self) -> list[dict]:
        pods = self.get("pods", "-n", SYSTEM, "-l", "app.kubernetes.io/name=dbproxy-operator")["items"]
        return [pod for pod in pods if pod["status"].get("phase") == "Running"]

    def leader(self) -> str:
        """Name of the pod that leads, as the Lease says."""
        return self.get("lease", OPERATOR, "-n", SYSTEM)["spec"]["holderIdentity"]

    def inventory(self) -> set[str]:
        """All objects of the cluster that somebody made: kind/namespace/name. What Kubernetes makes by itself is not there."""
        passing = ("apiservices", "events", "pods", "endpoints", "endpointslices", "replicasets", "controllerrevisions",
                   "ipaddresses")
        kinds = self.kubectl("api-resources", "--verbs=list", "-o", "name").stdout.split()
        names = [kind for kind in kinds if kind.partition(".")[0] not in passing]
        lines = self.kubectl("get", ",".join(names), "-A", "--ignore-not-found", "-o", "jsonpath={range .items[*]}"
                             "{.kind}/{.metadata.namespace}/{.metadata.name}{'\\n'}{end}").stdout.split()
        return {line for line in lines if not line.endswith(("/kube-root-ca.crt", "/default"))}

    def left(self) -> set[str]:
        """What of it was not there at first, without what the tests' own application is made of, and Kubernetes itself."""
        return {each for each in self.inventory() - self.before if "/kube-" not in each and
                (f"/{self.namespace}/" not in each or "dbproxy" in each.lower())}

    def wait_left(self, expected: set[str]):
        """Exactly that is left, as soon as Kubernetes has cleaned up."""
        def as_expected() -> bool:
            difference = self.left() ^ expected
            assert not difference, difference
            return True
        wait_for(as_expected, 60, "what is left is what is promised", interval=0.5)

    # DBProxies.

    def manifest(self, name: str = "orders", **options) -> dict:
        return manifests.db_proxy(self.database, 5432, name, self.namespace, **options)

    def secret(self, user: str = "app", password: str | None = None, proxy: str = "orders") -> dict:
        """Server-side apply does not forget stringData, so that it is `data` here."""
        fields = {"username": user, "password": password or PASSWORDS[user]}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"{proxy}-{user}", "namespace": self.namespace},
                "data": {key: base64.b64encode(value.encode()).decode() for key, value in fields.items()}}

    def apply_proxy(self, change=None, users=("app",), name: str = "orders", check: bool = True):
        """The usual DBProxy, changed by change(document), with what it refers to."""
        document = copy.deepcopy(self.manifest(name, users=users))
        if change:
            change(document)
        authority = manifests.config_map("database-ca", {"ca.pem": self.database.authority.certificate.read_text()},
                                         self.namespace)
        return self.apply(authority, *[self.secret(user, proxy=name) for user in users], document, check=check)

    def condition(self, kind: str = "Ready", name: str = "orders") -> dict:
        """Of the DBProxy's status; empty while there is none."""
        status = self.get("dbproxy", name, "-n", self.namespace).get("status", {})
        return next((each for each in status.get("conditions", []) if each["type"] == kind), {})

    def wait_condition(self, status: str, kind: str = "Ready", name: str = "orders", timeout: float = 30) -> dict:
        return wait_for(lambda: (lambda each: each if each.get("status") == status else None)(self.condition(kind, name)),
                        timeout, f"{kind} of {name} is {status}", interval=0.2)

    def edit_arrives(self, pod: str = "app", timeout: float = 60):
        """An edit is in force in the sidecar: which is there only if stream, operator and API server all work."""
        def reports():
            return self.psql(pod, "SELECT 1", user="reports", check=False).returncode
        self.apply_proxy(users=("app", "reports"))
        wait_for(lambda: reports() == 0, timeout, "the edit is in force", interval=0.2)
        self.apply_proxy()
        wait_for(lambda: reports() != 0, timeout, "and taken back", interval=0.2)

    # Application pods.

    def pod(self, name: str, script: str = "trap 'exit 0' TERM; sleep 100000 & wait", proxy: str | None = "orders",
            **spec) -> dict:
        """A pod as an application's author writes it; with proxy=None unlabelled."""
        labels = {"app": name, **({"dbproxy.io/inject": proxy} if proxy else {})}
        return {"metadata": {"name": name, "namespace": self.namespace, "labels": labels}, "spec": {
            "terminationGracePeriodSeconds": 20,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"},
                                # As by itself, but for clusters whose nodes let everybody have low ports.
                                "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "1024"}]},
            "containers": [{
                "name": "app", "image": images.APPLICATION, "imagePullPolicy": "Never",
                "command": ["bash", "-c", script],
                "env": [{"name": key, "value": value} for key, value in {
                    "PGUSER": "app", "PGPASSWORD": PASSWORDS["app"], "PGDATABASE": "orders"}.items()],
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}], **spec}}

    def run_pod(self, name: str, **options):
        self.apply({"apiVersion": "v1", "kind": "Pod", **self.pod(name, **options)})
        self.kubectl("wait", "-n", self.namespace, "--for=condition=Ready", f"pod/{name}", "--timeout=60s")

    def deployment(self, name: str, replicas: int, script: str) -> dict:
        pod = self.pod(name, script)
        del pod["metadata"]["name"], pod["metadata"]["namespace"]
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": self.namespace},
                "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": pod}}

    def exec(self, pod: str, *command, container: str = "app", check: bool = True, timeout: float = 60):
        return self.kubectl("exec", "-n", self.namespace, pod, "-c", container, "--", *command, check=check,
                            timeout=timeout)

    def psql(self, pod: str, sql: str, user: str = "app", password: str | None = None, check: bool = True):
        """One psql in the application's container, which finds the sidecar by the environment that it was given."""
        return self.exec(pod, "env", f"PGUSER={user}", f"PGPASSWORD={password or PASSWORDS[user]}", "PGCONNECT_TIMEOUT=20",
                         "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, check=check)

    def sidecar(self, pod: str) -> dict:
        """The status of its sidecar's container."""
        status = self.get("pod", pod, "-n", self.namespace)["status"]
        return next(each for each in status["initContainerStatuses"] if each["name"] == "dbproxy")

    def metrics(self, pod: str, port: int = 9930) -> str:
        namespace = self.namespace
        return self.kubectl("get", "--raw", f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/metrics").stdout
