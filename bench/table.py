# SPDX-License-Identifier: Apache-2.0
"""table.py PART FILE [markdown]: prints the measurements of bench/PART.py as a table.

table.py join FOLDER: prints the measurements of all parts as one JSON object.
"""

import glob
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

Row = Sequence[str | int | float]


def print_markdown(rows: list[Row]) -> None:
    cells = [[f"{c:,}" if isinstance(c, int) else str(c) for c in row] for row in rows]
    cells.insert(1, ["---"] + ["---:"] * (len(rows[0]) - 1))
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    print("\n".join(lines) + "\n")


def print_text(rows: list[Row]) -> None:
    """The first column is aligned left, the others right."""
    widths = [max(len(str(cell)) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        first = str(row[0]).ljust(widths[0])
        others = [str(c).rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        print("  ".join([first, *others]))


def print_table(rows: list[Row]) -> None:
    if sys.argv[3:] == ["markdown"]:
        print_markdown(rows)
    else:
        print_text(rows)


def objects(path: str) -> list[Any]:
    """The JSON objects of a file, one a line."""
    with open(path) as f:
        return [json.loads(line) for line in f if line.strip()]


def user(path: str) -> None:
    (result,) = objects(path)
    title = f"user space, {result['events']} events, {result['records']} records"
    rows = [(step, round(n)) for step, n in result["instructions"].items()]
    print_table([(title, "instructions"), *rows])


def kernel_rows(result: dict[str, Any]) -> list[Row]:
    columns = {
        "alone": "alone",
        "empty programs": "+ empty programs",
        "unwatched": "+ sandpiper, unwatched",
        "watched": "+ sandpiper, watched",
    }
    measured = {name for event in result["events"].values() for name in event}
    for tool in sorted(measured - set(columns) - {"programs", "within programs"}):
        columns[tool] = "+ " + tool
    rows: list[Row] = [("Linux " + result["kernel"], *columns.values())]
    for operation, event in result["events"].items():
        cells = [round(event[name]) if name in event else "-" for name in columns]
        rows.append((operation, *cells))
    return rows


def kernel(path: str) -> None:
    for result in objects(path):
        print_table(kernel_rows(result))
        for operation, event in result["events"].items():
            for name, (runs, each) in event.get("programs", {}).items():
                print(f"  {operation}: {name}, {runs:.1f} runs of {each} instructions")


def throughput(path: str) -> None:
    (result,) = objects(path)
    rows: list[Row] = [("events", "a second", "lost", "for a second of CPU", "bound by")]
    columns = ("events_per_s", "lost", "events_per_cpu_s", "bound")
    for operation, modes in result["events"].items():
        for mode, figures in modes.items():
            rows.append((f"{operation}, {mode}", *[figures[c] for c in columns]))
    print_table(rows)
    rows = [("log records", "a second", "for a second of CPU")]
    for exporter, figures in result["records"].items():
        rows.append((exporter, figures["records_per_s"], figures["records_per_cpu_s"]))
    print_table(rows)


def host(path: str) -> None:
    (result,) = objects(path)
    rows: list[Row] = [("watched / not", "median", "p10", "p90", "collector, CPU us each")]
    for operation, r in result.items():
        rows.append((operation, r["ratio"], r["p10"], r["p90"], r["collector_cpu_us_each"]))
    print_table(rows)


def scale(path: str) -> None:
    (result,) = objects(path)
    rows: list[Row] = [("sandboxes", "start ms", "PSS MiB", "maps MiB", "CPU us an event")]
    columns = ("start_ms", "pss_mib", "maps_mib", "cpu_us_an_event")
    for count, figures in result["sandboxes"].items():
        rows.append((count, *[figures[c] for c in columns]))
    print_table(rows)
    idle = result["idle"]
    print_table(
        [
            ("one sandbox", ""),
            ("start, ms: median", result["start_ms"]["median"]),
            ("idle, PSS MiB", idle["pss_mib"]),
            ("idle, maps MiB", idle["maps_mib"]),
            ("idle, wake-ups a second", idle["wakeups_per_s"]),
            ("idle, CPU %", idle["cpu_percent"]),
            ("stripped binary, MiB", result["binary_mib"]),
        ]
    )


def join(folder: str) -> None:
    out = {}
    for path in sorted(glob.glob(folder + "/*.json")):
        part = os.path.basename(path).removesuffix(".json")
        if part == "kernel":
            out[part] = objects(path)
        else:
            with open(path) as f:
                out[part] = json.load(f)
    print(json.dumps(out, indent=1))


PARTS = {
    "user": user,
    "kernel": kernel,
    "throughput": throughput,
    "host": host,
    "scale": scale,
    "join": join,
}
PARTS[sys.argv[1]](sys.argv[2])
