"""One step ahead: the largest set of states from which some safe action always leads back into it.

    refuge = largest(rules, step)           # by fixpoint over the declared grid
    refuge.report()                         # states that are safe now and yet lost, with an example of how
    Keeper(refuge).action(facts)            # safe now, and wherever it leads, some action is safe again

A state is lost in round 0 where every action breaks a rule or may leave the declared ranges, and in round n where each
of the others may lead to a state that was lost before. What is never lost is the set: in it, some action is safe and
stays inside for ever, whatever the model allows to happen. No other set with this property holds a state more. What a
set of rules remembers are fields of `rules.state`: a model names them like the others, or as `ANY`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import numpy
from numpy.typing import NDArray

from symbolic.domain import Action, State, codes_of, domain_of, num_actions
from symbolic.expression import Constant, Owner, reads
from symbolic.facts import Facts
from symbolic.mending.fixpoint import IMPOSSIBLE, INSIDE, rounds_lost
from symbolic.mending.metric import Metric, demand_metric
from symbolic.mending.transition import Transition, TransitionError
from symbolic.proving.report import Finding, Level, Sort
from symbolic.reading.compiled import Codes

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

S = TypeVar("S", bound=State)
A = TypeVar("A", bound=Action)

MAX_POINTS: Final = 10_000_000
"""Most states times actions; at that size the fixpoint needs some 300 MB."""


class InvariantError(ValueError):
    """No set can be computed, or the one that was does not hold what it promises: one line, with what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One state of an example, and what is done in it."""

    state: Codes
    action: Codes | None
    """None where every action breaks a rule or may leave the declared ranges."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Refuge(Generic[S, A]):
    """The largest safe invariant set of a rule set and a model, as rounds over the grid of the fields that matter."""

    ruleset: RuleSet[S, A]
    transition: Transition
    spans: tuple[tuple[int, int], ...]
    """Codes of each field; one that matters to neither rules nor model stands at its lowest."""
    rounds: NDArray[numpy.int32]
    """In which round each state was lost, an axis for each field; `INSIDE` where it never is, or `IMPOSSIBLE`."""
    is_calm: NDArray[numpy.bool_]
    """Where some action breaks no rule now."""

    @property
    def num_inside(self) -> int:
        return int((self.rounds == INSIDE).sum())

    @property
    def num_doomed(self) -> int:
        """States in which some action is safe now, and that are lost all the same."""
        return int(((self.rounds >= 0) & self.is_calm).sum())

    def place(self, state: Codes) -> tuple[int, ...]:
        """Where a state stands in the grid; a code outside its field is an `InvariantError`."""
        fields = domain_of(self.ruleset.state).fields
        if len(state) != len(fields) or any(not f.low <= c <= f.high for f, c in zip(fields, state, strict=True)):
            raise InvariantError("expected codes within their fields, got others; build facts by `of` or `exact`")
        return tuple(min(code, high) - low for code, (low, high) in zip(state, self.spans, strict=True))

    def is_inside(self, state: Codes) -> bool:
        """Whether a state is never lost."""
        return bool(self.rounds[self.place(state)] == INSIDE)

    def after(self, facts: Facts, action: Codes) -> NDArray[numpy.int32] | None:
        """Rounds of all states that one step may lead to.

        None where it may leave the declared ranges, or leads to impossible states alone.
        """
        parts = []
        pairs = zip(self.transition.box(facts, action), domain_of(self.ruleset.state).fields, self.spans, strict=True)
        for (low, high), one, (least, most) in pairs:
            if not one.low <= low <= high <= one.high:
                return None
            parts.append(slice(min(low, most) - least, min(high, most) - least + 1))
        found: NDArray[numpy.int32] = self.rounds[tuple(parts)]
        return None if (found == IMPOSSIBLE).all() else found

    def keeps(self, facts: Facts, action: Codes) -> bool:
        """Whether an action leads into the set from every state that the facts allow; rules are not looked at."""
        found = self.after(facts, action)
        return found is not None and bool((found < 0).all())

    def trap(self) -> tuple[Step, ...]:
        """How the state that is lost last, though some action is safe in it, is lost: empty where there is none.

        Of the safe actions the one that delays longest is taken, and of what may happen the worst.
        """
        late = numpy.where(self.is_calm, self.rounds, INSIDE)
        if late.max(initial=INSIDE) == INSIDE:
            return ()
        place = numpy.unravel_index(int(late.argmax()), late.shape)
        state = tuple(int(index) + low for index, (low, _) in zip(place, self.spans, strict=True))
        steps: list[Step] = []
        while True:
            ways = [(action, after) for action in self._safe(state) if (after := self._worst(state, action))]
            if not ways:
                return (*steps, Step(state=state, action=None))
            action, (_, worst) = max(ways, key=lambda way: way[1][0])
            steps.append(Step(state=state, action=action))
            state = worst

    def _safe(self, state: Codes) -> list[Codes]:
        actions = [codes_of(action) for action in self.ruleset.actions]
        return [action for action in actions if not self.ruleset.compiled(state, action)]

    def _worst(self, state: Codes, action: Codes) -> tuple[int, Codes] | None:
        """The first round among the states that a step may lead to, and such a state; None where it may leave."""
        facts = Facts.from_codes(self.ruleset.state, state)
        after = self.after(facts, action)
        if after is None:
            return None
        flat = numpy.where(after < 0, numpy.iinfo(numpy.int32).max, after)
        offsets = numpy.unravel_index(int(flat.argmin()), flat.shape)
        lows = [
            min(low, most) for (low, _), (_, most) in zip(self.transition.box(facts, action), self.spans, strict=True)
        ]
        return int(flat.min()), tuple(low + int(offset) for low, offset in zip(lows, offsets, strict=True))

    def report(self) -> tuple[Finding, ...]:
        """What a load-time report says of it: a warning where states are lost too late, an error if none is left."""
        steps = self.trap()
        if not steps:
            return ()
        shown = _shown(self.ruleset.state, steps[0].state)
        done = [", ".join(text for _, text in _shown(self.ruleset.action, one.action)) for one in steps if one.action]
        way = f"after {'; '.join(done)} no safe action is left" if done else "every safe action leaves the ranges"
        text = f"{self.num_doomed} of {self.rounds.size} states are safe now and lost whatever is done: here {way}"
        level = Level.WARNING if self.num_inside else Level.ERROR
        return (Finding(sort=Sort.TRAP, level=level, rules=(), text=text, state=shown),)


