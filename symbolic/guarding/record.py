"""Records of a guard: one line of canonical JSON each, chained by hashes, that others can check.

    {"attempts":[...],"certificate":{...},"enforced":{...},"executed":{...},"faults":[...],"kind":"guarded","mode":"enforce",
     "prev":"...","reason":"","rung":"proposed","rules":"...","version":1}

`certificate` is that of the verdict on the executed action (certifying/certificate.py), null where there were no facts
to check. `prev` is the SHA-256 of the record before, empty for the first. `audit` checks links, and certificates with
the independent checker.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, TypeVar

from symbolic.certifying.certificate import verdict_certificate
from symbolic.certifying.checker import OpenError, RefusedError, Rules, check
from symbolic.domain import Action
from symbolic.guarding.climb import Climb, Reached
from symbolic.guarding.guarded import Attempt
from symbolic.guarding.ladder import Mode, Rung
from symbolic.verdict import Verdict

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

A = TypeVar("A", bound=Action)

KEYS: Final = {"kind", "version", "prev", "mode", "rules", "rung", "reason"} | {
    "attempts",
    "certificate",
    "enforced",
    "executed",
    "faults",
}
"""Of a record."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A record that is not as it must be."""

    index: int
    """Line, from 0."""
    detail: str


def record_of(here: Climb[A], reached: Reached[A], executed: A, verdict: Verdict, prev: str) -> str:
    """The record of one decision; the verdict is that on the executed action."""
    rules = here.rules
    enforced = action_text(rules, reached.action)
    done = enforced if executed is reached.action else action_text(rules, executed)
    certificate = "null" if here.facts is None else verdict_certificate(rules, here.facts, verdict)
    tried = ",".join([_attempt_text(rules, one) for one in here.attempts])
    faults = ",".join([f'{{"detail":{json.dumps(one.detail)},"kind":"{one.kind.value}"}}' for one in here.faults])
    # Written by hand, keys in order: this is on the path of every decision.
    return (
        f'{{"attempts":[{tried}],"certificate":{certificate},"enforced":{enforced},'
        f'"executed":{done},"faults":[{faults}],"kind":"guarded","mode":"{here.mode.value}","prev":"{prev}",'
        f'"reason":"{reached.reason}","rules":"{rules.sha256}","rung":"{reached.rung.value}","version":1}}'
    )


def first_record(mode: Mode, verdict: Verdict, action: str, facts: str, prev: str) -> str:
    """The same for a first proposal that complied, from the canonical JSON of action and facts."""
    rules = verdict.ruleset_sha256
    # What `record_of` writes, without the parts that are empty here: a test holds them equal.
    return (
        f'{{"attempts":[{{"outcome":"safe","proposed":{action},"violated":[]}}],"certificate":{{"action":{action},'
        f'"facts":{facts},"kind":"verdict","outcome":"safe","prev":"","rules":"{rules}","undecided":[],"version":1,'
        f'"violated":[]}},"enforced":{action},"executed":{action},"faults":[],"kind":"guarded","mode":"{mode.value}",'
        f'"prev":"{prev}","reason":"","rules":"{rules}","rung":"proposed","version":1}}'
    )


def _attempt_text(rules: RuleSet[Any, A], attempt: Attempt[A]) -> str:
    if attempt.action is None or attempt.verdict is None:
        return f'{{"complaint":{json.dumps(attempt.complaint)},"proposed":{json.dumps(attempt.proposed)}}}'
    broken = ",".join([f'"{violation.rule}"' for violation in attempt.verdict.violations])
    return (
        f'{{"outcome":"{attempt.verdict.outcome.value}","proposed":{action_text(rules, attempt.action)},'
        f'"violated":[{broken}]}}'
    )


def action_text(rules: RuleSet[Any, A], action: A) -> str:
    """Canonical JSON of an action."""
    return rules.texts.get(id(action)) or json.dumps(action.model_dump(), sort_keys=True, separators=(",", ":"))


def hash_of(record: str) -> str:
    """The name of a record in the chain."""
    return sha256(record.encode()).hexdigest()


def audit(records: Iterable[str], rules: Iterable[str], *, head: str | None = None) -> Iterator[Problem]:
    """What is wrong with a log: a record changed, deleted, inserted or moved, or a certificate that is refused.

    Args:
        records: lines of a log, in order.
        rules: canonical JSON of every rule set that was in force.
        head: hash of the last record, kept elsewhere; without it the end of a log may be cut off, or changed, unseen.
    """
    known = {sha256(text.encode()).hexdigest(): Rules(text) for text in rules}
    prev, index = "", -1
    for index, line in enumerate(records):
        record = line.rstrip("\n")
        problem = _problem(record, prev, known)
        if problem:
            yield Problem(index, problem)
        prev = hash_of(record)
    if head is not None and prev != head:
        yield Problem(index, "the log does not end with this head")


def _problem(record: str, prev: str, known: dict[str, Rules]) -> str:
    try:
        plain = json.loads(record)
        if json.dumps(plain, sort_keys=True, separators=(",", ":")) != record:
            return "not in canonical form"
        if plain.keys() != KEYS or (plain["kind"], plain["version"]) != ("guarded", 1):
            return "no record of a guard"
        if plain["prev"] != prev:
            return "does not follow the record before it"
        certificate, mode, rung = plain["certificate"], Mode(plain["mode"]), Rung(plain["rung"])
        is_enforced = plain["executed"] == plain["enforced"]
        if mode is not Mode.SHADOW and not is_enforced:
            return "executes another action than enforcement does"
        if certificate is None:
            return "" if rung is Rung.SAFE_STOP else "acts without a certificate"
        if rung is not Rung.SAFE_STOP and is_enforced and certificate["outcome"] != "safe":
            return f"executes an action that is not safe, on the rung {rung.value}"
        if plain["rules"] not in known:
            return "speaks of rules that were not given"
        if certificate["action"] != plain["executed"] or certificate["rules"] != plain["rules"]:
            return "executes another action than its certificate"
        check(json.dumps(certificate, sort_keys=True, separators=(",", ":")), known[plain["rules"]])
    except OpenError:
        return ""  # too open for the checker, or undecided then: nothing is refuted
    except RefusedError as error:
        return str(error)
    except (ValueError, KeyError, TypeError, RecursionError):
        return "no record of a guard"
    return ""
