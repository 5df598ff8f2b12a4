"""PostgreSQL's own regression tests, one after another by `pg_regress --use-existing`: the database itself says what is
right, so that a test is the same where its output is the same, whatever its own expectation of another build is."""

import re
import shutil
import subprocess
from pathlib import Path

from python_suites import SOURCES, clean_environment
from results import FAILED, PASSED
from target import USER

_PROGRAMS = Path("/usr/lib/postgresql/15")
_RUNNER = _PROGRAMS / "lib/pgxs/src/test/regress/pg_regress"
# What others stand on comes first, as in the schedule.
_QUICK = ("test_setup boolean int4 text date timestamptz create_index select select_into transactions guc prepare "
          "plancache portals temp rangefuncs plpgsql copy copy2 returning triggers rowsecurity combocid "
          "prepared_xacts sequence largeobject with xml").split()


class Regress:
    name, connections, source = "regress", 2, SOURCES / "regress"

    def __init__(self):
        self._direct = None  # the outputs of the run against the database itself

    def prepare(self, server):
        # Roles and tablespaces of the run before: they are the cluster's.
        for role in server.sql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'regress%'").split():
            server.sql(f'REASSIGN OWNED BY "{role}" TO suite; DROP OWNED BY "{role}"; DROP ROLE "{role}"')

    def run(self, target, quick: bool) -> dict[str, str]:
        # Their outputs name these paths, and the server itself reads and writes below them: one place for both runs.
        inputs, outputs = target.directory.parent / "inputs", target.directory.parent / "outputs"
        for place in (inputs, outputs):
            shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.source, inputs)
        for place in (outputs, outputs / "results"):
            place.mkdir()
            place.chmod(0o777)
        for place in (target.directory.parent, inputs, inputs / "data"):
            place.chmod(0o755)
        if self._direct:
            shutil.rmtree(inputs / "expected")
            shutil.copytree(self._direct, inputs / "expected")
            (inputs / "resultmap").write_text("")
        if quick:
            tests = _QUICK
        else:
            tests = re.findall(r"\S+", " ".join(re.findall(r"^test: (.*)$", (inputs / "parallel_schedule").read_text(),
                                                           re.MULTILINE)))
        with open(target.directory / "output", "w") as output:
            subprocess.run(
                [_RUNNER, "--use-existing", f"--dbname={target.database}", f"--host={target.host}",
                 f"--port={target.port}", f"--user={USER}", f"--inputdir={inputs}", f"--outputdir={outputs}",
                 f"--dlpath={self.source}", f"--bindir={_PROGRAMS / 'bin'}", "--max-connections=1", *tests],
                cwd=inputs, env=clean_environment(PGPASSWORD=target.password()), stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, timeout=2400)
        found = dict(re.findall(r"^(?:test|     )\s*(\S+)\s+\.\.\. (ok|FAILED)", (target.directory / "output").read_text(),
                                re.MULTILINE))
        kept = Path(shutil.copytree(outputs, target.directory / "outputs"))
        if self._direct is None:
            self._direct = kept / "results"
            return {test: PASSED for test in found if (self._direct / f"{test}.out").exists()}
        return {test: PASSED if result == "ok" else FAILED for test, result in found.items()}
