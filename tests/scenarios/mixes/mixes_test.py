# SPDX-License-Identifier: Apache-2.0
"""Tests of the parts of the mixes that need no kernel: plans, and how a mix shrinks."""

from __future__ import annotations

import pathlib
import sys
import unittest
from collections import Counter

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from mixes.comparing import differences, numbers_in
from mixes.plan import (
    ACTIONS_MAX,
    SANDBOXES_MAX,
    Mix,
    draw,
    drawn_kinds,
    each_kind_once,
)
from mixes.shrinking import shrink


class Plan(unittest.TestCase):
    def test_a_seed_gives_the_same_mix_each_time(self) -> None:
        self.assertEqual(draw(7), draw(7))
        self.assertNotEqual(draw(7), draw(8))

    def test_sizes_are_within_their_limits(self) -> None:
        mixes = [draw(seed) for seed in range(1, 200)]
        self.assertEqual({len(m.sandboxes) for m in mixes}, set(range(1, SANDBOXES_MAX + 1)))
        self.assertLessEqual(max(len(m.actions()) for m in mixes), ACTIONS_MAX)
        for m in mixes:
            numbers = [a.number for a in m.actions()]
            self.assertEqual(len(numbers), len(set(numbers)))

    def test_rules_change_in_own_networks_and_one_process_only(self) -> None:
        kinds = {k.name: k for k in drawn_kinds()}
        for seed in range(1, 200):
            for s in draw(seed).sandboxes:
                changing = [
                    i
                    for i, p in enumerate(s.processes)
                    if any(kinds[a.kind].changes_rules for a in p)
                ]
                self.assertLessEqual(changing, [0])
                self.assertTrue(s.has_own_network or not changing)

    def test_a_process_has_one_slow_action_at_most(self) -> None:
        kinds = {k.name: k for k in drawn_kinds()}
        for seed in range(1, 200):
            for s in draw(seed).sandboxes:
                for p in s.processes:
                    self.assertLessEqual(sum(kinds[a.kind].is_slow for a in p), 1)

    def test_a_part_keeps_its_actions_as_they_were(self) -> None:
        mix = draw(3)
        some = {a.number for a in mix.actions()[::3]}
        part = mix.only(some)
        self.assertEqual(part.actions(), [a for a in mix.actions() if a.number in some])
        self.assertTrue(all(s.processes for s in part.sandboxes))

    def test_each_kind_is_in_the_full_mix_once(self) -> None:
        counts = Counter(a.kind for a in each_kind_once().actions())
        self.assertEqual(counts, Counter(k.name for k in drawn_kinds()))


class Shrinking(unittest.TestCase):
    def shrink(self, mix: Mix, culprits: set[int]) -> set[int]:
        def run(part: Mix) -> list[str]:
            numbers = {a.number for a in part.actions()}
            return ["it fails"] if culprits <= numbers else []

        smallest, wrong = shrink(mix, ["it failed"], run)
        self.assertEqual(wrong, ["it fails"])
        return {a.number for a in smallest.actions()}

    def test_finds_a_single_action(self) -> None:
        mix = each_kind_once()
        for culprit in (1, 17, len(mix.actions())):
            self.assertEqual(self.shrink(mix, {culprit}), {culprit})

    def test_finds_actions_that_fail_together_only(self) -> None:
        mix = each_kind_once()
        for culprits in ({1, 2}, {3, 90}, {5, 40, 77}):
            self.assertEqual(self.shrink(mix, culprits), culprits)


class Differences(unittest.TestCase):
    def test_names_the_action_of_an_element(self) -> None:
        lines = differences(
            "box",
            {"lookups": Counter([("ok.h1.n7.mix", "A")])},
            {"lookups": Counter([("fd79::1c:1", "A")])},
            {7: "dns_udp", 28: "tcp_poll"},
        )
        self.assertEqual(len(lines), 2)
        self.assertIn("missing", lines[0])
        self.assertTrue(lines[0].endswith("[action 7: dns_udp]"), lines)
        self.assertTrue(lines[1].endswith("[action 28: tcp_poll]"), lines)

    def test_counts_elements(self) -> None:
        want, got = {"ends": Counter(a=2)}, {"ends": Counter(a=5)}
        self.assertEqual(differences("box", want, got, {}), ["box, ends: extra a (3 times)"])
        self.assertEqual(differences("box", want, want, {}), [])

    def test_finds_numbers_in_texts(self) -> None:
        self.assertEqual(numbers_in("10.79.12.3"), {12})
        self.assertEqual(numbers_in("fd79::ff:1"), {255})
        self.assertEqual(numbers_in("10.88.0.1"), set())


if __name__ == "__main__":
    unittest.main()
