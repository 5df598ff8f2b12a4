"""Allocations of a sidecar, counted exactly by a library that is preloaded into it."""

import sys

from support import paths
from support.process import run
from support.waiting import wait_for

WINDOWS = 5
QUERIES = 10_000


class Allocations:
    """`env` is for the sidecar's start. A window is long enough that a scrape of the sidecar hardly counts in it."""

    def __init__(self, directory):
        library, self._counted = directory / "malloc_count.so", directory / "allocations"
        run(["cc", "-O2", "-shared", "-fPIC", "-o", library, paths.ROOT / "tests/support/malloc_count.c"])
        self.env = {"LD_PRELOAD": str(library), "MALLOC_COUNT_FILE": str(self._counted)}

    def _made(self) -> int:
        return int.from_bytes(self._counted.read_bytes()[:8], sys.byteorder)

    def per_query(self, sidecar) -> float:
        """Of the quietest of some windows under a load that runs: opening a connection, a report to the operator and
        this test's own scrapes allocate and belong to nobody's query, while what each query allocates is in all windows.
        """
        def queries() -> float:
            return sidecar.metrics().sum("dbproxy_queries_total")
        wait_for(lambda: queries() > 5000, 60, "a steady state", 0.1)
        least = float("inf")
        for _ in range(WINDOWS):
            first_queries, first = queries(), self._made()
            wait_for(lambda start=first_queries: queries() - start > QUERIES, 60, f"{QUERIES} queries", 0.5)
            # The counter first: so the scrape behind it is not in this window.
            made = self._made() - first
            least = min(least, made / (queries() - first_queries))
        assert self._made() > 0, "nothing was counted"
        return least
