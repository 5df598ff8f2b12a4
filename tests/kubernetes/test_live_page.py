"""The operator's page on Kubernetes: off unless asked for, empty without a token, and nothing but a page with one."""

import http.client

from support import paths
from support.browser import Browser
from support.pages import request
from support.process import run
from support.waiting import wait_for

ARTEFACTS = paths.BUILD / "artefacts"
RBAC = "rbac.authorization.k8s.io/v1"


def viewer(api) -> str:
    """A token of someone who may see DBProxies, and nothing else."""
    account = {"kind": "ServiceAccount", "name": "viewer", "namespace": "shop"}
    api.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "viewer", "namespace": "shop"}},
              {"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": "viewer"},
               "rules": [{"apiGroups": ["dbproxy.io"], "resources": ["dbproxies"], "verbs": ["get"]}]},
              {"apiVersion": RBAC, "kind": "ClusterRoleBinding", "metadata": {"name": "viewer"}, "subjects": [account],
               "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "viewer"}})
    return api.account_token("shop", "viewer")


def status_with(operator, token: str) -> int:
    connection = http.client.HTTPConnection(operator.http, timeout=10)
    try:
        connection.request("GET", "/events", headers={"Authorization": f"Bearer {token}", "Connection": "close"})
        return connection.getresponse().status
    finally:
        connection.close()


def test_it_is_off_unless_asked_for(shop):
    operator = shop.operator()
    assert request(operator.http, "/")[0] == 404
    assert request(operator.http, "/events")[0] == 401


def test_a_token_shows_it(shop, testbed):
    operator = shop.operator(extra=["--live-page"])
    shop.apply()
    shop.sidecar(operator)
    shop.wait_condition("Ready", "True")
    token = viewer(shop.api)
    wait_for(lambda: status_with(operator, token) == 200, 30, "the API server knows the viewer")
    status, page = request(operator.http, "/")
    assert status == 200 and "shop" not in page, "without a token it says nothing of anybody"
    with Browser(testbed.subdirectory("chromium")) as browser:
        browser.open(f"http://{operator.http}/")
        browser.wait_text("a token is needed")
        assert browser.evaluate("document.activeElement.id") == "token"
        browser.type("nonsense")
        browser.press("Enter")
        browser.wait_text("does not take that token")
        browser.type(token)
        browser.press("Tab")
        browser.press("Enter")  # on the button
        browser.wait_text("shop/orders", "✓ ready", "1 sidecar", "shop/web-1", "✓ up to date")
        assert token not in browser.evaluate("document.documentElement.outerHTML + location.href + document.cookie")
        browser.screenshot(ARTEFACTS / "live-kubernetes.png")
        assert not browser.errors
    # The same in a terminal.
    file = testbed.directory / "viewer-token"
    file.write_text(token)
    shown = run([paths.binary("dbproxyctl"), "top", "--once", "--operator", operator.http, "--token-file", file]).stdout
    assert "shop/orders  ready" in shown and "shop/web-1" in shown
    # To look is all that it is good for.
    for order in ("pause", "resume", "reconnect"):
        assert request(operator.http, f"/api/v1/{order}?proxy=shop/orders", "POST")[0] == 401
    done = run([paths.binary("dbproxyctl"), "pause", "orders", "--operator", operator.http, "--token-file", file],
               check=False)
    assert done.returncode == 1 and "shop/orders is paused" not in done.stdout
