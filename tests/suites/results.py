"""What a run of a suite said, test by test, and which of its differences docs/differences.md explains."""

import fnmatch
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
_DIFFERENCES = Path(__file__).resolve().parents[2] / "docs/differences.md"


def from_junit(path: Path) -> dict[str, str]:
    """The form in which pytest and Maven's Surefire report."""
    results = {}
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        kinds = {child.tag for child in case}
        results[name] = FAILED if kinds & {"failure", "error"} else SKIPPED if "skipped" in kinds else PASSED
    return results


def from_go(path: Path, module: str, name: str) -> dict[str, str]:
    """What `go test -json` writes: `package.Test`, the module's own package by `name`, others as they stand below it."""
    results, kinds = {}, {"pass": PASSED, "fail": FAILED, "skip": SKIPPED}
    for line in path.read_text().splitlines():
        if not line.startswith("{"):
            continue
        event = json.loads(line)
        if event.get("Test") and event["Action"] in kinds:
            package = event["Package"].removeprefix(module).lstrip("/") or name
            results[f"{package}.{event['Test']}"] = kinds[event["Action"]]
    return results


def explained(suite: str) -> list[str]:
    """Patterns of tests in docs/differences.md: rows `| suite | `pattern` | reason |`; the suite may be a pattern too."""
    rows = re.findall(r"^\| (\S+) \| `([^`]+)` \| [^|]+\|", _DIFFERENCES.read_text(), re.MULTILINE)
    return [pattern for name, pattern in rows if fnmatch.fnmatchcase(suite, name)]


class Comparison:
    """Tests that passed directly and not through the proxy, in two heaps: explained and not."""

    def __init__(self, suite: str, direct: dict[str, str], through: dict[str, str]):
        self.direct, self.through = direct, through
        patterns = explained(suite)
        self.explained, self.unexplained = [], []
        for name, result in sorted(direct.items()):
            if result == PASSED and through.get(name) != PASSED:
                known = any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
                (self.explained if known else self.unexplained).append(name)

    @staticmethod
    def header() -> str:
        return f"{'suite':<26}{'tests':>7}{'passed direct':>15}{'passed through':>16}{'explained':>11}{'different':>11}"

    def row(self, suite: str) -> str:
        def passed(results):
            return sum(result == PASSED for result in results.values())
        return (f"{suite:<26}{len(self.direct):>7}{passed(self.direct):>15}{passed(self.through):>16}"
                f"{len(self.explained):>11}{len(self.unexplained):>11}")
