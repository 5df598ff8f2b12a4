"""What clients may log in with after a rotation (credentialGraceSeconds), and what the sidecar itself logs in with."""

import psycopg
import pytest

from support.manifests import secret
from support.postgres import PASSWORDS
from support.waiting import wait_for


def rotate(bed, user: str, password: str):
    """The secret alone; the database is the caller's business. PASSWORDS have what was there before."""
    bed.manifests.edit("orders-secrets.yaml", lambda document: document.get("kind") == "Secret" and document.update(
        secret("orders-app", user, password)))


def log_in(bed, **options) -> str:
    """'' or why not."""
    try:
        with psycopg.connect(bed.dsn(**options)):
            return ""
    except psycopg.OperationalError as error:
        return str(error)


def taken(bed, **options):
    wait_for(lambda: log_in(bed, **options) == "", 30, f"{options} is taken", interval=0.1)


def logins(sidecar, result: str) -> float:
    return sidecar.metrics().sum("dbproxy_logins_total", result=result)


@pytest.fixture
def rotated(bed, request):
    """Role app has the password `rotated`, and so have the manifests."""
    def rotate_both(password="rotated"):
        bed.writer.sql(f"ALTER ROLE app PASSWORD '{password}'")
        rotate(bed, "app", password)
        taken(bed, password=password)
    request.addfinalizer(lambda: bed.writer.sql(f"ALTER ROLE app PASSWORD '{PASSWORDS['app']}'"))
    return rotate_both


@pytest.mark.parametrize("kind", ["POSTGRES_SCRAM_SHA_256", "POSTGRES_MD5"])
def test_the_password_from_before_is_taken_and_counted(bed, rotated, kind):
    sidecar = bed.sidecar(auth={"app": {"clientPasswordAuthType": kind}})
    connection = bed.connect()
    rotated()
    before = logins(sidecar, "success_previous")
    with psycopg.connect(bed.dsn()) as old:
        assert old.execute("SELECT current_user").fetchone() == ("app",)
    assert logins(sidecar, "success_previous") == before + 1
    assert "let in with the previous password of a rotation" in sidecar.log()
    assert "password authentication failed" in log_in(bed, password="neither")
    assert connection.execute("SELECT 1").fetchone() == (1,), "whoever was there before has stayed"
    rotated("a third")
    assert log_in(bed, password="rotated") == ""
    assert "password authentication failed" in log_in(bed), "only the one before"
    assert all(word not in sidecar.log() for word in ("rotated'", "a third", PASSWORDS["app"]))


def test_grace_ends_and_can_be_taken_away(bed, rotated):
    sidecar = bed.sidecar(credentialGraceSeconds=3)
    rotated()
    wait_for(lambda: "password authentication failed" in log_in(bed), 30, "the grace is over", interval=0.1)
    assert logins(sidecar, "success_previous") + logins(sidecar, "wrong_password") >= 1
    bed.manifests.set_spec(credentialGraceSeconds=3600)
    taken(bed)
    bed.manifests.set_spec(credentialGraceSeconds=0)
    wait_for(lambda: "password authentication failed" in log_in(bed), 30, "there is none any more", interval=0.1)
    assert log_in(bed, password="rotated") == ""


def test_alternating_users(bed, request):
    """The secret names another user: clients that show the one from before are served as the other."""
    writer = bed.writer
    writer.sql("CREATE ROLE app_clone LOGIN PASSWORD 'clone' IN ROLE app")
    request.addfinalizer(lambda: writer.sql("DROP ROLE app_clone"))
    sidecar = bed.sidecar()
    connection = bed.connect()
    rotate(bed, "app_clone", "clone")
    taken(bed, user="app_clone", password="clone")
    writer.end_sessions("app")
    writer.sql("ALTER ROLE app NOLOGIN")
    request.addfinalizer(lambda: writer.sql("ALTER ROLE app LOGIN"))
    with psycopg.connect(bed.dsn()) as old:
        assert old.execute("SELECT session_user").fetchone() == ("app_clone",)
    with pytest.raises(psycopg.errors.AdminShutdown, match="another name"):
        connection.execute("SELECT 1")
    assert bed.connect().execute("SELECT session_user").fetchone() == ("app_clone",)
    assert logins(sidecar, "success_previous") == 2
    assert "password authentication failed" in log_in(bed, password="clone"), "each name has its own password"
    assert "password authentication failed" in log_in(bed, user="app_clone", password=PASSWORDS["app"])


def test_an_operator_that_was_away_during_the_rotation(bed, rotated):
    """It does not know what was before, but the sidecar does, and tells nobody."""
    bed.write()
    operator = bed.operator()
    sidecar = bed.sidecar_of(operator)
    bed.connect()
    operator.kill()
    bed.writer.sql("ALTER ROLE app PASSWORD 'rotated'")
    rotate(bed, "app", "rotated")
    operator.start()
    taken(bed, password="rotated")
    assert log_in(bed) == ""
    assert logins(sidecar, "success_previous") >= 1
    # And once more, with nothing rotated.
    operator.kill()
    operator.start()
    bed.manifests.set_pool(maxConnectionsPercent=7)
    wait_for(lambda: max(row["limit"] for row in sidecar.json("targets")) == 7, 20, "it is told of an edit")
    assert log_in(bed) == ""
