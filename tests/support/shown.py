"""All that programs show of themselves, as one would have it who looks for secrets: for tests that find none."""

import subprocess
from pathlib import Path

from . import pages, paths

_SIDECAR = ("/metrics", "/healthz", "/readyz", "/startupz", "/", "/api/v1/dbproxies", "/api/v1/targets", "/api/v1/pools",
            "/api/v1/pins", "/api/v1/sidecars")
_OPERATOR = ("/metrics", "/healthz", "/readyz", "/", "/api/v1/dbproxies", "/api/v1/sidecars", "/api/v1/targets",
             "/api/v1/diagnostics")
_COMMANDS = (("get",), ("sidecars",), ("targets",), ("describe", "shop/orders"))


def by(programs, operator=None, environment: bool = False) -> dict[str, str]:
    """Where → what is there: log, pages, files below the program's directory but sockets and tokens, command line."""
    out = {}
    for program in programs:
        out[f"{program.name}: log"] = program.log()
        for page in _OPERATOR if program is operator else _SIDECAR:
            out[f"{program.name}: {page}"] = pages.request(program.http, page)[1]
        process = Path(f"/proc/{program.process.pid}")
        out[f"{program.name}: command line"] = (process / "cmdline").read_bytes().decode(errors="replace")
        if environment:
            out[f"{program.name}: environment"] = (process / "environ").read_bytes().decode(errors="replace")
        for file in program.directory.rglob("*"):
            if file.is_file() and "tokens" not in file.parts:
                out[f"{program.name}: {file}"] = file.read_bytes().decode("latin-1")
    if operator is not None:
        for command in _COMMANDS:
            done = subprocess.run([paths.binary("dbproxyctl"), *command, "--operator", operator.http],
                                  capture_output=True, text=True, timeout=30)
            out["dbproxyctl " + " ".join(command)] = done.stdout + done.stderr
    return out


def assert_hidden(shown: dict[str, str], secrets):
    found = [(secret, where) for where, text in shown.items() for secret in secrets if secret in text]
    assert not found, found
