"""Writers that keep account, as tests/support/ledger.py's, for MySQL: plainly, in transactions, and by prepared statements.

What was rolled back for sure is written again under its number; what is unknown never is.
"""

import contextlib
import threading
import time

import mysql.connector
import pymysql
from support.mysql import PASSWORDS
from support.waiting import wait_for

TABLE = "CREATE TABLE ledger (writer int, number int)"
KEPT_NOTHING = (1213, 1290, 1836)
UNKNOWN = (2013,)
_INSERT = "INSERT INTO ledger VALUES (%s, %s)"


class _PyMySQL:
    """Plainly, and in a transaction."""

    def __init__(self, bed):
        self._connection = bed.connect(read_timeout=120)
        self._cursor = self._connection.cursor()

    def write(self, row):
        if row[1] % 2:
            self._cursor.execute(_INSERT, row)
            return
        self._connection.begin()
        self._cursor.execute(_INSERT, row)
        self._cursor.execute("SELECT 1")
        self._connection.commit()

    def rollback(self):
        self._connection.rollback()

    def lost(self) -> bool:
        return not self._connection.open


class _Connector:
    """MySQL's own driver: by a prepared statement, and in a transaction."""

    def __init__(self, bed):
        self._connection = mysql.connector.connect(
            host=bed.host, port=bed.port, user="app", password=PASSWORDS["app"], database="orders",
            ssl_disabled=True, autocommit=True, use_pure=True, connection_timeout=120)
        self._cursor = self._connection.cursor(prepared=True)
        self._socket = self._connection._socket

    def write(self, row):
        if row[1] % 2:
            self._cursor.execute(_INSERT, row)
            return
        self._connection.start_transaction()
        self._cursor.execute(_INSERT, row)
        self._connection.commit()

    def rollback(self):
        self._connection.rollback()

    def lost(self) -> bool:
        return self._connection._socket is not self._socket


class Ledger:
    """Context manager: `clients` connections that write one row after the other."""

    def __init__(self, bed, clients=6):
        self._stopping = threading.Event()
        self.attempted, self.acknowledged = [0] * clients, [[] for _ in range(clients)]
        self.unknown, self.unexpected, self.lost = [], [], 0
        self.refused = []  # (seconds, writer, its row, what it was told)
        self._clients = [(_Connector if number % 2 else _PyMySQL)(bed) for number in range(clients)]
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(clients)]

    @property
    def failed(self) -> int:
        return len(self.refused)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        for thread in self._threads:
            thread.join(90)
        assert not any(thread.is_alive() for thread in self._threads), "a writer waits for ever"

    def _write(self, writer):
        client, number, failed = self._clients[writer], 0, False
        while not self._stopping.is_set():
            if not failed:
                number += 1
                self.attempted[writer] = number
            failed = False
            try:
                client.write((writer, number))
                self.acknowledged[writer].append(number)
            except (pymysql.err.MySQLError, mysql.connector.Error) as error:
                if error.args[0] in KEPT_NOTHING:
                    failed = True
                    self.refused.append((round(time.time() % 1000, 3), writer, number, str(error)))
                    # A write that is refused leaves its transaction open; where that cannot be said it ends by itself.
                    with contextlib.suppress(pymysql.err.MySQLError, mysql.connector.Error):
                        client.rollback()
                elif error.args[0] in UNKNOWN:
                    self.unknown.append((writer, number))
                else:
                    self.unexpected.append(f"{type(error).__name__} {error}")
                if client.lost():
                    self.lost += 1
                    return
            time.sleep(0.01)

    def goes_on(self, rows=5):
        before = [len(rows) for rows in self.acknowledged]
        wait_for(lambda: self.unexpected or self.lost or
                 all(len(now) >= was + rows for now, was in zip(self.acknowledged, before, strict=True)),
                 60, f"every writer writes {rows} more rows")
        assert self.unexpected == [] and self.lost == 0, (self.unexpected, self.lost)

    def check(self, server, complete=True):
        """Nothing is there twice, no connection was lost; `complete`: all that was acknowledged is there."""
        rows = [tuple(map(int, line.split("\t"))) for line in
                server.sql("SELECT writer, number, count(*) FROM ledger GROUP BY 1, 2", "orders").splitlines()]
        assert [row for row in rows if row[2] > 1] == [], "nothing was written twice"
        there = {(writer, number) for writer, number, _ in rows}
        missing = [(writer, number) for writer, numbers in enumerate(self.acknowledged) for number in numbers
                   if (writer, number) not in there]
        assert not complete or missing == [], "every acknowledged commit is there"
        assert self.unexpected == [] and self.lost == 0, (self.unexpected, self.lost)
