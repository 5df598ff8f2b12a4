"""One kube-apiserver for all tests of a file."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import paths  # noqa: E402
from support.kube_apiserver import KubeApiserver  # noqa: E402
from support.kube_operator import install_rights  # noqa: E402
from support.testbed import Testbed  # noqa: E402
from support.waiting import wait_for  # noqa: E402

from shop import Shop  # noqa: E402


@pytest.fixture(scope="module")
def testbed():
    with Testbed("kube") as testbed:
        yield testbed


@pytest.fixture(scope="module")
def api(testbed):
    with KubeApiserver(testbed.subdirectory("api")) as api:
        yield api


@pytest.fixture(scope="module")
def crds(api):
    """The API server with both resources served, and the namespace `shop`."""
    api.apply(*sorted((paths.ROOT / "crds").glob("*.yaml")))
    wait_for(lambda: len(api.get("/apis/dbproxy.io/v1alpha1")["resources"]) >= 4, 30, "the resources are served")
    api.namespace("shop")
    return api


@pytest.fixture(scope="module")
def cluster(testbed):
    return testbed.cluster(version=15, replicas=1)


@pytest.fixture(scope="module")
def rights(crds):
    install_rights(crds)
    return crds


@pytest.fixture
def shop(request, rights, testbed, cluster):
    shop = Shop(rights, testbed, cluster)
    failures = request.session.testsfailed
    yield shop
    shop.close(request.session.testsfailed > failures or getattr(request.node, "rep_failed", False))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    item.rep_failed = getattr(item, "rep_failed", False) or report.failed
    return report
