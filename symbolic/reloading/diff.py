"""What a new rule set changes, by proof: what becomes forbidden, what becomes allowed, and by which rules. Read `diff`.

Both sets are put as conditions over one point (state, action) into one joint set, so that prover and census answer for
the pair as they do for one. A verdict on open facts is unsafe where some state that they allow is, so sets that agree
at every point agree on open facts too. Priorities and weights decide no check; `edits` names what was done to them.
Past-time operators are fields of what both sets remember together. What two operators of different windows say about
each other is not known here: an example may then be a state that no history gives, while `no` and `equal` are proofs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy
from numpy.typing import NDArray

from symbolic.declaration import RuleError, opposite
from symbolic.domain import Domain, codes_of, domain_of
from symbolic.expression import Expr, Owner, Read, children, rebuilt
from symbolic.proving.census import COMPLETE, SAMPLE, Census, visits
from symbolic.proving.prover import Prover
from symbolic.proving.report import Answer
from symbolic.reading.batch import BatchError, batch
from symbolic.reading.compiled import Codes
from symbolic.reloading.difference import Difference, Example, Shown, Side
from symbolic.reloading.edits import edits
from symbolic.remembering.memory import memory_of
from symbolic.solving.question import Point
from symbolic.solving.session import Atom
from symbolic.solving.smt import Solver, default_solver

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

MOST_RULES: Final = 256
"""Rules of one direction that the solver is asked about; of others only what the census saw is told."""
MOST_TRIES: Final = 256
"""Values of one field that are tried to make an example smaller."""


def diff(
    old: RuleSet[Any, Any],
    new: RuleSet[Any, Any],
    *,
    solver: Solver | None = None,
    complete: int = COMPLETE,
    sample: int = SAMPLE,
) -> Difference:
    """Compare what two rule sets allow.

    Args:
        old: the rules in use.
        new: the rules to be; over equal types, which need not be the same classes.
        solver: answers; that of the process if None.
        complete: most points (states times actions) that are all visited.
        sample: points visited where there are more.

    Raises:
        RuleError: sets over different types, or without rules.
    """
    if not (old.rules and new.rules):
        raise RuleError("expected at least one rule on either side, got none; declare some")
    new = over_types_of(old, new)
    pair = _Pair.of(old, new)
    is_complete, seen = _compare(pair, old.assumption, complete, sample)
    prover = Prover(
        pair.joint,
        Census(),
        solver or default_solver(),
        assumption=old.assumption,
        complete=complete,
        sample=sample,
    )
    sides = [
        _side(prover, view, points, is_complete)
        for view, points in zip((pair.forbidding, pair.allowing), seen.points, strict=True)
    ]
    return Difference(
        old_sha256=old.sha256,
        new_sha256=new.sha256,
        forbidden=sides[0],
        allowed=sides[1],
        edits=edits(old, new),
        faults=tuple(prover.faults),
        num_queries=prover.num_queries,
        num_points=seen.num_points,
        is_complete=is_complete,
    )


def over_types_of(old: RuleSet[Any, Any], new: RuleSet[Any, Any]) -> RuleSet[Any, Any]:
    """The new set over the very classes of the old one.

    Raises:
        RuleError: their declarations differ.
    """
    if (new.declared_state, new.action) == (old.declared_state, old.action):
        return new
    try:
        return type(old).from_json(new.to_json(), old.declared_state, old.action)
    except RuleError:
        names = [f"`{rules.declared_state.__name__}`, `{rules.action.__name__}`" for rules in (old, new)]
        raise RuleError(
            f"expected rule sets over equally declared types, got {names[0]} and {names[1]}; compare like with like"
        ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """One direction of a comparison: points that `before` allows and `after` forbids."""

    joint: RuleSet[Any, Any]
    before: RuleSet[Any, Any]
    after: RuleSet[Any, Any]
    kept: tuple[int, ...]
    """Places in the joint set of what `before` forbids, and of states that no history gives."""
    broken: tuple[tuple[int, str], ...]
    """Place in the joint set and name of every rule of `after` whose condition `before` does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """Two sets as one: each distinct condition once."""

    joint: RuleSet[Any, Any]
    forbidding: _View
    allowing: _View

    @classmethod
    def of(cls, old: RuleSet[Any, Any], new: RuleSet[Any, Any]) -> _Pair:
        """Put them together."""
        memory = memory_of(old.declared_state, [one.node for rules in (old, new) for one in rules.memory.operators])
        reads = {field.name: Read(Owner.STATE, field) for field in domain_of(memory.state).fields}
        sets = [[_moved(rule.violation, reads) for rule in rules.rules] for rules in (old, new)]
        outside = [] if memory.assumption is None else [opposite(memory.assumption)]
        conditions = list(dict.fromkeys([*outside, *sets[0], *sets[1]]))
        joint = type(old)(memory.state, old.action)
        for place, condition in enumerate(conditions):
            joint.add(kind="forbid", name=f"c{place:06d}", expression=condition)  # the order of names is that of places
        places = {condition: place for place, condition in enumerate(conditions)}
        was, now = (_placed(rules, [places[one] for one in own]) for rules, own in zip((old, new), sets, strict=True))
        aside = frozenset(places[one] for one in outside)
        return cls(joint=joint, forbidding=_view(was, now, joint, aside), allowing=_view(now, was, joint, aside))


