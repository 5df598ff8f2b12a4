"""What the four Python programs share."""

import os

HOST, PORT = os.environ["DB_HOST"], int(os.environ["DB_PORT"])
USER, PASSWORD, DATABASE = os.environ["DB_USER"], os.environ["DB_PASSWORD"], os.environ["DB_NAME"]
SSLMODE = os.environ["DB_SSLMODE"]


def equal(actual, expected, what: str):
    if actual != expected:
        raise AssertionError(f"{what}: {actual!r}, expected {expected!r}")
    print(f"   {what}")
