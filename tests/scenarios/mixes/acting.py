# SPDX-License-Identifier: Apache-2.0
"""The program that acts in a sandbox: it runs its actions one after the other, and prints the truth
of each as a line of JSON. It does not know of sandpiper.

The argument is a JSON object: actions (number, kind, seed) and place (see kinds.Place).
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any

import actor

from mixes.kinds import MORE_FACTS, Action, Place, Unavailable, load

LISTS = ("lookups", "flows", "execs", "denials", *MORE_FACTS)
COUNTS = ("ignored_answers", "malformed")


def forget_facts() -> None:
    actor.TRUTH.update({key: [] for key in LISTS}, **{key: 0 for key in COUNTS})


def facts() -> dict[str, Any]:
    """The facts of the last action. Facts without another pid are about this process."""
    for key in ("lookups", "flows"):
        for fact in actor.TRUTH[key]:
            fact.setdefault("acted_by", os.getpid())
    return {key: actor.TRUTH[key] for key in (*LISTS, *COUNTS)}


def act(action: Action, kind: str) -> dict[str, Any]:
    """Runs an action; returns its facts, and why it could not run or did not do its part."""
    forget_facts()
    pid = os.getpid()
    line: dict[str, Any] = {"number": action.number, "kind": kind}
    try:
        load()[kind].act(action)
    except Unavailable as e:
        line["unavailable"] = str(e)
    except Exception:
        if os.getpid() != pid:  # a child of fork
            traceback.print_exc()
            os._exit(96)
        line["error"] = traceback.format_exc()
    return {**line, "facts": facts()}


def main() -> None:
    plan = json.loads(sys.argv[1])
    place = Place(**plan["place"])
    for a in plan["actions"]:
        line = act(Action(a["number"], a["seed"], place), a["kind"])
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
