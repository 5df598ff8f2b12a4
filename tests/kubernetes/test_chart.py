"""The chart: rendered, linted, refused, and installed on a real API server."""

import json
import re
import subprocess

import pytest
import yaml

from support import paths
from support.kube_apiserver import Refused
from support.process import run

CHART = paths.ROOT / "helm/dbproxy"
HELM = paths.KUBE_BIN / "helm"
KUBE = ["--kube-version", "1.34.4"]  # a helm that was built from source takes an old one for its own
TOGGLES = ["--set", "podMonitor.enabled=true,prometheusRule.enabled=true,grafanaDashboard.enabled=true"]
OPERATOR = ("Deployment", "dbproxy-operator")


def rendered(*arguments: str) -> str:
    return run([HELM, "template", "test", CHART, "-n", "dbproxy", *KUBE, *arguments]).stdout


def render(*arguments: str) -> dict:
    """Objects by kind and name."""
    documents = [each for each in yaml.safe_load_all(rendered(*arguments)) if each]
    return {(each["kind"], each["metadata"]["name"]): each for each in documents}


def refused(*arguments: str) -> str:
    done = run([HELM, "template", "test", CHART, *KUBE, *arguments], check=False)
    assert done.returncode != 0
    return done.stderr


def test_lint():
    run([HELM, "lint", "--strict", CHART])
    run([HELM, "lint", "--strict", CHART, *TOGGLES])


def test_renders_the_same_twice():
    assert rendered(*TOGGLES) == rendered(*TOGGLES)
    text = "".join(path.read_text() for path in (CHART / "templates").rglob("*") if path.is_file())
    for word in ("lookup ", "genCA", "genSignedCert", "randA", "now |", "caBundle:", "uuidv4"):
        assert word not in text, f"{word} differs from one rendering to the next"


@pytest.mark.parametrize("setting", ["operator.replica=2", "imagee.tag=x", "operator.resources.request.cpu=1",
                                     "webhook.failurePolicy=Ignore", "operator.replicas=0", "operator.replicas=two",
                                     "image.pullPolicy=Sometimes", "sidecar.native=maybe", "podMonitor.interval=fast",
                                     "crds.enable=true", "operator.logLevel=loud", "allowedEndpoints={https://x}",
                                     "allowedEndpoints={10.0.0.0/800}", "serviceRanges={10.96.0.0}",
                                     "certificates.days=90", "certificates.leafSeconds=9",
                                     "certificates.caSeconds=ten",
                                     "rdsCA.pem=us-east-2-bundle.pem", "rdsCA.file=x", "rdsCA.configMap=A_b",
                                     "aws.grant.shop={arn:aws:iam::1:role/x}", "aws.grants.shop={secret:x}",
                                     "aws.serviceAccounts.shop=orders", "aws.serviceAccounts.shop={*}"])
def test_schema_refuses(setting):
    error = refused("--set", setting)
    assert "values don't meet the specifications of the schema" in error
    assert setting.split("=")[0].split(".")[0] in error


def test_every_value_is_in_the_schema_and_used():
    schema = json.loads((CHART / "values.schema.json").read_text())
    templates = "".join(path.read_text() for path in (CHART / "templates").rglob("*") if path.is_file())
    for section, value in yaml.safe_load((CHART / "values.yaml").read_text()).items():
        assert section in schema["properties"]
        for name in value if isinstance(value, dict) else ():
            assert f".Values.{section}.{name}" in templates, f"{section}.{name} does nothing"


def test_where_proxies_may_point():
    arguments = render("--set", "allowedEndpoints={rds.amazonaws.com,10.20.0.0/16,fd00:1::/32}", "--set",
                       "serviceRanges={10.96.0.0/16,fd12::/108}")[OPERATOR]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert [each for each in arguments if each.startswith(("--allowed", "--service"))] == [
        "--allowed-endpoint=rds.amazonaws.com", "--allowed-endpoint=10.20.0.0/16", "--allowed-endpoint=fd00:1::/32",
        "--service-range=10.96.0.0/16", "--service-range=fd12::/108"]


