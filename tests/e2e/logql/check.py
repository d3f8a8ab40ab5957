#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check.py [GRAMMAR]: parses every LogQL query of the repository with Grafana's own grammar.

GRAMMAR is the folder that install.sh filled. A query with a syntax error is printed with its file.
Exits with 1 if there is one. The last line is "N passed, N failed, 0 skipped".
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
DEFAULT_GRAMMAR = Path("/var/cache/sandpiper/logql")
# Grafana replaces these before Loki sees a query. A dashboard's own variables become "value".
DURATIONS = {"__range", "__interval", "__rate_interval", "__auto"}
VARIABLE = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))")


@dataclass(frozen=True)
class Query:
    """A LogQL query and its place in the repository."""

    place: str
    text: str


def substitute_variables(query: str) -> str:
    """Replaces a dashboard's variables by values of the same kind."""

    def value(match: re.Match[str]) -> str:
        return "5m" if (match[1] or match[2]) in DURATIONS else "value"

    return VARIABLE.sub(value, query)


def queries_of_page(text: str) -> list[str]:
    """The ```logql blocks of a Markdown page."""
    return [block.strip() for block in re.findall(r"^```logql\n(.*?)^```", text, re.M | re.S)]


def values_of_key(node: Any, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each value of `key` in a tree of mappings and lists, with the mapping that holds it."""
    if isinstance(node, dict):
        if isinstance(node.get(key), str):
            yield node[key], node
        for child in node.values():
            yield from values_of_key(child, key)
    elif isinstance(node, list):
        for child in node:
            yield from values_of_key(child, key)


def queries_of_dashboard(text: str) -> list[str]:
    """The queries of a Grafana dashboard to the data source Loki."""
    found = []
    for query, target in values_of_key(json.loads(text), "expr"):
        source = target.get("datasource")
        if isinstance(source, dict) and source.get("type") == "loki":
            found.append(substitute_variables(query))
    return found


def queries_of_loki_file(text: str) -> list[str]:
    """The expressions of rules and the selectors of limits in a YAML file for Loki."""
    document = yaml.safe_load(text)
    return [query for key in ("expr", "selector") for query, _ in values_of_key(document, key)]


def queries_of_repository(root: Path) -> list[Query]:
    """Every LogQL query under `root`: its pages, dashboards and files for Loki."""
    kinds = (
        ("*.md", queries_of_page),
        ("docs/**/*.md", queries_of_page),
        ("deploy/**/*.md", queries_of_page),
        ("deploy/grafana/*.json", queries_of_dashboard),
        ("deploy/loki/*.yaml", queries_of_loki_file),
    )
    return [
        Query(f"{path.relative_to(root)}, query {number}", text)
        for pattern, find in kinds
        for path in sorted(root.glob(pattern))
        for number, text in enumerate(find(path.read_text()), 1)
    ]


def syntax_errors(grammar: Path, queries: list[Query]) -> list[str]:
    """One message for each query that the grammar rejects."""
    done = subprocess.run(
        ["node", str(HERE / "parse.cjs"), str(grammar)],
        input=json.dumps([q.text for q in queries]),
        capture_output=True,
        text=True,
        check=True,
    )
    return [
        f"{query.place}: syntax error at {query.text[offset : offset + 40]!r} in {query.text!r}"
        for query, offset in zip(queries, json.loads(done.stdout), strict=True)
        if offset is not None
    ]


def main() -> int:
    grammar = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_GRAMMAR
    queries = queries_of_repository(REPOSITORY)
    errors = syntax_errors(grammar, queries)
    for error in errors:
        print("FAILED logql:", error)
    print(f"{len(queries) - len(errors)} passed, {len(errors)} failed, 0 skipped")
    return 1 if errors or not queries else 0


if __name__ == "__main__":
    sys.exit(main())
