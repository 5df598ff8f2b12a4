"""dbproxyctl without an operator: inject, plan, check, preflight."""

import json

import yaml

from support import paths, ports
from support.manifests import db_proxy, secret
from support.postgres import PASSWORDS
from support.process import run

DBPROXY = """
apiVersion: dbproxy.io/v1alpha1
kind: DBProxy
metadata: {name: orders, namespace: shop}
spec:
  engineFamily: POSTGRESQL
  auth: [{secretRef: {name: app}}]
  targetGroups: [{dbCluster: {endpoint: 127.0.0.1, port: PORT, tls: {mode: require}}}]
---
apiVersion: v1
kind: Secret
metadata: {name: app, namespace: shop}
stringData: {username: app, password: secret}
"""
SECURE = """
        securityContext: {allowPrivilegeEscalation: false, runAsNonRoot: true, capabilities: {drop: [ALL]},
                          seccompProfile: {type: RuntimeDefault}}"""
WORKLOADS = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web, dbproxy.io/inject: orders}}}}
    spec:
      containers:
      - name: app
        image: "app:1"
        args: ["on", "1.0", "0777"]{SECURE}
---
apiVersion: batch/v1
kind: CronJob
metadata: {{name: nightly, namespace: shop}}
spec:
  schedule: "0 3 * * *"
  jobTemplate:
    spec:
      template:
        metadata: {{labels: {{dbproxy.io/inject: orders}}}}
        spec:
          restartPolicy: Never
          containers: [{{name: job, image: "app:1"}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: other, namespace: shop}}
