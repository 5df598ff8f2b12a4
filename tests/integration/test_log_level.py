"""What is logged changes while a program runs: of all modules or of one, by flag and by `dbproxyctl log-level`."""

from support import paths
from support.process import run
from support.waiting import wait_for


def log_level(*arguments, code: int = 0) -> str:
    done = run([paths.binary("dbproxyctl"), "log-level", *arguments], check=False)
    assert done.returncode == code, done.stderr
    return done.stdout.strip() if code == 0 else done.stderr


def test_it_changes_while_they_run(bed):
    bed.write()
    operator = bed.operator(extra=["--log-level", "warn,operator=info"])
    sidecar = bed.sidecar_of(operator)
    for at, before in (("--operator", "warn,operator=info"), ("--sidecar", "info")):
        address = operator.http if at == "--operator" else sidecar.admin
        assert log_level(at, address) == before
        assert log_level("off,net=debug", at, address) == "off,net=debug"
        assert log_level("control=error", at, address) == "off,control=error,net=debug"
        assert log_level("info", at, address) == "info"
    assert "serving" in operator.log() and "a newer" not in operator.log()
    wait_for(lambda: "log level changed" in sidecar.log(), 30, "the change is logged")


def test_debug_logging_shows_each_decision(bed):
    """Which connection a client gets, whether its settings had to be put there, what was not sent, what pins and when
    that is over."""
    sidecar = bed.sidecar(limit=1, debugLogging=True)
    one, other = bed.connect(), bed.connect()
    one.execute("SET work_mem = '3MB'")
    other.execute("SELECT 'other'")
    one.execute("SELECT 'again'")
    one.execute("BEGIN")
    one.execute("COMMIT")
    one.execute("SELECT pg_advisory_lock(7)")
    one.execute("SELECT pg_advisory_unlock(7)")
    other.execute("SELECT 'after it'")
    wait_for(lambda: "after it" in sidecar.log(), 30, "the last statement is logged")
    lines = [line for line in sidecar.log().splitlines() if " query: " in line or " session: " in line]

    def at(*words) -> int:
        return next(number for number, line in enumerate(lines) if all(word in line for word in words))

    again = at("SELECT 'again'")
    assert "server connection taken" in lines[again - 1] and "settings_replayed=true" in lines[again - 1]
    assert "server connection given back" in lines[again + 1]
    assert at("BEGIN (deferred)") < at("COMMIT (not sent: its transaction did nothing)")
    assert at("pinned", "reasons=advisory_lock", "statement=") < at("unpinned", "reasons=advisory_lock", "pinned_ms=")


def test_what_is_wrong_is_said(bed):
    bed.write()
    operator = bed.operator()
    assert "'loud' is no level: debug, info, warn, error or off" in log_level("loud", "--operator", operator.http, code=2)
    assert "'tool' is no module that logs; there are admin" in log_level("tool=debug", "--operator", operator.http, code=2)
    done = run([paths.binary("dbproxy"), "--manifests", bed.directory, "--log-level", "pool=loud"], check=False)
    assert done.returncode == 2 and "--log-level: 'loud' is no level" in done.stderr
