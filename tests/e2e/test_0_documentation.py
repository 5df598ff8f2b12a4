"""The commands that the documentation shows for a cluster (```sh cluster), run as they stand there, by a new user.

From nothing installed to nothing left, one page's section after the other: what one makes the next ones use. Only names
are put in: REGISTRY, NAMESPACE (of the operator) and POD.
"""

import os
import re
import textwrap

import pytest
import yaml

from cluster import images
from support import paths
from support.postgres import PASSWORDS
from support.process import run
from support.waiting import wait_for

# In the order in which somebody reads them; the last one takes everything away.
WALK = [("README.md", "A first manifest"), ("docs/getting-started.md", "On Kubernetes"),
        ("docs/operations.md", "On Kubernetes"), ("docs/operations.md", "Upgrading"),
        ("docs/operations.md", "The live page"), ("docs/operations.md", "The operator's CA"),
        ("docs/operations.md", "Alert: operator gone"), ("docs/operations.md", "Alert: certificate near its end"),
        ("docs/operations.md", "Uninstalling")]
INSTALLED = "dbproxy"  # the namespace that the pages install to
PRELUDE = """\
set -exuo pipefail
trap 'code=$?; jobs -p | xargs -r kill 2>/dev/null; wait; exit $code' EXIT
newest_pod() {
  kubectl -n shop get pods -l app=web --sort-by=.metadata.creationTimestamp -o 'jsonpath={.items[-1:].metadata.name}'
}
"""


def sections(page: str) -> dict[str, str]:
    """Script by heading, of those that have one."""
    out = {}
    for part in re.split(r"^##+ ", (paths.ROOT / page).read_text(), flags=re.M):
        blocks = re.findall(r"^ *```sh cluster\n(.*?)^ *```$", part, re.M | re.S)
        if blocks:
            out[part.split("\n")[0]] = "".join(textwrap.dedent(block) for block in blocks)
    return out


def test_every_section_is_walked():
    pages = ["README.md", *sorted(f"docs/{page.name}" for page in (paths.ROOT / "docs").glob("*.md"))]
    assert {(page, heading) for page in pages for heading in sections(page)} == set(WALK)


@pytest.fixture(scope="module")
def user(bare, tmp_path_factory):
    """Somebody with an application `web`, a registry with the release's image, and the programs in the PATH."""
    version = yaml.safe_load((paths.ROOT / "helm/dbproxy/Chart.yaml").read_text())["appVersion"]
    home = tmp_path_factory.mktemp("user")
    bare.kubernetes.load(images.dbproxy(home / "release.tar", f"{images.DBPROXY.rpartition(':')[0]}:{version}"))
    (home / "bin").mkdir()
    for program in (paths.KUBE_BIN / "kubectl", paths.KUBE_BIN / "helm", paths.release_binary("dbproxyctl")):
        (home / "bin" / program.name).symlink_to(program)
    (home / "helm").symlink_to(paths.ROOT / "helm")
    server = bare.database.writer
    environment = {
        "PATH": f"{home / 'bin'}:{os.environ['PATH']}", "HOME": str(home), "KUBECONFIG": str(bare.kubernetes.kubeconfig),
        "PORT": "5432", "DB_HOST": server.host, "DB_PORT": str(server.port), "DB_NAME": "orders", "DB_USER": "app",
        "DB_PASSWORD": PASSWORDS["app"], "DB_CA": str(bare.database.authority.certificate)}
    pod = bare.pod("web", proxy=None)
    del pod["metadata"]["name"], pod["metadata"]["namespace"]
    pod["spec"]["containers"][0]["name"] = "web"
    bare.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": bare.namespace},
                "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": pod}})

    def walk(script: str):
        script = script.replace("REGISTRY", images.DBPROXY.partition("/")[0]).replace("NAMESPACE", INSTALLED)
        script = script.replace("POD", "$(newest_pod)")
        done = run(["timeout", "--kill-after=5", "180", "bash", "-c", PRELUDE + script], check=False, cwd=home, timeout=200,
                   env=environment)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout
    # The manifests of the page's first part; orders.yaml is the DBProxy of them.
    first = re.search(r"^```sh run\n(mkdir.*?)^```$", (paths.ROOT / "docs/getting-started.md").read_text(), re.M | re.S)
    walk(first[1] + "sed '/^---$/,$d' shop/orders.yaml > orders.yaml\n")
    yield walk
    bare.kubectl("delete", "-n", bare.namespace, "deployment/web", "secret/orders-app", "configmap/database-ca", "--wait",
                 "--ignore-not-found")
    bare.kubectl("delete", "clusterrolebinding/dbproxy-watcher", "--ignore-not-found")
    bare.kubectl("wait", "-n", bare.namespace, "--for=delete", "pod", "-l", "app=web", "--timeout=60s")


@pytest.mark.parametrize(("page", "heading"), WALK, ids=lambda each: each.lower().replace(" ", "-").replace("/", "-"))
def test_as_a_new_user(bare, user, page, heading):
    said = user(sections(page)[heading])
    if page == "docs/getting-started.md":
        assert "42" in said and "dbproxy_queries_total" in said
        line = bare.kubectl("get", "dbproxies", "-n", bare.namespace, "--no-headers").stdout.split()
        assert line[:2] == ["orders", "POSTGRESQL"], line
        wait_for(lambda: bare.condition().get("status") == "True", 30, "it is Ready")
    if heading == "Uninstalling":
        wait_for(lambda: "dbproxies" not in bare.kubectl("api-resources", "--api-group=dbproxy.io").stdout, 30,
                 "the API server has forgotten the definitions", interval=0.5)
        bare.wait_left({"ClusterRoleBinding//dbproxy-watcher"})  # somebody's own, of the live page