@dataclass(frozen=True, slots=True)
class _Placed:
    """A rule set and the places of its rules in the joint one."""

    rules: RuleSet[Any, Any]
    places: tuple[int, ...]


def _placed(rules: RuleSet[Any, Any], places: Sequence[int]) -> _Placed:
    return _Placed(rules, tuple(places))


def _moved(expr: Expr, reads: Mapping[str, Read]) -> Expr:
    """The expression over the state of the joint set, which has the fields of both memories."""
    if isinstance(expr, Read):
        return reads[expr.field.name] if expr.owner is Owner.STATE else expr
    parts = children(expr)
    return rebuilt(expr, tuple(_moved(part, reads) for part in parts)) if parts else expr


def _view(before: _Placed, after: _Placed, joint: RuleSet[Any, Any], aside: frozenset[int]) -> _View:
    """One direction; what no history gives (`aside`) counts as forbidden before, so that nobody looks for it."""
    kept = aside | set(before.places)
    others = zip(after.places, (rule.name for rule in after.rules.rules), strict=True)
    return _View(
        joint=joint,
        before=before.rules,
        after=after.rules,
        kept=tuple(sorted(kept)),
        broken=tuple((place, name) for place, name in others if place not in kept),
    )


@dataclass(slots=True, kw_only=True)
class _Seen:
    """What the census saw: for each direction, place of a rule in the joint set -> a point."""

    points: tuple[dict[int, Point], dict[int, Point]]
    num_points: int = 0


def _compare(pair: _Pair, assumption: Expr | None, complete: int, sample: int) -> tuple[bool, _Seen]:
    """Visit points; nothing is seen of numbers that do not fit into arrays."""
    seen = _Seen(points=({}, {}))
    try:
        violated = batch(pair.joint)
    except BatchError:
        return False, seen
    is_complete, chunks = visits(pair.joint, assumption=assumption, complete=complete, sample=sample)
    actions = [codes_of(action) for action in pair.joint.actions]
    for states in chunks:
        for action in actions:
            broken: NDArray[Any] = violated(states, numpy.array(action))
            for view, points in zip((pair.forbidding, pair.allowing), seen.points, strict=True):
                _note(view, points, states, action, broken)
        seen.num_points += len(states) * len(actions)
    return is_complete, seen


def _note(view: _View, points: dict[int, Point], states: NDArray[Any], action: Codes, broken: NDArray[Any]) -> None:
    """Keep one point for each rule that was not seen before."""
    new = [place for place, _ in view.broken if place not in points]
    if not new:
        return
    is_forbidden: NDArray[Any] = numpy.logical_or.reduce(broken[:, list(view.kept)], axis=1)
    hits = broken[:, new] & ~is_forbidden[:, None]
    for column in numpy.flatnonzero(hits.any(0)).tolist():
        state = states[int(numpy.argmax(hits[:, column]))].tolist()
        points[new[column]] = Point(tuple(state), action)


