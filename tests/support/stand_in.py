"""A service of AWS that a test stands in for: an HTTP server on loopback that answers by a function."""

import http.server
import threading


class StandIn:
    """Context manager. A class derived from it names its `method` and gives answer(request) → (status, text)."""

    method: str

    def __enter__(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _respond(self):
                status, body = outer.answer(self)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        setattr(Handler, f"do_{self.method}", Handler._respond)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.host}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
