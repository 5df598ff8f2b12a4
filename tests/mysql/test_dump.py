"""A database with all that a dump has: dumped and restored through a sidecar, byte for byte as the server alone gives it."""

import re
import threading

import pytest

from support import mysql, paths
from support.mysql import PASSWORDS
from support.process import run

from bed import rows, value

# Whatever --opt does not say by itself. Without a transaction tables are locked.
WAYS = {"locked": (), "snapshot": ("--single-transaction",),
        "row-by-row": ("--single-transaction", "--skip-extended-insert", "--complete-insert", "--order-by-primary",
                       "--hex-blob", "--quick")}
LARGE = 17_000_000  # of all kinds of bytes: more than a packet
SCHEMA = """
CREATE TABLE makers (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(60) CHARACTER SET latin1 NOT NULL, UNIQUE (name));
CREATE TABLE things (
  id BIGINT AUTO_INCREMENT PRIMARY KEY, maker INT, word VARCHAR(100) COLLATE utf8mb4_bin DEFAULT 'it''s', price DECIMAL(12, 3),
  at DATETIME(6), seen TIMESTAMP NULL, flags BIT(9), kind ENUM('a', 'b,c', 'd''e'), some SET('x', 'y'), ratio DOUBLE,
  data LONGBLOB, FOREIGN KEY (maker) REFERENCES makers (id) ON DELETE CASCADE,
  KEY (word, price)) COMMENT 'a comment; with \\\\ and ''quotes''';
CREATE TABLE changes (n INT AUTO_INCREMENT PRIMARY KEY, what TEXT);
CREATE TABLE accounts (id INT PRIMARY KEY, amount INT NOT NULL);
INSERT INTO accounts VALUES (1, 500), (2, 500);
CREATE VIEW dear AS SELECT id, word, price FROM things WHERE price > 10;
CREATE VIEW dearest AS SELECT MAX(price) AS price FROM dear;
DELIMITER //
CREATE TRIGGER noted AFTER INSERT ON things FOR EACH ROW BEGIN INSERT INTO changes (what) VALUES (CONCAT('made ', NEW.id)); END//
CREATE TRIGGER priced BEFORE UPDATE ON things FOR EACH ROW SET NEW.price = ROUND(NEW.price, 1)//
CREATE FUNCTION half(n DECIMAL(12, 3)) RETURNS DECIMAL(12, 3) DETERMINISTIC RETURN n / 2//
CREATE PROCEDURE raise_prices(IN factor DECIMAL(5, 2), OUT many INT)
BEGIN
  DECLARE CONTINUE HANDLER FOR SQLEXCEPTION SET many = -1;
  UPDATE things SET price = price * factor WHERE price IS NOT NULL; -- a comment; with a semicolon
  SET many = ROW_COUNT();
END//
DELIMITER ;
SET time_zone = '+02:00';
INSERT INTO makers (name) VALUES ('Müller & Söhne'), ('O''Hara');
INSERT INTO things (maker, word, price, at, seen, flags, kind, some, ratio) VALUES
  (1, 'naïve ☃ 𝄞', 12.345, '2026-01-02 03:04:05.678901', '2026-03-29 03:30:00', b'101', 'b,c', 'x,y', 1e-7),
  (2, 'tab\\tnew line\\nnul\\0quote\\'back\\\\slash\\Z', -0.5, NULL, NULL, NULL, 'd''e', '', -1.7976931348623157e308),
  (NULL, '', NULL, '1000-01-01', '1970-01-01 02:00:01', b'111111111', NULL, NULL, 0);
"""
# Generated columns: what this program writes of MySQL's cannot be restored anywhere.
MARIADB_ONLY = """
CREATE SEQUENCE numbers START WITH 7 INCREMENT BY 3; SELECT NEXT VALUE FOR numbers;
ALTER TABLE things ADD doubled DECIMAL(14, 3) AS (price * 2) STORED AFTER price;
"""


