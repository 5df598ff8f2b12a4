"""What support/digest.py makes of a real run of ctest: a failed GoogleTest, pytest, program and time limit."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.digest import digest  # noqa: E402

GOOGLETEST = """\
[ RUN      ] Pool.Gives
../../tests/unit/pool/pool_test.cpp:7: Failure
Expected equality of these values:
  given
    Which is: 1
[  FAILED  ] Pool.Gives (0 ms)
"""
PYTEST = """\
>       assert answer == 1
E       assert 2 == 1
test_pool.py:7: AssertionError
FAILED test_pool.py::test_gives - assert 2 == 1
"""
# Name → what it prints, its exit status, its time limit.
TESTS = {"good": ("FAILED to be bad\n", 0, 10), "unit": (GOOGLETEST, 1, 10), "integration": (PYTEST, 1, 10),
         "speechless": ("".join(f"line {number}\n" for number in range(40)), 3, 10), "slow": ("begun\n", None, 1)}


def said_of(tests: dict) -> str:
    with tempfile.TemporaryDirectory() as name:
        build = Path(name)
        lines = []
        for test, (printed, status, limit) in tests.items():
            (build / test).write_text(printed)
            script = f"cat {build / test}; " + (f"exit {status}" if status is not None else "exec sleep 60")
            lines.append(f'add_test({test} sh -c "{script}")\nset_tests_properties({test} PROPERTIES TIMEOUT {limit})\n')
        (build / "CTestTestfile.cmake").write_text("".join(lines))
        subprocess.run(["ctest", "--test-dir", build], capture_output=True, check=False)
        return digest(build)


class Digest(unittest.TestCase):
    def test_it_says_why_each_failed_test_did(self):
        parts, took, current = {}, {}, []
        for line in said_of(TESTS).splitlines():
            if not line.startswith(" "):
                name, _, took[line.partition(",")[0]] = line.partition(", after ")
                parts[name] = current = []
            else:
                current.append(line.strip())
        self.assertEqual(set(parts), set(TESTS) - {"good"})
        self.assertIn("Which is: 1", parts["unit"])
        self.assertIn("../../tests/unit/pool/pool_test.cpp:7: Failure", parts["unit"])
        self.assertEqual(parts["integration"][0], "E       assert 2 == 1")
        self.assertIn("FAILED test_pool.py::test_gives - assert 2 == 1", parts["integration"])
        self.assertEqual(parts["speechless"], [f"line {number}" for number in range(28, 40)])
        self.assertEqual(parts["slow"], ["begun"])
        self.assertRegex(took["slow"], r"^1\.\d+ sec:$")  # nothing else tells that its time was over

    def test_it_says_nothing_where_none_failed(self):
        self.assertEqual(said_of({"good": TESTS["good"]}), "")


if __name__ == "__main__":
    unittest.main()
