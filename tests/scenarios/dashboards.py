# SPDX-License-Identifier: Apache-2.0
"""The queries of the Grafana dashboards in deploy/grafana."""

import glob
import json
import os

from world import HERE

DEPLOY = os.path.join(HERE, "../../deploy")


def panels_of_dashboards(source: str) -> list[tuple[str, str, str]]:
    """(title, type, query for sb-abc) of every panel that has a data source of this type."""
    out = []
    for path in sorted(glob.glob(DEPLOY + "/grafana/*.json")):
        with open(path) as f:
            board = json.load(f)
        for panel in board["panels"]:
            for target in panel["targets"]:
                if target["datasource"]["type"] == source:
                    title = f"{os.path.basename(path)}, {panel['title']}"
                    out.append((title, panel["type"], substitute_variables(target["expr"])))
    return out


def substitute_variables(query: str) -> str:
    values = {"$__rate_interval": "5m", "$__range": "1h", "$sandbox": "sb-abc"}
    for variable, value in values.items():
        query = query.replace(variable, value)
    assert "$" not in query, query
    return query
