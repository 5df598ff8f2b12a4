"""Plays a script on the database itself and through a sidecar, and tells the first step at which they differ.

The pool has a connection more than the script has clients, so that no step ever waits for another client; since the
connection that was used last is taken first, clients that hold nothing still meet each other's connection at each step.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import wire  # noqa: E402
from support.manifests import Manifests  # noqa: E402
from support.ports import free_port  # noqa: E402
from support.postgres import PASSWORDS, Cluster  # noqa: E402
from support.sidecar import Sidecar  # noqa: E402
from support.waiting import wait_for  # noqa: E402

from script import Step  # noqa: E402
from session import Session  # noqa: E402

MOST_CLIENTS = 8
USER = "app"
DIRECT, THROUGH = "straight", "proxied"  # databases, so that neither play sees what the other wrote


def make_databases(cluster: Cluster, *names: str):
    if not cluster.writer.sql("SELECT 1 FROM pg_roles WHERE rolname = 'differ_other'"):
        cluster.writer.sql("CREATE ROLE differ_other; GRANT differ_other TO app")
    schema = (Path(__file__).parent / "schema.sql").read_text()
    for name in names:
        cluster.writer.sql(f"CREATE DATABASE {name}")
        cluster.writer.sql(schema, name)


def equal(direct: list, through: list) -> bool:
    """Of two errors the proxy may meet the other one first: see docs/differences.md."""
    def states(answers):
        return [dict(answer[1]).get("C") for answer in answers if answer[0] == "E"]
    return direct == through or (states(direct), states(through)) == (["08P01"], ["25P02"])


def explained(direct: list, through: list) -> bool:
    """Where a statement was prepared again under the settings of now: see docs/differences.md. What follows may be in
    another transaction state, and says nothing."""
    def changed(answers):
        return any(dict(answer[1])["M"].startswith("cached plan must not") for answer in answers if answer[0] == "E")
    return changed(direct) and not changed(through)


@dataclass
class Difference:
    number: int  # of the step
    step: Step
    direct: list
    through: list

    def __str__(self) -> str:
        """Both answers from the first place on where they differ."""
        same = 0
        while same < min(len(self.direct), len(self.through)) and self.direct[same] == self.through[same]:
            same += 1

        def lines(answers):
            return "\n".join(f"      {answer}" for answer in answers[same:]) or "      nothing more"
        return (f"  step {self.number + 1}: {self.step}\n    the database itself answers\n{lines(self.direct)}\n"
                f"    through the proxy\n{lines(self.through)}")


class Player:
    """Owns a sidecar in front of `cluster`; play() any number of scripts."""

    def __init__(self, cluster: Cluster, directory: Path, binary: Path | None = None):
        self.cluster = cluster
        make_databases(cluster, DIRECT, THROUGH)
        self._admins = [wire.Client(str(cluster.writer.directory), cluster.writer.port).login("postgres", "", database)
                        for database in (DIRECT, THROUGH)]
        self.port = free_port("127.0.0.1")
        manifests = Manifests(directory / "manifests")
        manifests.for_cluster(cluster, self.port, tls=False, users=(USER,),
                              pool={"maxConnectionsPercent": MOST_CLIENTS + 1, "maxIdleConnectionsPercent": 1})
        self.sidecar = Sidecar(directory, "sidecar", manifests=manifests.directory, binary=binary)
        self.steps = 0

    def __enter__(self):
        self.sidecar.start()
        return self

    def __exit__(self, kind, *_):
        self.sidecar.kill() if kind else self.sidecar.stop()

    def play(self, steps: list[Step]) -> Difference | None:
        self._clean()
        plays = {DIRECT: {}, THROUGH: {}}
        try:
            for number, step in enumerate(steps):
                self.steps += 1
                direct, through = (self._session(plays[place], place, step.client).play(step)
                                   for place in (DIRECT, THROUGH))
                if not equal(direct, through):
                    if explained(direct, through):
                        return None
                    return Difference(number, step, direct, through)
        finally:
            for sessions in plays.values():
                for session in sessions.values():
                    session.close()
        return None

    def _session(self, sessions: dict[str, Session], place: str, name: str) -> Session:
        if name not in sessions:
            writer = self.cluster.writer
            host, port = (str(writer.directory), writer.port) if place == DIRECT else ("127.0.0.1", self.port)
            sessions[name] = Session(host, port, place, USER, PASSWORDS[USER])
        return sessions[name]

    def _clean(self):
        locks = ("SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
                 "WHERE l.locktype = 'advisory' AND d.datname = current_database()")
        for admin in self._admins:
            # Those of sessions that the last script has left.
            wait_for(lambda: admin.query(locks) == [["0"]], 20, "no lock of the last script is left", 0.002)
            admin.query("SELECT clean()")
