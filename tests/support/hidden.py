"""What no program, page or error text may ever hold, of all that tests hand out: looked for whenever a program ends.

So it is looked for in everything that a run of all tests prints, whatever each test is about.
"""

import http.client

_NEVER = ("X-Amz-Signature=", "X-Amz-Security-Token=", "PRIVATE KEY-----")
_PAGES = ("/metrics", "/", "/api/v1/dbproxies", "/api/v1/targets", "/api/v1/sidecars", "/api/v1/pools", "/api/v1/pins",
          "/api/v1/diagnostics")


def secrets() -> set[str]:
    from . import aws, mysql, postgres  # they start programs themselves
    return {*postgres.PASSWORDS.values(), *mysql.PASSWORDS.values(), aws.KEYS["AWS_SECRET_ACCESS_KEY"], *_NEVER}


def check(where: str, text: str, more=()):
    for secret in (*secrets(), *more):
        at = text.find(secret)
        if at >= 0:
            raise AssertionError(f"{where} shows a secret: {text[max(0, at - 200):at + 100]}")


def check_pages(name: str, address: str):
    """Of a program that still answers; of one that does not, there is nothing to see."""
    from . import pages
    for page in _PAGES:
        try:
            check(f"{name}: {page}", pages.request(address, page, timeout=2)[1])
        except (OSError, ValueError, http.client.HTTPException):
            return


def check_refusal(error: Exception, password: str | None):
    """What a client is told."""
    check("an error text", str(error), [password] if password and len(password) > 6 else [])