def largest(ruleset: RuleSet[S, A], transition: Transition, *, tried: int = 20_000, seed: int = 0) -> Refuge[S, A]:
    """The largest safe invariant set, and its two promises tried by other readings at some points.

    Args:
        ruleset: the rules; every one of them fits the array reading.
        transition: a model over the same types.
        tried: states times actions at which the promises are tried (all where there are no more); see `audit`.
        seed: of their choice.

    Raises:
        InvariantError: other types, too many points, or a promise that does not hold.
        BatchError: a rule computes numbers beyond 64 bits.
        DomainError: actions that are too many to list.
    """
    if (transition.state, transition.action) != (ruleset.state, ruleset.action):
        raise InvariantError(
            f"expected a model over `{ruleset.state.__name__}`, got another; declare it over `rules.state`"
        )
    spans = _spans(ruleset, transition)
    num_points = math.prod(high - low + 1 for low, high in spans) * num_actions(ruleset.action)
    if num_points > MAX_POINTS:
        raise InvariantError(
            f"expected at most {MAX_POINTS} states times actions, got {num_points}; coarsen the fields"
        )
    rounds, is_calm = rounds_lost(ruleset, transition, spans)
    refuge = Refuge(ruleset=ruleset, transition=transition, spans=spans, rounds=rounds, is_calm=is_calm)
    faults = audit(refuge, tried=tried, seed=seed)
    if faults:
        raise InvariantError(f"expected a set that holds what it promises, got one where {faults[0]}; report this")
    return refuge


def audit(refuge: Refuge[Any, Any], *, tried: int = 20_000, seed: int = 0) -> list[str]:
    """Where the set does not hold what it promises, by the compiled function and the reference walk, state by state.

    In a state inside, some action is safe and leads inside. In a state lost in round n, every action breaks a rule, may
    leave the ranges, or may lead to a state lost before n: so by induction no set that holds it keeps the promise.
    """
    actions = [codes_of(action) for action in refuge.ruleset.actions]
    faults = []
    for state in _some(refuge, max(1, tried // len(actions)), Random(seed)):
        own = refuge.rounds[refuge.place(state)]
        facts = Facts.from_codes(refuge.ruleset.state, state)
        safe = [refuge.after(facts, action) for action in actions if not refuge.ruleset.compiled(state, action)]
        left = [after for after in safe if after is not None]
        if own == INSIDE and not any((after < 0).all() for after in left):
            faults.append(f"no action leads back from {state}")
        if own >= 0 and not all(((after >= 0) & (after < own)).any() for after in left):
            faults.append(f"{state} need not be lost in round {own}")
    return faults


def _some(refuge: Refuge[Any, Any], count: int, rng: Random) -> Iterator[Codes]:
    """All states where they are few, else so many drawn ones."""
    spans = refuge.spans
    if refuge.rounds.size <= count:
        yield from itertools.product(*(range(low, high + 1) for low, high in spans))
        return
    for _ in range(count):
        yield tuple(rng.randint(low, high) for low, high in spans)


def _spans(ruleset: RuleSet[Any, Any], transition: Transition) -> tuple[tuple[int, int], ...]:
    """Ranges of the fields that rules read or the model changes or reads; the others stand at their lowest."""
    names = {one.field.name for rule in ruleset.rules for one in rule.reads if one.owner is Owner.STATE}
    names |= transition.named() | {one.field.name for one in reads(ruleset.assumption or Constant(True))}
    return tuple((one.low, one.high if one.name in names else one.low) for one in domain_of(ruleset.state).fields)


@dataclass(frozen=True, slots=True)
class Keeper(Generic[S, A]):
    """A shield that looks one step ahead: an action that is safe now and stays in the set, whatever happens."""

    refuge: Refuge[S, A]

    def allows(self, facts: Facts, action: A) -> bool:
        """Whether an action is safe, and leads into the set, in every state that the facts allow; False if unclear."""
        rules = self.refuge.ruleset
        if not rules.check(facts, action).is_safe:
            return False
        try:
            return self.refuge.keeps(facts, rules.codes_of(action))
        except TransitionError:
            return False

    def action(self, facts: Facts, wanted: A | None = None, metric: Metric | None = None) -> A | None:
        """The allowed action that is nearest to a wanted one, or the first in order; None where there is none.

        In every state of the set there is one. Each answer is checked before it is given.
        """
        rules = self.refuge.ruleset
        if wanted is None:
            ordered: Iterable[A] = rules.actions
        else:
            metric = demand_metric(rules.action, wanted, metric)
            ordered = sorted(rules.actions, key=lambda one: metric.away(rules.codes_of(wanted), rules.codes_of(one)))
        return next((action for action in ordered if self.allows(facts, action)), None)


def _shown(schema: type[State] | type[Action], codes: Codes) -> tuple[tuple[str, str], ...]:
    """Names of fields with the text of their values."""
    return tuple((one.name, one.show(code)) for one, code in zip(domain_of(schema).fields, codes, strict=True))
