#!/usr/bin/env python3
"""The same scripts on MySQL or MariaDB itself and through the proxy: every packet of every answer has to be the same.

  differential.py --seconds 60          generated scripts; --seed N begins where a failure said it was
  differential.py --count 40            so many on each server and of each kind, the same in every run
  differential.py --steps 10000000      for as many steps on each server (make differential ENGINE=mysql); SIGTERM ends it
  differential.py --file F              plays a script from a file

What they have found before is in found.script, and is played before others of its kind.

The native player plays them, in many lanes at once. A difference is played again alone, shrunk and printed as a script.
Scripts are written as tests/differential/script.py says; `~` sends commands of the protocol: reset, db NAME, ping, option N,
user native|other NAME, fields TABLE, kill #A#, long STATEMENT N DATA, sreset STATEMENT, fetch STATEMENT N; `* cursor NAME`
opens a cursor. Kinds of scripts: mysql_generator.py.
"""

import argparse
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "differential"), str(HERE)]
import mysql_grammar  # noqa: E402
from mysql_generator import KINDS, Generator  # noqa: E402
from script import cases, parse, to_text  # noqa: E402
from shrink import shrink  # noqa: E402
from support import mysql  # noqa: E402
from support.manifests import Manifests, config_map, db_proxy, secret  # noqa: E402
from support.mysql import PASSWORDS  # noqa: E402
from support.paths import absolute  # noqa: E402
from support.ports import free_port  # noqa: E402
from support.sidecar import Sidecar  # noqa: E402
from support.testbed import Testbed  # noqa: E402

FOUND = cases((HERE / "found.script").read_text())
USER, OTHER = "native", "other"
PASSWORDS[OTHER] = "other-secret"
# Per cent of 120, so that one of them is one connection; of the widest there are enough for everybody.
PERCENT = {"wide": 50, "narrow": 1, "two": 2, "excluded": 1}
SETTINGS = {"max_connections": 120, "innodb_lock_wait_timeout": 1, "lock_wait_timeout": 1, "thread_cache_size": 100,
            "log_bin": None, "skip_log_bin": True, "gtid_mode": None, "enforce_gtid_consistency": None,
            "innodb_flush_log_at_timeout": 100, "innodb_buffer_pool_size": "64M"}


