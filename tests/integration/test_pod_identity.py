"""clientAuth: PodIdentity: no password on the Unix socket, for whom the kernel says is there, and nowhere else."""

import os
import subprocess

import psycopg
import pytest

from support.database import user_to_run_as
from support.waiting import wait_for


def over_socket(bed, sidecar, user="app", **options):
    return psycopg.connect(host=str(sidecar.socket_dir), port=bed.port, user=user, dbname="orders", password="",
                           autocommit=True, connect_timeout=10, **options)


def let_in(bed, sidecar) -> bool:
    try:
        over_socket(bed, sidecar).close()
        return True
    except psycopg.OperationalError:
        return False


def test_no_password_on_the_socket_and_no_way_in_elsewhere(bed):
    sidecar = bed.sidecar(clientAuth="PodIdentity")
    with over_socket(bed, sidecar) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("app",)
    with pytest.raises(psycopg.OperationalError, match="are another user than"):
        over_socket(bed, sidecar, user="reports")
    for password in ("", "app-secret"):
        with pytest.raises(psycopg.OperationalError, match="knows its clients by their pod"):
            bed.connect(password=password)
    assert sidecar.metrics().sum("dbproxy_logins_total", result="pod_identity") == 3
    assert len([line for line in sidecar.log().splitlines() if "log-in refused" in line and " method=pod-identity " in line]) == 3


def test_loopback_tcp_where_it_is_allowed(bed):
    bed.sidecar(clientAuth="PodIdentity", allowLoopbackTCP=True)
    assert bed.connect(password="").execute("SELECT current_user").fetchone() == ("app",)


def test_an_edit_turns_it_off_again(bed):
    sidecar = bed.sidecar(clientAuth="PodIdentity")
    with over_socket(bed, sidecar) as connection:
        bed.manifests.set_spec(clientAuth="Password")
        wait_for(lambda: not let_in(bed, sidecar), 10, "a password is asked for")
        assert connection.execute("SELECT 1").fetchone() == (1,), "who is in stays"
    assert bed.connect().execute("SELECT 1").fetchone() == (1,)


def test_on_manifests_only_for_our_own_user(bed):
    """Somebody else on the machine is not the pod."""
    other = user_to_run_as("postgres", "nobody")
    if not other or os.geteuid() != 0:
        pytest.skip("needs root and a second user: run as root")
    sidecar = bed.sidecar(clientAuth="PodIdentity")
    os.chmod(sidecar.socket_dir, 0o755)
    done = subprocess.run(["psql", "-h", sidecar.socket_dir, "-p", str(bed.port), "-U", "app", "-w", "-c", "SELECT 1",
                           "orders"], capture_output=True, text=True, user=other, group=other, extra_groups=[],
                          timeout=30, env={"PATH": os.environ["PATH"], "HOME": "/"})
    assert done.returncode != 0
    assert "knows its clients by their pod" in done.stderr or "Permission denied" in done.stderr, done.stderr


def test_none_but_the_users_that_are_listed(bed):
    bed.write(clientAuth="PodIdentity", podIdentityUids=[os.geteuid() + 1])
    sidecar = bed.sidecar_of(bed.operator())
    with pytest.raises(psycopg.OperationalError, match="knows its clients by their pod"):
        over_socket(bed, sidecar)
    bed.manifests.set_spec(podIdentityUids=[7, os.geteuid()])
    wait_for(lambda: let_in(bed, sidecar), 30, "our user is listed by now")


def test_through_an_operator_for_every_user_of_the_pod(bed):
    bed.write(clientAuth="PodIdentity")
    sidecar = bed.sidecar_of(bed.operator())
    with over_socket(bed, sidecar) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("app",)
    with pytest.raises(psycopg.OperationalError, match="knows its clients by their pod"):
        bed.connect()
