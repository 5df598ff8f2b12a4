"""Log-in and probe against real servers: each plugin, with TLS and without; who is writer; what goes wrong."""

import pytest
from support import mysql, paths
from support.certificates import Authority
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
