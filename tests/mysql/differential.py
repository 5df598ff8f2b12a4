#!/usr/bin/env python3
"""The same scripts on MySQL or MariaDB itself and through the proxy: every packet of every answer has to be the same.

  differential.py --seconds 60          generated scripts; --seed N begins where a failure said it was
  differential.py --count 40            so many on each server and of each kind, the same in every run
  differential.py --file F              plays a script from a file

A difference is shrunk and printed as a script that can go into cases/. Scripts are written as tests/differential/script.py
says; `~ reset`, `~ db NAME`, `~ ping` and `~ option N` are commands of the protocol.
"""

import argparse
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "differential"), str(HERE)]
from client import Client  # noqa: E402
from mysql_generator import Generator  # noqa: E402
from script import cases, parse, to_text  # noqa: E402
from shrink import shrink  # noqa: E402
from support import mysql  # noqa: E402
from support.manifests import Manifests, config_map, db_proxy, secret  # noqa: E402
from support.mysql import PASSWORDS  # noqa: E402
from support.ports import free_port  # noqa: E402
from support.sidecar import Sidecar  # noqa: E402
from support.testbed import Testbed  # noqa: E402

USER, MOST_CLIENTS = "native", 8
BORROW_TIMEOUT = 9501
DIRECT, THROUGH = "straight", "proxying"  # schemas, so that neither play sees what the other wrote; of one length
SCHEMA = [
    "CREATE TABLE numbers (n INT PRIMARY KEY)", "INSERT INTO numbers VALUES (1), (2), (3), (4), (5)",
    "CREATE TABLE made (id INT AUTO_INCREMENT PRIMARY KEY, b VARCHAR(20))", "CREATE TABLE small (n TINYINT)",
    "CREATE TABLE here (tag CHAR(1), a INT)",
    "CREATE TABLE log (a INT)", "CREATE TRIGGER traced BEFORE INSERT ON log FOR EACH ROW SET @traced = NEW.a",
    "CREATE FUNCTION fv() RETURNS INT NO SQL BEGIN SET @fv = 7; RETURN 1; END",
    "CREATE FUNCTION uses() RETURNS INT NO SQL RETURN fv()", "CREATE FUNCTION harmless(n INT) RETURNS INT NO SQL RETURN n + 1",
    "CREATE PROCEDURE sets() SET SESSION div_precision_increment = 7, @p = 1",
    "CREATE PROCEDURE two() BEGIN SELECT 1; SELECT 'x', 2; END",
]


class Player:
    """Owns a sidecar in front of `cluster`; play() any number of scripts.

    The pool has one connection more than a script has clients, so that no step ever waits for another client; since the
    connection that was used last is taken first, clients that hold nothing meet each other's connection at each step.
    Or it has one connection (`narrow`), which every client that rests has to let go: a step that waits in vain, because
    another client is in a transaction, is left out on both sides."""

    def __init__(self, cluster, directory: Path, binary: Path | None = None, narrow: bool = False):
        self.cluster, self.port, self.narrow = cluster, free_port("127.0.0.1"), narrow
        for name in (DIRECT, THROUGH):
            cluster.writer.sql(f"DROP DATABASE IF EXISTS {name}")
            cluster.writer.sql(f"CREATE DATABASE {name}; GRANT ALL ON {name}.* TO {USER}@'%'")
            client = Client(cluster.writer.port, USER, PASSWORDS[USER], name)
            for text in [*SCHEMA, f"INSERT INTO here VALUES ('{name[0]}', 1)"]:
                answer = client.play(parse(f"A: {text}")[0])
                assert answer[-1][0] == "ok", (text, answer)
            client.close()
        # The first session of a server that asks for a language whose messages are not installed gets an error.
        self._direct("SET lc_time_names = 'de_DE'")
        percent = 2 if narrow else 100 * (MOST_CLIENTS + 1) // 60 + 1
        manifests = Manifests(directory / "manifests")
        manifests.write("orders.yaml", db_proxy(cluster, self.port, users=(USER,), tls=False, engineFamily="MYSQL",
                                                pool={"maxConnectionsPercent": percent, "maxIdleConnectionsPercent": 2,
                                                      "connectionBorrowTimeoutSeconds": 1 if narrow else 60}))
        manifests.write("secrets.yaml", secret(f"orders-{USER}", USER, PASSWORDS[USER]), config_map("database-ca", {"ca.pem": ""}))
        self.sidecar = Sidecar(directory, "sidecar", manifests=manifests.directory, binary=binary)
        self._admin = {name: Client(cluster.writer.port, USER, PASSWORDS[USER], name) for name in (DIRECT, THROUGH)}
        self.steps = 0

    def _direct(self, text: str):
        client = Client(self.cluster.writer.port, USER, PASSWORDS[USER], DIRECT)
        client.play(parse(f"A: {text}")[0])
        client.close()

    def __enter__(self):
        self.sidecar.start()
        return self

    def __exit__(self, kind, *_):
        for admin in self._admin.values():
            admin.close()
        self.sidecar.kill() if kind else self.sidecar.stop()

    def play(self, steps):
        """None, or the number of a step that is answered otherwise, and both answers."""
        self._clean()
        plays = {DIRECT: {}, THROUGH: {}}
        try:
            for number, step in enumerate(steps):
                self.steps += 1
                through = self._client(plays[THROUGH], THROUGH, step.client).play(step)
                if self.narrow and any(part[:2] == ("error", BORROW_TIMEOUT) for part in through):
                    if len(through) > 1:
                        return None  # half of it has happened
                    continue
                answers = [self._client(plays[DIRECT], DIRECT, step.client).play(step), through]
                if answers[0] != answers[1]:
                    return number, step, *answers
        finally:
            for clients in plays.values():
                for client in clients.values():
                    client.close()
        return None

    def _client(self, clients, place: str, name: str) -> Client:
        if name not in clients:
            port = self.cluster.writer.port if place == DIRECT else self.port
            clients[name] = Client(port, USER, PASSWORDS[USER], place)
        return clients[name]

    def _clean(self):
        """Waits for what the last script's clients have left behind: TRUNCATE needs its locks."""
        for admin in self._admin.values():
            for table in ("made", "small", "log"):
                answer = admin.play(parse(f"A: TRUNCATE {table}")[0])
                assert answer[-1][0] == "ok", answer


