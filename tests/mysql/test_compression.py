"""Clients that compress: zlib as real drivers do it, zstd by a client of the tests', since no server here has it."""

import MySQLdb
import pymysql
import pytest
from mysql import connector

from support.mysql import PASSWORDS

from bed import rows, value
from compressed import ZLIB, ZSTD, Compressed


def compressed(bed, algorithm, **options) -> Compressed:
    made = Compressed(algorithm, **{"host": "127.0.0.1", "port": bed.port, "user": "app", "password": PASSWORDS["app"],
                                    "database": "orders", "autocommit": True, "ssl_disabled": True, "read_timeout": 60,
                                    **options})
    bed.resources.callback(lambda: made.open and made.close())
    return made


@pytest.mark.parametrize("algorithm", [ZLIB, ZSTD], ids=["zlib", "zstd"])
def test_small_and_large_both_ways(bed, algorithm):
    bed.sidecar(limit=5)
    client = compressed(bed, algorithm)
    assert value(client, "SELECT 1") == 1
    rows(client, "DROP TABLE IF EXISTS packed")
    rows(client, "CREATE TABLE packed (n INT PRIMARY KEY, data LONGTEXT)")
    large = "a line that comes again and again, " * 490_000  # over the 16 MB of one packet
    rows(client, "INSERT INTO packed VALUES (1, %s), (2, 'x')", large)
    assert value(client, "SELECT data FROM packed WHERE n = 1") == large
    assert rows(client, "SELECT n FROM packed ORDER BY n") == ((1,), (2,))
    assert client.shrunk and client.expanded
    with pytest.raises(pymysql.err.OperationalError, match="1305"):
        rows(client, "SELECT no_such_function('" + "x" * 1000 + "')")
    client.autocommit(False)
    rows(client, "UPDATE packed SET data = 'changed' WHERE n = 2")
    client.rollback()
    assert value(client, "SELECT data FROM packed WHERE n = 2") == "x"
    # Beside clients that do not, on the same server connections.
    assert value(bed.connect(), "SELECT COUNT(*) FROM packed") == 2


@pytest.mark.parametrize("algorithm", [ZLIB, ZSTD], ids=["zlib", "zstd"])
def test_under_tls(bed, algorithm):
    bed.sidecar(limit=5)
    client = compressed(bed, algorithm, ssl_disabled=False, ssl={"check_hostname": False})
    assert value(client, "SELECT REPEAT('ab', 10000)") == "ab" * 10000
    assert client.expanded


def test_a_level_that_zstd_does_not_have(bed):
    bed.sidecar(limit=5)
    for level in (0, 23):
        with pytest.raises(pymysql.err.OperationalError, match="levels 1 to 22"):
            compressed(bed, ZSTD, level=level)
    assert value(compressed(bed, ZSTD, level=22), "SELECT 1") == 1


def test_real_clients(bed):
    """Two drivers and the command line, each with what it calls compression."""
    bed.sidecar(limit=5)
    options = {"host": "127.0.0.1", "port": bed.port, "user": "app", "password": PASSWORDS["app"], "database": "orders"}
    text = "SELECT REPEAT('ab', 100000)"
    pure = connector.connect(**options, compress=True, use_pure=True, ssl_disabled=True)
    bed.resources.callback(pure.close)
    cursor = pure.cursor()
    cursor.execute(text)
    assert cursor.fetchone()[0] == "ab" * 100_000
    native = MySQLdb.connect(host="127.0.0.1", port=bed.port, user="app", password=PASSWORDS["app"], database="orders",
                             compress=True)
    bed.resources.callback(native.close)
    cursor = native.cursor()
    cursor.execute(text)
    assert cursor.fetchone()[0] == "ab" * 100_000
    native.change_user("app", PASSWORDS["app"], "billing")
    cursor.execute("SELECT DATABASE()")
    assert cursor.fetchone() == ("billing",)
    assert bed.command_line(text, extra=("--compress",)).stdout.strip() == "ab" * 100_000


def test_a_client_that_lies(bed):
    """It is let go, and others do not notice."""
    sidecar = bed.sidecar(limit=5)
    client, other = compressed(bed, ZLIB), bed.connect()
    assert value(client, "SELECT 1") == 1
    client._sock._sock.sendall(b"\x05\0\0\0\xff\xff\xff" + b"trash")
    assert client._sock._file.read(1) == b""
    assert value(other, "SELECT 2") == 2
    assert sidecar.process.alive()
