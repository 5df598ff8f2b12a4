"""Pods are made on a real API server, which asks the operator's webhook; the operator has the rights that the chart gives."""

import time

import psycopg
import pytest
import yaml

from bad_manifests import TABLE, text_of
from support import aws, paths
from support.kube_apiserver import Refused
from support.kube_operator import PodSidecar
from support.manifests import config_map, db_proxy, secret
from support.ports import free_port
from support.postgres import PASSWORDS
from support.process import run
from support.program import Program
from support.waiting import wait_for

HOOK = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/dbproxy-operator"
PODS = "/api/v1/namespaces/shop/pods"
SECURE = {"allowPrivilegeEscalation": False, "runAsNonRoot": True, "capabilities": {"drop": ["ALL"]},
          "seccompProfile": {"type": "RuntimeDefault"}}


def chart() -> list[dict]:
    text = run([paths.KUBE_BIN / "helm", "template", "test", paths.ROOT / "helm/dbproxy", "-n", "dbproxy",
                "--kube-version", "1.34.4"]).stdout
    return [each for each in yaml.safe_load_all(text) if each]


def proxy(name: str, port: int = 5432, **spec) -> dict:
    return {"apiVersion": "dbproxy.io/v1alpha1", "kind": "DBProxy", "metadata": {"name": name, "namespace": "shop"},
            "spec": {"engineFamily": "POSTGRESQL", "port": port, "auth": [{"secretRef": {"name": "app"}}],
                     "targetGroups": [{"dbCluster": {"endpoint": "127.0.0.1", "tls": {"mode": "require"}}}], **spec}}


class Operator(Program):
    def __init__(self, testbed, api, kubeconfig, webhook: int):
        super().__init__(testbed.directory, "operator", f"127.0.0.1:{free_port()}")
        self.address = f"127.0.0.1:{free_port()}"
        self.argv = [paths.binary("dbproxy-operator"), "--kubeconfig", kubeconfig, "--namespace", "dbproxy",
                     "--pod-name", "operator-1", "--pod-address", "127.0.0.1", "--listen", self.address,
                     "--allowed-endpoint", "127.0.0.0/8", "--http", self.http,
                     "--webhook", f"127.0.0.1:{webhook}", "--sidecar-image", "dbproxy:test",
                     "--sidecar-pull-policy", "Never"]


@pytest.fixture(scope="module")
def operator(testbed, crds):
    """With the chart's roles and webhook; the latter by URL, as there is no network of Services."""
    api, port = crds, free_port()
    api.namespace("dbproxy")
    api.patch("/api/v1/namespaces/shop", {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
    for each in chart():
        if each["kind"] in ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"):
            api.apply(each)
        if each["kind"] == "MutatingWebhookConfiguration":
            each["webhooks"][0]["clientConfig"] = {"url": f"https://127.0.0.1:{port}/inject"}
            api.apply(each)
    api.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "app", "namespace": "shop"},
               "stringData": {"username": "app", "password": "secret"}},
              proxy("orders"), proxy("billing", 5433, podSelector={"matchLabels": {"app": "billing"}}), proxy("clash"),
              {"apiVersion": "dbproxy.io/v1alpha1", "kind": "DBProxyEndpoint",
               "metadata": {"name": "orders-ro", "namespace": "shop"},
               "spec": {"dbProxyName": "orders", "port": 5440, "targetRole": "READ_ONLY"}})
    kubeconfig = api.kubeconfig_for("operator.kubeconfig", token=api.account_token("dbproxy", "dbproxy-operator"))
    with Operator(testbed, api, kubeconfig, port) as operator:
        wait_for(lambda: api.get(HOOK)["webhooks"][0]["clientConfig"].get("caBundle"), 20, "the CA is in caBundle")
        yield operator


def pod(label: str | None = "orders", annotations: dict | None = None, **spec) -> dict:
    labels = {"app": "shop", **({"dbproxy.io/inject": label} if label else {})}
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"generateName": "web-", "labels": labels, "annotations": annotations or {}},
            "spec": {"containers": [{"name": "app", "image": "app:1", "securityContext": SECURE}], **spec}}


def made(api, *args, **options) -> dict:
    return api.request("POST", PODS + "?dryRun=All", pod(*args, **options))


def refused(api, *args, **options) -> str:
    with pytest.raises(Refused) as error:
        made(api, *args, **options)
    return str(error.value)


