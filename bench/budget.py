# SPDX-License-Identifier: Apache-2.0
"""budget.py FOLDER [write]: compares measured figures with bench/budgets.json.

FOLDER holds user.json, kernel.json and size.json. Their figures are the same in each run, so a
change that costs more than 3 % fails the check of that change. The last line is
"N passed, N failed, N skipped". With `write`, the measured figures become the budget.
"""

import json
import os
import sys
from typing import Any

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "budgets.json")
TOLERANCE = 0.03


def read(path: str) -> list[Any]:
    """The JSON objects of a file, one a line; none if it is absent."""
    if not os.path.exists(path):
        return []
    with open(path) as f:
        return [json.loads(line) for line in f if line.strip()]


def kernel_figures(result: dict[str, Any]) -> dict[str, int]:
    version = ".".join(result["kernel"].split(".")[:2])
    out = {}
    for event, costs in result["events"].items():
        for subject, instructions in costs.get("within programs", {}).items():
            name = f"{version} instructions within programs, {event}, {subject}"
            out[name] = round(instructions)
    for program, instructions in result["verified"].items():
        out[f"{version} verifier, {program}"] = instructions
    return out


def measured(folder: str) -> dict[str, int]:
    out: dict[str, int] = {}
    for result in read(folder + "/user.json"):
        for step, instructions in result["instructions"].items():
            # Code of libraries: a change of sandpiper cannot alter it.
            if "generated" not in step and "copied" not in step:
                out["user instructions, " + step] = round(instructions)
    for result in read(folder + "/kernel.json"):
        out.update(kernel_figures(result))
    for result in read(folder + "/size.json"):
        out["bytes of the stripped binary"] = result["stripped"]
    return out


def write_budgets(now: dict[str, int]) -> None:
    """Replaces the measured budgets, and keeps those that were not measured."""
    known: dict[str, int] = {}
    if os.path.exists(PATH):
        with open(PATH) as f:
            known = json.load(f)
    with open(PATH, "w") as f:
        json.dump({**known, **now}, f, indent=1, sort_keys=True)
        f.write("\n")


def is_within_budget(name: str, figure: int, budget: int | None) -> bool:
    if budget is None:
        print(f"FAILED budget: {name} has no budget: run bench/check.sh write")
        return False
    if figure > budget * (1 + TOLERANCE):
        print(f"FAILED budget: {name}: {figure} is over {budget} + 3 %")
        return False
    if figure < budget * (1 - TOLERANCE):
        print(f"     budget: {name}: {figure} is below {budget} - 3 %: lower the budget")
    return True


def main() -> None:
    now = measured(sys.argv[1])
    if sys.argv[2:] == ["write"]:
        write_budgets(now)
        return
    with open(PATH) as f:
        budgets = json.load(f)
    passed = sum(is_within_budget(name, n, budgets.get(name)) for name, n in sorted(now.items()))
    skipped = len(set(budgets) - set(now))
    print(f"{passed} passed, {len(now) - passed} failed, {skipped} skipped")


main()
