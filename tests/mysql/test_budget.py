"""The connection budget on MySQL: what a sidecar that is killed leaves, and who gives way to whom."""

import contextlib
import threading

import pymysql
from support.budget import Sampler
from support.waiting import wait_for

from bed import rows, value

LIMIT = 3


def watch(bed) -> Sampler:
    """How many sessions the user has besides those that ask."""
    return Sampler(lambda: bed.writer.sessions("app", "DB = 'orders'"))


def test_a_killed_sidecar_comes_up_with_what_it_had_while_the_operator_is_away(bed):
    """All slots are in use, one of them by a statement that runs for longer than anybody waits."""
    operator, sidecar = bed.operator(limit=LIMIT * 100 // 60, state=True)
    limit = max(row["limit"] for row in sidecar.json("targets"))
    with watch(bed) as seen:
        clients = [bed.connect() for _ in range(limit)]
        for client in clients:
            rows(client, "BEGIN")
            rows(client, "SELECT 1")
        clients[0]._execute_command(3, "SELECT SLEEP(600)")
        sleeps = "INFO LIKE 'SELECT SLEEP(600)%'"
        wait_for(lambda: bed.writer.sessions("app", sleeps) == 1, 30, "a statement runs")
        operator.kill()
        sidecar.kill()
        sidecar.start()
        for client in [bed.connect() for _ in range(limit)]:
            rows(client, "BEGIN")
            assert value(client, "SELECT 1") == 1
        assert bed.writer.sessions("app", sleeps) == 0
    assert seen.most == limit


def test_grants_leave_the_servers_last_free_connections(bed):
    """Others have half of the sixty; ninety percent of all are more than is left."""
    operator, _ = bed.operator(limit=90, pool={"connectionBorrowTimeoutSeconds": 300})

    def shown(name: str, **labels) -> float:
        return operator.metrics().sum(f"dbproxy_operator_{name}", **labels)

    with contextlib.ExitStack() as foreign:
        for number in range(30):
            foreign.enter_context(bed.connect(("app", "native")[number % 2], host=bed.writer.host,
                                              port=bed.writer.port))
        wait_for(lambda: shown("other_sessions", target=bed.writer.name) >= 30, 30, "they are counted")
        with Sampler(lambda: int(bed.writer.sql("SHOW GLOBAL STATUS LIKE 'Threads_connected'").split()[1])) as seen:
            clients = [bed.connect() for _ in range(50)]
            for client in clients:
                client._execute_command(3, "SELECT SLEEP(600)")
            wait_for(lambda: shown("slots_granted") >= 22, 30, "most of what is free is leased")
            for _ in range(20):  # whoever else comes gets in
                bed.connect("native", host=bed.writer.host, port=bed.writer.port).close()
            foreign.close()
            wait_for(lambda: shown("slots_granted") >= 50, 30, "with the others gone there is more")
    for client in clients:
        client._force_close()
    # Until the sidecar has ended what ran for them, its own words to the server may take the last connections.
    wait_for(lambda: not bed.writer.end_sessions("app"), 30, "they are ended")
    assert seen.most <= 60


def test_an_idle_transaction_gives_way_to_who_waits(bed):
    """One sidecar has all but the other one's floor, in transactions that do nothing; the other one wants its half."""
    _, sidecar = bed.operator(limit=7, pool={"giveBackTimeoutSeconds": 1})  # 4 connections
    with watch(bed) as seen:
        holders = [bed.connect() for _ in range(3)]
        for client in holders:
            rows(client, "BEGIN")
            rows(client, "SELECT 1")
        bed.other_sidecar()
        others = [bed.connect(host="127.0.0.2") for _ in range(4)]
        waits = [threading.Thread(target=rows, args=(client, "SELECT SLEEP(2)")) for client in others]
        for thread in waits:
            thread.start()
        for thread in waits:
            thread.join(60)
        ended = 0
        for client in holders:
            try:
                rows(client, "COMMIT")
            except pymysql.err.MySQLError:
                ended += 1
    assert ended == 1 and seen.most <= 4
    assert sidecar.metrics().sum("dbproxy_time_limits_total", limit="give_back") == 1
