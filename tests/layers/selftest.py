"""The checks themselves: made-up trees with one fault each, and one without."""

import os
import sys
import tempfile
import unittest

import checks
import headers

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.stamps import Stamps  # noqa: E402

MODULES = [("proxy/base", 0), ("proxy/net", 1), ("proxy/pool", 2), ("proxy/auth", 2), ("proxy/worker", 4),
           ("operator/control", 4)]
GOOD = {
    "proxy/base/CMakeLists.txt": "dbproxy_module(NAME base)\n",
    "proxy/base/clock.hpp": "#pragma once\n#include <string>\n",
    "proxy/pool/CMakeLists.txt": "# the pool\ndbproxy_module(NAME pool DEPENDS base LINK some::library)\n",
    "proxy/pool/pool.hpp": '#pragma once\n#include "proxy/base/clock.hpp"\n',
}


class Checks(unittest.TestCase):
    def tree(self, changes):
        """GOOD with changes, as (Tree, findings that fail)."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        for path, text in {**GOOD, **changes}.items():
            full = os.path.join(directory.name, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w") as file:
                file.write(text)
        return checks.Tree(directory.name, MODULES)

    def failures(self, changes):
        return [f"{f.where}: {f.what}" for f in checks.run_all(self.tree(changes)) if not f.note]

    def assert_one(self, changes, part):
        found = self.failures(changes)
        self.assertEqual(len(found), 1, found)
        self.assertIn(part, found[0])

    def test_a_good_tree_passes(self):
        self.assertEqual(self.failures({}), [])

    def test_an_arrow_that_points_up(self):
        self.assert_one({"proxy/base/CMakeLists.txt": "dbproxy_module(NAME base DEPENDS pool)\n",
                         "proxy/base/up.cpp": '#include "proxy/pool/pool.hpp"\n'}, "points up")

    def test_a_sibling_that_stands_later_in_the_table(self):
        self.assert_one({"proxy/auth/CMakeLists.txt": "dbproxy_module(NAME auth DEPENDS base)\n",
                         "proxy/auth/md5.hpp": "",
                         "proxy/pool/CMakeLists.txt": "dbproxy_module(NAME pool DEPENDS base auth)\n",
                         "proxy/pool/pool.cpp": '#include "proxy/auth/md5.hpp"\n'}, "points up")

    def test_indented_includes_count(self):
        self.assert_one({"proxy/base/CMakeLists.txt": "dbproxy_module(NAME base DEPENDS pool)\n",
                         "proxy/base/up.cpp": '#if 1\n  #  include "proxy/pool/pool.hpp"\n#endif\n'}, "points up")

    def test_a_module_that_is_not_in_the_table(self):
        self.assert_one({"proxy/magic/wand.hpp": "#pragma once\n"}, "not in the table")

    def test_a_file_that_does_not_exist(self):
        self.assert_one({"proxy/pool/extra.cpp": '#include "proxy/base/gone.hpp"\n'}, "does not exist")

    def test_a_library_in_the_wrong_module(self):
        self.assert_one({"proxy/pool/extra.cpp": "#include <boost/asio/io_context.hpp>\n"}, "Asio and Beast")
        self.assert_one({"proxy/pool/extra.cpp": "#include <grpcpp/grpcpp.h>\n"}, "gRPC and protobuf")

    def test_the_operator_leaves_the_data_plane_alone(self):
        self.assert_one({"operator/control/CMakeLists.txt": "dbproxy_module(NAME operator_control DEPENDS pool)\n",
                         "operator/control/server.cpp": '#include "proxy/pool/pool.hpp"\n'}, "the data plane's own")

    def test_depends_must_name_what_is_included(self):
        self.assert_one({"proxy/pool/CMakeLists.txt": "dbproxy_module(NAME pool LINK base)\n"}, "DEPENDS lacks")

    def test_a_module_without_cmake(self):
        self.assert_one({"proxy/net/net.hpp": ""}, "no dbproxy_module()")

    def test_a_module_under_another_name(self):
        self.assert_one({"proxy/net/net.hpp": "", "proxy/net/CMakeLists.txt": "dbproxy_module(NAME network)\n"},
                        "the directory's name is net")

    def test_a_file_that_is_too_long(self):
        self.assert_one({"proxy/pool/long.cpp": "\n" * 601}, "split it")
        self.assertEqual(self.failures({"proxy/pool/long.cpp": "\n" * 599}), [])

    def test_names(self):
        self.assert_one({"proxy/pool/PoolThing.cpp": ""}, "snake_case")

    def test_leaks(self):
        self.assert_one({"docs/a.md": "see /" + "work/main\n"}, "one machine")
        self.assert_one({"docs/a.md": "// TO" + "DO later\n"}, "mark for later")
        self.assertEqual(self.failures({"docs/a.md": "a framework/work/x, ../work/y, https://a.b/home/\n"}), [])

    def test_headers(self):
        tree = self.tree({"proxy/base/clock.hpp": "#pragma once\ninline std::string name;\n"})
        cache = Stamps(os.path.join(tree.root, "build/headers"))
        failed = headers.check(tree, "g++", cache, say=lambda _: None)
        self.assertEqual([header for header, _ in failed], ["proxy/base/clock.hpp", "proxy/pool/pool.hpp"])
        with open(os.path.join(tree.root, "proxy/base/clock.hpp"), "w") as file:
            file.write("#pragma once\n#include <string>\ninline std::string name;\n")
        self.assertEqual(headers.check(checks.Tree(tree.root, MODULES), "g++", cache, say=lambda _: None), [])
        said = []
        headers.check(checks.Tree(tree.root, MODULES), "g++", cache, say=said.append)
        self.assertIn("0 headers compiled", said[0])

    def test_a_header_that_its_source_includes_first(self):
        said = []
        tree = self.tree({"proxy/pool/pool.cpp": '#include "proxy/pool/pool.hpp"\n\n#include <map>\n',
                          "proxy/base/clock.cpp": '#include <string>\n\n#include "proxy/base/clock.hpp"\n'})
        headers.check(tree, "g++", Stamps(os.path.join(tree.root, "build/headers")), say=said.append)
        self.assertIn("1 headers compiled", said[0])


if __name__ == "__main__":
    unittest.main()
