"""/metrics of both programs: well-formed, complete, true."""

import threading

import pytest

from support.pages import get, request
from support.process import run
from support.waiting import wait_for


def promtool(text: str):
    done = run(["promtool", "check", "metrics"], input=text, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_is_content(bed):
    bed.write(users=("app", "legacy"), read_only=True, tags={"team": "shop", "cost-centre": 'a "quoted" one'})
    operator = bed.operator()
    sidecar = bed.sidecar_of(operator)
    for _ in range(3):
        bed.connect().execute("SELECT 1")
    bed.connect().execute("SET work_mem = '5MB'")
    assert sidecar.metrics().sum("dbproxy_config_version") >= 1 and sidecar.metrics().has("dbproxy_config_nacks_total")
    promtool(sidecar.metrics().text)
    promtool(operator.metrics().text)


def test_what_has_to_be_there(bed):
    sidecar = bed.sidecar(tags={"team": "shop"})
    client = bed.connect()
    for _ in range(10):
        client.execute("SELECT 1")

    def counted():
        metrics = sidecar.metrics()
        return metrics.sum("dbproxy_queries_total") >= 10 and metrics
    metrics = wait_for(counted, what="ten queries are counted")
    for name in ("dbproxy_client_connections", "dbproxy_server_connections", "dbproxy_server_connections_limit",
                 "dbproxy_longest_wait_seconds", "dbproxy_borrow_seconds_count", "dbproxy_query_seconds_count",
                 "dbproxy_transactions_total", "dbproxy_queries_total", "dbproxy_logins_total", "dbproxy_pins_total",
                 "dbproxy_client_received_bytes_total", "dbproxy_server_sent_bytes_total",
                 "dbproxy_build_info", "dbproxy_proxy_info"):
        assert metrics.has(name), f"{name} is missing\n{metrics.text}"
    wait_for(lambda: sidecar.metrics().sum("dbproxy_client_connections") == 1, what="the client is counted")
    wait_for(lambda: sidecar.metrics().sum("dbproxy_server_connections_limit", target="writer") == 20, what="the limit")
    assert metrics.sum("dbproxy_borrow_seconds_count") >= 1 and metrics.sum("dbproxy_query_seconds_count") >= 10
    assert metrics.sum("dbproxy_logins_total", result="success") == 1
    assert metrics.sum("dbproxy_server_connections") <= metrics.sum("dbproxy_server_connections_limit")
    assert 'tag_team="shop"' in metrics.text


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/startupz"])
def test_probes(bed, path):
    sidecar = bed.sidecar()
    assert request(sidecar.admin, path)[0] == 200


def test_unknown_pages(bed):
    sidecar = bed.sidecar()
    assert request(sidecar.admin, "/no-such-page")[0] == 404
    assert request(sidecar.admin, "/drain")[0] == 405
    assert request(sidecar.admin, "/metrics", "POST")[0] == 405
    assert get(sidecar.admin, "/metrics")


def test_waiting_is_time_of_the_query_and_not_of_the_server(bed):
    """And a query under TLS is counted as one."""
    sidecar = bed.sidecar(limit=1)
    holder, waiter = bed.connect(autocommit=False), bed.connect(sslmode="require")
    holder.execute("SELECT 1")
    answer = threading.Thread(target=waiter.execute, args=("SELECT 2",))
    answer.start()
    wait_for(lambda: sidecar.metrics().sum("dbproxy_longest_wait_seconds") > 0.5, 30, "it waits")
    before = sidecar.metrics()
    holder.rollback()
    answer.join(30)
    wait_for(lambda: sidecar.metrics().sum("dbproxy_queries_tls_total") == 1, 30, "it is counted")
    after = sidecar.metrics()

    def took(name: str) -> float:
        return after.sum(f"{name}_sum") - before.sum(f"{name}_sum")
    assert took("dbproxy_query_seconds") > 0.5
    assert took("dbproxy_server_query_seconds") < took("dbproxy_query_seconds") - 0.4
    assert after.sum("dbproxy_queries_total") - before.sum("dbproxy_queries_total") == 2


def test_a_scrape_is_small_however_many_clients_there_are(bed):
    """No label grows with clients. What a scrape takes is measured by bench/."""
    sidecar = bed.sidecar(limit=20)
    clients = [bed.raw_session() for _ in range(1000)]
    for client in clients[::20]:
        client.query("SELECT 1")
    wait_for(lambda: sidecar.metrics().sum("dbproxy_client_connections") == 1000, 60, "all clients are counted")
    for query in ("", "?format=pgbouncer"):
        assert len(get(sidecar.admin, f"/metrics{query}")) < 100 * 1024, query
