"""What tests of the connection budget look at the server with, and what they put upon sidecars."""

import threading

import psycopg

from .waiting import wait_for

WATCHED = ("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND backend_type = 'client backend'"
           " AND application_name <> 'dbproxy-monitor'")
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"  # that take a connection


class Sampler:
    """The most sessions that were ever seen, looked at every 10 ms: by `count`, which is called on a thread of its own."""

    def __init__(self, count):
        self.most, self.samples = 0, 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(count,))

    def _run(self, count):
        while not self._stopping.wait(0.01):
            self.most = max(self.most, count())
            self.samples += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        self._thread.join(30)


class Watch(Sampler):
    """The sessions of the proxy's user, or others, asked by a superuser on one connection."""

    def __init__(self, server, which: str = WATCHED):
        super().__init__(lambda: self._connection.execute(which).fetchone()[0])
        self._server, self._connection = server, None

    def _run(self, count):
        with psycopg.connect(host=str(self._server.directory), port=self._server.port, user="postgres",
                             dbname="postgres", autocommit=True) as self._connection:
            super()._run(count)


class Load:
    """Clients that each do one short transaction after the other; what fails is counted.

    dsns: where they connect, one after the other.
    """

    def __init__(self, dsns: list[str], clients: int, hold: float = 0.005):
        self.done, self.failed = [0] * clients, 0
        self._dsns, self._hold = dsns, hold
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(clients)]

    def _run(self, number: int):
        while not self._stopping.is_set():
            try:
                with psycopg.connect(self._dsns[number % len(self._dsns)], autocommit=True) as client:
                    while not self._stopping.is_set():
                        client.execute(f"SELECT pg_sleep({self._hold})")
                        self.done[number] += 1
            except psycopg.Error:
                self.failed += 1
                self._stopping.wait(0.02)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)

    def goes_on(self, queries: int = 3, timeout: float = 30):
        before = list(self.done)
        wait_for(lambda: all(now >= was + queries for now, was in zip(self.done, before, strict=True)), timeout,
                 f"each client has done {queries} more queries")