def report(player: Player, title: str, steps, small: bool, first) -> str:
    steps = shrink(steps, lambda candidate: player.play(candidate) is not None, 120) if small else steps
    difference = player.play(steps)
    if difference is None:
        return f"{title}: different once, and not again: {first}"
    number, step, direct, through = difference
    return (f"DIFFERENT on {player.cluster.version}: {title}\n  step {number + 1}: {step}\n    the database itself answers\n"
            + "".join(f"      {answer}\n" for answer in direct) + "    through the proxy\n"
            + "".join(f"      {answer}\n" for answer in through) + f"  the script:\n{to_text(steps)}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30, help="of generated scripts, in all (default 30)")
    parser.add_argument("--count", type=int, help="generated scripts on each server instead of seconds")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000 * 1000)
    parser.add_argument("--servers", default=f"{mysql.MYSQL},{mysql.MARIADB}")
    parser.add_argument("--file", type=Path)
    parser.add_argument("--keep-going", type=int, default=1, help="differences before it ends")
    parser.add_argument("--binary", type=Path)
    options = parser.parse_args()
    failures = 0
    servers = options.servers.split(",")
    with Testbed("mydiff") as bed:
        for version in servers:
            cluster = bed.mysql_cluster(version=version, settings={"innodb_lock_wait_timeout": 1, "lock_wait_timeout": 5})
            for narrow in (False, True):
                failures += run(bed, cluster, version, narrow, options, options.seconds / len(servers) / 2)
            cluster.stop()
    return 1 if failures else 0


def run(bed, cluster, version: str, narrow: bool, options, seconds: float) -> int:
    failures, kind = 0, "narrow" if narrow else "wide"
    with Player(cluster, bed.subdirectory(f"{version}-{kind}"), options.binary, narrow) as player:
        fixed = {}
        for path in [options.file] if options.file else sorted((HERE / "cases").glob("*.script")):
            fixed |= cases(path.read_text()) if path.parent == HERE / "cases" else {path.name: parse(path.read_text())}
        for name, steps in fixed.items():
            if first := player.play(steps):
                failures += 1
                print(report(player, name, steps, False, first), flush=True)
        seed, since = options.seed, time.monotonic()
        until, different = since + seconds, 0
        while not options.file and different < options.keep_going and (
                seed - options.seed < options.count if options.count else time.monotonic() < until):
            steps = Generator(seed, version, narrow).script()
            if first := player.play(steps):
                different += 1
                print(report(player, f"--seed {seed} --count 1", steps, True, first), flush=True)
            seed += 1
        failures += different
        print(f"{version}, {kind} pool: {len(fixed)} cases and {seed - options.seed} generated scripts, {player.steps:,} steps "
              f"on both sides in {time.monotonic() - since:.0f} s, {failures} different", flush=True)
    return failures


if __name__ == "__main__":
    sys.exit(main())
