"""A dry run: recorded situations gone through again, under other rules or another ladder; nothing is executed.

log = Path("guard.jsonl").read_text().splitlines()
found = rehearse(new_rules, ladder, situations(log, new_rules.state))
found.counts.stopped, found.changed
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from symbolic.domain import Action, State
from symbolic.facts import Facts
from symbolic.field import DomainError
from symbolic.guarding.counts import Counts
from symbolic.guarding.guard import Guard
from symbolic.guarding.guarded import Guarded
from symbolic.guarding.ladder import Ladder, Mode
from symbolic.guarding.proposal import Given, Proposal
from symbolic.guarding.record import action_text
from symbolic.rules import RuleSet

A = TypeVar("A", bound=Action)

UNHURRIED_S = 3600.0
"""A rehearsal waits for nobody, and nobody for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What was perceived and proposed once."""

    facts: Given
    proposals: tuple[Proposal, ...]
    """In order; later ones stand for the answers to asking again."""
    executed: str = ""
    """Canonical JSON of what was executed then; empty if that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal(Generic[A]):
    """What would have happened."""

    counts: Counts
    changed: tuple[tuple[int, Guarded[A]], ...]
    """Place and decision, where another action would be executed than was."""


def rehearse(rules: RuleSet[Any, A], ladder: Ladder[A], past: Iterable[Situation]) -> Rehearsal[A]:
    """Go through recorded situations with these rules and this ladder."""
    guard = Guard(rules, ladder, UNHURRIED_S, mode=Mode.DRY_RUN)
    changed = []
    for place, one in enumerate(past):
        guarded = guard.check(one.facts, *one.proposals)
        if one.executed and action_text(rules, guarded.enforced) != one.executed:
            changed.append((place, guarded))
    return Rehearsal(counts=guard.counts, changed=tuple(changed))


def situations(records: Iterable[str], state: type[State]) -> Iterator[Situation]:
    """The situations of a guard's log.

    Raises:
        DomainError: a line that is no record of a guard.
    """
    for line in records:
        try:
            plain = json.loads(line)
            certificate, attempts = plain["certificate"], plain["attempts"]
            facts: Given = "" if certificate is None else Facts.from_json(_text(certificate["facts"]), state)
            proposals = tuple(one["proposed"] for one in attempts)
            executed = _text(plain["executed"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DomainError(f"expected a record of a guard, got `{line:.60}`; {error}") from None
        yield Situation(facts=facts, proposals=proposals, executed=executed)


def _text(plain: object) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))
