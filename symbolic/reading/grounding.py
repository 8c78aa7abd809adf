"""A rule as plain lines: "while these conditions hold, these actions are forbidden".

The law: a rule is violated by an action in a state if and only if some line that names the action has all
its conditions true there.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from symbolic.domain import Action, codes_of
from symbolic.expression import Constant, Expr, Join, Junction, Member, Not, Read
from symbolic.facts import Facts
from symbolic.reading.compiled import Codes, compile_conditions
from symbolic.reading.reference import NO, YES, Truth, truth
from symbolic.reading.residual import residual

if TYPE_CHECKING:
    from symbolic.rule import Rule

MAX_DISJUNCTS: Final = 6
"""A residual with more alternatives stays one opaque condition."""


@dataclass(frozen=True, slots=True)
class Line:
    """Some actions that are forbidden while all conditions hold."""

    conditions: tuple[Expr, ...]
    """Atoms over the state; none where the actions are always forbidden."""
    actions: tuple[int, ...]
    """Indices of the forbidden actions, ascending."""
    _test: list[Callable[[Codes], tuple[bool, ...]]] = field(default_factory=list, repr=False, compare=False)

    def __reduce__(self) -> tuple[type[Line], tuple[object, ...]]:
        """Pickle without the compiled test."""
        return Line, (self.conditions, self.actions)

    def test(self, codes: Codes) -> tuple[bool, ...]:
        """One bool per condition for the codes of a fully known state."""
        if not self._test:
            self._test.append(compile_conditions(self.conditions))
        return self._test[0](codes)


def lines(rule: Rule, actions: Sequence[Action]) -> tuple[Line, ...]:
    """The lines of a rule over a list of actions; the rule caches those of the last list that it was asked for."""
    kept = rule.grounded
    if not kept or kept[0][0] is not actions:
        kept[:] = [(actions, ground_condition(rule.violation, [codes_of(action) for action in actions]))]
    return kept[0][1]


def ground_condition(condition: Expr, actions: Sequence[Codes]) -> tuple[Line, ...]:
    """The lines of a condition that must not hold, over the codes of a list of actions."""
    forbidden: dict[tuple[Expr, ...], list[int]] = {}
    residuals: dict[Expr, list[tuple[Expr, ...]]] = {}
    for index, action in enumerate(actions):
        left = residual(condition, action)
        if left not in residuals:
            residuals[left] = disjuncts(left)
        for conjunction in residuals[left]:
            forbidden.setdefault(conjunction, []).append(index)
    return tuple(Line(conjunction, tuple(indices)) for conjunction, indices in forbidden.items())


def ground(line: Line, facts: Facts) -> tuple[Truth, ...]:
    """What the facts say of each condition of a line."""
    if facts.is_exact:
        return tuple([YES if found else NO for found in line.test(facts.codes)])  # type: ignore[arg-type]
    return tuple([truth(condition, facts) for condition in line.conditions])


def disjuncts(expr: Expr) -> list[tuple[Expr, ...]]:
    """A condition in negation normal form as alternatives of conjunctions; above six, one opaque conjunction."""
    found = _expand(expr)
    if found is None:
        return [(expr,)]
    kept = [conjunction for conjunction in map(_tidy, found) if conjunction is not None]
    unique = list(dict.fromkeys(kept))
    return [one for one in unique if not any(set(other) < set(one) for other in unique)]


def _expand(expr: Expr) -> list[tuple[Expr, ...]] | None:
    match expr:
        case Constant():
            return [()] if expr.value else []
        case Join(Junction.OR, args):
            parts = [_expand(arg) for arg in args]
            if any(part is None for part in parts):
                return None
            joined = [conjunction for part in parts for conjunction in part or ()]
        case Join(Junction.AND, args):
            parts = [_expand(arg) for arg in args]
            if any(part is None for part in parts):
                return None
            joined = [()]
            for part in parts:
                joined = [(*left, *right) for left, right in itertools.product(joined, part or ())]
                if len(joined) > 4 * MAX_DISJUNCTS:
                    return None
        case _:
            return [(expr,)]
    return joined if len(joined) <= MAX_DISJUNCTS else None


def _tidy(conjunction: tuple[Expr, ...]) -> tuple[Expr, ...] | None:
    """Merge memberships of one field and drop repeats; None where the conjunction contradicts itself."""
    members: dict[Read, set[int]] = {}
    for atom in conjunction:
        if isinstance(atom, Member):
            members[atom.read] = members.get(atom.read, set(atom.codes)) & set(atom.codes)
    if not all(members.values()):
        return None
    merged = (
        Member(atom.read, tuple(sorted(members[atom.read]))) if isinstance(atom, Member) else atom
        for atom in conjunction
    )
    tidy = tuple(dict.fromkeys(merged))
    return None if any(isinstance(atom, Not) and atom.arg in tidy for atom in tidy) else tidy
