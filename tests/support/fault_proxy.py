"""A TCP proxy on loopback that misbehaves when told to: cut connections, half-open ones, nobody there."""

import contextlib
import socket
import threading
import time


class FaultProxy:
    """Context manager; forwards `address` (host, port) from `port`. Everything it does to a connection is at once."""

    def __init__(self, host: str, port: int):
        self.target = (host, port)
        self._lock = threading.Lock()
        self._pairs: list[dict] = []
        self._refuse = False
        self.accepted = 0
        self.delay = 0.0  # seconds, of every piece in either direction
        self.exchanged: dict[bytes, bytes] = {}  # in what clients say, by others of the same length

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listener.close()
        self.cut()

    def cut(self):
        """Ends every connection, as a load balancer does that restarts."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair["ends"]:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def freeze(self):
        """The connections that there are stay open and carry nothing any more; new ones work."""
        with self._lock:
            for pair in self._pairs:
                pair["frozen"].set()

    def refuse(self, on: bool = True):
        """New connections are closed at once."""
        self._refuse = on
        if on:
            self.cut()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self._refuse:
                near.close()
                continue
            try:
                far = socket.create_connection(self.target, timeout=10)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            pair = {"ends": (near, far), "frozen": threading.Event()}
            with self._lock:
                self._pairs.append(pair)
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(pair, source, sink), daemon=True).start()

    def _pump(self, pair, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.delay:
                    time.sleep(self.delay)
                for what, by in self.exchanged.items() if source is pair["ends"][0] else ():
                    data = data.replace(what, by)
                if not pair["frozen"].is_set():
                    sink.sendall(data)
        if pair["frozen"].is_set():
            return  # not even the end is told
        for end in pair["ends"]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
