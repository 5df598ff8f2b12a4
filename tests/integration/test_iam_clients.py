"""iamAuth: clients that show tokens of AWS in their password's place, and all that lets them in no more."""

import shutil

import psycopg
import pytest

from support import aws, paths
from support.negative import HOST, KEY, OTHER, SECRET, token, tokens
from support.postgres import PASSWORDS
from support.process import run
from support.sigv4 import Sts, presign
from support.waiting import wait_for

ROLE = "arn:aws:iam::123456789012:role/shop"


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


def test_psql_and_pgjdbc_show_tokens(bed):
    required(bed)
    good = token(bed.port)
    where = bed.dsn("app", password=good, sslmode="require")
    assert run([paths.DEBIAN_POSTGRES / "psql", "-XAt", where, "-c", "SELECT current_user"]).stdout.strip() == "app"
    jars = list((paths.TESTBED / "jars").glob("postgresql-42*.jar"))
    if not jars or not shutil.which("javac"):
        pytest.skip("pgjdbc is not installed: run cmake/setup.sh test")
    done = run(["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", jars[0],
                paths.ROOT / "tests/drivers/java/Token.java"], check=False, timeout=120, env={
                    "DB_URL": f"jdbc:postgresql://127.0.0.1:{bed.port}/orders?sslmode=require", "DB_USER": "app",
                    "DB_PASSWORD": good})
    assert done.stdout.strip() == "app", done.stdout + done.stderr


def test_what_lets_nobody_in(bed):
    sidecar = required(bed)
    good = token(bed.port)
    cases = tokens(bed.port)
    assert len(cases) >= 30
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
        ]:
            before = sts.asked
            with pytest.raises(psycopg.OperationalError, match=words):
                connect(bed, text)
            if words.startswith("not for STS"):
                assert sts.asked == before, "nobody is asked whom a token names"
        assert session in sidecar.log(), "the log says who came"
        assert let_in(bed, token(bed.port)), "signed with the sidecar's own keys, of which STS says whose they are"
    with pytest.raises(psycopg.OperationalError, match="no answer from"):
        connect(bed, caller(age=30))


def test_required_where_no_mode_is_possible_is_a_condition(bed):
    """Not a log-in that fails and nothing else: people who can change it are told, by an Event as well."""
    bed.write(users=("app", "reports"), auth={"app": {"iamAuth": "REQUIRED"}}, aws={"region": aws.REGION})
    operator = bed.operator(env=aws.no_keys(bed.directory))
    sidecar = bed.sidecar_of(operator, env=aws.no_keys(bed.directory))

    def degraded():
        conditions = operator.json("dbproxies")[0]["conditions"]
        return next((each for each in conditions if each["type"] == "Degraded"), None)
    condition = wait_for(degraded, 30, "the condition says so")
    assert condition["reason"] == "IamAuthImpossible"
    for words in ('user "app"', "no token can be verified", "list iamPrincipals", "no AWS credentials", sidecar.identity):
        assert words in condition["message"], condition
    assert "reports" not in condition["message"]
    described = run([paths.binary("dbproxyctl"), "describe", "shop/orders", "--operator", operator.http]).stdout
    assert "IamAuthImpossible" in described
    top = run([paths.binary("dbproxyctl"), "top", "--once", "--operator", operator.http]).stdout
    assert top.count("no token can be verified") >= 1, top
    assert "lets nobody in" in sidecar.log()
    with pytest.raises(psycopg.OperationalError, match="keys that the sidecar does not have"):
        connect(bed, token(bed.port))
    assert bed.connect("reports").execute("SELECT 1").fetchone() == (1,), "others are served"
    bed.manifests.edit("orders.yaml", lambda document: document["spec"]["auth"][0].update(iamPrincipals=[ROLE]))
    wait_for(lambda: degraded() is None, 30, "with iamPrincipals STS can tell")


def test_required_is_possible_with_keys_a_database_that_verifies_or_principals(bed):
    """And without a complaint: as the sidecar says of itself."""
    def trouble(env, **auth):
        sidecar = bed.sidecar(auth={"app": {"iamAuth": "REQUIRED", **auth}}, aws={"region": aws.REGION}, env=env)
        found = wait_for(lambda: sidecar.json("dbproxies"), 10, "it is in force")[0].get("trouble", "")
        said = "lets nobody in" in sidecar.log()
        sidecar.stop()
        return found, said
    assert trouble(aws.KEYS) == ("", False)
    assert trouble(aws.no_keys(bed.directory), iamPrincipals=[ROLE]) == ("", False)
    assert trouble(aws.no_keys(bed.directory), authScheme="IAM", userName="app", secretRef=None) == ("", False)
    half = {**aws.no_keys(bed.directory), "AWS_ACCESS_KEY_ID": "AKIAHALF"}
    sidecar = bed.sidecar(auth={"app": {"iamAuth": "REQUIRED"}}, aws={"region": aws.REGION}, env=half)
    found = wait_for(lambda: sidecar.json("dbproxies")[0].get("trouble"), 30, "half a pair of keys is none")
    assert "AWS_SECRET_ACCESS_KEY is not set" in found
