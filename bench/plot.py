# SPDX-License-Identifier: Apache-2.0
"""plot.py JSON FOLDER: what `bench/run.sh --json JSON` measured, as the plots of docs/performance.md (python3-matplotlib)."""

import json
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "sandpiper"  # the same picture for the same figures
import matplotlib.pyplot as plt  # noqa: E402

measured, folder = json.load(open(sys.argv[1])), sys.argv[2]


def bars(name, title, unit, rows, goal=None):
    """`rows`: (label, value), the best first or last as it reads."""
    figure, axes = plt.subplots(figsize=(8, 0.45 * len(rows) + 1.2))
    labels, values = zip(*rows)
    drawn = axes.barh(
        labels, values, color=["#2a6f97" if "sandpiper" in label else "#a9a9a9" for label in labels]
    )
    axes.bar_label(
        drawn, labels=["{:,.0f}".format(v) if v >= 10 else "%.2f" % v for v in values], padding=4
    )
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.set_title(title)
    axes.margins(x=0.15)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if goal:
        axes.axvline(goal, color="#c1121f", linestyle="--", linewidth=1)
    figure.tight_layout()
    figure.savefig("%s/%s.svg" % (folder, name), metadata={"Date": None})
    plt.close(figure)


if "kernel" in measured:
    for result in measured["kernel"]:
        version = ".".join(result["kernel"].split(".")[:2])
        rows = []
        for what, event in result["events"].items():
            if what == "pid":
                continue
            rows += [
                ("%s: %s%s" % (what, who, key), event[key])
                for who, key in (
                    ("sandpiper, ", "watched"),
                    ("sandpiper, ", "unwatched"),
                    ("", "empty programs"),
                )
                if key in event
            ]
            rows += [
                ("%s: %s" % (what, peer), event[peer])
                for peer in ("tcpconnect", "execsnoop", "bpftrace")
                if peer in event
            ]
        bars(
            "kernel-" + version,
            "What observing adds in the kernel, Linux " + version,
            "instructions for each",
            rows,
        )
if "user" in measured:
    i = measured["user"]["instructions"]
    bars(
        "encode",
        "A log record to OTLP",
        "instructions",
        [
            ("sandpiper", i["a record: to OTLP"]),
            ("generated classes, arena", i["a record: to OTLP by generated classes"]),
            ("copy of the bytes", i["a record: its bytes copied"]),
        ],
    )
if "throughput" in measured:
    bars(
        "records",
        "Log records for a second of CPU time, to a sink that looks at nothing",
        "records",
        [(who, r["records_per_cpu_s"]) for who, r in measured["throughput"]["records"].items()],
        goal=500_000,
    )
if "scale" in measured:
    sizes = measured["scale"]["sandboxes"]
    bars(
        "memory",
        "Memory with so many sandboxes: process (PSS) and maps in the kernel",
        "MiB",
        [
            ("%s, %s: sandpiper" % (n, what), r[key])
            for n, r in sizes.items()
            for what, key in (("process", "pss_mib"), ("maps", "maps_mib"))
        ],
    )
