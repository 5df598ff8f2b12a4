"""Django's own tests, of its source distribution: those of what it does with a database."""

import json
import subprocess
from pathlib import Path

from python_suites import PYTHON, SOURCES, clean_environment
from target import USER

_QUICK = ("transactions", "select_for_update", "introspection", "get_or_create", "raw_query")
_ALL = (*_QUICK, "aggregation", "aggregation_regress", "annotations", "backends", "basic", "bulk_create", "composite_pk",
        "constraints", "custom_pk", "datatypes", "dates", "datetimes", "db_functions", "db_typecasts", "db_utils",
        "defer", "delete", "expressions", "expressions_case", "expressions_window", "filtered_relation", "fixtures",
        "force_insert_update", "indexes", "inspectdb", "lookup", "many_to_many", "max_lengths", "migrations",
        "model_fields", "multiple_database", "null_queries", "or_lookups", "ordering", "prefetch_related", "queries",
        "reserved_names", "save_delete_hooks", "schema", "select_related", "serializers", "string_lookup", "test_utils",
        "timezones", "transaction_hooks", "unmanaged_models", "update", "xor_lookups")


class Django:
    connections, source = 4, SOURCES / "django"

    def __init__(self, server: str):
        self.name, self.server = f"django-{server}", server

    def prepare(self, server):
        """It makes databases of its own, and drops them."""

    def run(self, target, quick: bool) -> dict[str, str]:
        outcomes = target.directory / "outcomes.json"
        with open(target.directory / "output", "w") as output:
            subprocess.run(
                [PYTHON, "-B", "runtests.py", "--settings=django_settings", "--parallel=1", "--noinput", "-v", "2",
                 *(_QUICK if quick else _ALL)], cwd=self.source / "tests", stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, timeout=2400,
                env=clean_environment(DB_HOST=target.host, DB_PORT=str(target.port), DB_USER=USER,
                                      DB_PASSWORD=target.password(), DJANGO_OUTCOMES=str(outcomes),
                                      PYTHONPATH=str(Path(__file__).resolve().parent)))
        return json.loads(outcomes.read_text())
