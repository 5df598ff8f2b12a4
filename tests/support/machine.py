"""A machine of its own for commands that name places such as /etc/dbproxy and the programs' default ports.

Needs root, as a namespace does. What commands write below /etc, /var/lib, /run and /usr/local is seen by them only,
and is gone at the end.
"""

import shlex

from .namespace import Namespace
from .process import run

LAYERED = ("/etc", "/var/lib", "/usr/local")


class Machine(Namespace):
    def __init__(self, directory):
        super().__init__()
        self._layers, self._prepared = directory / "layers", []
        self._layers.mkdir()

    def prepare(self, *commands: str):
        """Runs as root on the machine before what it is for."""
        self._prepared += commands

    def _script(self, script: str) -> str:
        lines = ["set -euo pipefail", f"mount -t tmpfs none {shlex.quote(str(self._layers))}",
                 f"cd {shlex.quote(str(self._layers))}"]
        for place in LAYERED:
            name = place.strip("/").replace("/", "-")
            lines += [f"mkdir {name} {name}.work",
                      f"mount -t overlay -o lowerdir={place},upperdir={name},workdir={name}.work none {place}"]
        return "\n".join([*lines, "mount -t tmpfs none /run", "cd /root", *self._prepared, script])

    def bash(self, script: str, env: dict, timeout: float):
        """The script's end, output and all. `-m` gives job numbers to what a person would start in a terminal."""
        return run([*self.enter, "unshare", "--mount", "--propagation", "private", "timeout", "--kill-after=5",
                    str(timeout), "bash", "-m", "-c", self._script(script)], check=False, timeout=timeout + 30, env=env)
