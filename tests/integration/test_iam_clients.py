"""iamAuth: clients that show tokens of AWS in their password's place, and all that lets them in no more."""

import psycopg
import pytest

from support import aws, paths
from support.postgres import PASSWORDS
from support.process import run
from support.sigv4 import Sts, presign

SECRET, KEY = aws.KEYS["AWS_SECRET_ACCESS_KEY"], aws.KEYS["AWS_ACCESS_KEY_ID"]
HOST = "orders.shop.dbproxy"
OTHER = ("AKIAOTHEROTHEROT", "the other key")
ROLE = "arn:aws:iam::123456789012:role/shop"


def token(port, user="app", host=HOST, region=aws.REGION, service="rds-db", secret=SECRET, key=KEY, action="connect",
          **more):
    return presign(secret, key, f"{host}:{port}", region, service, {"Action": action, "DBUser": user}, **more)


def connect(bed, password, user="app", **options):
    return bed.connect(user, password=password, **{"sslmode": "require", **options})


def let_in(bed, password, **options):
    return connect(bed, password, **options).execute("SELECT current_user").fetchone() == ("app",)


def required(bed, env=None, **auth):
    return bed.sidecar(auth={"app": {"iamAuth": "REQUIRED", **auth}}, aws={"region": aws.REGION}, env=env or aws.KEYS)


def test_tokens_of_the_aws_command_and_of_ours(bed):
    sidecar = required(bed)
    arguments = ["--hostname", HOST, "--port", str(bed.port), "--username", "app", "--region", aws.REGION]
    assert let_in(bed, run([paths.binary("dbproxyctl"), "token", *arguments], env=aws.KEYS).stdout.strip())
    if aws.available():
        assert let_in(bed, run([aws.PYTHON, "-B", "-m", "awscli", "rds", "generate-db-auth-token", *arguments],
                               env=aws.KEYS).stdout.strip())
    mine = token(bed.port)
    assert let_in(bed, mine)
    assert let_in(bed, mine), "as RDS: it is good until it expires"
    log = sidecar.log()
    assert mine.split("X-Amz-Signature=")[1] not in log
    assert f"keys {KEY}" in log and SECRET not in log


# What is wrong with it, and what the client is told. Each is signed properly, so that nothing but this is wrong.
BAD = {
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
    "odd date": ({"X_Amz_Date": "yesterday"}, "Date cannot be read"),
    "more headers": ({"headers": {"x-more": "1"}}, "signature is wrong"),
    "session token that nobody has": ({"X_Amz_Security_Token": "abc"}, "signature is wrong"),
}
SPOILED = {
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


def test_what_lets_nobody_in(bed):
    sidecar = required(bed)
    good = token(bed.port)
    cases = {name: (token(bed.port, **spoil), words) for name, (spoil, words) in BAD.items()}
    cases |= {name: (spoil(good, bed.port), words) for name, (spoil, words) in SPOILED.items()}
    for name, (text, words) in cases.items():
        with pytest.raises(psycopg.OperationalError, match=words) as refused:
            connect(bed, text)
        assert "X-Amz-Signature" not in str(refused.value), name
    with pytest.raises(psycopg.OperationalError, match="over TLS only"):
        connect(bed, good, sslmode="disable")
    assert sidecar.metrics().sum("dbproxy_logins_total", result="iam_token") >= len(cases) - 1
    assert "X-Amz-Signature" not in sidecar.log() and PASSWORDS["app"] not in sidecar.log()
    assert let_in(bed, good)
    assert let_in(bed, good, host=str(sidecar.socket_dir), sslmode="disable"), "a Unix socket counts as secure"


def test_enabled_takes_both_and_disabled_no_token(bed):
    bed.sidecar(users=("app", "reports"), auth={"app": {"iamAuth": "ENABLED"}}, aws={"region": aws.REGION}, env=aws.KEYS)
    assert let_in(bed, token(bed.port))
    assert let_in(bed, PASSWORDS["app"])
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(bed, "wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(bed, token(bed.port, user="reports"), user="reports")
    assert connect(bed, PASSWORDS["reports"], user="reports").execute("SELECT 1").fetchone() == (1,)


def test_whoever_sts_says_it_is_has_to_be_listed(bed):
    """As with IRSA and Pod Identity, where each container has keys of its own."""
    session = "arn:aws:sts::123456789012:assumed-role/shop/a-pod"
    with Sts({KEY: (SECRET, session), OTHER[0]: (OTHER[1], "arn:aws:iam::123456789012:user/eve")}) as sts:
        env = {**aws.KEYS, "AWS_ENDPOINT_URL_STS": sts.url}
        sidecar = required(bed, env, iamPrincipals=[ROLE])
        audience = f"{HOST}:{bed.port}/app"

        def caller(host=sts.host, key=KEY, secret=SECRET, action="GetCallerIdentity", meant_for=audience, **more):
            headers = {"x-dbproxy-audience": meant_for} if meant_for else None
            return "http://" + presign(secret, key, host, aws.REGION, more.pop("service", "sts"),
                                       {"Action": action, "Version": "2011-06-15"}, headers, **more)

        arguments = ["token", "--proxy", "shop/orders", "--port", str(bed.port), "--username", "app"]
        made = run([paths.binary("dbproxyctl"), *arguments], env=env).stdout.strip()
        assert let_in(bed, made)
        asked = sts.asked
        assert let_in(bed, made) and sts.asked == asked, "what STS said is remembered"
        for text, words in [
                (caller(key=OTHER[0], secret=OTHER[1]), "user/eve is not among the iamPrincipals"),
                (caller(secret=OTHER[1]), "STS does not take the token"),
                (caller(meant_for=f"billing.shop.dbproxy:{bed.port}/app"), "STS does not take the token"),
                (caller(meant_for=f"{HOST}:{bed.port}/reports"), "STS does not take the token"),
                (caller(meant_for=None), "not meant for a dbproxy"),
                (caller(action="AssumeRole"), "something other than sts:GetCallerIdentity"),
                (caller(service="iam"), "something other than sts:GetCallerIdentity"),
                (caller(host="169.254.169.254"), "not for STS at"),
                (caller(age=901), "has expired"),
                (caller().replace("http://", "https://"), "not for STS at"),
                (token(bed.port), "does not show who signed it"),
        ]:
            before = sts.asked
            with pytest.raises(psycopg.OperationalError, match=words):
                connect(bed, text)
            if words.startswith("not for STS"):
                assert sts.asked == before, "nobody is asked whom a token names"
        assert session in sidecar.log(), "the log says who came"
    with pytest.raises(psycopg.OperationalError, match="no answer from"):
        connect(bed, caller(age=30))
