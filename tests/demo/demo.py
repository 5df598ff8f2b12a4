#!/usr/bin/env python3
"""Shows what dbproxy does, on a real PostgreSQL, MySQL or MariaDB with a replica.

  demo.py [--engine mysql] [--keep] [--smoke]

A thousand clients share a few server connections through two sidecars; the limit is edited while they run; the
operator is killed; a broken manifest is refused; demand swings between twenty sidecars with one budget.
Everything lives in a temporary directory and goes away at the end, or on Ctrl-C. --keep leaves it running and says how
to look around; --smoke is short and plain, for the tests.
"""

import argparse
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import picture  # noqa: E402
import swing  # noqa: E402
from engines import ENGINES  # noqa: E402
from fleet import NAMES, Fleet  # noqa: E402
from screen import Screen, bar  # noqa: E402
from support import paths, wire  # noqa: E402
from support.testbed import Testbed  # noqa: E402
from support.waiting import wait_for  # noqa: E402

LIMIT, NEW_LIMIT = 15, 8  # percent of max_connections = 100, so also numbers of connections


class Demo:
    def __init__(self, screen: Screen, bed: Testbed, engine, smoke: bool):
        self.screen, self.engine, self.smoke = screen, engine, smoke
        self.clients = 100 if smoke else 1000
        self.fleet = Fleet(bed, engine, self.clients, rate=400 if smoke else 2500)
        self.facts: list[tuple[str, str]] = []
        self.problems: list[str] = []
        self.moments: list[picture.Moment] = []
        self.marks: list[tuple[float, str]] = []
        self.turns: list[picture.Turn] = []

    def expect(self, good: bool, text: str):
        (self.screen.done if good else self.screen.failed)(text)
        if not good:
            self.problems.append(text)

    def play(self):
        self.start()
        self.share()
        self.edit()
        self.kill_operator()
        self.break_manifest()
        self.swing()

    def start(self):
        screen, fleet = self.screen, self.fleet
        screen.heading("1  A database, an operator, two sidecars")
        since = time.monotonic()
        fleet.start_database()
        screen.done(f"{self.engine.title}: a writer and a replica, TLS, max_connections = 100", since)
        since = time.monotonic()
        fleet.start_operator(LIMIT)
        screen.done(f"dbproxy-operator on a directory of manifests, maxConnectionsPercent: {LIMIT}", since)
        since = time.monotonic()
        fleet.start_sidecars()
        screen.done("two sidecars, configured by the operator over gRPC: 127.0.0.1 and 127.0.0.2", since)
        since = time.monotonic()
        fleet.start_load(seconds=300)
        fleet.wait_connected(60)
        screen.done(f"{self.clients:,} clients logged in: look-ups, and transfers in transactions", since)
        self.pinned = self.engine.pin(fleet.port)

    def share(self):
        self.screen.heading(f"2  {self.clients:,} clients share {LIMIT} server connections")
        fleet, rows = self.fleet, self.watch(4 if self.smoke else 8)
        servers, clients = sum(row.servers for row in rows), sum(row.clients for row in rows)
        self.expect(clients >= self.clients, f"{clients:,} clients on {servers} server connections")
        self.expect(all(row.servers > 0 for row in rows) and self.engine.sessions() <= LIMIT,
                    "both sidecars together stay within one limit, says the database")
        self.expect(sum(row.pinned for row in rows) == 1,
                    f"one client took {self.engine.pinning}: it alone keeps a connection of its own (1 pin)")
        self.facts.append(("clients : server connections", f"{clients:,} : {servers}"))
        self.facts.append(("transactions per second", f"{sum(row.tps for row in rows):,.0f}"))
        self.facts.append(("p50 / p99", " and ".join(f"{row.p50:.1f} / {row.p99:.1f} ms" for row in rows)))

    def edit(self):
        screen, fleet = self.screen, self.fleet
        screen.heading(f"3  Edit the manifest: maxConnectionsPercent: {LIMIT} → {NEW_LIMIT}")
        since = time.monotonic()
        self.marks.append((since, f"limit {LIMIT} to {NEW_LIMIT}"))
        fleet.manifests.set_pool(maxConnectionsPercent=NEW_LIMIT)
        wait_for(lambda: fleet.limits() == [NEW_LIMIT] * 2, 5, "the new limit is in force", interval=0.01)
        took = time.monotonic() - since
        self.observe()
        self.expect(took < 1, f"in force in both sidecars after {took * 1000:.0f} ms")
        rows = self.watch(3 if self.smoke else 6)
        self.expect(self.engine.sessions() <= NEW_LIMIT,
                    f"server connections are down to {' + '.join(str(row.servers) for row in rows)}")
        self.expect(fleet.lost_clients() == 0 and fleet.load_is_running(), "no client was lost")
        self.facts.append(("an edit is in force after", f"{took * 1000:.0f} ms, no client lost"))

    def kill_operator(self):
        screen, fleet = self.screen, self.fleet
        screen.heading("4  Kill the operator")
        fleet.operator.kill()
        self.marks.append((time.monotonic(), "operator killed"))
        before = fleet.transactions()
        screen.done("kill -9: the control plane is gone")
        self.watch(3 if self.smoke else 5)
        went_on = fleet.transactions() - before
        self.expect(went_on > 0 and fleet.lost_clients() == 0 and fleet.load_is_running(),
                    f"{went_on:,} transactions since, no client lost")
        self.facts.append(("without an operator", f"{went_on:,} transactions, no client lost"))
        fleet.operator.start()
        wait_for(lambda: len([row for row in fleet.operator.json("sidecars") if row["connected"]]) == 2, 15,
                 "both sidecars are back")
        screen.done("started again: both sidecars found it by themselves")

    def break_manifest(self):
        screen, fleet = self.screen, self.fleet
        screen.heading("5  Save a broken manifest")
        good = (fleet.manifests.directory / "orders.yaml").read_text()
        broken = good.replace(f"maxConnectionsPercent: {NEW_LIMIT}", "maxConnectionsPercent: 101")
        broken = broken.replace("requireTLS: ", "requireTls: ")
        fleet.manifests.write_text("orders.yaml", broken)
        shown = wait_for(lambda: fleet.operator.json("diagnostics"), 5, "the operator refuses it", interval=0.02)
        for row in shown:
            screen.quote(f"{row['file']}:{row['line']}: {row['field']}: {row['message']}")
        self.expect(fleet.limits() == [NEW_LIMIT] * 2, "refused in words; the last good configuration stays in force")
        fleet.manifests.write_text("orders.yaml", good)
        wait_for(lambda: not fleet.operator.json("diagnostics"), 5, "the repaired manifest is accepted")
        self.expect(fleet.lost_clients() == 0 and fleet.load_is_running(), "no client noticed")

    def swing(self):
        screen, fleet = self.screen, self.fleet
        screen.heading(f"6  {len(NAMES)} sidecars, one budget of {swing.BUDGET}: demand swings between them")
        fleet.stop_load()
        self.pinned.close()
        scene = swing.Swing(screen, fleet)
        since = time.monotonic()
        scene.start()
        screen.done(f"{len(NAMES)} sidecars, maxConnectionsPercent: {swing.BUDGET}", since)
        took = scene.play(2 if self.smoke else 4, 1.5 if self.smoke else 3)
        screen.keep_painted()
        self.turns = scene.moments
        self.expect(scene.most <= swing.BUDGET,
                    f"never more than {swing.BUDGET} connections: {scene.most} at most, asked {scene.samples:,} times")
        screen.done("those who were busy had more than half of it after " + ", ".join(f"{each:.1f}" for each in took) + " s")
        self.facts.append(("one budget, demand that swings", f"{scene.most} of {swing.BUDGET} connections at most"))

    def watch(self, seconds: float):
        """The live table, for so long; the last rows."""
        until, screen, fleet = time.monotonic() + seconds, self.screen, self.fleet
        fleet.rows()
        painted, every = time.monotonic(), 0.5 if screen.terminal else max(1.0, seconds / 3)
        while True:
            remaining = until - time.monotonic()
            if remaining <= 0:
                screen.paint(self.table(rows))
                return rows
            # The pace of the display and of the picture, not a wait for anything to happen.
            time.sleep(min(0.5, max(remaining, 0.05)))
            rows = self.observe()
            if time.monotonic() - painted >= every:
                painted = time.monotonic()
                screen.paint(self.table(rows))

    def observe(self):
        rows = self.fleet.rows()
        self.moments.append(picture.Moment(time.monotonic(), sum(row.clients for row in rows),
                                           sum(row.servers for row in rows), max(row.limit for row in rows)))  # one for both
        return rows

    def table(self, rows) -> list[str]:
        screen = self.screen
        lines = ["", screen.dim(f"    {'sidecar':<11}{'clients':>8}{'waiting':>9}   {'server connections / limit':<32}"
                                f"{'tps':>7}{'p50 ms':>9}{'p99 ms':>9}{'pins':>6}")]
        for load, row in zip(self.fleet.loads, rows):
            gauge = bar(row.servers, row.limit)
            lines.append(f"    {load.sidecar.name:<11}{row.clients:>8,}{row.waiting:>9,}   "
                         f"{screen.green(gauge)} {row.servers:>3} / {row.limit:<3}  "
                         f"{row.tps:>7,.0f}{row.p50:>9.1f}{row.p99:>9.1f}{row.pinned:>6}")
        lines.append(screen.bold(f"    {'together':<11}{sum(row.clients for row in rows):>8,}"
                                 f"{sum(row.waiting for row in rows):>9,}   {'':<22} "
                                 f"{sum(row.servers for row in rows):>3} / {max(row.limit for row in rows):<3}  "
                                 f"{sum(row.tps for row in rows):>7,.0f}{'':>18}"
                                 f"{sum(row.pinned for row in rows):>6}"))
        lines.append("")
        return lines

    def summary(self):
        screen = self.screen
        screen.heading("What you saw")
        for name, value in self.facts:
            screen.line(f"    {name:<30} {screen.bold(value)}")
        screen.line()
        for problem in self.problems:
            screen.failed(problem)
        took = time.monotonic() - screen.begun
        if self.problems:
            screen.line(screen.red(f"  {len(self.problems)} expectation(s) failed after {took:.0f} s."))
        else:
            screen.line(f"  All of it as promised, in {took:.0f} s.")

    def picture(self, path: Path):
        """What was watched, as a PNG and as text."""
        if len(self.moments) < 2:
            return
        picture.draw(path, self.moments, [mark for mark in self.marks if mark[0] <= self.moments[-1].at], self.turns)
        self.screen.line()
        for line in picture.lines(self.moments) + picture.turn_lines(self.turns):
            self.screen.line(f"    {line}")
        self.screen.line(f"\n  As a picture: {path}")

    def look_around(self):
        """What --keep prints, and the wait for Ctrl-C."""
        screen, fleet = self.screen, self.fleet
        sidecar, operator = fleet.sidecars[0], fleet.operator
        ctl = paths.release_binary("dbproxyctl").relative_to(paths.ROOT)
        screen.heading("It stays up until Ctrl-C. Try")
        for what, command in (
                ("the writer", self.engine.command_line(fleet.port)),
                ("a reader", self.engine.command_line(fleet.readers)),
                ("in a browser", f"http://{sidecar.admin}/"),
                ("metrics", f"curl -s http://{sidecar.admin}/metrics"),
                ("pools", f"{ctl} pools --sidecar {sidecar.admin}"),
                ("the operator's view", f"{ctl} get --operator {operator.http}"),
                ("edit, and watch it", f"$EDITOR {fleet.manifests.directory}/orders.yaml"),
                ("logs", f"tail -f {operator.process.log_path} {sidecar.process.log_path}")):
            screen.line(f"    {screen.dim(what + ':'):<30}\n      {command}")
        while True:
            signal.pause()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=ENGINES, default="postgresql")
    parser.add_argument("--keep", action="store_true", help="stay up at the end and print commands to try")
    parser.add_argument("--smoke", action="store_true", help="short and plain")
    parser.add_argument("--picture", type=Path, default=Path("dbproxy-demo.png"), help="where the picture goes")
    options = parser.parse_args()
    screen = Screen(plain=options.smoke)
    if not paths.release_binary("dbproxy").exists():
        screen.failed("there are no programs yet; the next command is: make build")
        return 1
    engine = ENGINES[options.engine]()
    if engine.missing():
        screen.failed(engine.missing())
        return 1
    screen.line(screen.bold("dbproxy: the RDS Proxy that lives in your cluster"))
    demo = None
    try:
        with Testbed("demo") as bed:
            demo = Demo(screen, bed, engine, options.smoke)
            try:
                demo.play()
            except (TimeoutError, RuntimeError, OSError, wire.ServerError) as error:
                screen.failed(str(error))
                show_logs(screen, demo)
                return 1
            demo.summary()
            demo.picture(options.picture)
            if options.keep:
                demo.look_around()
    except SystemExit as left:
        screen.line("\n  Interrupted; everything was stopped and removed.")
        return int(left.code or 0)
    if not options.smoke:
        screen.line(f"\n  Next: {screen.bold('make demo KEEP=1')} keeps it running for your own {engine.client} and curl.\n")
    return 1 if demo.problems else 0


def show_logs(screen: Screen, demo: Demo):
    for process in [demo.fleet.operator, *demo.fleet.sidecars]:
        if process:
            screen.line(f"---- {process.name}: the end of its log")
            screen.quote("\n".join(process.log().splitlines()[-25:]), "2")


if __name__ == "__main__":
    sys.exit(main())
