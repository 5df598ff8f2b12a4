"""The live page in a real browser: what it shows, on a telephone's width and on a desk's, in light and dark."""

import os
import re
import shutil
import subprocess

import pytest

from support import paths
from support.browser import Browser
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
    wait_for(lambda: operator.json("pins"), 30, "the operator has heard of the pin")
    shown = words(browse(bed.directory, operator.http, "--dump-dom"))
    for each in ("shop/orders", "✓ ready", "1 client, 0 waiting", "1 sidecar ", "shop/orders-1", "✓ up to date",
                 "queries p50", "sessions sidecars reasons", "temporary_object", "CREATE TEMP TABLE kept"):
        assert each in shown, f"{each!r} is not in {shown}"


@pytest.mark.parametrize("name,width,scheme", [("desk", 1280, "light"), ("telephone", 390, "dark")])
def test_it_looks_like_something(bed, run, name, width, scheme):
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    wait_for(lambda: run[0].json("pins"), 30, "the operator has something to show")
    for who, address in (("operator", run[0].http), ("sidecar", run[1].admin)):
        picture = ARTEFACTS / f"live-{who}-{name}.png"
        picture.unlink(missing_ok=True)
        browse(bed.directory, address, f"--screenshot={picture}", f"--window-size={width},900",
               *(["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []))
        assert picture.stat().st_size > 5000


def luminance(colour: str) -> float:
    """https://www.w3.org/TR/WCAG21/#dfn-relative-luminance of #rrggbb."""
    parts = [int(colour[at:at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_a_telephone_a_keyboard_and_eyes(bed, run):
    """Nothing is wider than the screen, Tab gets everywhere and stays there over updates, and all can be read."""
    focused = "document.activeElement.getAttribute('aria-label')"
    with Browser(bed.directory, width=390) as browser:
        for address in (run[0].http, run[1].admin):
            browser.open(f"http://{address}/")
            browser.wait_text("shop/orders", "✓ ready", "Sidecars")
            assert browser.evaluate("document.documentElement.scrollWidth") <= 390
            browser.press("Tab")
            where = browser.evaluate(focused)
            assert where == "Targets"
            before = browser.evaluate("document.getElementById('state').textContent")
            wait_for(lambda: browser.evaluate("document.getElementById('state').textContent") != before, 30, "an update")
            assert browser.evaluate(focused) == where
            for scheme in ("light", "dark"):
                browser.appearance(scheme)
                colour = {name: browser.evaluate(
                    f"getComputedStyle(document.documentElement).getPropertyValue('--{name}').trim()")
                    for name in ("page", "card", "text", "quiet", "good", "bad")}
                assert (luminance(colour["page"]) < 0.1) == (scheme == "dark")
                for name in ("text", "quiet", "good", "bad"):
                    for ground in ("page", "card"):
                        assert contrast(colour[name], colour[ground]) >= 4.5, f"{scheme}: {name} on {ground}"
        assert not browser.errors