def test_what_of_aws_a_namespace_may_use():
    values = json.dumps({"shop": ["arn:aws:secretsmanager:us-east-2:123456789012:secret:shop-*",
                                  "arn:aws:iam::123456789012:role/shop", "arn:aws:rds-db:*:*:dbuser:*/app"],
                         "pay": ["arn:aws:iam::1:role/pay", "arn:aws:rds:*:*:cluster:pay"]})
    objects = render("--set-json", f"aws.grants={values}", "--set", "operator.serverNames={a}")
    arguments = objects[OPERATOR]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert [each for each in arguments if each.startswith("--aws-grant")] == [
        "--aws-grant=pay=arn:aws:iam::1:role/pay", "--aws-grant=pay=arn:aws:rds:*:*:cluster:pay",
        "--aws-grant=shop=arn:aws:secretsmanager:us-east-2:123456789012:secret:shop-*",
        "--aws-grant=shop=arn:aws:iam::123456789012:role/shop", "--aws-grant=shop=arn:aws:rds-db:*:*:dbuser:*/app"]
    assert not any("--aws-grant" in each for each in render()[OPERATOR]["spec"]["template"]["spec"]["containers"][0]["args"])


def test_whose_tokens_may_be_asked_for():
    """Of no account that is not named, and of those in their own namespaces only."""
    everywhere = [rule for (kind, _), each in render().items() if kind in ("Role", "ClusterRole") for rule in each["rules"]]
    assert not any("serviceaccounts/token" in rule["resources"] for rule in everywhere)
    made = render("--set", "aws.serviceAccounts.shop={orders,billing},aws.serviceAccounts.pay={pay}")
    assert [rule for rule in made["ClusterRole", "dbproxy-operator"]["rules"] if "serviceaccounts" in str(rule)] == []
    documents = yaml.safe_load_all(rendered("--set", "aws.serviceAccounts.shop={orders,billing},aws.serviceAccounts.pay={pay}"))
    roles = {(each["kind"], each["metadata"]["namespace"]): each for each in documents
             if each and each["metadata"]["name"] == "dbproxy-operator-aws"}
    assert {place for _, place in roles} == {"shop", "pay"} and len(roles) == 4
    assert roles["Role", "shop"]["rules"] == [
        {"apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": ["orders", "billing"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["serviceaccounts/token"], "resourceNames": ["orders", "billing"],
         "verbs": ["create"]}]
    assert roles["RoleBinding", "pay"]["subjects"] == [
        {"kind": "ServiceAccount", "name": "dbproxy-operator", "namespace": "dbproxy"}]


def test_cas_of_databases(tmp_path):
    def mounted(*arguments):
        objects = render(*arguments)
        pod = objects[OPERATOR]["spec"]["template"]["spec"]
        volume = next((each["configMap"]["name"] for each in pod["volumes"] if each["name"] == "rds-ca"), None)
        paths_of = [each["mountPath"] for each in pod["containers"][0]["volumeMounts"] if each["name"] == "rds-ca"]
        flags = [each for each in pod["containers"][0]["args"] if each.startswith("--rds-ca")]
        return volume, paths_of, flags, objects.get(("ConfigMap", "dbproxy-operator-rds-ca"))
    assert mounted() == (None, [], [], None)
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(2 * "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    place = ["/etc/dbproxy/rds-ca"], ["--rds-ca=/etc/dbproxy/rds-ca"]
    volume, *rest, made = mounted("--set-file", f"rdsCA.pem={bundle}")
    assert (volume, tuple(rest)) == ("dbproxy-operator-rds-ca", place) and made["data"] == {"ca.pem": bundle.read_text()}
    assert mounted("--set", "rdsCA.configMap=company-cas") == ("company-cas", *place, None)
    assert "values don't meet" in refused("--set-file", f"rdsCA.pem={bundle}", "--set", "rdsCA.configMap=company-cas")


def test_lives_of_certificates():
    def lives(*arguments) -> list[str]:
        container = render(*arguments)[OPERATOR]["spec"]["template"]["spec"]["containers"][0]
        return [each for each in container["args"] if each.startswith(("--ca-", "--certificate-"))]
    assert lives() == ["--ca-seconds=315360000", "--ca-overlap-seconds=86400", "--certificate-seconds=7776000"]
    assert lives("--set", "certificates.caSeconds=31536000,certificates.caOverlapSeconds=3600,"
                 "certificates.leafSeconds=86400") == [
        "--ca-seconds=31536000", "--ca-overlap-seconds=3600", "--certificate-seconds=86400"]


def test_operator_is_available_and_contained():
    objects = render()
    spec = objects[OPERATOR]["spec"]
    pod = spec["template"]["spec"]
    container = pod["containers"][0]
    assert spec["replicas"] == 2 and objects["PodDisruptionBudget", "dbproxy-operator"]["spec"]["minAvailable"] == 1
    assert {each["topologyKey"] for each in pod["topologySpreadConstraints"]} == {
        "topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"]
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                            "capabilities": {"drop": ["ALL"]}}
    assert objects["PriorityClass", pod["priorityClassName"]]["value"] == 10**9
    assert "PriorityClass" not in {kind for kind, _ in render("--set", "operator.priorityClassName=mine")}
    assert "PodDisruptionBudget" not in {kind for kind, _ in render("--set", "operator.replicas=1")}


def test_flags_are_those_of_the_operator():
    source = "".join((paths.ROOT / file).read_text() for file in ("operator/main.cpp", "proxy/base/log_flags.hpp"))
    known = set(re.findall(r'"(--[a-z-]+)"', source))
    objects = render("--set", "sidecar.native=false,sidecar.pullPolicy=Always,operator.serverNames={a}")
    for argument in objects[OPERATOR]["spec"]["template"]["spec"]["containers"][0]["args"]:
        assert argument.split("=")[0] in known


def test_roles_have_no_wildcard_and_write_little():
    objects = render()
    for (kind, name), each in objects.items():
        for rule in each.get("rules", []) if kind in ("Role", "ClusterRole") else ():
            for words in (rule["apiGroups"], rule["resources"], rule["verbs"]):
                assert "*" not in words
            if name == "dbproxy-operator":
                assert "delete" not in rule["verbs"] and "deletecollection" not in rule["verbs"]
    labels = objects["ClusterRole", "dbproxy-editor"]["metadata"]["labels"]
    assert not any("aggregate" in label for label in labels)


def test_webhook_sees_labelled_pods_only():
    hook = render()["MutatingWebhookConfiguration", "dbproxy-operator"]["webhooks"][0]
    assert hook["failurePolicy"] == "Fail" and hook["reinvocationPolicy"] == "IfNeeded"
    assert {"key": "dbproxy.io/inject", "operator": "Exists"} in hook["objectSelector"]["matchExpressions"]
    assert hook["rules"] == [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"],
                              "operations": ["CREATE"], "scope": "Namespaced"}]
    assert "caBundle" not in hook["clientConfig"]
    without = render("--set", "webhook.enabled=false")
    assert not any(kind == "MutatingWebhookConfiguration" for kind, _ in without)
    assert not any("--webhook" in arg for arg in without[OPERATOR]["spec"]["template"]["spec"]["containers"][0]["args"])


