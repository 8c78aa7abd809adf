"""The climb: propose, check, ask again, repair, witness, safe stop. Read `_climbed` first.

It is a generator that does nothing itself that takes time: it yields what it wants (a proposal, or a piece of work
that may be slow) and is sent what came of it. So the same climb serves an event loop, a plain call and a rehearsal.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from symbolic.domain import Action
from symbolic.explaining.explain import explain
from symbolic.explaining.explanation import Explanation
from symbolic.explaining.wording import action_text
from symbolic.facts import Facts
from symbolic.field import DomainError
from symbolic.guarding.guarded import Attempt, Fault, FaultKind, Feedback, one_line
from symbolic.guarding.ladder import Ladder, Mode, Rung
from symbolic.guarding.proposal import Given, Proposal, Reader, text_of
from symbolic.rules import RuleSet
from symbolic.verdict import Outcome, Verdict

A = TypeVar("A", bound=Action)


@dataclass(frozen=True, slots=True)
class Ask(Generic[A]):
    """Wanted: a proposal."""

    feedback: Feedback[A] | None
    """None at first."""


@dataclass(frozen=True, slots=True)
class Work:
    """Wanted: what this call returns, which may take long."""

    job: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Came:
    """Sent: what was wanted; a `Fault` is sent where it did not come."""

    value: object


@dataclass(frozen=True, slots=True)
class Reached(Generic[A]):
    """The end of a climb."""

    action: A
    rung: Rung
    verdict: Verdict
    reason: str = ""


Steps: TypeAlias = Generator[Ask[A] | Work, Came | Fault, Reached[A]]


@dataclass(slots=True, kw_only=True)
class Climb(Generic[A]):
    """What a climb starts from, and what it leaves behind."""

    rules: RuleSet[Any, A]
    ladder: Ladder[A]
    reader: Reader[Any, A]
    mode: Mode
    asks: int
    """How often at most is asked again."""
    facts: Facts | None = None
    attempts: list[Attempt[A]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @property
    def is_quick(self) -> bool:
        """Whether looking at every action takes no time to speak of: exact facts, and few enough to list."""
        return self.facts is not None and self.facts.is_exact and bool(self.reader.listed)

    def note(self, kind: FaultKind, said: object) -> None:
        """Keep what failed."""
        self.faults.append(Fault(kind, one_line(said)))


def climb(here: Climb[A], given: Given) -> Steps[A]:
    """The rungs in order, until one gives a compliant action; at last the safe stop, whatever fails on the way."""
    try:
        return (yield from _climbed(here, given))
    except Exception as error:  # noqa: BLE001 - the decision: a fault of a check, or of ours, is no approval
        here.note(FaultKind.CHECK_FAILED, f"{type(error).__name__}: {error}")
        here.facts = None
        return _stop(here, "check failed", undecided(here, here.ladder.safe_stop, "check failed"))


def _climbed(here: Climb[A], given: Given) -> Steps[A]:
    unfit = _unfit(here, given)
    if unfit:
        return _stop(here, unfit, undecided(here, here.ladder.safe_stop, unfit))
    feedback: Feedback[A] | None = None
    reason = "asks used up"
    while len(here.attempts) <= here.asks:
        reply = yield Ask(feedback)
        if isinstance(reply, Fault):
            here.faults.append(reply)
            reason = reply.kind.value
            break
        attempt = yield from _tried(here, reply.value)
        is_again = bool(here.attempts) and here.attempts[-1].cause == attempt.cause
        here.attempts.append(attempt)
        if attempt.is_safe and attempt.action is not None and attempt.verdict is not None:
            rung = Rung.PROPOSED if len(here.attempts) == 1 else Rung.ASKED
            return Reached(attempt.action, rung, attempt.verdict)
        if attempt.verdict is not None and attempt.verdict.outcome is Outcome.UNDECIDED:
            here.note(FaultKind.CHECK_FAILED, attempt.verdict.reason or "the rules could not be decided")
            reason = "check undecided"
            break
        if is_again or here.mode is Mode.SHADOW:
            reason = "same violation again" if is_again else "shadow asks once"
            break
        feedback = _feedback(here, attempt)
    return (yield from _below(here, reason))


def _unfit(here: Climb[A], given: Given) -> str:
    """Read the facts; why nothing can be decided on them, in a few fixed words, or nothing."""
    if here.faults:
        return "rules unfit"
    if not here.rules.rules or type(here.ladder.safe_stop) is not here.rules.action:
        here.note(FaultKind.RULES_UNFIT, "expected rules over the safe stop's own type, got none or others")
        return "rules unfit"
    try:
        facts = here.facts = here.reader.facts(given)
        if facts.schema is not here.rules.state:
            raise DomainError(f"expected facts of `{here.rules.state.__name__}`, got `{facts.schema.__name__}`")
        facts.to_json()
    except Exception as error:  # noqa: BLE001 - the decision: facts that cannot be read and written down are none
        here.facts = None
        here.note(FaultKind.FACTS_UNREADABLE, error)
        return "facts unreadable"
    if facts.age_s > here.ladder.max_age_s:
        here.note(FaultKind.FACTS_STALE, f"expected facts of at most {here.ladder.max_age_s} s, got {facts.age_s} s")
        return "facts stale"
    return ""


def _tried(here: Climb[A], proposed: object) -> Generator[Ask[A] | Work, Came | Fault, Attempt[A]]:
    """Read and check one proposal."""
    try:
        action = here.reader.action(_as_proposal(proposed))
    except Exception as error:  # noqa: BLE001 - the decision: what cannot be read, for whatever reason, is no action
        return Attempt(action=None, verdict=None, proposed=one_line(text_of(proposed)), complaint=one_line(error))
    return Attempt(action=action, verdict=(yield from _checked(here, action)))


def _as_proposal(proposed: object) -> Proposal:
    if isinstance(proposed, Action | str | bytes | Mapping):
        return proposed
    raise DomainError(
        f"expected an action, its fields or JSON text, got `{type(proposed).__name__}`; return one of them"
    )


def _checked(here: Climb[A], action: A) -> Generator[Ask[A] | Work, Came | Fault, Verdict]:
    """The verdict on an action: at once for exact facts, as work for others, which may need the solver."""
    assert here.facts is not None, "nothing is checked before the facts were read"
    facts = here.facts
    if facts.is_exact:
        return here.rules.check(facts, action)
    reply = yield Work(lambda: here.rules.check(facts, action))
    if isinstance(reply, Came) and isinstance(reply.value, Verdict):
        return reply.value
    if isinstance(reply, Fault):
        here.faults.append(reply)
    return undecided(here, action, "no verdict in time")


def _feedback(here: Climb[A], attempt: Attempt[A]) -> Feedback[A]:
    """What to tell the proposer; what takes long to work out is left out."""
    allowed: tuple[A, ...] | None = None
    why = None if attempt.verdict is None else Explanation(verdict=attempt.verdict)
    if here.facts is not None and here.is_quick:
        safe = here.rules.compliant(here.facts)
        allowed = tuple(one for one, is_safe in zip(here.rules.actions, safe, strict=True) if is_safe)
        if attempt.action is not None:
            why = explain(here.rules, here.facts, attempt.action, metric=here.ladder.metric, is_state_asked=False)
    return Feedback(
        proposed=attempt.proposed or ("" if attempt.action is None else action_text(attempt.action)),
        complaint=attempt.complaint,
        why=why,
        allowed=allowed,
    )


def _below(here: Climb[A], reason: str) -> Steps[A]:
    """The rungs after asking: the nearest compliant action, a witness, the safe stop."""
    if here.ladder.repairs:
        nearest = yield from _nearest(here)
        if nearest is not None:
            verdict = yield from _checked(here, nearest)
            if verdict.is_safe:
                return Reached(nearest, Rung.REPAIRED, verdict, reason)
    for witness in here.ladder.witness:
        verdict = yield from _checked(here, witness)
        if verdict.is_safe:
            return Reached(witness, Rung.WITNESS, verdict, reason)
    verdict = yield from _checked(here, here.ladder.safe_stop)
    return _stop(here, reason, verdict)


def _nearest(here: Climb[A]) -> Generator[Ask[A] | Work, Came | Fault, A | None]:
    """The nearest compliant action to the last proposed one, or to the safe stop; None where none was found."""
    assert here.facts is not None, "nothing is searched before the facts were read"
    facts = here.facts
    wanted = next((one.action for one in reversed(here.attempts) if one.action is not None), here.ladder.safe_stop)
    if here.is_quick:
        try:
            return here.rules.nearest(facts, wanted, here.ladder.metric)
        except Exception as error:  # noqa: BLE001 - the decision: a search that fails has found nothing
            here.note(FaultKind.CHECK_FAILED, error)
            return None
    reply = yield Work(lambda: here.rules.nearest(facts, wanted, here.ladder.metric))
    if isinstance(reply, Fault):
        here.faults.append(reply)
        return None
    return reply.value if isinstance(reply.value, here.rules.action) else None


def _stop(here: Climb[A], reason: str, verdict: Verdict) -> Reached[A]:
    """The safe stop; its verdict is recorded, but there is nothing below it."""
    return Reached(here.ladder.safe_stop, Rung.SAFE_STOP, verdict, reason)


def undecided(here: Climb[A], action: A, reason: str) -> Verdict:
    """A verdict that says nothing but why."""
    return Verdict(
        outcome=Outcome.UNDECIDED,
        violations=(),
        undecided=tuple(rule.anchor for rule in here.rules.rules),
        action=action,
        facts_sha256="" if here.facts is None else here.facts.sha256,
        ruleset_sha256=here.rules.sha256,
        reason=reason,
    )