class Bench:
    """Lanes of one kind on one cluster, and a sidecar for all of them, or for each where they have one connection."""

    def __init__(self, cluster, directory: Path, kind: str, options):
        self.cluster, self.kind, self._options, self._directory = cluster, kind, options, directory
        self._sidecars, self._ports = [], []
        for number in range(1 if kind == "wide" else options.lanes):
            port, place = free_port("127.0.0.1"), directory / str(number)
            manifests = Manifests(place / "m")
            more = {"sessionPinningFilters": ["EXCLUDE_VARIABLE_SETS"]} if kind == "excluded" else {}
            manifests.write("orders.yaml", db_proxy(
                cluster, port, users=(USER, OTHER), tls=False, engineFamily="MYSQL",
                pool={"maxConnectionsPercent": PERCENT[kind], "maxIdleConnectionsPercent": PERCENT[kind],
                      "connectionBorrowTimeoutSeconds": 60 if kind == "wide" else 1, **more}))
            manifests.write("secrets.yaml", *[secret(f"orders-{user}", user, PASSWORDS[user]) for user in (USER, OTHER)],
                            config_map("database-ca", {"ca.pem": ""}))
            self._sidecars.append(Sidecar(place, "sidecar", manifests=manifests.directory, binary=options.binary))
            self._ports.append(str(port))
        self._cleaning = directory / "cleaning"
        self._cleaning.write_text("\n".join(mysql_grammar.CLEANING))

    def __enter__(self):
        for sidecar in self._sidecars:
            sidecar.start()
        return self

    def __exit__(self, kind, *_):
        for sidecar in self._sidecars:
            sidecar.kill() if kind else sidecar.stop()

    def play(self, scripts, lanes: int, tell):
        """`scripts` gives pairs of a number and steps; `tell` gets (what, number, steps, the rest) of each."""
        process = subprocess.Popen(
            [self._options.player, str(self.cluster.writer.port), ",".join(self._ports[:lanes]), str(lanes), self._cleaning, USER,
             PASSWORDS[USER], OTHER, PASSWORDS[OTHER]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            errors="backslashreplace")

        def feed():
            try:
                for number, steps in scripts:
                    process.stdin.write(f"{number}\n{to_text(steps)}\n\n")
                    process.stdin.flush()
                process.stdin.close()
            except BrokenPipeError:
                pass  # the player has said why

        feeder = threading.Thread(target=feed)
        feeder.start()
        for line in process.stdout:
            head, *rest = line.rstrip("\n").split("\t")
            what, number, steps = head.split()
            tell(what, int(number), int(steps), rest)
        feeder.join()
        if process.wait() != 0:
            raise RuntimeError("the native player has failed")

    def alone(self, steps) -> list[str] | None:
        """What differs in a script that is played alone: the step, and both answers."""
        found = []
        self.play([(0, steps)], 1, lambda what, number, played, rest: found.append((what, rest)))
        return found[0][1] if found[0][0] == "different" else None

    def report(self, title: str, steps):
        """False: it does not differ when it is played alone."""
        if not self.alone(steps):
            return False
        steps = shrink(steps, lambda candidate: self.alone(candidate) is not None, 250)
        difference = focused(self.alone(steps) or ["once, and not again", "", ""])
        print(f"DIFFERENT on {self.cluster.version}, {self.kind}: {title}\n  step {difference[0]}\n"
              f"    the database itself answers\n      {difference[1]}\n    through the proxy\n      {difference[2]}\n"
              f"  the script:\n{to_text(steps)}\n", flush=True)
        return True


def focused(difference: list[str]) -> list[str]:
    """Without the parts that both answers begin and end with."""
    step, one, other = difference[0], *(answer.split("; ") for answer in difference[1:])
    while one and other and one[0] == other[0]:
        one, other = one[1:], other[1:]
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    return [step, "; ".join(one), "; ".join(other)]


def prepare(cluster, lanes: int):
    writer = cluster.writer
    how = f"VIA mysql_native_password USING PASSWORD('{PASSWORDS[OTHER]}')" if cluster.version == mysql.MARIADB else \
        f"WITH mysql_native_password BY '{PASSWORDS[OTHER]}'"
    writer.sql(f"CREATE USER {OTHER}@'%' IDENTIFIED {how}")
    # The first session of a server that asks for a language whose messages are not installed gets an error.
    with contextlib.suppress(RuntimeError):
        writer.sql("SET lc_time_names = 'de_DE'")
    for name in [f"{side}{lane}" for side in ("straight", "proxying") for lane in range(lanes)]:
        # The definer is who plays: what a program leaves is told by a source that its user can read.
        for each in (name, f"{name}_b"):  # `billing` of the scripts is the second
            writer.sql(f"CREATE DATABASE {each}; GRANT ALL ON {each}.* TO {USER}@'%'; GRANT ALL ON {each}.* TO {OTHER}@'%'")
        text = "DELIMITER $$\n" + "".join(f"{statement} $$\n" for statement in mysql_grammar.SCHEMA)
        writer.sql(text.replace("CREATE FUNCTION", f"CREATE DEFINER={USER}@'%' FUNCTION")
                   .replace("CREATE PROCEDURE", f"CREATE DEFINER={USER}@'%' PROCEDURE")
                   .replace("CREATE TRIGGER", f"CREATE DEFINER={USER}@'%' TRIGGER")
                   .replace("CREATE VIEW", f"CREATE DEFINER={USER}@'%' VIEW"), name)


def run(bench: Bench, options, ended: threading.Event, seconds: float, steps: float) -> int:
    """The number of scripts that differ, and differ again when they are played alone."""
    version, kind = bench.cluster.version, bench.kind
    since, totals, different = time.monotonic(), {"same": 0, "different": 0, "left": 0}, []
    played, told = [0], [since]

    def goes_on(number):
        if ended.is_set() or len(different) >= options.keep_going:
            return False
        if options.count:
            return number < options.seed + options.count
        return played[0] < steps if options.steps else time.monotonic() - since < seconds

    def scripts():
        for number in itertools.count(options.seed):
            if not goes_on(number):
                return
            yield number, Generator(number, version, kind).script()

    def tell(what, number, count, rest):
        totals[what] += 1
        played[0] += count
        if what == "different":
            different.append(number)
            print(f"{version}, {kind}: --kinds {kind} --seed {number}: " + "\n    ".join(rest), flush=True)
        if time.monotonic() - told[0] > 60:
            told[0] = time.monotonic()
            took = told[0] - since
            print(f"{version}, {kind}: {played[0]:,} steps, {played[0] / took:,.0f} a second, next seed near {number}, "
                  f"{totals}", flush=True)

    if options.file:
        return int(bench.report(options.file.name, parse(options.file.read_text())))
    known = sum(bench.report(name, steps) for name, steps in FOUND.items() if name.partition(":")[0] == kind)
    bench.play(scripts(), options.lanes, tell)
    took = time.monotonic() - since
    print(f"{version}, {kind}: {sum(totals.values())} generated scripts from seed {options.seed}, {played[0]:,} steps on both "
          f"sides in {took:.0f} s, {played[0] / took:,.0f} a second, {totals}", flush=True)
    again = known
    for number in different[:10]:
        if bench.report(f"--seed {number} --count 1", Generator(number, version, kind).script()):
            again += 1
        else:
            print(f"{version}, {kind}: seed {number} differed once, and not when it was played alone", flush=True)
    return again


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--player", type=absolute, required=True, help="mysql_differential_player")
    parser.add_argument("--seconds", type=float, default=30, help="of generated scripts, in all (default 30)")
    parser.add_argument("--count", type=int, help="generated scripts of each kind on each server instead of seconds")
    parser.add_argument("--steps", type=int, help="likewise: so many on each server, of all kinds together")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000 * 1000)
    parser.add_argument("--servers", default=f"{mysql.MYSQL},{mysql.MARIADB}")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--lanes", type=int, default=4, help="scripts at once (default 4)")
    parser.add_argument("--file", type=Path)
    parser.add_argument("--keep-going", type=int, default=1, help="differences before it ends")
    parser.add_argument("--binary", type=absolute, help="of the sidecar (default: as DBPROXY_BIN says)")
    options = parser.parse_args()
    options.lanes = 1 if options.file else options.lanes
    servers, kinds = options.servers.split(","), options.kinds.split(",")
    ended, failures = threading.Event(), 0
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    if not options.count and Path("/dev/shm").is_dir():
        os.environ.setdefault("DBPROXY_TMP", "/dev/shm")
    with Testbed("mydiff") as bed:
        for version in servers:
            cluster = bed.mysql_cluster(version=version, settings=SETTINGS)
            prepare(cluster, options.lanes)
            for kind in kinds:
                with Bench(cluster, bed.subdirectory(f"{version}-{kind}"), kind, options) as bench:
                    failures += run(bench, options, ended, options.seconds / len(servers) / len(kinds),
                                    (options.steps or 0) / len(kinds))
            cluster.stop()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