@pytest.fixture
def filled(bed):
    """Two server connections, and the database made through them."""
    for name in ("orders", "billing"):
        bed.writer.sql(f"DROP DATABASE {name}; CREATE DATABASE {name}")
    bed.sidecar(limit=4)
    bed.command_line(SCHEMA + (MARIADB_ONLY if bed.cluster.version == mysql.MARIADB else ""),
                     extra=("--default-character-set=utf8mb4",))
    client = bed.connect(read_timeout=300)
    rows(client, f"INSERT INTO things (word, data) VALUES ('large', REPEAT(%s, {LARGE // 256})), ('small', %s)",
         bytes(range(256)), bytes(range(255, -1, -1)))
    for step in range(8):
        rows(client, "INSERT INTO things (maker, word, price) SELECT maker, CONCAT(LEFT(word, 50), %s), price FROM things "
             "WHERE data IS NULL", str(step))
    assert value(client, "SELECT COUNT(*) FROM changes") == value(client, "SELECT COUNT(*) FROM things") == 2 + 3 * 256
    client.close()
    yield bed
    for name in ("orders", "billing"):
        bed.writer.sql(f"DROP DATABASE {name}; CREATE DATABASE {name}")


def arguments(bed, program, port: int) -> list:
    return [program, "--no-defaults", "--ssl", "-h", "127.0.0.1", "-P", str(port), "-u", "app",
            f"-p{PASSWORDS['app']}", "--max-allowed-packet=64M", "--default-character-set=utf8mb4"]


def dump(bed, port: int, *options, database="orders") -> bytes:
    """With the comments, but not the time."""
    made = bed.directory / "dump.sql"
    run([*arguments(bed, paths.MARIADB_DUMP, port), "--routines", "--triggers", "--skip-dump-date", f"--result-file={made}",
         *options, database], timeout=300)
    return made.read_bytes()


def restore(bed, text: bytes, database: str):
    made = bed.directory / "restore.sql"
    made.write_bytes(text)
    run([*arguments(bed, paths.MARIADB_CLIENT, bed.port), "--abort-source-on-error", "-e", f"source {made}", database], timeout=300)


def test_dumps_are_what_the_server_alone_gives_and_can_be_restored(filled):
    direct = {name: dump(filled, filled.writer.port, *options) for name, options in WAYS.items()}
    through = {name: dump(filled, filled.port, *options) for name, options in WAYS.items()}
    for name in WAYS:
        assert len(direct[name]) > LARGE
        for part in (b"raise_prices", b"FUNCTION `half`", b"noted", b"VIEW `dearest`", b"`makers`"):
            assert part in direct[name], f"{name}: {part!r} is missing"
        check_same(through[name], direct[name])
    restore(filled, through["snapshot"], "billing")
    assert value(filled.connect(database="billing"), "SELECT half(12.5)") == 6.25
    for port in (filled.port, filled.writer.port):
        # A comment and ALTER DATABASE have its name.
        again = dump(filled, port, "--single-transaction", database="billing").replace(b"billing", b"orders")
        check_same(again, direct["snapshot"])


def test_a_snapshot_is_one_while_others_write(filled):
    """They move amounts between two rows over the same connections: whenever it is taken, the sum is the same."""
    stop, moved, wrong = threading.Event(), [], []

    def move():
        client = filled.connect(autocommit=False)
        try:
            while not stop.is_set():
                rows(client, "UPDATE accounts SET amount = amount - 1 WHERE id = 1")
                rows(client, "UPDATE accounts SET amount = amount + 1 WHERE id = 2")
                client.commit()
                moved.append(1)
        except Exception as error:  # whatever it is, the test shows it
            wrong.append(error)
    mover = threading.Thread(target=move)
    mover.start()
    try:
        for _ in range(3):
            before = len(moved)
            text = dump(filled, filled.port, "--single-transaction", "--ignore-table=orders.things")
            first, second = re.search(rb"INSERT INTO `accounts` VALUES\s*\(1,(-?\d+)\),\s*\(2,(-?\d+)\)", text).groups()
            assert int(first) + int(second) == 1000
            assert len(moved) > before, "nobody wrote while it ran"
    finally:
        stop.set()
        mover.join()
    assert not wrong


def check_same(one: bytes, other: bytes):
    """Not by assert, which would show all of it."""
    if one != other:
        for number, (left, right) in enumerate(zip(one.splitlines(), other.splitlines())):
            if left != right:
                raise AssertionError(f"line {number}: {left[:300]!r}, {right[:300]!r}")
        raise AssertionError(f"{len(one)} and {len(other)} bytes")
