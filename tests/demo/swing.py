"""The demo's last scene: twenty sidecars, one budget, and demand that swings between them."""

import subprocess
import threading
import time

from support.paths import release_binary
from support.sidecar import Sidecar
from support.waiting import wait_for

import picture
from fleet import NAMES, Fleet, address
from screen import Screen, bar

BUDGET, GROUPS = 50, 4  # the budget in percent of max_connections = 100, so also in connections
EACH = 15  # clients of a sidecar of the group that is busy: together they want more than there is
GROUP = len(NAMES) // GROUPS  # sidecars


class Watch:
    """The most sessions that the database was ever seen to have, asked every 10 ms on one connection."""

    def __init__(self, engine):
        self.most, self.samples, self._engine, self._ending = 0, 0, engine, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._console = subprocess.Popen([str(word) for word in self._engine.console()], text=True, bufsize=1,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._thread.start()
        return self

    def _run(self):
        while not self._ending.wait(0.01):
            self._console.stdin.write(self._engine.COUNT + ";\n")
            self.most = max(self.most, int(self._console.stdout.readline()))
            self.samples += 1

    def __exit__(self, *_):
        self._ending.set()
        self._thread.join(10)
        self._console.kill()
        self._console.communicate()


class Swing:
    """Those of the fleet that there are already, and as many more as it takes."""

    def __init__(self, screen: Screen, fleet: Fleet):
        self.screen, self.fleet = screen, fleet
        self.most = self.samples = 0
        self.moments: list[picture.Turn] = []
        self.sidecars = list(fleet.sidecars)

    def start(self):
        fleet = self.fleet
        for number in range(len(self.sidecars), len(NAMES)):
            self.sidecars.append(Sidecar(
                fleet.bed.directory, NAMES[number].split("/")[1], operator=fleet.operator, identity=NAMES[number],
                bind=address(number), binary=release_binary("dbproxy")).start(wait=False))
        for sidecar in self.sidecars:
            sidecar.wait_ready()
        fleet.manifests.set_pool(maxConnectionsPercent=BUDGET)
        wait_for(lambda: all(row["limit"] == BUDGET for sidecar in self.sidecars for row in sidecar.json("targets")
                             if row["role"] == "READ_WRITE"), 10, "the budget is in force")

    def granted(self) -> list[int]:
        """Of each sidecar, as the operator has leased it now."""
        rows = {row["identity"]: row["granted"] for row in self.fleet.operator.json("sidecars")}
        return [rows.get(name, 0) for name in NAMES]

    def play(self, turns: int, seconds: float) -> list[float]:
        """Each group in its turn wants more than there is. Seconds until it had more than half of it."""
        took = []
        with Watch(self.fleet.engine) as watch:
            for turn in range(turns):
                group = range(turn % GROUPS * GROUP, (turn % GROUPS + 1) * GROUP)
                began = time.monotonic()
                runs = [self.fleet.engine.crowd(self.fleet.bed.directory, self.sidecars[number], self.fleet.port, EACH,
                                                f"swing-{turn}-{number}") for number in group]
                more = None
                while more is None or time.monotonic() - began < seconds:
                    granted = self.look(group)
                    if more is None and sum(granted[number] for number in group) > BUDGET / 2:
                        more = time.monotonic() - began
                    if more is None and time.monotonic() - began > 30:
                        raise TimeoutError("the group that is busy does not get more than half: " + repr(granted))
                    time.sleep(0.1)  # the pace of the display
                took.append(more)
                if not self.screen.terminal:
                    self.screen.paint(self.picture(group, self.granted()))
                for run in runs:
                    run.stop()
        self.most, self.samples = watch.most, watch.samples
        return took

    def look(self, group) -> list[int]:
        granted = self.granted()
        parts = [sum(granted[first:first + GROUP]) for first in range(0, len(NAMES), GROUP)]
        self.moments.append(picture.Turn(time.monotonic(), parts, BUDGET))
        if self.screen.terminal:
            self.screen.paint(self.picture(group, granted))
        return granted

    def picture(self, busy, granted: list[int]) -> list[str]:
        """A bar for each sidecar, in two columns, and one for all of them, which ends at the line."""
        share = BUDGET / GROUP  # of one while its group is busy and the others have nothing
        lines = [""]
        for row in range(len(NAMES) // 2):
            cells = []
            for number in (row, row + len(NAMES) // 2):
                text = f"{'▶' if number in busy else ' '}{NAMES[number].split('/')[1]:<10}{granted[number]:>3} " \
                       f"{bar(granted[number], share, 16)}"
                cells.append(self.screen.green(text) if number in busy else text)
            lines.append("    " + "   ".join(cells))
        together = sum(granted)
        lines.append(self.screen.bold(f"     {'together':<10}{together:>3} {bar(together, BUDGET, 51)} {BUDGET}"))
        lines.append("")
        return lines
