"""secretArn: users and passwords from AWS Secrets Manager (moto, over real HTTP), on real PostgreSQL."""

import concurrent.futures
import threading
import time

import psycopg
import pytest

from support import aws, paths
from support.postgres import PASSWORDS
from support.process import run
from support.waiting import wait_for

POLL = ("--secret-poll-seconds", "1")


@pytest.fixture(scope="module")
def moto_server(testbed):
    if not aws.available():
        pytest.skip("moto is not installed: run cmake/setup.sh test")
    with aws.Moto(testbed.subdirectory("moto")) as server:
        yield server


@pytest.fixture
def moto(moto_server):
    moto_server.reset()
    return moto_server


def use_arns(bed, arns, **spec):
    """A DBProxy with an entry for each ARN."""
    bed.write()

    def change(document):
        if document["kind"] == "DBProxy":
            document["spec"]["auth"] = [{"secretArn": arn} for arn in arns]
            document["spec"].update(spec)
    bed.manifests.edit("orders.yaml", change)
    bed.manifests.edit("orders-secrets.yaml", lambda document: None)


def secret_of(user="app", **more):
    return {"username": user, "password": PASSWORDS[user], "engine": "postgres", "host": "elsewhere", "port": 1, **more}


def test_user_and_password_come_from_the_secret(bed, moto):
    use_arns(bed, [moto.make_secret("orders/app", secret_of())])
    bed.sidecar(write=False, env=moto.env, extra=POLL)
    assert bed.connect().execute("SELECT current_user").fetchone() == ("app",)


def test_a_secret_that_cannot_be_read_costs_its_own_user_alone(bed, moto):
    good = moto.make_secret("orders/app", secret_of())
    missing = good.replace("orders/app", "orders/none")
    broken = moto.make_secret("orders/broken", '{"username": "reports", "passwort": "hunter2"}')
    use_arns(bed, [good, missing, broken])
    sidecar = bed.sidecar(write=False, env=moto.env, extra=POLL)
    assert bed.connect().execute("SELECT 1").fetchone() == (1,)
    log = sidecar.log()
    assert "ResourceNotFoundException" in log and "orders/none" in log
    assert "has no key password" in log and "hunter2" not in log
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        bed.connect("reports")
    moto.put(broken, secret_of("reports"))
    wait_for(lambda: can_log_in(bed, "reports"), 10, "the secret that was mended is used")
    assert sidecar.metrics().sum("dbproxy_aws_secret_reads_total", result="not_found") >= 1
    assert "key-that-is-never-printed" not in sidecar.log()


def can_log_in(bed, user="app", password=None):
    try:
        with psycopg.connect(bed.dsn(user, password=password)) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def test_rotation_loses_no_client(bed, moto, request):
    """First the password, then the secret, as AWS's own rotation does it, while clients work.

    On one server connection: another that is opened between the two steps is refused by the database, and so is who
    waits for it. That is not what is asked here.
    """
    arn = moto.make_secret("orders/app", secret_of())
    use_arns(bed, [arn])
    bed.manifests.set_pool(maxConnectionsPercent=1)
    bed.sidecar(write=False, env=moto.env, extra=POLL)
    current = [PASSWORDS["app"]]
    stop = threading.Event()
    request.addfinalizer(lambda: bed.writer.sql(f"ALTER ROLE app PASSWORD '{PASSWORDS['app']}'"))
    connections = [bed.connect() for _ in range(4)]

    def work(connection):
        count = 0
        while not stop.is_set():
            assert connection.execute("SELECT 1").fetchone() == (1,)
            count += 1
        return count

    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = [pool.submit(work, connection) for connection in connections]
        try:
            for number in range(2):
                password = f"rotated-{number}"
                bed.writer.sql(f"ALTER ROLE app PASSWORD '{password}'")
                moto.put(arn, secret_of(password=password))
                current[0] = password
                wait_for(lambda: can_log_in(bed, password=current[0]), 20, "the new password is taken")
        finally:
            stop.set()
        assert all(each.result() > 10 for each in running), "no client was lost"


def test_in_the_middle_of_a_rotation_clients_wait(bed, moto, request):
    """The password is changed, the secret is not yet, and every server connection has to be opened anew."""
    arn = moto.make_secret("orders/app", secret_of())
    use_arns(bed, [arn])
    sidecar = bed.sidecar(write=False, env=moto.env, extra=POLL)
    connections = [bed.connect() for _ in range(4)]
    for connection in connections:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    request.addfinalizer(lambda: bed.writer.sql(f"ALTER ROLE app PASSWORD '{PASSWORDS['app']}'"))
    bed.writer.sql("ALTER ROLE app PASSWORD 'rotated'")
    bed.writer.end_sessions("app")
    wait_for(lambda: bed.writer.sessions("app") == 0, 30, "the sessions have ended")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        asked = [pool.submit(lambda each=each: each.execute("SELECT 1").fetchone()) for each in connections]
        wait_for(lambda: sidecar.metrics().sum("dbproxy_server_connection_failures_total") >= 1
                 or "reason=AUTH_FAILURE" in sidecar.log(), 30, "the database has refused the password")
        assert not any(each.done() for each in asked), "they wait"
        moto.put(arn, secret_of(password="rotated"))
        assert all(each.result(timeout=60) == (1,) for each in asked)


