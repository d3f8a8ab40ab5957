# SPDX-License-Identifier: Apache-2.0
"""Checks of all text in the repository: licences, line lengths, plain language.

Run without arguments from the root of the repository; `-v` lists every hit of the language check.
Exits with 1 and one line for each problem.

The language check looks for words and constructions that plain technical English does without.
A hit is not always a fault, so each top folder may have a small share of them.
"""

from __future__ import annotations

import ast
import dataclasses
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

MAX_COLUMNS = 100
MAX_SHARE = 0.01  # of the comments and sentences of a top folder
MAX_WORDS_COMMENT = 30  # the goal is 20
MAX_WORDS_SENTENCE = 35  # the goal is 25
MAX_SHARE_LONG = 0.01

CODE = re.compile(r"(\.(cc|c|h|py|sh|bzl|bazel|proto)$)|(^|/)(WORKSPACE|system\.BUILD)$|^\.ci/run$")
GENERATED = re.compile(
    r"^(tests/fuzz/(corpus|ruleset_base)/|docs/performance/|docs/.*\.json$|LICENSE|bpf/LICENSE)"
)

# Constructions, each with the reason that is printed beside a hit.
MARKS = {
    "say report, print, return or know": r"\b(tell|tells|telling|told)\b",
    "name the thing": r"\b(whose|whom|nobody|nobody's|somebody|nothing of|none of)\b",
    "who is for people": r"\bwho (is|has|does|asks|looks|speaks|writes|answers|came|runs|lives)\b",
    "name the noun instead of 'what …'": (
        r"(^|[.:;,(] ?|\b(of|for|with|from|to|and|by|than|as|that) )[Ww]hat "
        r"(is|was|a|the|it|they|comes|came|passes|goes|has|stands|others|cannot|may|happened"
        r"|became|waits|runs|leaves|each|else|can|there|we)\b"
    ),
    "a sentence needs a verb": r"^(Of|By|As|With|From|In|At|Behind|Beside|Below) [a-z][^.]{0,60}$",
    "use today's word": (
        r"\b(for want of|anew|to be had|is had|are had|works? off|worked off|put aside"
        r"|throws? away|thrown away|threw away|lets? go|stands? (behind|before|for|on|in)"
        r"|once more|likewise|at times|made up for|thereby|the like|the kernel side)\b"
    ),
}
PATTERNS = {reason: re.compile(pattern) for reason, pattern in MARKS.items()}


@dataclasses.dataclass
class Unit:
    """One comment or sentence."""

    line: int
    text: str
    is_code: bool


def tracked() -> list[str]:
    out = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True).stdout
    return [f for f in out.splitlines() if pathlib.Path(f).is_file() and not GENERATED.match(f)]


def _block(comments: list[tuple[int, str]], is_code: bool) -> Iterator[Unit]:
    """Sentences of comment lines, of which neighbouring ones are one text."""
    text, start, last = "", 0, -2
    for line, part in [*comments, (-1, "")]:
        if line != last + 1 and text:
            for sentence in re.split(r"(?<=[.;!?])\s+", text):
                if sentence:
                    yield Unit(start, sentence, is_code)
            text = ""
        if not text:
            start = line
        text = (text + " " + part.strip()).strip()
        last = line


def units(path: str, text: str) -> Iterator[Unit]:
    lines = text.split("\n")
    if re.search(r"\.(cc|c|h|proto)$", path):
        comments = [
            (i, m.group(1))
            for i, line in enumerate(lines, 1)
            if (m := re.match(r"\s*//(.*)", line))
        ]
        yield from _block(comments, True)
        for i, line in enumerate(lines, 1):
            if (m := re.search(r"\S.*//\s?(.*)", line)) and '"' not in m.group(0):
                yield Unit(i, m.group(1).strip(), True)
        for m in re.finditer(r"/\*(.*?)\*/", text, re.S):
            line = text.count("\n", 0, m.start()) + 1
            for paragraph in re.split(r"\n\s*\*?\s*\n", m.group(1)):
                joined = re.sub(r"\s*\n\s*\*?\s*", " ", paragraph).strip()
                for sentence in re.split(r"(?<=[.;!?])\s+", joined):
                    yield Unit(line, sentence, True)
    elif CODE.search(path) or path.endswith((".yaml", ".yml")):
        comments = [
            (i, m.group(1))
            for i, line in enumerate(lines, 1)
            if (m := re.match(r"\s*#(?!!)(.*)", line))
        ]
        yield from _block(comments, True)
        if path.endswith(".py"):
            yield from docstrings(text)
    elif path.endswith(".md"):
        yield from markdown_units(lines)


