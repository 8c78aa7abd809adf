"""The rungs after asking, in order: choose, repair, witness, concession where the role allows it, safe stop.

A rung that raises, or gives what no check confirms, is passed over with a recorded fault; below all is the safe stop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from agents.deciding.decision import Attempt, Decision
from agents.recording.events import Fault, FaultKind, Rung
from symbolic import Concession, Facts, Outcome, Verdict, concede

if TYPE_CHECKING:
    from agents.deciding.decide import Ladder, Situation


@dataclass(frozen=True, slots=True, kw_only=True)
class Ascent:
    """How far up the ladder a decision has come."""

    here: Situation
    ladder: Ladder
    attempts: list[Attempt] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def note(self, kind: FaultKind, said: object) -> None:
        """Keep what failed, in one line."""
        self.faults.append(Fault(fault=kind, detail=one_line(said)))

    def check(self, facts: Facts, action: int) -> Verdict:
        """The verdict on an action by its index."""
        return self.here.rules.check(facts, self.here.rules.actions[action])


Step: TypeAlias = Callable[[Ascent, Facts, str], Decision | None]
"""One rung: the decision that it gives, or None where it has none."""


def climb(ascent: Ascent, facts: Facts, reason: str) -> Decision:
    """The first of the rungs that gives a decision; `reason` says why asking did not."""
    for rung in (_chosen, _repaired, _witness, _conceded):
        try:
            found = rung(ascent, facts, reason)
        except Exception as error:  # noqa: BLE001 - the decision: a broken rung is passed over, the safe stop stands below
            ascent.note(FaultKind.CHECK_FAILED, f"{type(error).__name__}: {error}")
            continue
        if found is not None:
            return found
    return stop(ascent, reason)


def _chosen(ascent: Ascent, facts: Facts, reason: str) -> Decision | None:
    """The compliant action that is most probable in the core's last answer."""
    if not (ascent.attempts and ascent.ladder.chooses):
        return None
    last = ascent.attempts[-1].choice
    for _, slot in sorted(zip(last.probabilities, last.actions, strict=True), key=lambda pair: -pair[0]):
        found = _if_safe(ascent, facts, ascent.here.words.actions.index(slot), Rung.CHOSEN, reason)
        if found is not None:
            return found
    return None


def _repaired(ascent: Ascent, facts: Facts, reason: str) -> Decision | None:
    """The compliant action nearest to the last proposal, or to the safe stop."""
    here = ascent.here
    wanted = here.words.actions.index(ascent.attempts[-1].choice.chosen) if ascent.attempts else here.safe_stop
    nearest = here.rules.nearest(facts, here.rules.actions[wanted])
    if nearest is None:
        return None
    return _if_safe(ascent, facts, here.rules.actions.index(nearest), Rung.REPAIRED, reason)


def _witness(ascent: Ascent, facts: Facts, reason: str) -> Decision | None:
    """A compliant action among the witnesses of the proof that there always is one."""
    here = ascent.here
    found = None if here.shield is None else here.shield.action(facts)
    return None if found is None else _if_safe(ascent, facts, here.rules.actions.index(found), Rung.WITNESS, reason)


def _if_safe(ascent: Ascent, facts: Facts, action: int, rung: Rung, reason: str) -> Decision | None:
    verdict = ascent.check(facts, action)
    return concluded(ascent, action, rung, verdict, reason) if verdict.is_safe else None


def _conceded(ascent: Ascent, facts: Facts, reason: str) -> Decision | None:
    """Where the role concedes and no action complies: the least bad one, if it breaks nothing critical."""
    if not ascent.ladder.concedes:
        return None
    rules, found = ascent.here.rules, concede(ascent.here.rules, facts)
    if found is None:
        return None
    action = rules.actions.index(found.actions[0])
    verdict = ascent.check(facts, action)
    critical = {rule.anchor for rule in rules.rules if rule.is_critical}
    is_decided = verdict.outcome is Outcome.UNSAFE and not (verdict.undecided or verdict.reason)
    if not is_decided or critical & {one.rule for one in verdict.violations} or any(rules.compliant(facts)):
        raise ValueError(f"expected the least bad action of a state without a safe one, got {found.reason}")
    return concluded(ascent, action, Rung.CONCEDED, verdict, reason, found)


def stop(ascent: Ascent, reason: str) -> Decision:
    """The declared safe stop; its verdict is recorded, but there is nothing below it."""
    here = ascent.here
    verdict = here.rules.check(here.facts, here.rules.actions[here.safe_stop])  # type: ignore[arg-type] # None: undecided
    return concluded(ascent, here.safe_stop, Rung.SAFE_STOP, verdict, reason)


def concluded(
    ascent: Ascent,
    action: int,
    rung: Rung,
    verdict: Verdict,
    reason: str = "",
    concession: Concession | None = None,
) -> Decision:
    """The decision for an action, with all that led to it."""
    read = {message.envelope for message in ascent.here.messages if message.envelope}
    return Decision(
        rules=ascent.here.rules,
        facts=ascent.here.facts,
        action=action,
        rung=rung,
        verdict=verdict,
        attempts=tuple(ascent.attempts),
        reason=reason,
        faults=tuple(ascent.faults),
        parents=tuple(sorted(read.union(ascent.here.claims))),
        concession=concession,
    )


def one_line(said: object) -> str:
    """What was said, on one line of 300 characters at most."""
    return " ".join(str(said).split())[:300]
