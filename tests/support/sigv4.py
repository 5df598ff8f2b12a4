"""Signature Version 4 for presigned requests, independently of the program under test; and an STS that checks it."""

import datetime
import hashlib
import hmac
import re
import urllib.parse

from .stand_in import StandIn


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


class Sts(StandIn):
    """Context manager: GetCallerIdentity for presigned requests. `callers`: key id → (secret key, ARN)."""

    method = "GET"

    def __init__(self, callers: dict):
        self.callers, self.asked = callers, 0

    def answer(self, request) -> tuple[int, str]:
        self.asked += 1
        return self._answer(request.path, {name.lower(): value for name, value in request.headers.items()})

    def _answer_signed(self, query: str, headers: dict) -> tuple[int, str]:
        """With the signature in a header."""
        said = dict(re.findall("(Credential|SignedHeaders|Signature)=([^, ]+)", headers["authorization"]))
        key_id, scope = said["Credential"].split("/", 1)
        secret_key, arn = self.callers.get(key_id, ("", ""))
        signed = {name: headers.get(name, "") for name in said["SignedHeaders"].split(";")}
        pairs = [tuple(pair.split("=", 1)) for pair in query.split("&")]
        good = _signature(secret_key, pairs, signed, headers["x-amz-date"], scope)
        return self._caller(arn if hmac.compare_digest(said["Signature"], good) else "")

    def _answer(self, path: str, headers: dict) -> tuple[int, str]:
        query = path.split("?", 1)[1]
        if "authorization" in headers:
            return self._answer_signed(query, headers)
        values = dict(urllib.parse.parse_qsl(query))
        secret_key, arn = self.callers.get(values["X-Amz-Credential"].split("/")[0], ("", ""))
        signed = {name: headers.get(name, "") for name in values["X-Amz-SignedHeaders"].split(";")}
        good = hmac.compare_digest(values["X-Amz-Signature"], signature_of(secret_key, query, signed))
        return self._caller(arn if good else "")

    @staticmethod
    def _caller(arn: str) -> tuple[int, str]:
        if not arn:
            return 403, "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>"
        return 200, ("<GetCallerIdentityResponse><GetCallerIdentityResult>"
                     f"<Arn>{arn}</Arn><UserId>U</UserId><Account>123456789012</Account>"
                     "</GetCallerIdentityResult></GetCallerIdentityResponse>")
