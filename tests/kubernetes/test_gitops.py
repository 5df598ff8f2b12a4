"""What tools that apply manifests from Git see of a DBProxy's health: Argo CD's rule as the documentation has it, and Ready."""

import re

import pytest

from shop import PATH
from support import paths
from support.manifests import endpoint
from support.ports import free_port
from support.process import run
from support.waiting import wait_for

RULE = re.search(r"^```lua\n(.*?)^```", (paths.ROOT / "docs/operations.md").read_text(), re.M | re.S)[1]
ENDPOINT = "/apis/dbproxy.io/v1alpha1/namespaces/shop/dbproxyendpoints/readers"


def in_lua(value) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"[{in_lua(name)}] = {in_lua(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ", ".join(in_lua(each) for each in value) + "}"
    if isinstance(value, str):
        return '"' + "".join(f"\\{byte:03d}" for byte in value.encode()) + '"'
    return {True: "true", False: "false", None: "nil"}.get(value, str(value)) if not isinstance(value, int) or isinstance(
        value, bool) else str(value)


def health(document) -> tuple[str, str]:
    """What Argo CD would show: its rules are functions of the object as `obj`."""
    program = (f"obj = {in_lua(document)}\nlocal function rule()\n{RULE}\nend\nlocal out = rule()\n"
               "print(out.status)\nprint(out.message)")
    status, message = run(["lua5.4", "-"], input=program).stdout.split("\n", 1)
    return status, message.strip()


def test_health_of_a_dbproxy_in_all_its_states(shop):
    def becomes(status, *words, path=PATH):
        def so():
            found = health(shop.api.get(path))
            return found[0] == status and all(word in found[1] for word in words)
        wait_for(so, 30, f"it is {status}")
    shop.apply()
    assert health(shop.api.get(PATH)) == ("Progressing", "the operator has not looked at it yet")
    operator = shop.operator()
    becomes("Healthy", "clients are served")
    shop.api.kubectl("wait", "-n", "shop", "dbp/orders", "--for=condition=Ready", "--timeout=20s")  # as kstatus judges it
    assert shop.status()["observedGeneration"] == shop.api.get(PATH)["metadata"]["generation"]
    shop.sidecar(operator)
    becomes("Healthy", "clients are served")
    shop.api.apply(endpoint("readers", "orders", free_port()))
    try:
        becomes("Healthy", path=ENDPOINT)
        shop.api.patch(ENDPOINT, {"spec": {"dbProxyName": "nobody"}})
        becomes("Degraded", "nobody", path=ENDPOINT)
    finally:
        shop.api.delete(ENDPOINT)
    good = shop.api.get(PATH)["spec"]
    shop.api.patch(PATH, {"spec": {"auth": [{"secretRef": {"name": "typo"}}]}})
    becomes("Degraded", "typo", "the last good version stays in force")
    assert shop.condition("Ready")[0] == "True", "clients are served all the same"
    shop.api.patch(PATH, {"spec": {"auth": good["auth"]}})
    becomes("Healthy")
    shop.api.patch(PATH, [{"op": "replace", "path": "/spec/targetGroups/0/dbCluster/instances", "value": [
        {"id": "writer", "endpoint": "127.0.0.1", "port": 9}]}], "json")
    becomes("Progressing", "none of them is the writer")


@pytest.mark.parametrize("conditions, status, message", [
    ([], "Progressing", "it is not ready"),
    ([{"type": "Programmed", "status": "False", "reason": "Rejected", "message": "web-1: the port is taken"},
      {"type": "Ready", "status": "False", "message": "see"}], "Degraded", "web-1: the port is taken"),
    ([{"type": "Programmed", "status": "Unknown", "reason": "NoSidecar", "message": "none"},
      {"type": "Ready", "status": "True", "message": "clients are served"}], "Healthy", "clients are served")])
def test_the_rule_itself(conditions, status, message):
    seen = {"observedGeneration": 2, "conditions": conditions}
    assert health({"metadata": {"generation": 2}, "status": seen}) == (status, message)
    assert health({"metadata": {"generation": 3}, "status": seen})[0] == "Progressing", "of another generation"
    assert health({"metadata": {"generation": 1}})[0] == "Progressing"
