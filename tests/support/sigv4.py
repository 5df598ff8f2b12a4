"""Signature Version 4 for presigned requests, independently of the program under test; and an STS that checks it."""

import datetime
import hashlib
import hmac
import http.server
import threading
import urllib.parse


def _quote(text: str) -> str:
    return urllib.parse.quote(text, safe="-._~")


def _signature(secret_key: str, pairs: list, headers: dict, date: str, scope: str) -> str:
    """`pairs`: the encoded query without the signature."""
    names = ";".join(sorted(headers))
    canonical = "\n".join(["GET", "/", "&".join("=".join(pair) for pair in sorted(pairs)),
                           *(f"{name}:{headers[name]}" for name in sorted(headers)), "", names,
                           hashlib.sha256(b"").hexdigest()])
    to_sign = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4" + secret_key.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, to_sign.encode(), "sha256").hexdigest()


def signature_of(secret_key: str, query: str, headers: dict) -> str:
    """What the signature of a presigned request has to be; `headers` are those that are signed, in lower case."""
    pairs = [pair.split("=", 1) for pair in query.split("&") if not pair.startswith("X-Amz-Signature=")]
    values = {name: urllib.parse.unquote(value) for name, value in pairs}
    return _signature(secret_key, pairs, headers, values["X-Amz-Date"], values["X-Amz-Credential"].split("/", 1)[1])


def presign(secret_key: str, key_id: str, host: str, region: str, service: str, query: dict, headers: dict | None = None,
            age: float = 0, expires=900, **more) -> str:
    """HOST/?QUERY, made `age` seconds ago. `more` replaces parameters of the query, None leaves them out."""
    date = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=age)).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{date[:8]}/{region}/{service}/aws4_request"
    signed = {"host": host, **(headers or {})}
    values = {**query, "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": f"{key_id}/{scope}",
              "X-Amz-Date": date, "X-Amz-Expires": str(expires), "X-Amz-SignedHeaders": ";".join(sorted(signed)),
              **{name.replace("_", "-"): value for name, value in more.items()}}
    pairs = [(_quote(name), _quote(value)) for name, value in values.items() if value is not None]
    text = "&".join("=".join(pair) for pair in pairs)
    signature = _signature(secret_key, pairs, signed, values["X-Amz-Date"] or date, scope)
    return f"{host}/?{text}&X-Amz-Signature={signature}"


class Sts:
    """Context manager: GetCallerIdentity for presigned requests. `callers`: key id → (secret key, ARN)."""

    def __init__(self, callers: dict):
        self.callers, self.asked = callers, 0

    def __enter__(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked += 1
                status, body = outer._answer(self.path, {name.lower(): value for name, value in self.headers.items()})
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.host}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, path: str, headers: dict) -> tuple[int, str]:
        query = path.split("?", 1)[1]
        values = dict(urllib.parse.parse_qsl(query))
        secret_key, arn = self.callers.get(values["X-Amz-Credential"].split("/")[0], ("", ""))
        signed = {name: headers.get(name, "") for name in values["X-Amz-SignedHeaders"].split(";")}
        if not arn or not hmac.compare_digest(values["X-Amz-Signature"], signature_of(secret_key, query, signed)):
            return 403, "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>"
        return 200, ("<GetCallerIdentityResponse><GetCallerIdentityResult>"
                     f"<Arn>{arn}</Arn><UserId>U</UserId><Account>123456789012</Account>"
                     "</GetCallerIdentityResult></GetCallerIdentityResponse>")
