"""A real Prometheus scrapes a real run: the dashboard's queries have answers, and PgBouncer's names are there."""

import json
import re

import pytest

from support import paths
from support.pages import get_json, request
from support.ports import free_port
from support.process import Process
from support.waiting import wait_for

DASHBOARD = paths.ROOT / "helm/dbproxy/files/dashboard.json"
CONFIG = """
global: {{scrape_interval: 500ms}}
scrape_configs:
- job_name: dbproxy
  static_configs: [{{targets: ["{sidecar}", "{operator}"]}}]
- job_name: pgbouncer
  params: {{format: [pgbouncer]}}
  static_configs: [{{targets: ["{sidecar}"]}}]
"""


class Prometheus:
    def __init__(self, directory, **where):
        directory.mkdir()
        (directory / "prometheus.yml").write_text(CONFIG.format(**where))
        self.address = f"127.0.0.1:{free_port()}"
        self.process = Process("prometheus", directory / "log").start(
            ["prometheus", f"--config.file={directory / 'prometheus.yml'}",
             f"--storage.tsdb.path={directory / 'data'}", f"--web.listen-address={self.address}"])

    def query(self, expression: str) -> list:
        status, body = request(self.address, "/api/v1/query?query=" + "".join(f"%{b:02X}" for b in expression.encode()))
        assert status == 200, body
        return json.loads(body)["data"]["result"]


@pytest.fixture
def prometheus(bed):
    bed.write()
    operator = bed.operator()
    sidecar = bed.sidecar_of(operator)
    server = Prometheus(bed.directory / "prometheus", sidecar=sidecar.admin, operator=operator.http)
    yield server
    server.process.stop()


def queries() -> list[str]:
    board = json.loads(DASHBOARD.read_text())
    found = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    return [re.sub(r"\$__rate_interval", "5s", each).replace("$proxy", ".*").replace("$pod", ".*") for each in found]


def test_every_query_of_the_dashboard_has_an_answer(bed, prometheus):
    clients = [bed.connect() for _ in range(3)]
    clients[0].execute("CREATE TEMP TABLE t (a int)")  # a pin
    wait_for(lambda: len(prometheus.query("up == 1")) == 3, what="Prometheus has scraped them all")

    def answered():
        for client in clients:
            client.execute("SELECT 1")
        # Nothing is wrong in this run: what counts only that may be empty.
        missing = [each for each in queries() if "== 0" not in each and not prometheus.query(each)]
        assert not missing, f"no answer to {missing}"
        return True
    wait_for(answered, timeout=30, what="answers to all queries")
    names = {row["metric"]["__name__"] for row in prometheus.query('{job="pgbouncer",__name__=~"pgbouncer_.*"}')}
    assert {"pgbouncer_up", "pgbouncer_pools_server_active_connections", "pgbouncer_stats_queries_pooled_total"} <= names
    health = get_json(prometheus.address, "/api/v1/targets")["data"]["activeTargets"]
    assert {each["health"] for each in health} == {"up"}, health
