"""Random joint rule sets over a domain that can be enumerated, each with its meaning in plain Python."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from symbolic import Action, Facts, Joint, JointRules, RuleSet, State, whole
from symbolic.terms import TruthTerm


class Walker(State):
    place: int = whole(ge=0, le=2)
    tired: bool


class Step(Action):
    to: Literal["stay", "left", "right"]


class Pace(Action):
    to: Literal["stay", "go"]


Values = Mapping[str, Any]
Test = Callable[..., bool]
STATES: list[Values] = [{"place": place, "tired": tired} for place, tired in itertools.product(range(3), (False, True))]


@dataclass(slots=True)
class World:
    """A joint rule set, and what it means."""

    own: RuleSet[Any, Any]
    joint: Joint
    acts: tuple[str, ...]
    may: list[Test] = field(default_factory=list)
    """Violations of a role's rules: state, act."""
    together: list[Test] = field(default_factory=list)
    """Violations of joint rules: state, act, state, act of an ordered pair."""
    reads: list[tuple[bool, bool]] = field(default_factory=list)
    """For each of them whether it reads the act of the first, and of the second."""
    near: Test = lambda i, j: True
    counts: list[tuple[int, Test]] = field(default_factory=list)

    def facts(self, state: Values) -> Facts:
        return Facts.exact(Walker(**state))

    def action(self, act: str) -> Action:
        return self.own.action(to=act)

    def is_good(self, states: Sequence[Values], acts: Sequence[str]) -> bool:
        """Whether the first agents, which have acted, keep all that is decided: rules of their own, rules of each
        ordered pair of which no act is still to come, and the counts of each group.
        """
        agents = list(zip(states, acts, strict=False))
        num_acted = len(agents)
        every = [*agents, *((state, "") for state in states[num_acted:])]
        return (
            not any(broken(*agent) for agent in agents for broken in self.may)
            and all(
                self.is_pair_good(every[i], every[j], (i < num_acted, j < num_acted))
                for i, j in itertools.permutations(range(len(every)), 2)
            )
            and all(self._is_group_good(states, agents, group) for group in self._groups(states))
        )

    def is_pair_good(
        self, one: tuple[Values, str], other: tuple[Values, str], has_acted: tuple[bool, bool] = (True, True)
    ) -> bool:
        """Whether an ordered pair keeps the joint rules; those are left out that read an act still to come, or none
        while one is to come.
        """
        if not (self.near(one[0], other[0]) or self.near(other[0], one[0])):
            return True
        decided = [
            all(has for has, is_read in zip(has_acted, reads, strict=True) if is_read or not any(reads))
            for reads in self.reads
        ]
        return not any(
            broken(*one, *other) for broken, is_decided in zip(self.together, decided, strict=True) if is_decided
        )

    def is_mine(self, one: tuple[Values, str], other: tuple[Values, str]) -> bool:
        """Whether an agent keeps with another what its own act is read in, or no act at all."""
        is_near = self.near(one[0], other[0]) or self.near(other[0], one[0])
        return not is_near or not any(
            (broken(*one, *other) and (reads[0] or not any(reads)))
            or (broken(*other, *one) and (reads[1] or not any(reads)))
            for broken, reads in zip(self.together, self.reads, strict=True)
        )

    def _is_group_good(self, states: Sequence[Values], agents: list[tuple[Values, str]], group: set[int]) -> bool:
        return all(sum(does(*agents[n]) for n in group if n < len(agents)) <= most for most, does in self.counts)

    def _groups(self, states: Sequence[Values]) -> list[set[int]]:
        groups: list[set[int]] = []
        for n, state in enumerate(states):
            linked = [g for g in groups if any(self.near(states[m], state) or self.near(state, states[m]) for m in g)]
            groups = [g for g in groups if g not in linked] + [{n}.union(*linked)]
        return groups


def world(seed: int, *, num_acts: int = 2, with_counts: bool = False) -> World:
    """A random set: a few rules of the role, one or two joint rules, a range or none."""
    rng = Random(seed)
    action: type[Action] = Pace if num_acts == 2 else Step
    acts = ("stay", "go") if num_acts == 2 else ("stay", "left", "right")
    own: RuleSet[Any, Any] = RuleSet(Walker, action)
    rules: JointRules[Any, Any, Any, Any] = JointRules(Walker, action)
    found = World(own=own, joint=Joint(rules), acts=acts)
    for number in range(rng.choice((0, 1, 1))):
        test = _all(_own_atom(rng), _act_atom(rng, acts))
        own.forbid(id=f"own{number}")(lambda s, a, test=test: test(s, a))
        found.may.append(test)
    if rng.random() < 0.6:
        reach = rng.choice((0, 1))
        rules.in_range(lambda i, j: abs(i.place - j.place) <= reach)
        found.near = lambda i, j: bool(abs(_get(i, "place") - _get(j, "place")) <= reach)
    for number in range(rng.choice((1, 2))):
        test, reads = _pair_test(rng, acts)
        rules.forbid(id=f"joint{number}")(lambda i, a, j, b, test=test: test(i, a, j, b))
        found.together.append(test)
        found.reads.append(reads)
    if with_counts:
        test = _all(_act_atom(rng, acts), _own_atom(rng)) if rng.random() < 0.5 else _act_atom(rng, acts)
        most = rng.choice((1, 2))
        rules.at_most(most, id="count")(lambda s, a: test(s, a))
        found.counts.append((most, test))
    return found


def _get(values: Any, name: str) -> Any:
    return values[name] if isinstance(values, dict) else getattr(values, name)


def _is_act(a: Any, word: str) -> Any:
    return a == word if isinstance(a, str) else a.to == word


def _both(left: Any, right: Any) -> Any:
    return left & right if isinstance(left, TruthTerm) or isinstance(right, TruthTerm) else bool(left and right)


def _all(*tests: Test) -> Test:
    def test(*given: Any) -> Any:
        found: Any = tests[0](*given)
        for one in tests[1:]:
            found = _both(found, one(*given))
        return found

    return test


def _own_atom(rng: Random) -> Test:
    if rng.random() < 0.3:
        return lambda s, a: _get(s, "tired")
    bound, is_above = rng.randint(0, 2), rng.random() < 0.5
    return lambda s, a: _get(s, "place") >= bound if is_above else _get(s, "place") <= bound


def _act_atom(rng: Random, acts: Sequence[str]) -> Test:
    word = rng.choice(list(acts))
    return lambda s, a: _is_act(a, word)


def _pair_test(rng: Random, acts: Sequence[str]) -> tuple[Test, tuple[bool, bool]]:
    """A conjunction over both agents, so that it differs both ways round; whose acts it reads."""
    mine, theirs, apart = rng.choice(list(acts)), rng.choice(list(acts)), rng.randint(-1, 1)
    parts: list[Test] = [
        lambda i, a, j, b: _is_act(a, mine),
        lambda i, a, j, b: _is_act(b, theirs),
        lambda i, a, j, b: _get(i, "place") - _get(j, "place") >= apart,
        lambda i, a, j, b: _get(j, "tired"),
        lambda i, a, j, b: _get(i, "place") <= 1,
    ]
    chosen = rng.sample(parts, rng.choice((2, 3, 3)))
    return _all(*chosen), (parts[0] in chosen, parts[1] in chosen)
