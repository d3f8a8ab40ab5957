# SPDX-License-Identifier: Apache-2.0
"""budget.py FOLDER [write]: what was measured (FOLDER/user.json, kernel.json, size.json) against bench/budgets.json: figures that come out the same each time, so that a
change which costs more than 3 % is seen with the change. Ends with "N passed, N failed, N skipped". `write`: what was measured becomes the budget."""

import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOLERANCE = 0.03
folder, write = sys.argv[1], sys.argv[2:] == ["write"]
path = HERE + "/budgets.json"


def measured():
    out = {}
    if os.path.exists(folder + "/user.json"):
        for what, n in json.load(open(folder + "/user.json"))["instructions"].items():
            if "generated" not in what and "copied" not in what:
                out["user instructions, " + what] = round(n)
    if os.path.exists(folder + "/kernel.json"):
        for line in open(folder + "/kernel.json"):
            result = json.loads(line)
            kernel = ".".join(result["kernel"].split(".")[:2])
            for what, event in result["events"].items():
                for who, n in event.get("within programs", {}).items():
                    out["%s instructions within programs, %s, %s" % (kernel, what, who)] = round(n)
            for name, n in result["verified"].items():
                out["%s verifier, %s" % (kernel, name)] = n
    if os.path.exists(folder + "/size.json"):
        out["bytes of the stripped binary"] = json.load(open(folder + "/size.json"))["stripped"]
    return out


now = measured()
if write:
    known = json.load(open(path)) if os.path.exists(path) else {}
    with open(path, "w") as f:
        json.dump({**known, **now}, f, indent=1, sort_keys=True)
        f.write("\n")
    sys.exit(0)
budgets = json.load(open(path))
failed = 0
for what, n in sorted(now.items()):
    budget = budgets.get(what)
    if budget is None:
        print("FAILED budget: %s has none; bench/check.sh write" % what)
    elif n > budget * (1 + TOLERANCE):
        print("FAILED budget: %s: %d, and %d is allowed (+3 %%)" % (what, n, budget))
    else:
        if n < budget * (1 - TOLERANCE):
            print("     budget: %s: %d, of %d: it can be lowered" % (what, n, budget))
        continue
    failed += 1
print(
    "%d passed, %d failed, %d skipped" % (len(now) - failed, failed, len(set(budgets) - set(now)))
)
