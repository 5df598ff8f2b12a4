"""A client that writes one row after the other, and when each write was acknowledged, and what it lost.

`connect()` gives what it writes with: write(), closed, close(). It raises, as they do, one of `errors`.
"""

import threading
import time

PAUSE = 0.005   # seconds between two writes
AGAIN = 0.01    # and after an error


class Client:
    def __init__(self, connect, errors, stopping: threading.Event):
        self._connect, self._errors, self._stopping = connect, errors, stopping
        self.acknowledged, self.seen, self.lost, self.last_error = [], 0, 0, None
        self._connection = connect()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while not self._stopping.is_set():
            try:
                if self._connection is None:
                    self._connection = self._connect()
                self._connection.write()
                self.acknowledged.append(time.monotonic())
                time.sleep(PAUSE)
            except self._errors as error:
                self.seen, self.last_error = self.seen + 1, error
                if self._connection is None or self._connection.closed:
                    self.lost += self._connection is not None
                    self._connection = None
                time.sleep(AGAIN)
        if self._connection is not None:
            self._connection.close()
