"""All that is wrong with credentials, in one table: secrets of AWS that cannot be read, and tokens that let nobody in.

What the operator says of the former is looked for in conditions and Events (tests/kubernetes/test_aws.py) and in logs
(tests/integration/test_aws_negative.py); of the latter the client's error counts (tests/integration/test_iam_clients.py).
"""

import json

from . import aws
from .postgres import PASSWORDS
from .sigv4 import presign
from .stand_in import StandIn

ARN = f"arn:aws:secretsmanager:{aws.REGION}:{aws.ACCOUNT}:secret:"
ROLE = f"User: arn:aws:sts::{aws.ACCOUNT}:assumed-role/r/s is not authorized to perform"


def error(kind: str, message: str = "no", status: int = 400) -> tuple[int, str]:
    return status, json.dumps({"__type": kind, "Message": message})


def secret(text, **more) -> tuple[int, str]:
    text = text if isinstance(text, str) else json.dumps(text)
    return 200, json.dumps({"VersionId": "v", "SecretString": text, **more})


LOGIN = {"username": "someone", "password": "hidden-words"}
# Name of a secret → what Secrets Manager answers, and what is said of it.
SECRETS = {
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


class SecretsManager(StandIn):
    """Context manager: answers each secret as the table says; one that is not in it is user app's."""

    method = "POST"

    def answer(self, request) -> tuple[int, str]:
        name = json.loads(request.rfile.read(int(request.headers["Content-Length"])))["SecretId"].removeprefix(ARN)
        return SECRETS[name][0] if name in SECRETS else secret({"username": "app", "password": PASSWORDS["app"]})


SECRET, KEY = aws.KEYS["AWS_SECRET_ACCESS_KEY"], aws.KEYS["AWS_ACCESS_KEY_ID"]
HOST = "orders.shop.dbproxy"
OTHER = ("AKIAOTHEROTHEROT", "the other key")


def token(port, user="app", host=HOST, region=aws.REGION, service="rds-db", secret=SECRET, key=KEY, action="connect",
          **more):
    return presign(secret, key, f"{host}:{port}", region, service, {"Action": action, "DBUser": user}, **more)


# What is wrong with it, and what the client is told. Each is signed properly, so that nothing but this is wrong.
_SPOILT = {
    "expired": ({"age": 901}, "the token has expired"),
    "expired, short life": ({"age": 61, "expires": 60}, "the token has expired"),
    "from the future": ({"age": -400}, "from the future"),
    "lives for too long": ({"expires": 901}, "longer than 15 minutes"),
    "lives for ever": ({"expires": 0}, "longer than 15 minutes"),
    "life is no number": ({"expires": "soon"}, "longer than 15 minutes"),
    "another user": ({"user": "reports"}, "for another user"),
    "another host": ({"host": "billing.shop.dbproxy"}, "for another host or port"),
    "the database's host": ({"host": "127.0.0.1"}, "for another host or port"),
    "another region": ({"region": "eu-west-1"}, "for another region"),
    "another service": ({"service": "sts"}, "something other than to connect"),
    "another action": ({"action": "delete"}, "something other than to connect"),
    "another key": ({"key": OTHER[0], "secret": OTHER[1]}, "keys that the sidecar does not have"),
    "wrong secret": ({"secret": OTHER[1]}, "signature is wrong"),
    "another algorithm": ({"X_Amz_Algorithm": "AWS4-HMAC-SHA1"}, "not signed by"),
    "no algorithm": ({"X_Amz_Algorithm": None}, "not signed by"),
    "no credential": ({"X_Amz_Credential": None}, "Credential cannot be read"),
    "odd credential": ({"X_Amz_Credential": f"{KEY}/today"}, "Credential cannot be read"),
    "no life": ({"X_Amz_Expires": None}, "longer than 15 minutes"),
    "date of no clock": ({"X_Amz_Date": "99990101T000000Z", "X_Amz_Credential": f"{KEY}/99990101/{aws.REGION}/rds-db/aws4_request"},
                         "Date cannot be read"),
    "date before any clock": ({"X_Amz_Date": "00010101T000000Z",
                               "X_Amz_Credential": f"{KEY}/00010101/{aws.REGION}/rds-db/aws4_request"}, "Date cannot be read"),
    "odd date": ({"X_Amz_Date": "yesterday"}, "Date cannot be read"),
    "more headers": ({"headers": {"x-more": "1"}}, "signature is wrong"),
    "session token that nobody has": ({"X_Amz_Security_Token": "abc"}, "signature is wrong"),
}
_OTHERS = {
    "another port": (lambda good, port: token(port + 1), "for another host or port"),
    "no query": (lambda good, port: "X-Amz-Signature=00", "cannot be read"),
    "twice the same": (lambda good, port: good.replace("&X-Amz-Date", "&Action=connect&X-Amz-Date"), "cannot be read"),
    "something else in it": (lambda good, port: good.replace("&X-Amz-Date", "&Extra=1&X-Amz-Date"), "not belong there"),
    "half a percent": (lambda good, port: good.replace("DBUser=app", "DBUser=%4"), "cannot be read"),
    "signature cut": (lambda good, port: good[:-1], "signature is wrong"),
    "signature in capitals": (lambda good, port: good[:-64] + good[-64:].upper(), "signature is wrong"),
    "blank": (lambda good, port: good + " ", "do not belong there"),
    "too long": (lambda good, port: good + "0" * 7000, "longer than any|signature is wrong|password message"),
    "of STS, and nobody is listed": (lambda good, port: "https://" + good, "no iamPrincipals"),
    "password": (lambda good, port: PASSWORDS["app"], "only a token of IAM"),
    "nothing": (lambda good, port: "x", "only a token of IAM"),
}


def tokens(port: int) -> dict:
    """Name → what the client shows, and what it is told."""
    good = token(port)
    return {**{name: (token(port, **spoil), words) for name, (spoil, words) in _SPOILT.items()},
            **{name: (spoil(good, port), words) for name, (spoil, words) in _OTHERS.items()}}


assert len(SECRETS) + len(_SPOILT) + len(_OTHERS) >= 40
