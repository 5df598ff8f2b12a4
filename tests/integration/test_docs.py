"""The commands of the documentation, run as they stand there: what is fenced as ```sh run, page by page."""

import os
import re
import shutil
import textwrap

import pytest

from support import paths
from support.ports import free_port
from support.postgres import PASSWORDS
from support.process import run

PAGES = sorted(path for path in [paths.ROOT / "README.md", *(paths.ROOT / "docs").glob("*.md")]
               if "\n```sh run\n" in path.read_text())


def script(page) -> str:
    """The blocks of a page as one: later ones use what earlier ones made. What still runs at the end is ended."""
    blocks = re.findall(r"^```sh run\n(.*?)^```$", page.read_text(), re.M | re.S)
    return ("set -euo pipefail\ntrap 'code=$?; jobs -p | xargs -r kill 2>/dev/null; wait; exit $code' EXIT\n" +
            "\n".join(f"set -x\n{block}{{ set +x; }} 2>/dev/null\n" for block in blocks))


def test_there_are_some():
    assert {"getting-started.md", "from-rds-proxy.md", "from-pgbouncer.md"} <= {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of(page, cluster, tmp_path):
    """`set -m` gives job numbers to what a person would start in a terminal."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    for name in ("dbproxy", "dbproxy-operator", "dbproxyctl"):
        (binaries / name).symlink_to(paths.binary(name))
    authority = tmp_path / "ca.pem"
    shutil.copy(cluster.authority.certificate, authority)
    work = tmp_path / "work"
    work.mkdir()
    done = run(["timeout", "--kill-after=5", "120", "bash", "-m", "-c", script(page)], check=False, cwd=work, timeout=150, env={
        **os.environ, "PATH": f"{binaries}:{os.environ['PATH']}", "HOME": str(tmp_path), "PORT": str(free_port()),
        "ADMIN": f"127.0.0.1:{free_port()}", "DB_HOST": cluster.writer.host, "DB_PORT": str(cluster.writer.port),
        "DB_NAME": "orders", "DB_USER": "app", "DB_PASSWORD": PASSWORDS["app"], "DB_CA": str(authority)})
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert not [each for each in ("AddressSanitizer", "runtime error:") if each in done.stderr + done.stdout]
    if page.stem == "getting-started":
        assert done.stdout.count("42") >= 2 and "shop/orders  ready" in done.stdout


def manifests() -> list:
    """(page, number, text) of every DBProxy that the documentation shows whole."""
    pages = [paths.ROOT / "README.md", *sorted((paths.ROOT / "docs").glob("*.md"))]
    return [(page, number, textwrap.dedent(block)) for page in pages for number, block in enumerate(
            re.findall(r"^ *```yaml\n(.*?)^ *```$", page.read_text(), re.M | re.S)) if "kind: DBProxy" in block]


@pytest.mark.parametrize("page,number,text", manifests(), ids=lambda each: getattr(each, "stem", None))
def test_manifests_are_good(page, number, text, tmp_path):
    """But for what nobody can print: a Secret, a certificate."""
    file = tmp_path / "shown.yaml"
    file.write_text(text)
    file.chmod(0o600)
    done = run([paths.binary("dbproxy"), "--manifests", tmp_path, "--admin", f"127.0.0.1:{free_port()}"], check=False, timeout=60)
    assert done.returncode == 2, done.stderr
    for line in filter(None, done.stderr.splitlines()):
        assert "is not a Secret of" in line or ".caRef." in line, f"{page.name}: {line}"
