"""secretArn: everything that can be wrong with a secret, a key or a permission, and that each is told for what it is.

A stand-in of Secrets Manager answers by the secret's name. One DBProxy names all of them: each costs its own user alone.
"""

import http.server
import json
import threading

import pytest

from support import aws, paths
from support.postgres import PASSWORDS
from support.process import run
from support.waiting import wait_for

ARN = f"arn:aws:secretsmanager:{aws.REGION}:{aws.ACCOUNT}:secret:"
ROLE = f"User: arn:aws:sts::{aws.ACCOUNT}:assumed-role/r/s is not authorized to perform"


def error(kind: str, message: str = "no", status: int = 400) -> tuple[int, str]:
    return status, json.dumps({"__type": kind, "Message": message})


def secret(text, **more) -> tuple[int, str]:
    text = text if isinstance(text, str) else json.dumps(text)
    return 200, json.dumps({"VersionId": "v", "SecretString": text, **more})


LOGIN = {"username": "someone", "password": "hidden-words"}
# Name → what is answered, and what is said of it.
CASES = {
    "missing": (error("ResourceNotFoundException", "cannot find it"), "check the ARN, its region and its account"),
    "denied": (error("AccessDeniedException", f"{ROLE}: secretsmanager:GetSecretValue"),
               "allow secretsmanager:GetSecretValue on"),
    "denied-long": (error("com.amazonaws.x#AccessDeniedException:http://x", "no"), "allow secretsmanager:GetSecretValue"),
    "denied-bare": ((403, ""), "allow secretsmanager:GetSecretValue"),
    "denied-kms": (error("AccessDeniedException", "Access to KMS is not allowed"), "allow kms:Decrypt on the key of"),
    "kms": (error("DecryptionFailure"), "allow kms:Decrypt on the key of"),
    "kms-denied": (error("KMSAccessDeniedException"), "allow kms:Decrypt on the key of"),
    "unknown-keys": (error("UnrecognizedClientException"), "AWS does not know these keys"),
    "invalid-keys": (error("InvalidClientTokenId", status=403), "AWS does not know these keys"),
    "no-token": (error("MissingAuthenticationToken"), "AWS does not know these keys"),
    "half-signed": (error("IncompleteSignature"), "AWS does not know these keys"),
    "signature": (error("InvalidSignatureException"), "the clock of this machine"),
    "signature-2": (error("SignatureDoesNotMatch", status=403), "the clock of this machine"),
    "expired": (error("ExpiredTokenException"), "the clock of this machine"),
    "skewed": (error("RequestTimeTooSkewed", status=403), "the clock of this machine"),
    "late": (error("RequestExpired"), "the clock of this machine"),
    "deleted": (error("InvalidRequestException", "marked for deletion"), "marked for deletion"),
    "parameter": (error("InvalidParameterException", "bad name"), "bad name"),
    "inside": (error("InternalServiceError", status=500), "it is asked again"),
    "away": ((503, "<html>busy</html>"), "status 503"),
    "odd-status": ((302, ""), "status 302"),
    "binary": ((200, json.dumps({"VersionId": "v", "SecretBinary": "aGlkZGVuLXdvcmRz"})), "has no text (SecretString)"),
    "not-json-at-all": ((200, "SecretString"), "has no text (SecretString)"),
    "number-as-text": ((200, json.dumps({"SecretString": 7})), "has no text (SecretString)"),
    "empty-answer": ((200, ""), "has no text (SecretString)"),
    "list-answer": ((200, "[]"), "has no text (SecretString)"),
    "plain": (secret("hidden-words"), "is not a JSON object"),
    "list": (secret("[\"hidden-words\"]"), "is not a JSON object"),
    "cut": (secret(json.dumps(LOGIN)[:-1]), "is not a JSON object"),
    "two": (secret(json.dumps(LOGIN) * 2), "is not a JSON object"),
    "single-quotes": (secret(str(LOGIN)), "is not a JSON object"),
    "empty": (secret(""), "is not a JSON object"),
    "not-utf8": ((200, '{"VersionId":"v","SecretString":"{\\"username\\":\\"a\\\\udc00\\",\\"password\\":\\"x\\"}"}'),
                 "is not a JSON object"),
    "no-user": (secret({"password": "hidden-words"}), "has no key username"),
    "no-password": (secret({"username": "someone"}), "has no key password"),
    "misspelt": (secret({"username": "someone", "passwort": "hidden-words"}), "has no key password"),
    "capitals": (secret({"Username": "someone", "Password": "hidden-words"}), "has no key username"),
    "empty-user": (secret({**LOGIN, "username": ""}), "has an empty username"),
    "empty-password": (secret({**LOGIN, "password": ""}), "has an empty password"),
    "number-password": (secret({**LOGIN, "password": 12345}), "has no key password"),
    "null-user": (secret({**LOGIN, "username": None}), "has no key username"),
    "nested": (secret({"credentials": LOGIN}), "has no key username"),
    "long-user": (secret({**LOGIN, "username": "u" * 64}), "has too long a username"),
    "long-password": (secret({**LOGIN, "password": "p" * 4097}), "has too long a password"),
    "zero-byte": (secret({**LOGIN, "password": "hidden\0words"}), "has a zero byte in its password"),
    "zero-user": (secret({**LOGIN, "username": "some\0one"}), "has a zero byte in its username"),
    "same-user": (secret({"username": "app", "password": "hidden-words"}), "is a second secret for the database user"),
}


@pytest.fixture
def service():
    good = secret({"username": "app", "password": PASSWORDS["app"]})

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = body["SecretId"].removeprefix(ARN)
            status, text = CASES[name][0] if name in CASES else good
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_each_is_told_for_what_it_is(bed, service):
    assert len(CASES) >= 40
    bed.write()

    def change(document):
        if document["kind"] == "DBProxy":
            document["spec"]["auth"] = [{"secretArn": ARN + name} for name in ("good", *CASES)]
    bed.manifests.edit("orders.yaml", change)
    bed.manifests.edit("orders-secrets.yaml", lambda document: None)
    sidecar = bed.sidecar(write=False, env={**aws.KEYS, "AWS_ENDPOINT_URL": service}, extra=("--secret-poll-seconds", "1"))
    assert bed.connect().execute("SELECT current_user").fetchone() == ("app",), "the others are served"

    def lines():
        return [line for line in sidecar.log().splitlines() if "secretArn" in line]

    def untold():
        said = lines()
        return [name for number, (name, (_, words)) in enumerate(CASES.items(), 1)
                if not any(f"spec.auth[{number}].secretArn" in line and words in line for line in said)]
    try:
        wait_for(lambda: not untold(), 30, "each is told")
    except TimeoutError:
        assert untold() == []
    assert "hidden-words" not in sidecar.log() and PASSWORDS["app"] not in sidecar.log()
