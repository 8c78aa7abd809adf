"""Rules of one agent, of a pair and of a group, placed upon the fields of several agents side by side.

The agents of a group are numbered; `Place` says which field holds what an agent perceives or does. A rule of one agent
reads the fields of that agent, a joint rule those of two, a quota those of all: each becomes a plain condition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, partial
from typing import Any, TypeAlias

from symbolic.declaration import RuleError, opposite
from symbolic.domain import Action, State, domain_of
from symbolic.expression import (
    Arithmetic,
    Choose,
    Compare,
    Compute,
    Constant,
    Expr,
    Join,
    Junction,
    Number,
    Order,
    Owner,
    Read,
    renamed,
)
from symbolic.joining.pairing import Part
from symbolic.joining.rules import JointRules, Quota
from symbolic.reading.residual import junction
from symbolic.rule import Rule
from symbolic.rules import RuleSet

Place: TypeAlias = Callable[[Part], Read]
"""The field that holds a field of one of the agents."""
Rules: TypeAlias = RuleSet[Any, Any]
Joints: TypeAlias = Sequence[JointRules[Any, Any, Any, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A rule upon the fields of several agents."""

    rule: Rule
    """The rule that it is made of."""
    agents: tuple[int, ...]
    """Whose rule it is, and of a pair the other one; of a group the agent that is bound."""
    actors: frozenset[int]
    """The agents whose actions it reads: the last of them to commit is bound by it."""
    expression: Expr
    """What is forbidden or required."""


def of_one(rules: Rules, agent: int, place: Place) -> Iterator[Placed]:
    """The rules of one agent's role."""
    for rule in rules.rules:
        expression = renamed(rule.expression, partial(_of_agent, agent=agent, place=place))
        yield Placed(rule=rule, agents=(agent,), actors=frozenset({agent}), expression=expression)


def assumed(roles: Sequence[Rules], place: Place) -> list[list[Expr]]:
    """For each agent what never holds, since its present says something of what it remembers."""
    never = [[] if role.assumption is None else [opposite(role.assumption)] for role in roles]
    return [
        [renamed(expr, partial(_of_agent, agent=agent, place=place)) for expr in one] for agent, one in enumerate(never)
    ]


def _of_agent(read: Read, *, agent: int, place: Place) -> Read:
    return place(Part(agent, read.owner, read.field.name))


def of_pair(joints: Joints, roles: Sequence[Rules], one: int, other: int, place: Place) -> Iterator[Placed]:
    """All joint rules that two agents must keep, both ways round unless a rule is symmetric."""
    for joint in joints:
        ways = _ways(joint, roles, one, other)
        for first, second in ways:
            near = _moved(joint, joint.range, first, second, place)  # in it, so that every reading sees the range
            for rule in joint.rules:
                if (first, second) != ways[0] and rule.name in joint.symmetric:
                    continue
                said = _moved(joint, rule.expression, first, second, place)
                is_forbidden = rule.kind == "forbid"
                expression = junction(Junction.AND, [near, said]) if is_forbidden else _implied(near, said)
                actors = {(first, second)[joint.layout.part(read).agent] for read in rule.reads if _is_act(joint, read)}
                yield Placed(rule=rule, agents=(first, second), actors=frozenset(actors), expression=expression)


def of_group(
    joints: Joints,
    roles: Sequence[Rules],
    decider: int,
    others: Sequence[int],
    place: Place,
    linked: Callable[[int, int], Expr] = lambda one, other: Constant(True),
) -> Iterator[Placed]:
    """The quotas that bind an agent, given what the others of its role do.

    Args:
        joints: the joint rules.
        roles: the rule set of each agent.
        decider: the agent that is bound.
        others: the agents that it is counted with.
        place: where the fields of each agent stand.
        linked: where two agents are of one group.
    """
    for joint in joints:
        peers = [one for one in others if fits(roles[one], joint.state, joint.action)]
        for quota in joint.quotas if fits(roles[decider], joint.state, joint.action) else ():
            if len(peers) >= quota.most:
                yield _counted(quota, decider, peers, place, linked)


