"""Log-in and probe against real servers: each plugin, with TLS and without; who is writer; what goes wrong."""

import pytest
from support import mysql, paths
from support.certificates import Authority
from support.fault_proxy import FaultProxy
from support.ports import free_port
from support.process import run
from support.waiting import wait_for


def probe(server, user="app", password=None, mode="verify-full", port=None, ca=None) -> dict:
    ca = [ca or server.cluster.authority.certificate] if mode.startswith("verify") else []
    done = run([paths.binary("mysql-probe"), server.host, port or server.port, user, mode, *ca],
               input=mysql.PASSWORDS[user] if password is None else password)
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def users(cluster):
    return list(mysql.PASSWORDS) if cluster.version == mysql.MYSQL else ["app", "native", "limited"]


@pytest.mark.parametrize("mode", ["disable", "require", "verify-full"])
def test_every_plugin(cluster, mode):
    for user in users(cluster):
        if cluster.version == mysql.MYSQL:
            cluster.writer.sql("FLUSH PRIVILEGES")  # forgets what caching_sha2_password has cached: the full exchange
        for _ in range(2):  # and then the fast one
            seen = probe(cluster.writer, user, mode=mode)
            assert seen["ok"] == "1", (user, seen)
            assert seen["version"] == cluster.writer.sql("SELECT version()")


def test_who_is_writer(cluster):
    writer, replica = probe(cluster.writer), probe(cluster.replicas[0])
    assert (writer["read_only"], replica["read_only"]) == ("0", "1")
    assert writer["max_connections"] == replica["max_connections"] == "60"
    assert float(replica["lag"]) == 0


def test_lag_is_told_to_those_who_may_ask(cluster):
    replica = cluster.replicas[0]
    cluster.writer.sql("CREATE USER watcher@'%' IDENTIFIED BY 'watcher-secret'; GRANT REPLICATION CLIENT, SUPER "
                       "ON *.* TO watcher@'%'" + ("" if cluster.version == mysql.MYSQL else
                                                  "; GRANT SLAVE MONITOR ON *.* TO watcher@'%'"))
    cluster.wait_caught_up()
    replica.sql("STOP SLAVE; CHANGE MASTER TO MASTER_DELAY=3600; START SLAVE")
    try:
        cluster.writer.sql("CREATE TABLE orders.late(a INT)")
        wait_for(lambda: float(probe(replica, "watcher", "watcher-secret")["lag"]) >= 1, 30, "the replica lags")
    finally:
        replica.sql("STOP SLAVE; CHANGE MASTER TO MASTER_DELAY=0; START SLAVE")
        cluster.writer.sql("DROP TABLE orders.late; DROP USER watcher@'%'")
        cluster.wait_caught_up()


# A schema and a variable that there are, in the place of those that only Aurora has and nobody can make elsewhere.
AURORA = {b"information_schema.": b"aurora_stand_in_db.", b"'aurora_server_id'": b"'binlog_row_image'"}


@pytest.fixture
def aurora(cluster):
    cluster.writer.sql("""
        CREATE DATABASE aurora_stand_in_db;
        CREATE TABLE aurora_stand_in_db.replica_host_status (SERVER_ID varchar(100), SESSION_ID varchar(100),
          CPU double, LAST_UPDATE_TIMESTAMP datetime(6), REPLICA_LAG_IN_MILLISECONDS double, IS_CURRENT tinyint);
        GRANT SELECT ON aurora_stand_in_db.* TO app@'%'""")
    yield cluster.writer
    cluster.writer.sql("DROP DATABASE aurora_stand_in_db; REVOKE SELECT ON aurora_stand_in_db.* FROM app@'%'")
    cluster.wait_caught_up()


@pytest.mark.parametrize("zone", ["+00:00", "-07:00", "+05:30"])
def test_aurora_is_asked_for_its_members_as_it_understands(aurora, zone):
    aurora.sql(f"""
        SET GLOBAL time_zone = '{zone}'; SET time_zone = '{zone}';
        INSERT INTO aurora_stand_in_db.replica_host_status VALUES
          ('orders-1', 'MASTER_SESSION_ID', 3.5, now(6), 0, 1),
          ('orders-2', 'a1b2c3d4-0000-1111-2222-333344445555', 1.5, now(6), 18.5, 1),
          ('orders-gone', 'MASTER_SESSION_ID', NULL, now(6) - INTERVAL 200 SECOND, 0, 0)""")
    try:
        with FaultProxy(aurora.host, aurora.port) as between:
            between.exchanged = AURORA
            seen = probe(aurora, mode="disable", port=between.port)
    finally:
        aurora.sql("SET GLOBAL time_zone = '+00:00'")
    assert (seen["ok"], seen["detail"]) == ("1", ""), seen
    told = {name.split()[1]: tuple(map(float, value.split())) for name, value in seen.items() if name.startswith("member ")}
    assert set(told) == {"orders-1", "orders-2", "orders-gone"}
    assert (told["orders-1"][0], told["orders-1"][2]) == (1, 0) and told["orders-1"][1] < 60
    assert told["orders-2"][0] == 0 and told["orders-2"][2] == 0.0185
    assert told["orders-gone"][0] == 1 and told["orders-gone"][1] >= 200


def test_who_may_not_ask_aurora_is_told_so_and_the_rest_counts(cluster):
    with FaultProxy(cluster.writer.host, cluster.writer.port) as between:
        between.exchanged = AURORA
        seen = probe(cluster.writer, mode="disable", port=between.port)
    assert (seen["ok"], seen["read_only"]) == ("1", "0"), seen
    assert "it did not say who is in the cluster" in seen["detail"], seen


def test_refusals(cluster):
    wrong = probe(cluster.writer, password="wrong")
    assert (wrong["ok"], wrong["reason"], wrong["sqlstate"]) == ("0", "AUTH_FAILURE", "28000"), wrong
    nobody = probe(cluster.writer, port=free_port("127.0.0.1"))
    assert (nobody["ok"], nobody["reason"]) == ("0", "UNREACHABLE"), nobody


def test_certificates_are_verified(cluster, tmp_path):
    strangers = Authority(tmp_path, "another CA")
    other = probe(cluster.writer, ca=strangers.certificate)
    assert (other["ok"], other["reason"]) == ("0", "CONNECTION_FAILED"), other
    assert "certificate" in other["detail"], other