def _side(prover: Prover, view: _View, points: dict[int, Point], is_complete: bool) -> Side:
    """One direction: the solver's answer held against what was seen, an example, and the rules that make it."""
    found = _ever(prover, view, points, is_complete)
    if not isinstance(found, Point):
        return Side(answer=Answer.UNKNOWN if found is None else Answer.NO)
    example = _example(view, _smaller(view, found))
    if example is None:
        prover.faults.append(f"the point {found.state}, {found.action} is not one that the sets disagree about")
        return Side(answer=Answer.UNKNOWN)
    rules, unknown = _causes(prover, view, points, is_complete)
    return Side(answer=Answer.YES, example=example, rules=rules, unknown=unknown)


def _ever(prover: Prover, view: _View, points: dict[int, Point], is_complete: bool) -> Point | bool | None:
    """A point of this direction; False if there is none, None if nobody knows."""
    if not view.broken:
        return False
    known = next(iter(points.values()), None)
    answer = prover.find([*_kept(view), tuple(Atom(rule=place) for place, _ in view.broken)])
    if answer is False and known is not None:
        prover.faults.append(f"the solver denies the point {known.state}, {known.action}, which was seen")
        return None
    if isinstance(answer, Point) and is_complete and known is None:
        prover.faults.append(f"the point {answer.state}, {answer.action} was not seen at any of all points")
        return None
    if answer is None and is_complete and known is None:
        return False  # every point was visited: the solver is not needed
    return known or answer


def _kept(view: _View) -> list[tuple[Atom, ...]]:
    return [(Atom(rule=place, is_broken=False),) for place in view.kept]


def _causes(
    prover: Prover, view: _View, points: dict[int, Point], is_complete: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the rules that forbid something that the other set allows, and of those nobody knows it of."""
    rules, unknown = [], []
    for number, (place, name) in enumerate(view.broken):
        if place in points:
            rules.append(name)
        elif not is_complete:
            answer = prover.find([*_kept(view), (Atom(rule=place),)]) if number < MOST_RULES else None
            if answer is None:
                unknown.append(name)
            elif answer is not False:
                rules.append(name)
    return tuple(rules), tuple(unknown)


def _disagrees(view: _View, state: Codes, action: Codes) -> bool:
    """Asked of both sets as they are, each over its own memory; the joint one tells what no history gives."""
    if frozenset(view.joint.compiled(state, action)) & frozenset(view.kept):
        return False
    before, after = (_broken(view, rules, state, action) for rules in (view.before, view.after))
    return not before and bool(after)


def _broken(view: _View, rules: RuleSet[Any, Any], state: Codes, action: Codes) -> list[int]:
    """Places of the rules that a point of the joint set breaks in one of the two."""
    places = domain_of(view.joint.state).by_name
    own = tuple(state[places[field.name].index] for field in domain_of(rules.state).fields)
    return rules.compiled(own, action)


def _smaller(view: _View, point: Point) -> Point:
    """The point with each field of the state as low as it can be."""
    codes = list(point.state)
    for field in domain_of(view.joint.state).fields:
        for code in range(field.low, min(codes[field.index], field.low + MOST_TRIES)):
            smaller = (*codes[: field.index], code, *codes[field.index + 1 :])
            if _disagrees(view, smaller, point.action):
                codes = list(smaller)
                break
    return Point(tuple(codes), point.action)


def _example(view: _View, point: Point) -> Example | None:
    """A point for people, if the sets disagree about it."""
    if not _disagrees(view, point.state, point.action):
        return None
    return Example(
        state=_shown(domain_of(view.joint.state), point.state),
        action=_shown(domain_of(view.before.action), point.action),
        rules=tuple(view.after.rules[place].name for place in _broken(view, view.after, point.state, point.action)),
    )


def _shown(domain: Domain, codes: Sequence[int]) -> Shown:
    return tuple((field.name, field.show(codes[field.index])) for field in domain.fields)