def docstrings(text: str) -> Iterator[Unit]:
    """Sentences of docstrings. Other strings are programs and rules of scenarios."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if doc := ast.get_docstring(node):
            line = node.body[0].lineno
            for sentence in re.split(r"(?<=[.;!?])\s+", " ".join(doc.split())):
                yield Unit(line, sentence, True)


def markdown_units(lines: list[str]) -> Iterator[Unit]:
    prose: list[tuple[int, str]] = []
    fenced = False
    for i, line in enumerate(lines, 1):
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            continue
        elif line.startswith("|"):
            for cell in line.split("|"):
                for sentence in re.split(r"(?<=[.;!?])\s+", cell.strip()):
                    yield Unit(i, sentence, False)
        elif line.startswith(("#", "- ", "* ")) or re.match(r"\d+\. ", line):
            # A heading or an item of a list begins a text of its own.
            yield from _block(prose, False)
            prose = [(i, re.sub(r"^(#+|[-*]|\d+\.) ", "", line))]
        else:
            if not line.strip():
                yield from _block(prose, False)
                prose = []
            else:
                prose.append((i, line))
    yield from _block(prose, False)


def check_licence(path: str, text: str) -> Iterator[str]:
    if CODE.search(path) and text and "SPDX-License-Identifier:" not in text[:300]:
        yield f"{path}:1: no SPDX-License-Identifier"


def check_columns(path: str, text: str) -> Iterator[str]:
    if not (CODE.search(path) or path.endswith(".md")):
        return
    fenced = False
    for number, line in enumerate(text.split("\n"), 1):
        if path.endswith(".md"):
            if line.startswith("```"):
                fenced = not fenced
            # A row of a table, code and a single link cannot be wrapped.
            if fenced or line.startswith(("|", "    ")) or re.fullmatch(r"\s*\S*", line):
                continue
        # clang-format wraps code; it leaves only literals that cannot be broken.
        if re.search(r"\.(cc|c|h)$", path) and not re.search(r"(^|\s)//\s|^\s*/?\*", line):
            continue
        if len(line) > MAX_COLUMNS and not re.search(r"https?://\S{40}|#include", line):
            yield f"{path}:{number}: {len(line)} columns, more than {MAX_COLUMNS}"


def top_folder(path: str) -> str:
    return path.split("/")[0] if "/" in path else "root"


def main() -> int:
    verbose = "-v" in sys.argv[1:]
    problems: list[str] = []
    total: dict[str, int] = {}
    hits: dict[str, list[str]] = {}
    long: dict[str, list[str]] = {}
    for path in tracked():
        text = pathlib.Path(path).read_text(encoding="utf-8", errors="replace")
        problems += check_licence(path, text)
        problems += check_columns(path, text)
        folder = top_folder(path)
        for unit in units(path, text):
            if len(unit.text) < 12 or "SPDX" in unit.text:
                continue
            total[folder] = total.get(folder, 0) + 1
            where = f"{path}:{unit.line}: "
            for reason, pattern in PATTERNS.items():
                if pattern.search(unit.text):
                    hits.setdefault(folder, []).append(f"{where}{reason}: {unit.text[:120]}")
                    break
            words = len(unit.text.split())
            if words > (MAX_WORDS_COMMENT if unit.is_code else MAX_WORDS_SENTENCE):
                long.setdefault(folder, []).append(f"{where}{words} words: {unit.text[:120]}")
    for folder, count in sorted(total.items()):
        for what, found, share in (
            ("old wording", hits.get(folder, []), MAX_SHARE),
            ("long sentences", long.get(folder, []), MAX_SHARE_LONG),
        ):
            is_over = len(found) > share * count
            if verbose or is_over:
                problems += found if is_over else []
                print(f"{folder}: {len(found)} of {count} with {what}")
                if verbose and not is_over:
                    print("\n".join("  " + f for f in found))
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