data: {{answer: "42"}}
"""


def ctl(*arguments, check=True, **options):
    return run([paths.binary("dbproxyctl"), *arguments], check=check, **options)


def injected(testbed, workloads=WORKLOADS, *arguments):
    directory = testbed.subdirectory("proxies")
    (directory / "proxy.yaml").write_text(DBPROXY.replace("PORT", "5432"))
    return ctl("inject", "-f", "-", "--manifests", directory, *arguments, input=workloads)


def test_inject(testbed, crds):
    done = injected(testbed, WORKLOADS, "--image", "dbproxy:1", "--control", "op.sys.svc:9931")
    web, nightly, other = yaml.safe_load_all(done.stdout)
    before = list(yaml.safe_load_all(WORKLOADS))
    assert other == before[2]
    spec = web["spec"]["template"]["spec"]
    sidecar = spec["initContainers"][0]
    assert (sidecar["name"], sidecar["image"], sidecar["restartPolicy"]) == ("dbproxy", "dbproxy:1", "Always")
    assert "--proxy=shop/orders" in sidecar["args"] and "--operator=op.sys.svc:9931" in sidecar["args"]
    assert spec["containers"][0]["args"] == ["on", "1.0", "0777"]
    assert nightly["spec"]["jobTemplate"]["spec"]["template"]["spec"]["initContainers"][0]["name"] == "dbproxy"
    # Every flag is one that the sidecar knows.
    known = run([paths.binary("dbproxy"), "--help"]).stdout
    assert all(argument.split("=")[0] + " " in known for argument in sidecar["args"])
    # The API server takes it, also where pods are restricted, and a second time changes nothing.
    crds.namespace("strict", labels={"pod-security.kubernetes.io/enforce": "restricted"})
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", **web["spec"]["template"]["metadata"]},
           "spec": spec}
    crds.request("POST", "/api/v1/namespaces/strict/pods?dryRun=All&fieldValidation=Strict", pod)
    crds.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", input=done.stdout)
    assert list(yaml.safe_load_all(injected(testbed, done.stdout).stdout)) == [web, nightly, other]


def test_inject_refuses(testbed):
    windows = WORKLOADS.replace("      containers:\n      - name: app",
                                "      os: {name: windows}\n      containers:\n      - name: app")
    directory = testbed.subdirectory("proxies")
    (directory / "proxy.yaml").write_text(DBPROXY.replace("PORT", "5432"))
    done = ctl("inject", "-f", "-", "--manifests", directory, input=windows, check=False)
    assert done.returncode == 1 and "Deployment web: the pod is for Windows" in done.stderr and not done.stdout
    done = ctl("inject", "-f", "-", input=WORKLOADS, check=False)
    assert done.returncode == 1 and 'there is no DBProxy "orders" in namespace shop' in done.stderr
    assert ctl("inject", "-f", "/nowhere", check=False).returncode == 2


def test_plan():
    done = ctl("plan", "ips", "--writer", "db.r5.8xlarge", "--reader", "db.r5.2xlarge", "--endpoints", "1")
    assert "needs 63 addresses" in done.stdout
    done = ctl("plan", "ips", "--writer", "db.r5.24xlarge", "--reader", "db.r5.24xlarge", check=False)
    assert done.returncode == 1 and "at most 215" in done.stderr
    done = ctl("plan", "connections", "--pods", "40", "--max-connections", "1000", "--percent", "90", "--tps", "100")
    assert "It fits." in done.stdout


def test_preflight_says_what_to_do(testbed):
    directory = testbed.subdirectory("preflight")
    (directory / "proxy.yaml").write_text(DBPROXY.replace("PORT", str(ports.free_port())))
    done = ctl("preflight", "--manifests", directory, check=False)
    assert done.returncode == 1
    assert "ok    DNS    127.0.0.1" in done.stdout and "FAIL  TCP" in done.stdout and "dbCluster.port" in done.stdout
    (directory / "proxy.yaml").write_text(DBPROXY.replace("127.0.0.1", "no-such-host.invalid").replace("PORT", "5432"))
    assert "FAIL  DNS" in ctl("preflight", "orders", "--manifests", directory, check=False).stdout
    assert ctl("preflight", "other", "--manifests", directory, check=False).returncode == 1


def test_preflight_of_a_dbproxy_in_the_cluster(crds):
    port = ports.free_port()
    crds.apply(*yaml.safe_load_all(DBPROXY.replace("PORT", str(port))))
    done = ctl("preflight", "orders", "-n", "shop", "--kubeconfig", crds.kubeconfig, check=False)
    assert done.returncode == 1 and f"shop/orders 127.0.0.1 at 127.0.0.1:{port}" in done.stdout, done.stderr
    assert "FAIL  TCP" in done.stdout
    done = ctl("preflight", "shop/nothing", "--kubeconfig", crds.kubeconfig, check=False)
    assert done.returncode == 1 and "dbproxies shop/nothing" in done.stderr


def test_preflight_of_what_the_installations_ca_vouches_for(crds, cluster):
    """A DBProxy without caRef is good in such a cluster; here nobody but the operator knows that CA, so it is asked for."""
    document = db_proxy(cluster, ports.free_port(), name="vouched")
    del document["spec"]["targetGroups"][0]["dbCluster"]["tls"]
    crds.apply(document, secret("vouched-app", "app", PASSWORDS["app"]))
    where = ("preflight", "shop/vouched", "--kubeconfig", crds.kubeconfig)
    done = ctl(*where, check=False)
    assert done.returncode == 1 and "give it with --rds-ca FILE" in done.stderr and not done.stdout, done.stderr
    done = ctl(*where, "--rds-ca", "/nowhere", check=False)
    assert done.returncode == 1 and "/nowhere cannot be read" in done.stderr
    done = ctl(*where, "--rds-ca", cluster.authority.certificate)
    assert done.stdout.count("ok    LOGIN  app, under TLS, tls.mode verify-full") == 2, done.stdout
    assert "ok    ROLE   writer" in done.stdout and "ok    ROLE   reader" in done.stdout
    # What needs no database needs no CA either.
    crds.patch("/apis/dbproxy.io/v1alpha1/namespaces/shop/dbproxies/vouched", {"spec": {"auth": [
        {"secretArn": "arn:aws:secretsmanager:us-east-2:123456789012:secret:orders-AbCdEf"}]}})
    assert "GetSecretValue" in ctl("iam-policy", *where[1:]).stdout
    assert "skip  LOGIN" in ctl(*where, "--rds-ca", cluster.authority.certificate).stdout


def test_preflight_from_a_pods_place(crds, cluster):
    """Where nobody may ask the API server, what it knows comes by the input: printed by whoever may, or by kubectl."""
    document = db_proxy(cluster, ports.free_port(), name="carried")
    del document["spec"]["targetGroups"][0]["dbCluster"]["tls"]
    crds.apply(document, secret("carried-app", "app", PASSWORDS["app"]))
    printed = ctl("preflight", "shop/carried", "--kubeconfig", crds.kubeconfig, "--rds-ca", cluster.authority.certificate,
                  "--print").stdout
    found = list(yaml.safe_load_all(printed))
    assert {each["kind"] for each in found} == {"DBProxy", "Secret", "ConfigMap"}
    alone = {"KUBECONFIG": "/nowhere"}
    done = ctl("preflight", "--manifests", "-", input=printed, env=alone)
    assert done.stdout.count("ok    LOGIN  app, under TLS, tls.mode verify-full") == 2, done.stdout
    listed = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": found})
    assert "ok    ROLE   writer" in ctl("preflight", "shop/carried", "--manifests", "-", input=listed, env=alone).stdout
    done = ctl("preflight", "shop/other", "--manifests", "-", input=listed, check=False)
    assert done.returncode == 1 and "there is no such DBProxy there" in done.stderr
    done = ctl("preflight", "--manifests", "-", input="kind: [", check=False)
    assert done.returncode == 2 and done.stderr.startswith("the input:2:1: is not YAML")
    done = ctl("preflight", "shop/carried", "--manifests", "-", "--print", input=listed, check=False)
    assert done.returncode == 2 and "--print" in done.stderr


def test_check_finds_what_is_missing(crds):
    done = ctl("check", "--kubeconfig", crds.kubeconfig, check=False)
    lines = {line[6:22].strip(): line[:5].strip() for line in done.stdout.splitlines()}
    assert done.returncode == 1
    assert lines == {"API server": "ok", "dbproxies": "ok", "dbproxyendpoints": "ok", "operator": "FAIL", "CA": "FAIL",
                     "webhook": "warn", "rights": "FAIL"}
    away = json.loads(crds.kubeconfig.read_text())
    away["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{ports.free_port()}"
    file = crds.directory / "away.kubeconfig"
    file.write_text(json.dumps(away))
    done = ctl("check", "--kubeconfig", file, check=False)
    assert done.returncode == 1 and done.stdout.startswith("FAIL  API server")
    done = ctl("check", "--operator", f"127.0.0.1:{ports.free_port()}", check=False)
    assert done.returncode == 1 and "NetworkPolicy" in done.stdout


def test_export_of_what_is_in_the_cluster(crds):
    crds.namespace("sold")
    crds.apply(*yaml.safe_load_all(DBPROXY.replace("PORT", "5432").replace("namespace: shop", "namespace: sold")),
               {"apiVersion": "dbproxy.io/v1alpha1", "kind": "DBProxyEndpoint",
                "metadata": {"name": "readers", "namespace": "sold"},
                "spec": {"dbProxyName": "orders", "port": 5433, "targetRole": "READ_ONLY"}})
    crds.patch("/apis/dbproxy.io/v1alpha1/namespaces/sold/dbproxies/orders/status",
               {"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Ready", "message": "",
                                           "lastTransitionTime": "2026-01-01T00:00:00Z"}],
                           "targets": [{"id": "127.0.0.1", "role": "READ_WRITE", "health": "AVAILABLE", "reason": "",
                                        "maxConnections": 100, "lagSeconds": 0}]}})
    done = ctl("export", "rds-proxy", "orders", "-n", "sold", "--kubeconfig", crds.kubeconfig)
    told = json.loads(done.stdout)
    assert [each["DBProxyName"] for each in told["DBProxies"]] == ["orders"]
    assert told["DBProxies"][0]["Status"] == "available"
    assert told["Targets"][0]["TargetHealth"] == {"State": "AVAILABLE"} and told["Targets"][0]["Role"] == "READ_WRITE"
    assert [each["DBProxyEndpointName"] for each in told["DBProxyEndpoints"]] == ["default", "readers"]
    assert "the Secret app" in done.stderr and "secret" not in done.stdout.lower().replace("secrets", "")
    alone = json.loads(ctl("export", "rds-proxy", "sold/orders", "--shape", "describe-db-proxy-targets", "--kubeconfig",
                           crds.kubeconfig).stdout)
    assert list(alone) == ["Targets"] and alone["Targets"] == told["Targets"]
    done = ctl("export", "rds-proxy", "nothing", "-n", "sold", "--kubeconfig", crds.kubeconfig, check=False)
    assert done.returncode == 1 and "no DBProxy nothing" in done.stderr and not done.stdout
