# SPDX-License-Identifier: Apache-2.0
"""Random mixes of actions in up to eight sandboxes at once. All records, totals and metrics must be
those that the actors noted.

A mix depends on nothing but its seed. The environment chooses what the scenarios run:
  SEEDS=7,20-29   these seeds instead of the usual ones
  ONLY=3,8        these actions of each mix alone, by the numbers that a failure prints
  SHRINK=1        reruns a failing mix with fewer actions, and prints the smallest one that fails
  JOBS=1          mixes that run at the same time
"""

from __future__ import annotations

import concurrent.futures
import itertools
import os
import traceback
from collections import Counter
from collections.abc import Iterable

from mixes.altering import check_alterations
from mixes.comparing import compare
from mixes.kinds import load
from mixes.network import Network
from mixes.plan import Mix, draw, drawn_kinds, each_kind_once
from mixes.running import Outcome, run
from mixes.shrinking import shrink
from registry import scenario
from world import World

SEEDS = range(1, 51)
SEEDS_OF_GUESTS = range(1, 4)
WRONG_MAX = 40  # differences that are printed of a mix
_labels = itertools.count()


def seeds_to_run(usual: Iterable[int]) -> list[int]:
    """The seeds of the variable SEEDS, such as `7,20-29`, or the usual ones."""
    parts = [p for p in os.environ.get("SEEDS", "").split(",") if p]
    if not parts:
        return list(usual)
    ranges = [[int(n) for n in p.split("-")] for p in parts]
    return [seed for r in ranges for seed in range(r[0], r[-1] + 1)]


def chosen_part(w: World, mix: Mix) -> Mix:
    """The actions of the variable ONLY, or all, without those that this machine is too slow for."""
    only = os.environ.get("ONLY")
    numbers = {int(n) for n in only.split(",")} if only else {a.number for a in mix.actions()}
    kinds = load()
    return mix.only(
        {
            a.number
            for a in mix.actions()
            if a.number in numbers and not (w.slow and kinds[a.kind].is_prompt)
        }
    )


def run_and_compare(w: World, network: Network, mix: Mix) -> tuple[Outcome, list[str]]:
    """Runs a mix; returns its outcome and everything that is wrong with it."""
    outcome = run(w, network, mix, f"mix{next(_labels)}")
    return outcome, outcome.broken or compare(outcome.truth, outcome.recorded)


def failure_of(w: World, network: Network, mix: Mix, wrong: list[str]) -> str:
    lines = [f"the mix of seed {mix.seed} failed:", *wrong[:WRONG_MAX], str(mix)]
    if os.environ.get("SHRINK"):
        smallest, wrong = shrink(mix, wrong, lambda part: run_and_compare(w, network, part)[1])
        numbers = ",".join(str(a.number) for a in smallest.actions())
        lines += [f"the smallest part that fails (ONLY={numbers}):", *wrong[:WRONG_MAX]]
        lines.append(str(smallest))
    return "\n".join(lines)


def run_mixes(w: World, mixes: list[Mix]) -> None:
    """Runs mixes, several at the same time, and fails with the differences of each."""
    unavailable: dict[str, str] = {}
    jobs = int(os.environ.get("JOBS", "1" if w.slow else "4"))
    with Network(w) as network, concurrent.futures.ThreadPoolExecutor(jobs) as pool:

        def one(mix: Mix) -> str:
            try:
                outcome, wrong = run_and_compare(w, network, mix)
                unavailable.update(outcome.unavailable)
                return failure_of(w, network, mix, wrong) if wrong else ""
            except Exception:
                return f"the mix of seed {mix.seed} did not end:\n{traceback.format_exc()}{mix}"

        failures = [f for f in pool.map(one, mixes) if f]
    print_summary(mixes, unavailable)
    assert not failures, "\n" + "\n\n".join(failures)


def print_summary(mixes: list[Mix], unavailable: dict[str, str]) -> None:
    counts = Counter(a.kind for mix in mixes for a in mix.actions())
    sandboxes = sum(len(mix.sandboxes) for mix in mixes)
    print(
        f"     {len(mixes)} mixes, {sandboxes} sandboxes, {counts.total()} actions of "
        f"{len(counts)} kinds"
    )
    for name, reason in sorted(unavailable.items()):
        print(f"     not available: {name}: {reason}")
    for kind in load().values():
        if kind.off:
            print(f"     not drawn: {kind.name}: {kind.off}")


@scenario()
def fifty_seeds(w: World) -> None:
    mixes = [chosen_part(w, draw(seed)) for seed in seeds_to_run(SEEDS)]
    if not os.environ.keys() & {"SEEDS", "ONLY"}:
        drawn = {a.kind for mix in mixes for a in mix.actions()}
        missing = {k.name for k in drawn_kinds()} - drawn
        assert not missing and len(drawn) >= 40, f"the seeds draw no {sorted(missing)}"
    run_mixes(w, mixes)


@scenario("kernels")
def few_seeds(w: World) -> None:
    """Some seeds, which the guests of the vm tier run too."""
    run_mixes(w, [chosen_part(w, draw(seed)) for seed in seeds_to_run(SEEDS_OF_GUESTS)])


@scenario()
def each_kind_in_one_mix(w: World) -> None:
    run_mixes(w, [chosen_part(w, each_kind_once())])


@scenario()
def false_records_are_noticed(w: World) -> None:
    """The comparison reports every kind of change to the records of a true run."""
    with Network(w) as network:
        outcome, wrong = run_and_compare(w, network, each_kind_once())
    assert not wrong, "\n".join(wrong)
    check_alterations(outcome)
