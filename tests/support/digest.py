"""Why tests failed, in a few lines each: what is read where of a long log only the end is shown.

    digest.py BUILD_DIRECTORY    of its last run of ctest; says nothing where none failed
"""

import re
import sys
from pathlib import Path

_TESTS, _LINES, _WIDTH = 6, 12, 400  # shown at most: tests, lines of each, characters of a line
# pytest's summary and assertions, GoogleTest's failures, sanitizers, what an exception says.
_TELLING = re.compile(
    r"E  |FAILED |ERROR |\[  FAILED  \]|ERROR: |WARNING: ThreadSanitizer|SUMMARY: |\w*(Error|Exception|Timeout)\b|"
    r".*: (Failure|error:|runtime error:)")


def outputs(log: str) -> dict[str, tuple[str, list[str]]]:
    """By test, how long it took and the lines of its output, of ctest's LastTest.log, which does not tell a time limit."""
    found = {}
    for part in re.split(r"^\d+/\d+ Testing: ", log, flags=re.M)[1:]:
        name, _, rest = part.partition("\n")
        output, _, end = rest.partition("\nOutput:\n")[2].rpartition("<end of output>")
        took = re.search(r"^Test time = +(.*)", end, re.M)
        found[name.strip()] = took[1] if took else "?", [line for line in output.splitlines() if line.strip(" -")]
    return found


def telling(lines: list[str]) -> list[str]:
    """Those that say why; of a program that says nothing of the kind the last ones."""
    # What GoogleTest expected stands behind its line.
    chosen = [line for at, line in enumerate(lines)
              if _TELLING.match(line) or any(each.endswith(": Failure") for each in lines[max(at - 3, 0):at])]
    # What pytest sums up at the end names the tests; the assertions before it say why.
    chosen = chosen if len(chosen) <= _LINES else chosen[:_LINES // 2] + ["…"] + chosen[-_LINES // 2:]
    return [line[:_WIDTH] for line in chosen or lines[-_LINES:]]


def digest(build: Path) -> str:
    temporary = build / "Testing/Temporary"
    failed = temporary / "LastTestsFailed.log"
    if not failed.exists():
        return ""
    names = [line.partition(":")[2] for line in failed.read_text().splitlines()]
    said = outputs((temporary / "LastTest.log").read_text(errors="replace"))
    parts = []
    for name in names[:_TESTS]:
        took, lines = said.get(name, ("?", []))
        parts.append(f"{name}, after {took}:\n" + "".join(f"  {line}\n" for line in telling(lines)))
    return "".join(parts)


if __name__ == "__main__":
    print(digest(Path(sys.argv[1])), end="")
