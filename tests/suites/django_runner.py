"""Django's runner of tests, which also writes what became of each into the file that the environment names, as JSON."""

import json
import os
import unittest

from django.test.runner import DiscoverRunner


class _Result(unittest.TextTestResult):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.outcomes = {}

    def _note(self, test, outcome: str):
        name = test.id().split(" ")[0]  # without the parameters of a part
        if self.outcomes.get(name) != "failed":
            self.outcomes[name] = outcome

    def addSuccess(self, test):
        super().addSuccess(test)
        self._note(test, "passed")

    def addError(self, test, err):
        super().addError(test, err)
        self._note(test, "failed")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._note(test, "failed")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._note(test, "skipped")

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self._note(test, "expected")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self._note(test, "unexpected")

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._note(test, "failed")


class Runner(DiscoverRunner):
    def get_resultclass(self):
        return _Result

    def run_suite(self, suite, **options):
        result = super().run_suite(suite, **options)
        with open(os.environ["DJANGO_OUTCOMES"], "w") as file:
            json.dump(result.outcomes, file)
        return result
