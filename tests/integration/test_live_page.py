"""The live page in a real browser: what it shows, on a telephone's width and on a desk's, in light and dark."""

import os
import re
import shutil
import subprocess

import pytest

from support import paths
from support.pages import get_json
from support.waiting import wait_for

ARTEFACTS = paths.BUILD / "artefacts"


def browse(directory, address: str, *arguments) -> str:
    """Chromium's output for the page, some seconds (of its own time) after it was opened."""
    done = subprocess.run(
        [shutil.which("chromium"), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         "--hide-scrollbars", f"--user-data-dir={directory / 'browser'}", "--virtual-time-budget=6000", *arguments,
         f"http://{address}/"],
        env={**os.environ, "HOME": str(directory)}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture
def run(bed):
    bed.write(read_only=True)
    operator = bed.operator()
    sidecar = bed.sidecar_of(operator)
    client = bed.connect()
    client.execute("CREATE TEMP TABLE kept (a int)")
    wait_for(lambda: get_json(sidecar.admin, "/api/v1/pins")["items"], what="the pin is told")
    return operator, sidecar


def words(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", re.sub(r"<(script|style).*?</\1>", "", page, flags=re.S)))


def test_it_shows_what_there_is(bed, run):
    operator, sidecar = run
    shown = words(browse(bed.directory, sidecar.admin, "--dump-dom"))
    for each in ("shop/orders", "✓ ready", "1 client,", "writer READ_WRITE ✓ AVAILABLE", "temporary_object", "queries p50",
                 "CREATE TEMP TABLE kept", "Pools"):
        assert each in shown, f"{each!r} is not in {shown}"
    shown = words(browse(bed.directory, operator.http, "--dump-dom"))
    for each in ("shop/orders", "✓ ready", "1 client, 0 waiting", "1 sidecar ", "shop/orders-1", "✓ up to date"):
        assert each in shown, f"{each!r} is not in {shown}"


@pytest.mark.parametrize("name,width,scheme", [("desk", 1280, "light"), ("telephone", 390, "dark")])
def test_it_looks_like_something(bed, run, name, width, scheme):
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    for who, address in (("operator", run[0].http), ("sidecar", run[1].admin)):
        picture = ARTEFACTS / f"live-{who}-{name}.png"
        picture.unlink(missing_ok=True)
        browse(bed.directory, address, f"--screenshot={picture}", f"--window-size={width},900",
               *(["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []))
        assert picture.stat().st_size > 5000
