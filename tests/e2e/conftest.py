"""One cluster, one database and one installation for all scenarios; they follow each other in the order of the files."""

import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from e2e.world import SYSTEM, World, connect  # noqa: E402
from support.process import exit_on_signals  # noqa: E402
from support.waiting import wait_for  # noqa: E402

_SAID = 20_000  # characters of each log that a failure shows


@pytest.fixture(scope="session")
def kubernetes(tmp_path_factory):
    exit_on_signals()
    with connect(tmp_path_factory.mktemp("e2e")) as kubernetes:
        yield kubernetes


@pytest.fixture(scope="session")
def bare(kubernetes):
    """With images loaded, the database up and the namespace made, and nothing installed."""
    # Not pytest's own: every run of pytest takes the folder above them from others, and PostgreSQL runs as another user.
    with tempfile.TemporaryDirectory(prefix="dbproxy-e2e-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        directory.chmod(0o755)
        world = World(kubernetes, directory)
        with world.database:
            world.load_images()
            world.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {
                "name": world.namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
            world.before = world.inventory()
            yield world


@pytest.fixture(scope="session")
def world(bare):
    """With the chart installed, and an application pod `app` that has a sidecar."""
    bare.install()
    bare.apply_proxy()
    bare.wait_condition("True", "Accepted")
    bare.run_pod("app")
    return bare


@pytest.fixture
def orders(world):
    """The world with DBProxy `orders` as it was first applied, and Ready."""
    world.apply_proxy()
    world.wait_condition("True")
    wait_for(lambda: world.psql("app", "SELECT 1").stdout == "1\n", 30, "psql in the application's pod", interval=0.2)
    return world


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    world = getattr(item, "funcargs", {}).get("bare")
    if not report.failed or world is None:
        return
    for title, command in {
        "pods": ["get", "pods", "-A", "-o", "wide"],
        "dbproxies": ["get", "dbproxies", "-A", "-o", "yaml"],
        "events": ["get", "events", "-A", "--sort-by=.lastTimestamp"],
        "operator": ["logs", "-n", SYSTEM, "-l", "app.kubernetes.io/name=dbproxy-operator", "--tail=200", "--prefix"],
        "sidecar": ["logs", "-n", world.namespace, "app", "-c", "dbproxy", "--tail=200"],
    }.items():
        done = world.kubectl(*command, check=False)
        report.sections.append((title, (done.stdout + done.stderr)[-_SAID:]))
