"""Recorded verdicts decided again by the solver: confirmed, contradicted, or not decided again.

Only a contradiction is a mismatch. Where the solver is absent, stuck or out of budget nothing was confirmed and nothing
was refuted: that is inconclusive, counted, and no approval. The budget of steps decides, so that a loaded machine
changes no answer; the wall clock stands far behind it (`PATIENT`), since nothing waits for these answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from symbolic.domain import Action
from symbolic.facts import Facts
from symbolic.reading.reference import NO
from symbolic.solving.session import Budget, Found
from symbolic.solving.smt import Solver, shared_solver, spans_of
from symbolic.solving.worker import SolverError
from symbolic.verdict import Outcome, Verdict, truths_of

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

PATIENT: Final = Budget(watchdog_s=60.0)
"""The budget of a recheck: as many steps as any other query, and a wall clock that only a stuck solver meets."""

MAX_FAULTS: Final = 3
"""Faults of the solver in a row after which the rest of a batch is given up: each may cost the whole watchdog."""

Recorded: TypeAlias = tuple[Facts, Action, Verdict | Sequence[Found]]
"""Facts, action and what was said of each rule then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """A recorded verdict that the solver contradicts, or that is not one of this rule set, facts and action."""

    index: int
    """Place in the batch."""
    rule: str
    """Anchor of the rule; empty where the record as a whole is wrong."""
    claimed: Found
    found: Found
    """What the solver says; None where the record as a whole is wrong."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inconclusive:
    """A recorded verdict that was neither confirmed nor contradicted."""

    index: int
    """Place in the batch."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Redecision:
    """What became of a batch of recorded verdicts; each is confirmed, a mismatch or inconclusive."""

    num_confirmed: int
    mismatches: tuple[Mismatch, ...]
    """One for each rule that is contradicted."""
    inconclusive: tuple[Inconclusive, ...]


def redecide(ruleset: RuleSet[Any, Any], batch: Sequence[Recorded], solver: Solver | None = None) -> Redecision:
    """Decide recorded verdicts again.

    Blocks the calling thread (the solver itself works without the interpreter's lock): call it off the hot path.

    Args:
        ruleset: the rules of all verdicts.
        batch: facts, action and what was said.
        solver: decides; the process's own for rechecks where None.
    """
    solver = solver or shared_solver(PATIENT)
    mismatches: list[Mismatch] = []
    inconclusive: list[Inconclusive] = []
    faults = 0
    fault = ""
    for index, recorded in enumerate(batch):
        if faults >= MAX_FAULTS:
            inconclusive.append(Inconclusive(index=index, reason=fault))
            continue
        try:
            found = _redecide_one(ruleset, solver, index, recorded)
            faults = 0
        except SolverError as error:
            found, fault, faults = str(error), str(error), faults + 1
        if isinstance(found, str):
            inconclusive.append(Inconclusive(index=index, reason=found))
        else:
            mismatches += found
    wrong = {one.index for one in mismatches}
    return Redecision(
        num_confirmed=len(batch) - len(wrong) - len(inconclusive),
        mismatches=tuple(mismatches),
        inconclusive=tuple(inconclusive),
    )


def _redecide_one(ruleset: RuleSet[Any, Any], solver: Solver, index: int, recorded: Recorded) -> list[Mismatch] | str:
    """The mismatches of one verdict, none where it is confirmed; or why it could not be decided again."""
    facts, action, said = recorded
    reason = _stranger(ruleset, facts, action, said)
    if reason:
        return [Mismatch(index=index, rule="", claimed=None, found=None, reason=reason)]
    anchors = tuple(rule.anchor for rule in ruleset.rules)
    claims = truths_of(said, anchors) if isinstance(said, Verdict) else tuple(said)
    claimed = [place for place, claim in enumerate(claims) if claim is not None]
    if not claimed:
        return "undecided then"
    if facts.is_exact and solver.confirms(ruleset, facts, action, claims):
        answers: tuple[Found, ...] = claims
    else:
        answers = solver.decide(ruleset, facts, action, claimed, is_all_asked=False)
    wrong = [
        Mismatch(
            index=index,
            rule=anchors[place],
            claimed=claims[place],
            found=answers[place],
            reason="the solver disagrees",
        )
        for place in claimed
        if answers[place] is not None and (claims[place] is NO) is not (answers[place] is NO)
    ]
    if not wrong and any(answers[place] is None for place in claimed):
        return "the solver could not decide"
    is_open = isinstance(said, Verdict) and said.outcome is Outcome.UNDECIDED
    return wrong or ("undecided then" if is_open else [])


def _stranger(ruleset: RuleSet[Any, Any], facts: Facts, action: Action, said: Verdict | Sequence[Found]) -> str:
    """Why a record does not belong to this rule set, facts and action; empty if it does."""
    if type(facts) is not Facts or facts.schema is not ruleset.state or type(action) is not ruleset.action:
        return "the facts or the action are of another type than the rule set's"
    try:
        spans_of(ruleset, facts)
    except (SolverError, TypeError, ValueError):
        return "the facts are out of range or contradict"
    if not isinstance(said, Verdict):
        return "" if len(said) == len(ruleset.rules) else "the record does not name every rule once"
    if said.ruleset_sha256 != ruleset.sha256 or said.facts_sha256 != facts.sha256 or said.action != action:
        return "the verdict speaks of another rule set, other facts or another action"
    return ""
