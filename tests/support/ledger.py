"""Writers that keep account: of each row that was written, whether the commit was acknowledged, failed or is unknown.

What has failed for sure is written again under its number, what is unknown never is: so a row that is there twice was
sent twice by somebody else.
"""

import threading
import time

from .ledger_drivers import DRIVERS
from .waiting import wait_for

TABLE = "CREATE TABLE ledger (writer int, number int)"
KEPT_NOTHING = ("40001", "25006")  # the SQLSTATEs of a transaction that may be run again
UNKNOWN = ("08007",)


class Ledger:
    """Context manager: `clients` connections to `dsn`, each writing one row after the other, in all the ways that
    its driver has: the drivers take turns."""

    def __init__(self, dsn: str, clients: int = 8, pause: float = 0.005):
        self._dsn, self._pause = dsn, pause
        self._stopping = threading.Event()
        self.attempted, self.acknowledged = [0] * clients, [[] for _ in range(clients)]
        self.failed, self.unknown, self.unexpected, self.lost = 0, [], [], 0
        self.gaps = [0.0] * clients  # seconds, the longest between two acknowledged rows
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads), "a writer waits for ever"

    def goes_on(self, rows: int = 5, timeout: float = 30):
        """Every writer has so many rows more acknowledged than now."""
        before = [len(rows) for rows in self.acknowledged]
        wait_for(lambda: self.unexpected or all(len(now) >= was + rows
                                                for now, was in zip(self.acknowledged, before, strict=True)),
                 timeout, f"every writer writes {rows} more rows")
        assert self.unexpected == [], self.unexpected

    def check(self, server):
        """Everything acknowledged is there, nothing is there twice, and no connection was lost."""
        rows = [tuple(map(int, line.split("|"))) for line in
                server.sql("SELECT writer, number, count(*) FROM ledger GROUP BY 1, 2", "orders").splitlines()]
        there = {(writer, number) for writer, number, _ in rows}
        assert [row for row in rows if row[2] > 1] == [], "nothing was written twice"
        missing = [(writer, number) for writer, numbers in enumerate(self.acknowledged) for number in numbers
                   if (writer, number) not in there]
        assert missing == [], "every acknowledged commit is there"
        assert self.unexpected == [], self.unexpected
        assert self.lost == 0

    def _write(self, writer: int):
        connection = DRIVERS[writer % len(DRIVERS)](self._dsn)
        number, last, failed, before = 0, None, False, "the start"
        while not self._stopping.is_set():
            if not failed:
                number += 1
                self.attempted[writer] = number
            failed = False
            way = number % connection.ways
            try:
                connection.write(way, (writer, number))
                self.acknowledged[writer].append(number)
                now = time.monotonic()
                self.gaps[writer] = max(self.gaps[writer], now - (last or now))
                last = now
            except connection.errors as error:
                sqlstate = connection.sqlstate(error)
                said = f"{type(connection).__name__}, way {way}: {sqlstate}: {error}"
                if sqlstate in KEPT_NOTHING:
                    failed = True
                    self.failed += 1
                elif sqlstate in UNKNOWN:
                    self.unknown.append((writer, number))
                else:
                    self.unexpected.append(f"{said}, after {before}")
                before = f"{said}, status {connection.status()}"
                if connection.closed:
                    self.lost += 1
                    return
            time.sleep(self._pause)
        connection.close()
