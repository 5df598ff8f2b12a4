"""What the Python programs share."""

import os

HOST, PORT = os.environ["DB_HOST"], int(os.environ["DB_PORT"])
USER, PASSWORD, DATABASE = os.environ["DB_USER"], os.environ["DB_PASSWORD"], os.environ["DB_NAME"]
TLS, FILE = os.environ["DB_TLS"] == "1", os.environ["DB_FILE"]


def equal(actual, expected, what: str):
    if actual != expected:
        raise AssertionError(f"{what}: {actual!r:.500}, expected {expected!r:.500}")
    print(f"   {what}")
