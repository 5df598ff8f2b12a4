"""A cluster of each server for the whole run: a writer and a replica."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bed import Bed  # noqa: E402
from support import mysql  # noqa: E402
from support.testbed import Testbed  # noqa: E402


@pytest.fixture(scope="session")
def testbed():
    with Testbed("my") as bed:
        yield bed


@pytest.fixture(scope="session", params=[mysql.MYSQL, mysql.MARIADB])
def cluster(request, testbed):
    cluster = testbed.mysql_cluster(version=request.param, replicas=1)
    yield cluster
    cluster.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call":
        item.failed = report.failed
    return report


@pytest.fixture
def bed(request, testbed, cluster):
    bed = Bed(cluster, testbed.subdirectory(f"t{len(list(testbed.directory.iterdir()))}"))
    yield bed
    bed.close(getattr(request.node, "failed", True))
