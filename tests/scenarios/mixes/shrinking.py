# SPDX-License-Identifier: Apache-2.0
"""Finds the smallest part of a failing mix that still fails."""

from __future__ import annotations

from collections.abc import Callable

from mixes.plan import Mix

RUNS = 2  # of each part: a fault may depend on the order of events


def shrink(mix: Mix, wrong: list[str], run: Callable[[Mix], list[str]]) -> tuple[Mix, list[str]]:
    """Leaves out parts of the actions, halves first and single ones at last, as long as the rest
    fails. Returns the smallest failing mix and its differences."""
    numbers = [a.number for a in mix.actions()]
    parts = 2
    while len(numbers) > 1:
        size = -(-len(numbers) // parts)
        chunks = [numbers[i : i + size] for i in range(0, len(numbers), size)]
        # Parts alone come first, because they are smaller than the rest without them.
        rests = [[n for n in numbers if n not in chunk] for chunk in chunks]
        for candidate in chunks + rests if parts > 2 else chunks:
            part = mix.only(candidate)
            if failing := next(filter(None, (run(part) for _ in range(RUNS))), None):
                numbers, wrong, parts = candidate, failing, 2
                break
        else:
            if size == 1:
                break
            parts = min(parts * 2, len(numbers))
    return mix.only(numbers), wrong
