"""Clients that compress: by MySQL's own library, by drivers, and by a client of the tests' that counts and lies."""

import json
import sys
from pathlib import Path

import MySQLdb
import pymysql
import pytest
from mysql import connector

from support.mysql import PASSWORDS
from support.process import run

from bed import rows, value
from compressed import ZLIB, ZSTD, Compressed
from recorder import Recorder

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# Version 9 of the library has no mysql_native_password, which is what clients are asked for before MariaDB.
SHA2 = {"app": {"clientPasswordAuthType": "MYSQL_CACHING_SHA2_PASSWORD"}}


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


def by_library(port: int, algorithms: str, statements: list, level: int = 3, tls: bool = False) -> list:
    options = {"port": port, "user": "app", "password": PASSWORDS["app"], "database": "orders", "algorithms": algorithms,
               "level": level, "tls": tls}
    program = Path(__file__).resolve().parent / "mysql_library.py"
    return json.loads(run([sys.executable, "-B", program], input=json.dumps([options, statements]), timeout=120).stdout)


@pytest.mark.parametrize("offered, flag", [("zstd", ZSTD), ("zlib", ZLIB), ("zstd,uncompressed", ZSTD), ("zlib,zstd", None),
                                           ("uncompressed", 0)])
def test_mysqls_own_library(bed, offered, flag):
    """What it asks for is in the flags of its log-in, and what it gets is in the bytes."""
    bed.sidecar(limit=5, auth=SHA2)
    seen = Recorder(bed.port)
    bed.resources.callback(seen.close)
    large = "a line that comes again and again, " * 20_000
    one, _, _, _, selected, error, count = by_library(seen.port, offered, [
        "SELECT 1, 'x'", "DROP TABLE IF EXISTS packed", "CREATE TABLE packed (n INT PRIMARY KEY, data LONGTEXT)",
        f"INSERT INTO packed VALUES (1, '{large}')", "SELECT data FROM packed", "SELECT * FROM no_such_table",
        "SELECT COUNT(*) FROM packed"])
    assert one == [["1", "x"]] and selected == [[large]] and "doesn't exist" in error and count == [["1"]]
    asked = int.from_bytes(seen.sent[4:8], "little") & (ZLIB | ZSTD)
    assert asked == (ZLIB | ZSTD if flag is None else flag)
    for way in (seen.sent, seen.received):
        assert (ZSTD_MAGIC in way) == (flag == ZSTD)
        assert (len(way) < len(large) // 10) == (flag != 0)


def test_mysqls_own_library_under_tls(bed):
    bed.sidecar(limit=5, auth=SHA2)
    assert by_library(bed.port, "zstd", ["SELECT REPEAT('ab', 100000)"], level=19, tls=True) == [[["ab" * 100_000]]]


def test_a_client_that_lies(bed):
    """It is let go, and others do not notice."""
    sidecar = bed.sidecar(limit=5)
    client, other = compressed(bed, ZLIB), bed.connect()
    assert value(client, "SELECT 1") == 1
    client._sock._sock.sendall(b"\x05\0\0\0\xff\xff\xff" + b"trash")
    assert client._sock._file.read(1) == b""
    assert value(other, "SELECT 2") == 2
    assert sidecar.process.alive()