def test_a_labelled_pod_gets_its_sidecar(crds, operator):
    spec = made(crds)["spec"]
    sidecar = spec["initContainers"][0]
    assert (sidecar["name"], sidecar["image"], sidecar["imagePullPolicy"]) == ("dbproxy", "dbproxy:test", "Never")
    assert sidecar["restartPolicy"] == "Always"
    assert {"--proxy=shop/orders", "--port=5432", "--port=5440"} <= set(sidecar["args"])
    assert {each["name"]: each["value"] for each in spec["containers"][0]["env"]} == {
        "PGHOST": "127.0.0.1", "PGPORT": "5432"}
    assert {each["mountPath"] for each in sidecar["volumeMounts"]} >= {
        "/var/run/secrets/dbproxy", "/var/lib/dbproxy", "/var/run/dbproxy"}
    # The token of the pod's account is the application's: admission finds its place in the sidecar taken.
    account = "/var/run/secrets/kubernetes.io/serviceaccount"

    def tokens(container):
        return [each["name"] for each in container["volumeMounts"] if each["mountPath"] == account]
    assert tokens(sidecar) == ["dbproxy-no-token"]
    assert len(tokens(spec["containers"][0])) == 1 and tokens(spec["containers"][0])[0].startswith("kube-api-access-")


def test_other_pods_never_pass_by(crds, operator):
    before = operator.metrics().sum("dbproxy_operator_webhook_reviews_total")
    assert "initContainers" not in made(crds, None)["spec"]
    assert "initContainers" not in made(crds, "false")["spec"]
    assert operator.metrics().sum("dbproxy_operator_webhook_reviews_total") == before


def test_refusals_reach_whoever_makes_the_pod(crds, operator):
    assert 'there is no DBProxy "nothing" in namespace shop' in refused(crds, "nothing")
    assert "podSelector wants other labels" in refused(crds, "billing")
    both = {"dbproxy.io/proxies": "orders,clash"}
    assert 'DBProxy "clash" has the port 5432, which is the port of DBProxy "orders" too' in refused(crds, "true", both)
    assert "Windows" in refused(crds, "orders", os={"name": "windows"})
    done = crds.kubectl("run", "x", "-n", "shop", "--image=x", "--labels=dbproxy.io/inject=nothing", check=False)
    assert "dbproxy refuses the pod" in done.stderr


@pytest.mark.parametrize("case", [each for each in TABLE["cases"] if each["where"] == "pod"], ids=lambda case: case["name"])
def test_what_the_table_says_is_refused_at_the_pod(crds, operator, case):
    space = f"bad-{TABLE['cases'].index(case)}"
    crds.namespace(space)
    crds.kubectl("apply", "--server-side", "-f", "-", input=text_of(case).replace("namespace: shop", f"namespace: {space}"))
    items = crds.get(f"/apis/dbproxy.io/v1alpha1/namespaces/{space}/dbproxies")["items"]
    names = ",".join(each["metadata"]["name"] for each in items)
    with pytest.raises(Refused, match="one sidecar listens on all of them"):
        crds.request("POST", f"/api/v1/namespaces/{space}/pods", pod("true", {"dbproxy.io/proxies": names}))


def test_a_new_dbproxy_is_known_at_once(crds, operator):
    crds.apply(proxy("fresh", 6000))
    assert "--proxy=shop/fresh" in made(crds, "fresh")["spec"]["initContainers"][0]["args"]


