"""Why tests failed, in a few lines each: what is read where of a long log only the end is shown.

    digest.py BUILD_DIRECTORY    of its last run of ctest; says nothing where none failed
"""

import re
import sys
from pathlib import Path

_TESTS, _LINES, _WIDTH = 6, 12, 400  # shown at most: tests, lines of each, characters of a line
# pytest's summary and assertions, GoogleTest's failures, sanitizers, time limits, what an exception says.
_TELLING = re.compile(
    r"E  |FAILED |ERROR |\[  FAILED  \]|ERROR: |WARNING: ThreadSanitizer|SUMMARY: |\w*(Error|Exception|Timeout)\b|"
    r".*: (Failure|error:|runtime error:)|Test timeout")


def outputs(log: str) -> dict[str, list[str]]:
    """Lines of output by test, of ctest's LastTest.log."""
    found = {}
    for part in re.split(r"^\d+/\d+ Testing: ", log, flags=re.M)[1:]:
        name, _, rest = part.partition("\n")
        output = rest.partition("\nOutput:\n")[2].rpartition("<end of output>")
        ended = re.findall(r"^Test timeout.*", output[2], re.M)  # what ctest itself says behind the output
        found[name.strip()] = [line for line in output[0].splitlines() + ended if line.strip(" -")]
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
    parts = [f"{name}:\n" + "".join(f"  {line}\n" for line in telling(said.get(name, []))) for name in names[:_TESTS]]
    return "".join(parts)


if __name__ == "__main__":
    print(digest(Path(sys.argv[1])), end="")
