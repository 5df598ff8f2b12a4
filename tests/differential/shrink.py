"""Makes a script that differs as short as it can be: steps go, in halves and then one by one, as long as it differs."""

from script import Step


def shrink(steps: list[Step], differs, most_plays: int = 400) -> list[Step]:
    """`differs(steps)` plays a candidate. The result still differs."""
    plays = 0
    size = max(1, len(steps) // 2)
    while size:
        at, shorter = 0, False
        while at < len(steps):
            candidate = steps[:at] + steps[at + size:]
            plays += 1
            if plays > most_plays:
                return steps
            if candidate and differs(candidate):
                steps, shorter = candidate, True
            else:
                at += size
        size = size // 2 if not shorter or size > 1 else size
        if size == 0 and shorter:
            size = 1
    return steps
