"""Scripts: what several clients do, one step a line, as people and the generator write them.

    # a comment
    A@ application_name=x options=-cwork_mem=3MB   logs in with these start-up parameters (else: none of them)
    A: SELECT 1; SET x = 1                         a simple query
    A? SELECT $1::int | 5                          extended query, unnamed: Parse, Bind, Describe, Execute, Sync
    A?b SELECT $1::int | 5                         the same with binary results
    A+ name: SELECT $1::int                        Parse under a name, Describe, Sync
    A* name | 5                                    Bind, Describe, Execute of it, Sync
    A- name                                        Close of it, Sync
    A~ parse n SELECT 1 ;; bind p n 5 ;; describe P p ;; execute p 2 ;; close P p ;; sync ;; query SELECT 2 ;; flush
                                                   messages as they stand, sent at once; a last Sync is added if needed
    A< COPY t FROM STDIN | 1 | 2                   COPY with these rows; `\\fail` as a row sends CopyFail
    A! SELECT pg_sleep(9)                          sends this (or nothing) and is cut off without a word
    A$                                             says good-bye

A value of `\\N` is NULL. Clients are named by one letter and log in at their first step.
"""

from dataclasses import dataclass

KINDS = ":?+*-~<!$@"
SEPARATOR = " | "


@dataclass(frozen=True)
class Step:
    client: str
    kind: str
    text: str = ""
    binary: bool = False

    def __str__(self) -> str:
        return f"{self.client}{self.kind}{'b' if self.binary else ''} {self.text}".rstrip()


class BadScript(Exception):
    pass


def parse_line(line: str) -> Step:
    if len(line) < 2 or not line[0].isalpha() or line[1] not in KINDS:
        raise BadScript(f"not a step: {line!r}")
    rest, binary = line[2:], False
    if line[1] == "?" and rest.startswith("b "):
        binary, rest = True, rest[1:]
    return Step(line[0], line[1], rest.strip(), binary)


def parse(text: str) -> list[Step]:
    return [parse_line(line.strip()) for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def cases(text: str) -> dict[str, list[Step]]:
    """A file of several scripts, each under `== its name`."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("== "):
            lines = found.setdefault(line[3:].strip(), [])
        else:
            lines.append(line)
    return {name: parse("\n".join(body)) for name, body in found.items()}


def to_text(steps: list[Step]) -> str:
    return "\n".join(str(step) for step in steps)
