"""pgjdbc's own tests, from its source distribution, under JUnit's own runner."""

import shutil
import subprocess

from python_suites import SOURCES, clean_environment
from results import from_junit
from target import USER

from support import paths

_QUICK = ("org.postgresql.test.jdbc2.BatchExecuteTest", "org.postgresql.test.jdbc2.CopyTest",
          "org.postgresql.test.jdbc2.CursorFetchTest", "org.postgresql.test.jdbc2.PreparedStatementTest",
          "org.postgresql.test.jdbc2.ServerPreparedStmtTest", "org.postgresql.test.jdbc2.StatementTest",
          "org.postgresql.test.jdbc2.ConnectionTest", "org.postgresql.test.jdbc2.NotifyTest",
          "org.postgresql.test.jdbc2.BlobTest", "org.postgresql.test.jdbc3.Jdbc3SavepointTest")
# Ends the server process that it takes for its own and writes until the connection fails, which it never does here:
# docs/differences.md.
_ENDLESS = "org.postgresql.test.jdbc2.CopyTest#lockReleaseOnCancelFailure"
_SLOW = "org.postgresql.test.jdbc2.StatementTest#(fastCloses|shortQueryTimeout|setQueryTimeout.*)"


class Pgjdbc:
    name, connections, source = "pgjdbc", 4, SOURCES / "pgjdbc"

    def prepare(self, server):
        server.sql("CREATE EXTENSION hstore; CREATE EXTENSION citext", "suite")

    def run(self, target, quick: bool) -> dict[str, str]:
        # It reads the place of the database from a file beside its sources: a copy for each run.
        place = target.directory / "source"
        shutil.copytree(self.source, place, ignore=shutil.ignore_patterns("main", "libraries"))
        (place / "build.local.properties").write_text(
            f"test.url.PGHOST={target.host}\ntest.url.PGPORT={target.port}\ntest.url.PGDBNAME={target.database}\n"
            f"user={USER}\npassword={target.password()}\n"
            f"privilegedUser={USER}\nprivilegedPassword={target.password()}\n")
        runner = next((paths.TESTBED / "jars").glob("junit-platform-console-standalone-*.jar"))
        libraries = [str(jar) for jar in (self.source / "target/libraries").glob("*.jar")
                     if not jar.name.startswith(("junit-jupiter", "junit-platform", "junit-vintage"))]
        classes = ":".join([str(place / "target/test-classes"), str(place / "target/classes"),
                            str(self.source / "src/main/resources"), str(place / "src/test/resources"), *libraries])
        reports = target.directory / "reports"
        chosen = [f"--select-class={name}" for name in _QUICK] if quick else ["--scan-class-path"]
        with open(target.directory / "output", "w") as output:
            subprocess.run(
                ["java", "-Xmx1536m", "-Dbuild.properties.relative.path=.", "-jar", runner, "execute",
                 "--class-path", classes, "--include-classname=.*Test", f"--exclude-methodname={_ENDLESS}",
                 *([f"--exclude-methodname={_SLOW}"] if quick else []),
                 "--config=junit.jupiter.extensions.autodetection.enabled=true",
                 "--config=junit.jupiter.execution.timeout.default=2 m", "--disable-banner", "--details=testfeed",
                 f"--reports-dir={reports}", *chosen],
                cwd=place, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                timeout=2400)
        return {name: result for report in reports.glob("TEST-*.xml") for name, result in from_junit(report).items()}