def test_a_database_that_still_has_the_previous_password_is_served(bed, moto):
    """A rotation that failed half-way: the secret is the newer one. Started anew, so that nobody remembers the other."""
    arn = moto.make_secret("orders/app", secret_of())
    moto.put(arn, secret_of(password="not-yet"))
    use_arns(bed, [arn])
    sidecar = bed.sidecar(wait=False, write=False, env=moto.env, extra=POLL)
    wait_for(lambda: can_log_in(bed, password="not-yet"), 30, "AWSPREVIOUS is tried")
    assert "app-secret" not in sidecar.log() and "not-yet" not in sidecar.log()


def test_one_secret_of_two_proxies_is_read_once(bed, moto):
    arn = moto.make_secret("orders/app", secret_of())
    use_arns(bed, [arn])
    bed.manifests.for_cluster(bed.cluster, bed.readers, name="second")
    bed.manifests.remove("second-secrets.yaml")
    bed.manifests.edit("second.yaml", lambda document: document["spec"].update(auth=[{"secretArn": arn}]))
    sidecar = bed.sidecar(write=False, env=moto.env, extra=("--secret-poll-seconds", "3600"))
    assert bed.connect().execute("SELECT 1").fetchone() == (1,)
    assert bed.connect(port=bed.readers).execute("SELECT 1").fetchone() == (1,)
    assert sidecar.metrics().sum("dbproxy_aws_secret_reads_total", result="ok") == 1


def test_a_refused_password_has_the_secret_read_at_once(bed, moto, request):
    """Though the next look at it would be in an hour."""
    arn = moto.make_secret("orders/app", secret_of())
    use_arns(bed, [arn])
    bed.sidecar(write=False, env=moto.env, extra=("--secret-poll-seconds", "3600"))
    assert can_log_in(bed)
    request.addfinalizer(lambda: bed.writer.sql(f"ALTER ROLE app PASSWORD '{PASSWORDS['app']}'"))
    bed.writer.sql("ALTER ROLE app PASSWORD 'changed'")
    moto.put(arn, secret_of(password="changed"))
    wait_for(lambda: can_log_in(bed, password="changed"), 20, "the new password is taken")


def test_a_role_is_assumed(bed, moto):
    role = f"arn:aws:iam::{aws.ACCOUNT}:role/reader"
    use_arns(bed, [moto.make_secret("orders/app", secret_of())], aws={"roleArn": role})
    bed.sidecar(write=False, env=moto.env, extra=POLL)
    assert bed.connect().execute("SELECT 1").fetchone() == (1,)


def test_without_aws_everybody_else_is_served(bed, moto):
    """AWS that does not answer is a warning with its reason; an edit that needs nothing of it is in force."""
    arn = moto.make_secret("orders/app", secret_of())
    bed.write()
    bed.manifests.edit("orders.yaml", lambda document: document["spec"]["auth"].append({"secretArn": arn}))
    started = time.monotonic()
    sidecar = bed.sidecar(write=False, env={**aws.KEYS, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, extra=POLL)
    assert time.monotonic() - started < 10
    assert can_log_in(bed)
    assert "no answer from 127.0.0.1:1" in sidecar.log()


def test_through_an_operator(bed, moto):
    use_arns(bed, [moto.make_secret("orders/app", secret_of())])
    operator = bed.operator(env=moto.env, extra=POLL)
    bed.sidecar_of(operator)
    assert bed.connect().execute("SELECT current_user").fetchone() == ("app",)
    broken = f"arn:aws:secretsmanager:{aws.REGION}:{aws.ACCOUNT}:secret:none-AbCdEf"
    bed.manifests.edit("orders.yaml", lambda document: document["spec"]["auth"].append({"secretArn": broken}))
    wait_for(lambda: "ResourceNotFoundException" in run(
        [paths.binary("dbproxyctl"), "get", "--operator", operator.http], check=False).stdout
        or "ResourceNotFoundException" in operator.log(), 10, "the operator says which secret is missing")
    assert can_log_in(bed)


def test_a_secret_of_kubernetes_has_a_previous_one_too(bed, request):
    """Whoever rotates it changes the Secret first, and the database afterwards."""
    request.addfinalizer(lambda: bed.writer.sql(f"ALTER ROLE app PASSWORD '{PASSWORDS['app']}'"))
    bed.sidecar()
    assert bed.connect().execute("SELECT 1").fetchone() == (1,)

    def rotate(document):
        document["stringData"]["password"] = "the next one"
    bed.manifests.edit("orders-secrets.yaml", lambda document: rotate(document) if "stringData" in document else None)

    def taken():
        try:
            return bed.connect(password="the next one").execute("SELECT current_user").fetchone() == ("app",)
        except psycopg.OperationalError:
            return False
    wait_for(taken, 30, "clients have the next password, and the database the one before")
    bed.writer.sql("ALTER ROLE app PASSWORD 'the next one'")
    bed.writer.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
    wait_for(taken, 30, "the database has it as well")