def test_the_ca_is_put_back(crds, operator):
    """A selector tells which of its webhook's versions the API server has heard of: that is a while after it took it."""
    marked = pod()
    marked["metadata"]["labels"]["dbproxy.io/marked"] = ""

    def passes_unseen() -> bool:
        return "initContainers" not in crds.request("POST", PODS + "?dryRun=All", marked)["spec"]
    expressions = "/webhooks/0/objectSelector/matchExpressions"
    last = len(crds.get(HOOK)["webhooks"][0]["objectSelector"]["matchExpressions"])
    crds.patch(HOOK, [{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": "eA=="},
                      {"op": "add", "path": f"{expressions}/-", "value": {
                          "key": "dbproxy.io/marked", "operator": "DoesNotExist"}}], "json")
    wait_for(passes_unseen, 20, "the API server has heard of it")
    wait_for(lambda: crds.get(HOOK)["webhooks"][0]["clientConfig"]["caBundle"] != "eA==", 20, "it is back")
    crds.patch(HOOK, [{"op": "remove", "path": f"{expressions}/{last}"}], "json")
    wait_for(lambda: not passes_unseen(), 20, "pods can be made again")


def test_check_is_content(crds, operator):
    done = run([paths.binary("dbproxyctl"), "check", "--kubeconfig", crds.kubeconfig], check=False)
    lines = {line[6:22].strip(): line[:5].strip() for line in done.stdout.splitlines()}
    assert lines.pop("operator") == "FAIL", "it is no Deployment here"
    assert set(lines.values()) == {"ok"}, done.stdout
    assert run([paths.binary("dbproxyctl"), "check", "--operator", operator.http]).stdout.startswith("ok    operator")


def test_outdated_pods_are_listed_with_what_to_do(crds, operator):
    deployment = next(each for each in chart() if each["kind"] == "Deployment")
    crds.apply(deployment)
    path = "/apis/apps/v1/namespaces/dbproxy/deployments/dbproxy-operator"
    owners = {"web-5d8f": ("ReplicaSet", "web-5d8f"), "db-0": ("StatefulSet", "db"), "nightly-1": ("Job", "nightly"),
              "alone": None}
    try:
        for name, owner in owners.items():
            document = pod()
            document["metadata"] = {**document["metadata"], "name": name, "labels": {
                **document["metadata"]["labels"], "pod-template-hash": "5d8f"}}
            if owner:
                document["metadata"]["ownerReferences"] = [{"apiVersion": "apps/v1", "kind": owner[0], "name": owner[1],
                                                            "uid": "0", "controller": True}]
            crds.request("POST", PODS, document)
        listed = run([paths.binary("dbproxyctl"), "outdated", "--kubeconfig", crds.kubeconfig, "-n", "shop"]).stdout
        for words in ("deployment/web", "kubectl -n shop rollout restart deployment/web", "dbproxy:test",
                      "kubectl -n shop rollout restart statefulset/db", "job/nightly in shop ends by itself",
                      "kubectl -n shop delete pod/alone"):
            assert words in listed, listed
        image = {"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": ["--sidecar-image=dbproxy:test"]}
        crds.patch(path, [image], "json")
        listed = run([paths.binary("dbproxyctl"), "outdated", "--kubeconfig", crds.kubeconfig, "-n", "shop"]).stdout
        assert listed == "All 4 pods run dbproxy:test.\n"
    finally:
        crds.delete(path)
        crds.delete(PODS + "?gracePeriodSeconds=0")
    done = run([paths.binary("dbproxyctl"), "outdated", "--kubeconfig", crds.kubeconfig], check=False)
    assert done.returncode == 1 and "no operator here gives sidecars to pods" in done.stderr


def test_from_an_annotation_to_a_token_that_is_let_in(crds, operator, cluster, testbed):
    """The sidecar and the application run here as the pod says that they are to: only ports and paths are mapped."""
    if not aws.available():
        pytest.skip("moto is not installed: run cmake/setup.sh test")
    port, lends = free_port(), free_port()
    crds.apply(config_map("database-ca", {"ca.pem": cluster.authority.certificate.read_text()}),
               secret("keys-app", "app", PASSWORDS["app"]),
               db_proxy(cluster, port, name="keys", auth={"app": {"iamAuth": "REQUIRED"}}, aws={"region": aws.REGION}))
    document = pod("keys", {"dbproxy.io/aws-credentials": "true"})
    document["metadata"]["name"] = "lends"
    made_pod = crds.request("POST", PODS, document)
    try:
        application, lender = made_pod["spec"]["containers"][0], made_pod["spec"]["initContainers"][0]
        arguments = dict(each.removeprefix("--").split("=", 1) for each in lender["args"] if each.startswith("--aws-"))
        variables = {each["name"]: each["value"] for each in application["env"]}
        url, file = (variables[f"AWS_CONTAINER_{name}"] for name in ("CREDENTIALS_FULL_URI", "AUTHORIZATION_TOKEN_FILE"))
        assert url == f"http://127.0.0.1:{arguments['aws-credentials-port']}/credentials"
        assert file == arguments["aws-credentials-token-file"]
        place = file.rsplit("/", 1)[0]
        volumes = [next(each["name"] for each in container["volumeMounts"] if each["mountPath"] == place)
                   for container in (application, lender)]
        assert volumes[0] == volumes[1], "the file is where the application can read it"
        directory = testbed.subdirectory("lends")
        mapped = directory / "lends" / file.rsplit("/", 1)[1]
        with aws.Moto(directory) as moto, PodSidecar(
                directory, crds, made_pod, operator, ("shop/keys",), env=moto.env,
                extra=("--aws-credentials-port", str(lends), "--aws-credentials-token-file", str(mapped))):
            env = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": url.replace(arguments["aws-credentials-port"], str(lends)),
                   "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(mapped), "AWS_EC2_METADATA_DISABLED": "true",
                   "HOME": str(directory)}
            host = wait_for(lambda: crds.get("/apis/dbproxy.io/v1alpha1/namespaces/shop/dbproxies/keys").get(
                "status", {}).get("endpoints", [{}])[0].get("iamHost"), 20, "the host is in the status")
            token = run([aws.PYTHON, "-B", "-m", "awscli", "rds", "generate-db-auth-token", "--hostname", host, "--port",
                         str(port), "--username", "app", "--region", aws.REGION], env=env).stdout.strip()
            where = {"host": "127.0.0.1", "port": port, "dbname": "orders", "user": "app", "sslmode": "require"}
            with psycopg.connect(password=token, connect_timeout=20, **where) as connection:
                assert connection.execute("SELECT current_user").fetchone() == ("app",)
            with pytest.raises(psycopg.OperationalError, match="only a token of IAM"):
                psycopg.connect(password=PASSWORDS["app"], **where)
    finally:
        crds.delete(PODS + "/lends?gracePeriodSeconds=0")


def test_reviews_are_quick(crds, operator):
    begin = time.monotonic()
    for _ in range(20):
        made(crds)
    assert time.monotonic() - begin < 20 * 0.5
