# SPDX-License-Identifier: Apache-2.0
"""table.py PART FILE [markdown]: what bench/PART.py measured, as a table. table.py join FOLDER: all of it as one JSON object."""

import glob
import json
import os
import sys


def table(rows):
    if sys.argv[3:] == ["markdown"]:
        cells = [
            [("{:,}".format(c) if isinstance(c, int) else str(c)) for c in row] for row in rows
        ]
        cells.insert(1, ["---"] + ["---:"] * (len(rows[0]) - 1))
        print("\n".join("| %s |" % " | ".join(row) for row in cells) + "\n")
        return
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print(
            "  ".join(
                str(cell).ljust(width) if i == 0 else str(cell).rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths))
            )
        )


def objects(path):
    return [json.loads(line) for line in open(path) if line.strip()]


def user(path):
    (result,) = objects(path)
    table(
        [
            (
                "user space, %d events, %d records" % (result["events"], result["records"]),
                "instructions",
            )
        ]
        + [(what, round(n)) for what, n in result["instructions"].items()]
    )


def kernel(path):
    for result in objects(path):
        peers = sorted(
            {name for event in result["events"].values() for name in event}
            - {"alone", "empty programs", "unwatched", "watched", "programs", "within programs"}
        )
        rows = [
            (
                "Linux " + result["kernel"],
                "alone",
                "+ empty programs",
                "+ sandpiper, unwatched",
                "+ sandpiper, watched",
                *["+ " + p for p in peers],
            )
        ]
        for what, event in result["events"].items():
            cell = lambda name: round(event[name]) if name in event else "-"
            rows.append(
                (
                    what,
                    *[
                        cell(name)
                        for name in ("alone", "empty programs", "unwatched", "watched", *peers)
                    ],
                )
            )
        table(rows)
        for what, event in result["events"].items():
            for name, (runs, each) in event.get("programs", {}).items():
                print("  %s: %s, %.1f runs of %d instructions" % (what, name, runs, each))


def throughput(path):
    (result,) = objects(path)
    rows = [("events", "a second", "lost", "for a second of CPU", "bound by")]
    for what, modes in result["events"].items():
        rows += [
            (
                "%s, %s" % (what, mode),
                r["events_per_s"],
                r["lost"],
                r["events_per_cpu_s"],
                r["bound"],
            )
            for mode, r in modes.items()
        ]
    table(rows)
    table(
        [("log records", "a second", "for a second of CPU")]
        + [
            (who, r["records_per_s"], r["records_per_cpu_s"])
            for who, r in result["records"].items()
        ]
    )


def host(path):
    (result,) = objects(path)
    table(
        [("watched / not", "median", "p10", "p90", "collector, CPU us each")]
        + [
            (what, r["ratio"], r["p10"], r["p90"], r["collector_cpu_us_each"])
            for what, r in result.items()
        ]
    )


def scale(path):
    (result,) = objects(path)
    table(
        [("sandboxes", "start ms", "PSS MiB", "maps MiB", "CPU us an event")]
        + [
            (n, r["start_ms"], r["pss_mib"], r["maps_mib"], r["cpu_us_an_event"])
            for n, r in result["sandboxes"].items()
        ]
    )
    table(
        [("one sandbox", "")]
        + [
            ("start, ms: median", result["start_ms"]["median"]),
            ("idle, PSS MiB", result["idle"]["pss_mib"]),
            ("idle, maps MiB", result["idle"]["maps_mib"]),
            ("idle, wake-ups a second", result["idle"]["wakeups_per_s"]),
            ("idle, CPU %", result["idle"]["cpu_percent"]),
            ("stripped binary, MiB", result["binary_mib"]),
        ]
    )


def join(folder):
    out = {}
    for path in sorted(glob.glob(folder + "/*.json")):
        part = os.path.basename(path)[: -len(".json")]
        out[part] = objects(path) if part == "kernel" else json.load(open(path))
    print(json.dumps(out, indent=1))


{
    "user": user,
    "kernel": kernel,
    "throughput": throughput,
    "host": host,
    "scale": scale,
    "join": join,
}[sys.argv[1]](sys.argv[2])
