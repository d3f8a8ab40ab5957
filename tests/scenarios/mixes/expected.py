# SPDX-License-Identifier: Apache-2.0
"""The facts of a mix's actors in the form in which records are compared with them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

from checks import ERROR_TYPE, FAILED, is_loopback, network_type

Facts = dict[str, Any]
# {subject: its elements, each as often as it occurs}
Subjects = dict[str, Counter[Any]]


@dataclasses.dataclass
class SandboxTruth:
    """One sandbox: the sums of the facts of all its actions, and the processes that acted."""

    facts: Facts
    actors: list[tuple[tuple[str, ...], int, int]]  # arguments, pid, exit code
    kinds: dict[int, str]  # of the actions, by number


def end_of(fact: Facts) -> tuple[str, int]:
    return ("signal", fact["signal"]) if "signal" in fact else ("code", fact["code"])


def without_zeros(counts: Any) -> Counter[Any]:
    return Counter({key: int(n) for key, n in counts.items() if n})


def outcome_of_exit(end: tuple[str, int]) -> str:
    if end[0] == "signal":
        return "signal"
    return "failure" if end[1] else "success"


class Expected:
    """The subjects as the facts of a sandbox say."""

    def __init__(self, truth: SandboxTruth) -> None:
        self.facts, self.actors = truth.facts, truth.actors
        execs = self.facts["execs"]
        self.ends = [(pid, ("code", code)) for _, pid, code in self.actors]
        self.ends += [(x.get("pid"), end_of(x)) for x in execs + self.facts["forks"]]
        programs = execs + self.facts["replacements"]
        self.programs = [(argv, pid) for argv, pid, _ in self.actors]
        self.programs += [(tuple(x["argv"]), x.get("pid")) for x in programs]

    def subjects(self) -> Subjects:
        return {**self.lookups(), **self.flows(), **self.processes(), **self.rules()}

    def lookups(self) -> Subjects:
        lookups = [x for x in self.facts["lookups"] if x["outcome"] != "denied"]
        keys = ("name", "type", "outcome", "transport", "server")
        return {
            "lookups": Counter((*(x[k] for k in keys), tuple(x["ips"])) for x in lookups),
            "processes of lookups": Counter((x["name"], x["type"], x["acted_by"]) for x in lookups),
        }

    def flows(self) -> Subjects:
        outside = [f for f in self.facts["flows"] if not is_loopback(f["peer"])]
        unnamed = [f for f in outside if not f["host"] and not f["dns"]]
        failed = [f for f in outside if f["reset"] or self.has_failed(f)]
        sums: dict[Any, Counter[str]] = {}
        addresses: dict[Any, set[str]] = {}
        for f in outside:
            key = (f["host"] or f["peer"], f["port"], f["transport"])
            addresses.setdefault(key, set()).add(f["peer"])
            sums.setdefault(key, Counter()).update(
                attempts=1,
                established=int(f["outcome"] == "established"),
                sent=f["sent"],
                received=f["received"],
            )
        denials: Counter[Any] = Counter()
        for x in self.facts["denials"]:
            denials[(x["target"], x["port"], x["transport"], x["layer"])] += x["count"]
        return {
            "attempts without a name": Counter(
                (f["peer"], f["port"], f["transport"]) for f in unnamed
            ),
            "processes of attempts": Counter(
                (f["peer"], f["port"], f["acted_by"]) for f in unnamed
            ),
            "failures": Counter((f["host"], f["peer"], f["port"], self.failure(f)) for f in failed),
            "destinations": sums_as_elements(sums, addresses),
            "denials": denials,
        }

    @staticmethod
    def has_failed(f: Facts) -> bool:
        return f["outcome"] in FAILED or (f["outcome"] == "other" and f["transport"] == "tcp")

    @staticmethod
    def failure(f: Facts) -> str:
        return "reset" if f["reset"] else ERROR_TYPE.get(f["outcome"], f["outcome"])

    def pids_of_nft(self) -> set[int | None]:
        """The processes that executed nft at some time."""
        return {pid for argv, pid in self.programs if argv[0] == "nft"}

    def processes(self) -> Subjects:
        return {
            "programs": Counter(argv for argv, _ in self.programs),
            "programs by pid": Counter(x for x in self.programs if x[1]),
            "ends": Counter(end for _, end in self.ends),
            "ends by pid": Counter(x for x in self.ends if x[0]),
        }

    def rules(self) -> Subjects:
        def count(which: str) -> Counter[Any]:
            return Counter((x["action"], x["target"]) for x in self.facts[which])

        return {
            "rules in force": count("rules") - count("removed_rules"),
            "rules that were never added": Counter(),
            "refused changes": Counter(x["error"] for x in self.facts["refusals"]),
            "changes by another process": Counter(),
        }

    def totals(self) -> Counter[Any]:
        """The attributes of sandbox.stopped."""
        return without_zeros(
            {
                "sandbox.dns.lookups": len(self.facts["lookups"]),
                "sandbox.connect.attempts": len(self.facts["flows"]),
                "sandbox.process.execs": len(self.programs),
                "sandbox.process.exits": len(self.ends),
                "sandbox.egress.denied": sum(x["count"] for x in self.facts["denials"]),
                "sandbox.dns.answers_ignored": self.facts["ignored_answers"],
                "sandbox.dns.messages_malformed": self.facts["malformed"],
            }
        )

    def metrics(self) -> Subjects:
        flows = self.facts["flows"]
        changes = Counter((x["operation"], "committed") for x in self.facts["transactions"])
        changes[("other", "aborted")] += len(self.facts["refusals"])
        denials: Counter[Any] = Counter()
        for x in self.facts["denials"]:
            denials[(x["layer"], x["transport"])] += x["count"]
        lookups = Counter((x["outcome"], x["transport"]) for x in self.facts["lookups"])
        denied = sum(n for (outcome, _), n in lookups.items() if outcome == "denied")
        return {
            "sandbox.dns.queries": lookups,
            "sandbox.connect.attempts": Counter(
                (f["outcome"], f["transport"], network_type(f["peer"])) for f in flows
            ),
            "sandbox.egress.denied": denials,
            "sandbox.nftables.transactions": +changes,
            "sandbox.process.execs": without_zeros({(): len(self.programs)}),
            "sandbox.process.exits": Counter((outcome_of_exit(end),) for _, end in self.ends),
            "egress.policy.denied_total": without_zeros({(): denied}),
        }


def sums_as_elements(sums: dict[Any, Counter[str]], addresses: dict[Any, set[str]]) -> Counter[Any]:
    """One element for each destination: (target, port, transport, addresses, sums)."""
    keys = ("attempts", "established", "sent", "received")
    return Counter(
        (*target, " ".join(sorted(addresses[target])), *(f"{k}={n[k]}" for k in keys))
        for target, n in sums.items()
    )
