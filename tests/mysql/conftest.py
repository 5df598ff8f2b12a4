"""A cluster of each server for the whole run: a writer and a replica."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
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
