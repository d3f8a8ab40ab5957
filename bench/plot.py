# SPDX-License-Identifier: Apache-2.0
"""plot.py JSON FOLDER: draws the plots of docs/performance.md (needs python3-matplotlib).

JSON is a file that `bench/run.sh --json` wrote. FOLDER receives the SVG files.
"""

import json
import sys
from typing import Any

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "sandpiper"  # the same figures give the same file
import matplotlib.pyplot as plt  # noqa: E402

Bar = tuple[str, float]


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def draw_bars(name: str, title: str, unit: str, rows: list[Bar], goal: float | None = None) -> None:
    """Writes FOLDER/name.svg: a bar for each (label, value), from top to bottom."""
    figure, axes = plt.subplots(figsize=(8, 0.45 * len(rows) + 1.2))
    labels = [label for label, _ in rows]
    values = [value for _, value in rows]
    colors = ["#2a6f97" if "sandpiper" in label else "#a9a9a9" for label in labels]
    bars = axes.barh(labels, values, color=colors)
    axes.bar_label(bars, labels=[number(v) for v in values], padding=4)
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.set_title(title)
    axes.margins(x=0.15)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if goal:
        axes.axvline(goal, color="#c1121f", linestyle="--", linewidth=1)
    figure.tight_layout()
    figure.savefig(f"{sys.argv[2]}/{name}.svg", metadata={"Date": None})
    plt.close(figure)


def draw_kernel(result: dict[str, Any]) -> None:
    version = ".".join(result["kernel"].split(".")[:2])
    labels = {
        "watched": "sandpiper, watched",
        "unwatched": "sandpiper, unwatched",
        "empty programs": "empty programs",
        "tcpconnect": "tcpconnect",
        "execsnoop": "execsnoop",
        "bpftrace": "bpftrace",
    }
    rows = [
        (f"{operation}: {label}", event[key])
        for operation, event in result["events"].items()
        if operation != "pid"
        for key, label in labels.items()
        if key in event
    ]
    title = "Additional cost of observing in the kernel, Linux " + version
    draw_bars("kernel-" + version, title, "instructions for each", rows)


def draw_encode(instructions: dict[str, float]) -> None:
    rows = [
        ("sandpiper", instructions["a record: to OTLP"]),
        ("generated classes, arena", instructions["a record: to OTLP by generated classes"]),
        ("copy of the bytes", instructions["a record: its bytes copied"]),
    ]
    draw_bars("encode", "A log record to OTLP", "instructions", rows)


def draw_records(exporters: dict[str, Any]) -> None:
    rows = [(exporter, r["records_per_cpu_s"]) for exporter, r in exporters.items()]
    title = "Log records for a second of CPU time, to a sink that does not read them"
    draw_bars("records", title, "records", rows, goal=500_000)


def draw_memory(sizes: dict[str, Any]) -> None:
    rows = []
    for count, figures in sizes.items():
        rows.append((f"{count}, process: sandpiper", figures["pss_mib"]))
        rows.append((f"{count}, maps: sandpiper", figures["maps_mib"]))
    title = "Memory by number of sandboxes: process (PSS) and maps in the kernel"
    draw_bars("memory", title, "MiB", rows)


def main() -> None:
    with open(sys.argv[1]) as f:
        measured = json.load(f)
    for result in measured.get("kernel", []):
        draw_kernel(result)
    if "user" in measured:
        draw_encode(measured["user"]["instructions"])
    if "throughput" in measured:
        draw_records(measured["throughput"]["records"])
    if "scale" in measured:
        draw_memory(measured["scale"]["sandboxes"])


main()
