"""`dbproxyctl top`: once for scripts, one look after the other into a pipe, and painted on a terminal until q."""

import os
import pty
import re
import select
import subprocess
import time

import pytest

from support import paths
from support.process import run
from support.waiting import wait_for

CTL = paths.binary("dbproxyctl")


@pytest.fixture
def pair(bed):
    bed.write()
    operator = bed.operator()
    sidecar = bed.sidecar_of(operator)
    client = bed.connect()
    client.execute("CREATE TEMP TABLE kept (a int)")
    wait_for(lambda: sidecar.json("pins"), 30, "the pin is told")
    wait_for(lambda: [row for row in operator.json("sidecars") if row["clients"] == 1], 30, "the operator has heard")
    return operator, sidecar


def test_once(pair):
    operator, sidecar = pair
    shown = run([CTL, "top", "--once", "--sidecar", sidecar.admin]).stdout
    for part in ("shop/orders  ready  POSTGRESQL  writer ", "connections [", "1 in use, 1 pinned", "1 connected, 1 active",
                 "queries p50 ", "since the start", "PINS\n", "temporary_object", "CREATE TEMP TABLE kept", "POOLS\n"):
        assert part in shown, f"{part!r} is not in\n{shown}"
    shown = run([CTL, "top", "orders", "--once", "--operator", operator.http]).stdout
    for part in ("shop/orders  ready", "1 connected, 0 waiting", "1 connected, 0 behind", "SIDECARS\n", "shop/orders-1"):
        assert part in shown, f"{part!r} is not in\n{shown}"
    done = run([CTL, "top", "other", "--once", "--sidecar", sidecar.admin], check=False)
    assert done.returncode == 1 and "there is no DBProxy other" in done.stderr
    assert run([CTL, "top", "--once", "--sidecar", "127.0.0.1:1"], check=False).returncode == 3


def test_an_operator_tells_times_and_pins_of_all_its_sidecars(bed, pair):
    operator, _ = pair
    kinds = wait_for(lambda: operator.json("pins"), 30, "the operator has heard of the pin")
    assert len(kinds) == 1 and kinds[0]["reasons"] == ["temporary_object"]
    assert kinds[0]["sessions"] == kinds[0]["sidecars"] == 1 and kinds[0]["statementDigest"] == "CREATE TEMP TABLE kept (a int)"
    client = bed.connect()

    def counted() -> int:
        client.execute("SELECT 1")
        return sum(sum(row["query"]) for row in operator.json("latency") if row["proxy"] == "shop/orders")

    wait_for(counted, 30, "queries are counted")
    shown = run([CTL, "top", "--once", "--operator", operator.http]).stdout
    for part in ("queries p50 ", "since the start", "PINS\n", "SESSIONS", "temporary_object", "CREATE TEMP TABLE kept"):
        assert part in shown, f"{part!r} is not in\n{shown}"
    shown = run([CTL, "pins", "orders", "--operator", operator.http]).stdout
    assert re.search(r"shop/orders +1 +1 +\S+ +temporary_object +CREATE TEMP TABLE kept", shown), shown


def test_into_a_pipe(pair):
    _, sidecar = pair
    top = subprocess.Popen([CTL, "top", "--interval", "1", "--sidecar", sidecar.admin], stdout=subprocess.PIPE, text=True)
    try:
        looks = 0
        for line in top.stdout:
            looks += line.startswith("-- a sidecar at ")
            if looks == 3:
                break
        top.terminate()
        assert top.wait(30) == 0
    finally:
        top.kill()
        top.wait()


class Screen:
    """What a program writes to a terminal of 100 × 30."""

    def __init__(self, *argv):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            os.execv(argv[0], [str(each) for each in argv])
        self.text = ""

    def read_until(self, part: str):
        deadline = time.monotonic() + 30
        while part not in self.text:
            assert time.monotonic() < deadline, f"{part!r} is not in {self.text!r}"
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.text += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:  # how a terminal ends on Linux
                    assert part in self.text, self.text
        return self.text

    def close(self) -> int:
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return code


def test_on_a_terminal(pair):
    _, sidecar = pair
    screen = Screen(CTL, "top", "--interval", "1", "--sidecar", sidecar.admin)
    screen.read_until("in the last ")  # the second look: what came since the first
    assert screen.text.startswith("\x1b[?1049h"), "it has a screen of its own"
    assert re.search(r"\x1b\[1mshop/orders  ready", screen.text)
    os.write(screen.fd, b"q")
    screen.read_until("\x1b[?1049l")
    assert screen.close() == 0


def test_a_server_that_goes_away_is_said(bed):
    sidecar = bed.sidecar()
    screen = Screen(CTL, "top", "--interval", "1", "--sidecar", sidecar.admin)
    screen.read_until("shop/orders")
    sidecar.kill()
    screen.read_until("no answer any more")
    os.write(screen.fd, b"q")
    assert screen.close() == 0
