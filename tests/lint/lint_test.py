# SPDX-License-Identifier: Apache-2.0
"""Tests of the checks in this folder: each one must find the fault that it is there for."""

from __future__ import annotations

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import layers
import text


def marked(path: str, content: str) -> list[str]:
    """The sentences of a file that the language check marks."""
    return [
        unit.text
        for unit in text.units(path, content)
        if any(pattern.search(unit.text) for pattern in text.PATTERNS.values())
    ]


class LanguageTest(unittest.TestCase):
    def test_old_wording_in_a_comment_is_marked(self) -> None:
        self.assertEqual(
            marked("a.cc", "// It runs.\n// Nobody is told of it.\nint a;\n"),
            ["Nobody is told of it."],
        )

    def test_plain_comments_pass(self) -> None:
        self.assertEqual(marked("a.cc", "// Returns the owner of the cgroup.\nint a;\n"), [])

    def test_sentence_over_two_lines_is_one(self) -> None:
        self.assertEqual(
            marked("a.h", "// The sandbox\n// whose it is ends.\n"),
            ["The sandbox whose it is ends."],
        )

    def test_strings_of_code_are_left_out(self) -> None:
        self.assertEqual(marked("a.cc", 'Print("nobody // is told");\n'), [])

    def test_python_comments_and_docstrings_are_read(self) -> None:
        content = '"""Says whose it is."""\n# Done anew.\n'
        self.assertEqual(marked("a.py", content), ["Done anew.", "Says whose it is."])

    def test_other_strings_of_python_are_left_out(self) -> None:
        self.assertEqual(marked("a.py", 'RULES = """nobody is told"""\n'), [])

    def test_code_blocks_of_a_page_are_left_out(self) -> None:
        page = "It works.\n\n    nobody\n\n```\nnobody\n```\n\n| what is told | x |\n"
        self.assertEqual(marked("a.md", page), ["what is told"])


class ColumnsTest(unittest.TestCase):
    def test_long_lines_are_reported(self) -> None:
        for path in ("a.cc", "a.py", "a.sh", "a.md", "BUILD.bazel"):
            problems = list(text.check_columns(path, "ok ok\n" + "// " + "x " * 60 + "\n"))
            self.assertEqual(problems, [f"{path}:2: 123 columns, more than 100"])

    def test_tables_and_code_of_a_page_may_be_longer(self) -> None:
        page = "| " + "x " * 60 + "|\n    " + "y " * 60 + "\n```\n" + "z " * 60 + "\n```\n"
        self.assertEqual(list(text.check_columns("a.md", page)), [])


class LicenceTest(unittest.TestCase):
    def test_source_without_a_licence_is_reported(self) -> None:
        self.assertEqual(
            list(text.check_licence("a.cc", "int a;\n")), ["a.cc:1: no SPDX-License-Identifier"]
        )
        self.assertEqual(
            list(text.check_licence("a.cc", "// SPDX-License-Identifier: Apache-2.0\n")), []
        )


LIBRARY = """
package(default_visibility = [%s])
cc_library(name = "x", srcs = glob(["*.cc"]), deps = [%s])
"""


class LayersTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)

    def package(self, name: str, visible: list[str], deps: list[str], includes: list[str]) -> None:
        folder = self.root / "userspace" / name
        folder.mkdir(parents=True)
        labels = ", ".join(f'"//userspace/{v}:__pkg__"' for v in visible)
        needed = ", ".join(f'"//userspace/{d}"' for d in deps)
        (folder / "BUILD.bazel").write_text(LIBRARY % (labels, needed))
        lines = [f'#include "userspace/{i}/{i}.h"\n' for i in includes]
        (folder / "a.cc").write_text("".join(lines))

    def test_declared_layers_pass(self) -> None:
        self.package("base", ["event"], [], [])
        self.package("event", [], ["base"], ["base"])
        self.assertEqual(layers.check(self.root), [])

    def test_undeclared_include_is_reported(self) -> None:
        self.package("base", ["event", "session"], [], [])
        self.package("event", ["session"], ["base"], ["base"])
        self.package("session", [], ["event"], ["event", "base"])
        problems = layers.check(self.root)
        self.assertIn("does not depend on //userspace/base", problems[0])

    def test_unused_dependency_and_visibility_are_reported(self) -> None:
        self.package("base", ["event", "session"], [], [])
        self.package("event", [], ["base"], [])
        problems = layers.check(self.root)
        self.assertTrue(any("which it never includes" in p for p in problems), problems)
        self.assertTrue(any("visible to //userspace/session" in p for p in problems), problems)

    def test_cycle_is_reported(self) -> None:
        self.package("a", ["b"], ["b"], ["b"])
        self.package("b", ["a"], ["a"], ["a"])
        self.assertTrue(any("depend on each other" in p for p in layers.check(self.root)))


if __name__ == "__main__":
    unittest.main()
