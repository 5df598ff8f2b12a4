"""Waiting for a condition, with what was seen last in the error."""

import time


def wait_for(condition, timeout: float = 10.0, what: str = "condition", interval: float = 0.01):
    """Returns the condition's first true value. An exception in it counts as not yet."""
    deadline = time.monotonic() + timeout
    seen = None
    while True:
        try:
            seen = condition()
            if seen:
                return seen
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown below
            seen = error
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{what}: not within {timeout:g} s; last seen: {seen!r}")
        time.sleep(interval)
