"""A relay that keeps what goes through it, to see what a real client and the sidecar agree on."""

import contextlib
import select
import socket
import threading


class Recorder:
    """Of one connection. `sent` is what the client wrote, `received` what it was answered."""

    def __init__(self, port: int):
        self.sent, self.received = bytearray(), bytearray()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._relay, args=(port,), daemon=True)
        self._thread.start()

    def _relay(self, port: int):
        with contextlib.suppress(OSError), self._listener.accept()[0] as client, \
                socket.create_connection(("127.0.0.1", port)) as server:
            ways = {client: (server, self.sent), server: (client, self.received)}
            while True:
                for source in select.select(list(ways), [], [])[0]:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    target, kept = ways[source]
                    kept += data
                    target.sendall(data)

    def close(self):
        self._listener.close()
        self._thread.join(10)