def counted_of(joints: Joints, roles: Sequence[Rules], one: int, other: int, place: Place) -> list[Expr]:
    """For each quota that counts both of two agents: that both do what it counts."""
    return [
        junction(Junction.AND, [_does(quota, agent, place) for agent in (one, other)])
        for joint in joints
        if all(fits(roles[agent], joint.state, joint.action) for agent in (one, other))
        for quota in joint.quotas
    ]


def _does(quota: Quota, agent: int, place: Place) -> Expr:
    """That an agent does what is counted."""
    return renamed(quota.rule.violation, partial(_of_agent, agent=agent, place=place))


def _counted(
    quota: Quota, decider: int, peers: Sequence[int], place: Place, linked: Callable[[int, int], Expr]
) -> Placed:
    """The quota as what one agent must not do: it would be one too many."""
    one, none = Number(Fraction(1)), Number(Fraction(0))
    marks = [
        Choose(junction(Junction.AND, [linked(decider, peer), _does(quota, peer, place)]), one, none) for peer in peers
    ]
    total: Expr = marks[0] if len(marks) == 1 else Compute(Arithmetic.ADD, tuple(marks))
    is_full = Compare(Order.GE, total, Number(Fraction(quota.most)))
    expression = Join(Junction.AND, (_does(quota, decider, place), is_full))
    return Placed(rule=quota.rule, agents=(decider,), actors=frozenset({decider, *peers}), expression=expression)


def _is_act(joint: JointRules[Any, Any, Any, Any], read: Read) -> bool:
    return joint.layout.part(read).owner is Owner.ACTION


def _implied(condition: Expr, consequence: Expr) -> Expr:
    return consequence if condition == Constant(True) else Join(Junction.IMPLIES, (condition, consequence))


def near(joints: Joints, roles: Sequence[Rules], one: int, other: int, place: Place) -> Expr:
    """Where two agents are in range of each other by any of the joint rules; never where none is about them."""
    ways = [(joint, way) for joint in joints for way in _ways(joint, roles, one, other)[:1]]
    ranges = [_moved(joint, joint.range, first, second, place) for joint, (first, second) in ways]
    return junction(Junction.OR, ranges)


def fits(rules: Rules, state: type[State], action: type[Action]) -> bool:
    """Whether joint rules over these types are about agents of that role.

    Raises:
        RuleError: the role's state declares a field anew, with values that the joint rules do not know.
    """
    if rules.action is not action or not issubclass(rules.declared_state, state):
        return False
    _demand_values(rules.declared_state, state)
    return True


@lru_cache(maxsize=256)
def _demand_values(own: type[State], state: type[State]) -> None:
    """Refuse fields whose codes mean something else in a role's state, or reach further, than in the joint rules'."""
    for spec in domain_of(state).fields:
        other = domain_of(own).field(spec.name)
        is_alike = (spec.kind, spec.step, spec.words) == (other.kind, other.step, other.words)
        if not (is_alike and spec.low <= other.low and other.high <= spec.high):
            raise RuleError(
                f"expected `{spec.name}` of `{own.__name__}` to have values of that of `{state.__name__}`, got others; "
                "declare it once"
            )


def _ways(joint: JointRules[Any, Any, Any, Any], roles: Sequence[Rules], one: int, other: int) -> list[tuple[int, int]]:
    """Who of two agents may be the first of the pair."""
    return [
        (first, second)
        for first, second in ((one, other), (other, one))
        if fits(roles[first], joint.state, joint.action) and fits(roles[second], joint.peer_state, joint.peer_action)
    ]


def _moved(joint: JointRules[Any, Any, Any, Any], expr: Expr, first: int, second: int, place: Place) -> Expr:
    """An expression over the pair upon the fields of two agents."""

    def other(read: Read) -> Read:
        part = joint.layout.part(read)
        return place(Part((first, second)[part.agent], part.owner, part.name))

    return renamed(expr, other)
