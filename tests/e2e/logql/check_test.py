#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_test.py [GRAMMAR]: tests of check.py. GRAMMAR is the folder that install.sh filled."""

import json
import sys
import tempfile
import unittest
from pathlib import Path

import check

GRAMMAR = Path(sys.argv.pop(1)) if len(sys.argv) > 1 else check.DEFAULT_GRAMMAR
VALID = 'sum by (a) (count_over_time({service_name="sandpiper"} | b="c" | unwrap d [1h]))'
BROKEN = (
    'sum by (a) (count_over_time({service_name="sandpiper"} | b="c" [1h])',  # a parenthesis
    'count_over_time({service_name="sandpiper"} [1 parsec])',  # a unit
    "{service_name=sandpiper}",  # the quotes
    '{service_name="sandpiper"} | line_format',  # the format
    '{service_name="sandpiper"} | b=~"c" |',  # the stage
    'sum of (rate({service_name="sandpiper"}[5m]))',  # the keyword
    'topk(10 sum(rate({a="b"}[5m])))',  # the comma
    "sandbox_process_execs_total",  # PromQL
    "",
)


class Check(unittest.TestCase):
    def errors(self, *queries: str) -> list[str]:
        return check.syntax_errors(GRAMMAR, [check.Query("here", q) for q in queries])

    def test_valid_query_passes(self) -> None:
        self.assertEqual(self.errors(VALID), [])

    def test_broken_query_is_reported_with_its_place(self) -> None:
        for query in BROKEN:
            with self.subTest(query):
                errors = self.errors(VALID, query)
                self.assertEqual(len(errors), 1, errors)
                self.assertTrue(errors[0].startswith("here: syntax error at "), errors)

    def test_variables_of_dashboards_are_replaced(self) -> None:
        query = '{a="$sandbox"} | b="${job}" | unwrap c [$__range]'
        self.assertEqual(
            check.substitute_variables(query), '{a="value"} | b="value" | unwrap c [5m]'
        )

    def test_queries_of_each_kind_of_file_are_found(self) -> None:
        board = {
            "panels": [
                {"targets": [{"datasource": {"type": "loki"}, "expr": '{a="$sandbox"}'}]},
                {"targets": [{"datasource": {"type": "prometheus"}, "expr": "up"}]},
            ]
        }
        files = {
            "README.md": '```logql\n{a="readme"}\n```\n',
            "docs/page.md": '```logql\n{a="one"}\n```\n```sh\nls\n```\n```logql\n{a="two"}\n```\n',
            "deploy/grafana/board.json": json.dumps(board),
            "deploy/loki/rules.yaml": "groups: [{rules: [{alert: A, expr: '{a=\"rule\"}'}]}]\n",
            "deploy/loki/loki.yaml": "limits: [{selector: '{a=\"limit\"}'}]\n",
        }
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            found = [q.text for q in check.queries_of_repository(Path(folder))]
        values = ("readme", "one", "two", "value", "limit", "rule")
        self.assertEqual(found, [f'{{a="{value}"}}' for value in values])

    def test_repository_has_its_queries(self) -> None:
        places = [q.place for q in check.queries_of_repository(check.REPOSITORY)]
        for folder, least in (("docs/", 16), ("deploy/grafana/", 10), ("deploy/loki/", 5)):
            self.assertGreaterEqual(sum(p.startswith(folder) for p in places), least, folder)


if __name__ == "__main__":
    unittest.main()
