"""Many clients on few connections; dumps and restores through the sidecar."""

import difflib
import threading

from support import paths
from support.process import run

from bed import rows, value
from prepared import PreparedClient

CLIENTS, CONNECTIONS, ROUNDS = 500, 10, 4


def test_five_hundred_clients_with_prepared_statements_on_ten_connections(bed):
    """As Connector/J with useServerPrepStmts and Go's driver do it: no pin, and each gets its own rows."""
    straight = bed.connect(port=bed.writer.port)
    rows(straight, "DROP TABLE IF EXISTS owned")
    rows(straight, "CREATE TABLE owned (id INT PRIMARY KEY, owner VARCHAR(20))")
    rows(straight, "INSERT INTO owned VALUES " + ",".join(f"({n}, 'owner {n}')" for n in range(CLIENTS)))
    sidecar = bed.sidecar(limit=CONNECTIONS * 100 // 60 + 1, pool={"connectionBorrowTimeoutSeconds": 120})
    clients = [PreparedClient(bed.connect(read_timeout=120)) for _ in range(CLIENTS)]
    wrong, most = [], []

    def work(mine):
        try:
            for number in mine:  # each has statements of its own: 20 different texts, with types sent once
                clients[number].prepare("owner", f"SELECT owner, {number % 20} FROM owned WHERE id = ?")
                clients[number].prepare("sum", "SELECT CONCAT(?, 'x')")
            for step in range(ROUNDS):
                for number in mine:
                    found = clients[number].execute("owner", str(number))
                    if found != [f"owner {number}".encode()]:
                        wrong.append((number, found))
                    found = clients[number].execute("sum", f"{number}-{step}")
                    if found != [f"{number}-{step}x".encode()]:
                        wrong.append((number, found))
        except Exception as error:  # noqa: BLE001
            wrong.append(error)
    threads = [threading.Thread(target=work, args=(range(first, CLIENTS, 25),)) for first in range(25)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        most.append(bed.writer.sessions("app"))
        threads[0].join(0.2)
        for thread in threads[1:]:
            thread.join(0.02)
    assert not wrong, wrong[:5]
    metrics = sidecar.metrics()
    assert metrics.sum("dbproxy_pins_total") == 0
    assert metrics.sum("dbproxy_client_connections") == CLIENTS
    assert max(most) <= CONNECTIONS + 3, most  # the straight one, and what asks who is writer


DUMPED = (
    "CREATE TABLE people (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50), photo BLOB, born DATE, KEY (name))",
    "CREATE TABLE letters (id INT PRIMARY KEY, person INT, body LONGTEXT, "
    "FOREIGN KEY (person) REFERENCES people (id))",
    "CREATE VIEW named AS SELECT id, name FROM people WHERE name IS NOT NULL",
    "CREATE TRIGGER shout BEFORE INSERT ON people FOR EACH ROW SET NEW.name = UPPER(NEW.name)",
    "CREATE FUNCTION twice(n INT) RETURNS INT NO SQL RETURN 2 * n",
    "CREATE PROCEDURE both_of(IN n INT) BEGIN SELECT n; SELECT twice(n); END",
    "INSERT INTO people (name, photo, born) VALUES ('å☃', x'00ff27225c0d0a', '2001-02-03'), (NULL, NULL, NULL)",
    "INSERT INTO people (name, photo) SELECT CONCAT('n', a.id, b.id), REPEAT(x'5c00', 500) FROM people a, people b",
    "INSERT INTO people (name, photo) SELECT CONCAT('n', a.id, b.id), REPEAT(x'275c', 50) FROM people a, people b",
    "INSERT INTO letters SELECT id, id, REPEAT(name, 20000) FROM people WHERE name IS NOT NULL",
)


def dump(port: int, database: str, *options) -> str:
    argv = ["/usr/bin/mariadb-dump", "--no-defaults", "-h", "127.0.0.1", "-P", port, "-u", "app", "-papp-secret",
            "--skip-ssl", "--skip-dump-date", "--skip-comments", "--no-tablespaces", "--hex-blob", *options, database]
    return run(argv, timeout=120).stdout


def test_a_dump_and_its_restore_are_those_of_a_direct_connection(bed):
    for database in ("orders", "billing"):
        bed.writer.sql(f"DROP DATABASE IF EXISTS {database}; CREATE DATABASE {database}")
    straight = bed.connect(port=bed.writer.port)
    for statement in DUMPED:
        rows(straight, statement)
    bed.sidecar(limit=10)
    for options in (("--single-transaction", "--routines"), ("--lock-tables", "--quick"), ("--opt", "--skip-triggers")):
        direct, through = dump(bed.writer.port, "orders", *options), dump(bed.port, "orders", *options)
        assert len(direct) > 100_000
        difference = list(difflib.unified_diff(direct.splitlines(), through.splitlines(), lineterm=""))
        assert not difference, [line[:300] for line in difference[:20]]
    everything = dump(bed.writer.port, "orders", "--routines")
    restored = run([paths.MARIADB_CLIENT, "--no-defaults", "-h", "127.0.0.1", "-P", bed.port, "-u", "app",
                    "-papp-secret", "--skip-ssl", "billing"], input=everything, timeout=120)
    assert not restored.stderr
    assert dump(bed.writer.port, "billing", "--routines") == everything.replace("`orders`", "`billing`")
    # A restore saves settings in user variables, and LOCK TABLES: it pins, and leaves nothing behind.
    clean = bed.connect()
    assert value(clean, "SELECT (@OLD_SQL_MODE IS NULL) + @@foreign_key_checks + @@unique_checks") == 3
