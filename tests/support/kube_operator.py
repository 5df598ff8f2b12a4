"""The operator on a Kubernetes API, and sidecars that are pods to it: processes here, Pod objects there."""

from pathlib import Path

from . import paths
from .kube_apiserver import KubeApiserver
from .ports import free_port
from .program import Program
from .waiting import wait_for

NAMESPACE = "dbproxy-system"
PROXIES = "/apis/dbproxy.io/v1alpha1/namespaces/{}/dbproxies"
# What the operator may do, and no more: the same as helm/dbproxy gives it.
_RULES = [
    {"apiGroups": ["dbproxy.io"], "resources": ["dbproxies", "dbproxyendpoints"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["dbproxy.io"], "resources": ["dbproxies/status", "dbproxyendpoints/status"],
     "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["secrets", "pods"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch", "create", "patch"]},
    {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
    {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
    {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
    {"apiGroups": ["networking.k8s.io"], "resources": ["servicecidrs"], "verbs": ["list"]}]
_OWN_RULES = [
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
     "verbs": ["get", "list", "watch", "create", "update"]},
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "update"]}]


def install_rights(api: KubeApiserver):
    """The operator's namespace, service account and roles."""
    api.namespace(NAMESPACE)
    account = {"kind": "ServiceAccount", "name": "dbproxy-operator", "namespace": NAMESPACE}
    rbac = "rbac.authorization.k8s.io/v1"
    api.apply({"apiVersion": "v1", "kind": "ServiceAccount",
               "metadata": {"name": "dbproxy-operator", "namespace": NAMESPACE}})
    for kind, rules, place in (("ClusterRole", _RULES, {}), ("Role", _OWN_RULES, {"namespace": NAMESPACE})):
        metadata = {"name": "dbproxy-operator", **place}
        api.apply({"apiVersion": rbac, "kind": kind, "metadata": metadata, "rules": rules},
                  {"apiVersion": rbac, "kind": f"{kind}Binding", "metadata": metadata, "subjects": [account],
                   "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "dbproxy-operator"}})


def allow_accounts(api: KubeApiserver, namespace: str, names: list[str]):
    """Tokens of these service accounts, as aws.serviceAccounts of the chart lets the operator ask for them."""
    metadata = {"name": "dbproxy-operator-aws", "namespace": namespace}
    rbac = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    api.apply({**rbac, "kind": "Role", "metadata": metadata, "rules": [
        {"apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": names, "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["serviceaccounts/token"], "resourceNames": names, "verbs": ["create"]}]},
        {**rbac, "kind": "RoleBinding", "metadata": metadata,
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": metadata["name"]},
         "subjects": [{"kind": "ServiceAccount", "name": "dbproxy-operator", "namespace": NAMESPACE}]})


class KubeOperator(Program):
    """A replica; its rights are those of the service account. Databases of tests are on loopback: allowed here."""

    def __init__(self, directory: Path, api: KubeApiserver, name: str = "operator-1", extra=(), env: dict | None = None,
                 binary: Path | None = None, nofile: int | None = None, allowed=("127.0.0.0/8",)):
        port, http = free_port(), free_port()
        super().__init__(directory, name, f"127.0.0.1:{http}", env, nofile)
        self.api, self.address = api, f"127.0.0.1:{port}"
        token = self.directory / "token"
        token.write_text(api.account_token(NAMESPACE, "dbproxy-operator"))
        kubeconfig = api.kubeconfig_for(f"{name}.kubeconfig", token_file=token, namespace=NAMESPACE)
        self.argv = [binary or paths.binary("dbproxy-operator"), "--kubeconfig", kubeconfig, "--pod-name", name,
                     "--pod-address", "127.0.0.1", "--listen", self.address, "--http", self.http, *extra]
        for each in allowed:
            self.argv += ["--allowed-endpoint", each]

    def leads(self) -> bool:
        return self.process.alive() and self.metrics().sum("dbproxy_operator_leader") == 1


def make_pod(api: KubeApiserver, name: str, proxies=("shop/orders",), namespace: str = "shop", labels=None,
             sidecar: bool = True) -> dict:
    """A Pod object as the webhook leaves it."""
    arguments = ["--identity=$(POD_NAMESPACE)/$(POD_NAME)", *[f"--proxy={proxy}" for proxy in proxies]]
    containers = {"containers": [{"name": "app", "image": "app"}]}
    if sidecar:
        containers["initContainers"] = [{"name": "dbproxy", "image": "dbproxy", "restartPolicy": "Always",
                                         "args": arguments}]
    return api.request("POST", f"/api/v1/namespaces/{namespace}/pods", {
        "metadata": {"name": name, "labels": {"dbproxy.io/inject": "true", **(labels or {})}}, "spec": containers})


def delete_pod(api: KubeApiserver, name: str, namespace: str = "shop"):
    api.request("DELETE", f"/api/v1/namespaces/{namespace}/pods/{name}", {"gracePeriodSeconds": 0})


class PodSidecar(Program):
    """The sidecar of a Pod object: with the token that the kubelet would project, and the CA of its namespace."""

    def __init__(self, directory: Path, api: KubeApiserver, pod: dict, operator: KubeOperator,
                 proxies=("shop/orders",), seconds: int = 3600, bind: str = "127.0.0.1", env: dict | None = None, extra=()):
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        super().__init__(directory, name, f"127.0.0.1:{free_port()}", env)
        self.token, self.authority = self.directory / "token", self.directory / "ca.pem"
        self.token.write_text(api.account_token(namespace, audience="dbproxy-operator", pod=pod, seconds=seconds))
        bundle = f"/api/v1/namespaces/{namespace}/configmaps/dbproxy-operator-ca"
        wait_for(lambda: self.authority.write_text(api.get(bundle)["data"]["ca.pem"]), 20, "the CA is in the namespace")
        self.argv = [paths.binary("dbproxy"), "--bind", bind, "--admin", self.http, "--socket-dir",
                     self.directory, "--operator", operator.address, "--operator-ca", self.authority, "--token-file",
                     self.token, "--identity", f"{namespace}/{name}", *extra]
        for proxy in proxies:
            self.argv += ["--proxy", proxy]
