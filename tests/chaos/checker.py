"""Reads ledgers and what the API says, and tells which of L1 to L6 do not hold (RELIABILITY 6). It knows nothing of the faults'
kind, nor of what may be wrong with the code."""

import email
import email.policy
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Entry = dict[str, Any]
#: Seconds before the first copy in which a fault must have been on, for the second to be by rule (a): what a session had not
#: settled when the fault began; and a customer's server reads on for so long what was on its way when its connector died.
BEFORE = 5.0


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule, and what breaks it."""

    rule: str
    what: str


@dataclass(slots=True)
class Evidence:
    """All that is known at the end of a run."""

    sent: list[Entry]
    got: list[Entry]
    faults: list[Entry]
    #: Notices to senders, whole.
    notices: list[bytes]
    #: customer -> its domain, and whether its connectors remember what was taken.
    customers: dict[str, tuple[str, bool]]
    #: (queued as id, path) of what the API still shows as waiting or held.
    waiting: set[tuple[str, str]] = field(default_factory=set)
    #: (domain, meter) -> amount.
    usage: dict[tuple[str, str], int] = field(default_factory=dict)


def check(evidence: Evidence) -> list[Violation]:
    """The violations; [] when all is well."""
    return [*_Check(evidence).all()]


class _Check:
    def __init__(self, evidence: Evidence) -> None:
        self._e = evidence
        self._mails: dict[str, Entry] = {}
        self._attempts: dict[str, list[Entry]] = defaultdict(list)
        for entry in evidence.sent:
            if "told" in entry:
                self._attempts[entry["name"]].append(entry)
            else:
                self._mails[entry["name"]] = entry
        self._kept = [entry for entry in evidence.got if entry["told"] == 250]
        #: (name, path, stored as) -> the notices of it. The same one may be sent again, by rule (a).
        self._told: dict[tuple[str, str, str], set[str]] = defaultdict(set)
        for notice in evidence.notices:
            for one in failures_of(notice):
                self._told[one].add(re.search(rb"^Message-ID: <(\S+)>", notice, re.MULTILINE)[1].decode())  # type: ignore[index]
        self._faults = _spans(evidence.faults)

    def all(self) -> Iterable[Violation]:
        yield from self._l1_nothing_is_lost()
        yield from self._l2_octets_are_equal()
        yield from self._l3_nothing_to_a_wrong_customer()
        yield from self._l4_duplicates_only_by_rule()
        yield from self._l5_no_5xx()
        yield from self._l6_usage()

    def _l1_nothing_is_lost(self) -> Iterable[Violation]:
        kept = {(entry["name"], entry["path"]) for entry in self._kept}
        told = {(name, path) for name, path, _ in self._told}
        for name, mail in self._mails.items():
            acks = [one for one in self._attempts[name] if one["told"] == 250]
            for path in set(mail["paths"]) if acks else ():
                waits = any((one["id"], path) in self._e.waiting for one in acks)
                if (name, path) not in kept | told and not waits:
                    yield Violation("L1", f"{name} for {path} was acknowledged and is nowhere")
        for one, notices in self._told.items():
            if len(notices) > 1:
                yield Violation("L1", f"{one[0]} for {one[1]}: its sender was told {len(notices)} times")
        refused = {(entry["name"], entry["path"]) for entry in self._e.got if entry["told"] >= 500}
        for name, path, _ in self._told:
            if (name, path) not in refused:
                yield Violation("L1", f"{name} for {path} was told as failed, and nobody refused it")

    def _l2_octets_are_equal(self) -> Iterable[Violation]:
        for entry in self._e.got:
            mail = self._mails.get(entry["name"])
            if mail is None or mail["sha256"] != entry["sha256"]:
                yield Violation("L2", f"{entry['name']} for {entry['path']} came with other octets")

    def _l3_nothing_to_a_wrong_customer(self) -> Iterable[Violation]:
        for entry in self._e.got:
            domain = self._e.customers[entry["customer"]][0]
            mail = self._mails.get(entry["name"], {"paths": ()})
            if not entry["path"].endswith(f"@{domain}") or entry["path"] not in mail["paths"]:
                yield Violation("L3", f"{entry['name']} for {entry['path']} came to {entry['customer']}")

    def _l4_duplicates_only_by_rule(self) -> Iterable[Violation]:
        copies: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        for entry in self._e.got:
            copies[entry["name"], entry["path"]].append(entry)
        for (name, path), entries in copies.items():
            stored = {entry["id"] for entry in entries}
            unclear = [x for x in self._attempts[name] if x["stage"] == "content" and not 200 <= x["told"] < 300]
            if len(stored) - 1 > len(unclear):
                yield Violation(
                    "L4", f"{name} for {path} was stored {len(stored)} times, unclear attempts {len(unclear)}"
                )
            for one in stored:
                yield from self._repeats(name, path, [entry for entry in entries if entry["id"] == one])

    def _repeats(self, name: str, path: str, entries: list[Entry]) -> Iterable[Violation]:
        """Rule (a): each repeat has a fault of its own between the copies, and none where the connector remembers."""
        for first, second in zip(entries, entries[1:], strict=False):
            remembers = self._e.customers[second["customer"]][1] and first["told"] == 250
            between = [
                what for begin, end, what in self._faults
                if begin <= second["at"] and end >= first["at"] - BEFORE and _concerns(what, second["customer"])
            ]  # fmt: skip
            if remembers or not between:
                told = f"told {first['told']} at {first['at']:.1f}, {second['told']} at {second['at']:.1f}; first of the faults: {between[:3]}"
                yield Violation("L4", f"{name} for {path} came again to {second['customer']} as {second['id']}: {told}")

    def _l5_no_5xx(self) -> Iterable[Violation]:
        for name, attempts in self._attempts.items():
            for one in attempts:
                if one["told"] >= 500:
                    yield Violation("L5", f"{name} heard {one['told']}")

    def _l6_usage(self) -> Iterable[Violation]:
        kept = {(entry["id"], entry["path"]) for entry in self._kept}
        told = {(stored, path) for _, path, stored in self._told}
        for domain, _ in self._e.customers.values():
            here = {one for one in kept if one[1].endswith(f"@{domain}")}
            over = {one for one in told | self._e.waiting if one[1].endswith(f"@{domain}")}
            for meter, wanted in (("messages_delivered", len(here)), ("messages_received", len(here | over))):
                counted = self._e.usage.get((domain, meter), 0)
                if counted != wanted:
                    yield Violation("L6", f"{domain}: {meter} is {counted}, and {wanted} were")


def _concerns(what: str, customer: str) -> bool:
    """What another customer's server does excuses nothing of this one's."""
    return "'s server " not in what or what.startswith(f"{customer}'s ")


def failures_of(notice: bytes) -> list[tuple[str, str, str]]:
    """Of a notice that something failed: name, forward-path, and the id under which it was stored, a recipient each."""
    parsed = email.message_from_bytes(notice, policy=email.policy.default)
    name = re.search(rb"Message-ID: <(m\d+)@remote\.example>", notice)
    stored = re.search(rb"\bid ([0-9a-f]{32});", notice)
    parts = list(parsed.walk())
    groups = [part for part in parts if part["Final-Recipient"] and str(part["Action"]) == "failed"]
    return [
        (name[1].decode() if name else "", str(one["Final-Recipient"]).partition(";")[2], stored[1].decode() if stored else "")
        for one in groups
    ]  # fmt: skip


def _spans(faults: list[Entry]) -> list[tuple[float, float, str]]:
    """When each fault was on, one may begin while another is; its name is for whoever reads of a violation."""
    spans, begun = [], {}
    for entry in faults:
        if entry["phase"] == "begins":
            begun[entry["fault"]] = entry["at"]
        else:
            spans.append((begun[entry["fault"]], entry["at"], entry["fault"]))
    return spans