def test_network_policy_selects_the_operator_only():
    objects = render()
    policy = objects["NetworkPolicy", "dbproxy-operator"]["spec"]
    labels = objects[OPERATOR]["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items() and policy["podSelector"]["matchLabels"]
    assert policy["policyTypes"] == ["Ingress"]


def test_crds_are_those_of_the_tree_and_stay():
    objects = render()
    for file in sorted((paths.ROOT / "crds").glob("*.yaml")):
        crd = yaml.safe_load(file.read_text())
        shipped = objects["CustomResourceDefinition", crd["metadata"]["name"]]
        assert shipped["spec"] == crd["spec"]
        assert shipped["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert not any(kind == "CustomResourceDefinition" for kind, _ in render("--set", "crds.enabled=false"))


def metric_names(expression: str) -> set[str]:
    names = set(re.findall(r"\b(dbproxy_[a-z0-9_]+)", expression))
    return {re.sub(r"_bucket$", "", name) for name in names}


def test_alerts_have_runbooks_and_real_metrics(testbed):
    rule = render(*TOGGLES)["PrometheusRule", "dbproxy-operator"]
    reference = (paths.ROOT / "docs/reference.md").read_text()
    operations = (paths.ROOT / "docs/operations.md").read_text()
    anchors = {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-")
               for line in re.findall(r"^#+ (.*)$", operations, re.M)}
    for alert in rule["spec"]["groups"][0]["rules"]:
        page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
        assert page.endswith("docs/operations.md") and anchor in anchors, alert["alert"]
        for name in metric_names(alert["expr"]):
            assert f"`{name}`" in reference, f"{alert['alert']}: there is no metric {name}"
    file = testbed.directory / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": rule["spec"]["groups"]}))
    run(["promtool", "check", "rules", file])


def test_dashboard_shows_real_metrics():
    board = json.loads(render(*TOGGLES)["ConfigMap", "dbproxy-dashboard"]["data"]["dbproxy.json"])
    reference = (paths.ROOT / "docs/reference.md").read_text()
    for panel in board["panels"]:
        for target in panel["targets"]:
            for name in metric_names(target["expr"]):
                assert f"`{name}`" in reference, f"{panel['title']}: there is no metric {name}"




# On the API server.

@pytest.fixture(scope="module")
def helm(api, testbed):
    def call(*arguments, check=True) -> subprocess.CompletedProcess:
        return run([HELM, "--kubeconfig", api.kubeconfig, "-n", "dbproxy", *arguments], check=check, timeout=120,
                   env={"HELM_CACHE_HOME": str(testbed.directory / "helm"), "HOME": str(testbed.directory)})
    api.namespace("dbproxy", labels={"pod-security.kubernetes.io/enforce": "restricted"})
    return call


def exists(api, path: str) -> bool:
    try:
        return bool(api.get(path))
    except Refused as error:
        assert error.code == 404
        return False


HOOK = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/dbproxy-operator"
DEPLOYMENT = "/apis/apps/v1/namespaces/dbproxy/deployments/dbproxy-operator"
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/dbproxies.dbproxy.io"


def test_life_of_a_release(api, helm):
    # Rendered objects pass a server-side dry run, field by field.
    for values in ((), ("--set", "rdsCA.pem=-----BEGIN CERTIFICATE-----"), ("--set", "rdsCA.configMap=company-cas")):
        api.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-n", "dbproxy", "-f", "-",
                    input=rendered(*values))

    notes = helm("install", "pool", CHART).stdout
    assert "kubectl -n dbproxy rollout status deployment/dbproxy-operator" in notes
    assert exists(api, DEPLOYMENT) and exists(api, CRD) and exists(api, HOOK)
    # What the operator writes survives an upgrade: the chart does not know of it.
    api.patch(HOOK, [{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": "eA=="}], "json")
    api.namespace("shop")
    api.apply({"apiVersion": "dbproxy.io/v1alpha1", "kind": "DBProxy", "metadata": {"name": "a", "namespace": "shop"},
               "spec": {"engineFamily": "POSTGRESQL", "auth": [{"secretRef": {"name": "app"}}],
                        "targetGroups": [{"dbCluster": {"endpoint": "db.example", "tls": {"mode": "require"}}}]}})
    helm("upgrade", "pool", CHART, "--set", "operator.replicas=3")
    assert api.get(DEPLOYMENT)["spec"]["replicas"] == 3
    assert api.get(HOOK)["webhooks"][0]["clientConfig"]["caBundle"] == "eA=="
    typo = helm("upgrade", "pool", CHART, "--set", "operator.replica=4", check=False)
    assert typo.returncode != 0 and api.get(DEPLOYMENT)["spec"]["replicas"] == 3
    helm("rollback", "pool", "1")
    assert api.get(DEPLOYMENT)["spec"]["replicas"] == 2
    assert api.get(HOOK)["webhooks"][0]["clientConfig"]["caBundle"] == "eA=="

    helm("uninstall", "pool")
    assert not exists(api, DEPLOYMENT) and not exists(api, HOOK)
    assert exists(api, CRD) and exists(api, "/apis/dbproxy.io/v1alpha1/namespaces/shop/dbproxies/a")
    for kind in ("clusterroles", "clusterrolebindings"):
        names = [each["metadata"]["name"] for each in api.get(f"/apis/rbac.authorization.k8s.io/v1/{kind}")["items"]]
        assert not any(name.startswith("dbproxy") for name in names)
    # And a second life, over the definitions that stayed.
    helm("install", "pool", CHART)
    helm("uninstall", "pool")
