"""What one agent must keep, given what its peers have committed to: an ordinary rule set and its facts.

    joint = Joint(crossing)
    bound = joint.bind(cart_rules, facts, [Commitment(name="cart-1", rules=cart_rules, facts=seen, action=go)])
    bound.rules.check(bound.facts, action)

A committed action is an exact fact. Of a silent peer nothing is known, so the check takes the worst for granted. A rule
binds the last of those whose actions it reads: what reads the action of one agent alone, such as "not into a cell in
which another stands", binds that one at once, also beside peers that are still to commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import networkx as nx

from symbolic.derivation import derived
from symbolic.domain import Action, State, domain_of
from symbolic.expression import Constant, Expr, Owner, Read
from symbolic.facts import Facts
from symbolic.field import Code, FieldSpec
from symbolic.joining.pairing import PEER, Part
from symbolic.joining.placing import Joints, Place, Placed, Rules, fits, near, of_group, of_one, of_pair
from symbolic.reading.compiled import compile_conditions
from symbolic.reading.reference import NO, truth
from symbolic.rules import RuleSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """What is known of one peer."""

    name: str
    rules: Rules
    """The rule set of its role."""
    facts: Facts | None
    """What it perceives, as it says itself; None if nothing is known."""
    action: Action | None
    """What it has committed to; None if it is silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a decision is held to."""

    rules: Rules
    """The rules of the role and every joint rule with each peer."""
    facts: Facts
    """What the agent perceives, and what is known of its peers."""
    peers: tuple[str, ...]
    """The peers: the first is `peer_1`; those still to commit come last."""


@dataclass(frozen=True, slots=True)
class _Seat:
    """Where a field of the bound state comes from."""

    part: Part
    index: int
    """Place in the peer's facts or action."""


@dataclass(frozen=True, slots=True)
class Circle:
    """A rule set for one agent among peers of certain roles."""

    rules: Rules
    seats: tuple[_Seat, ...]
    """The fields after the agent's own."""
    placed: Mapping[str, Placed]
    """Name of a rule -> what it was made of."""


class Joint:
    """All joint rules of a scenario."""

    def __init__(self, *sets: Any) -> None:
        """Put sets of joint rules (`JointRules`) together."""
        self.sets: Joints = sets
        self._circles: dict[tuple[tuple[int, ...], tuple[int, ...]], Circle] = {}
        self._near: dict[tuple[int, int], tuple[type[State], Any, Expr]] = {}
        self._kept: list[Rules] = []  # INVARIANT: keeps alive what the keys above name by id

    def is_about(self, rules: Rules) -> bool:
        """Whether some joint rule is about agents of a role."""
        sides = [((one.state, one.action), (one.peer_state, one.peer_action)) for one in self.sets]
        return any(fits(rules, state, action) for pair in sides for state, action in pair)

    def bind(self, own: Rules, facts: Facts, peers: Sequence[Commitment], pending: Sequence[Commitment] = ()) -> Bound:
        """The rules and facts of one decision.

        Args:
            own: the rule set of the agent's role.
            facts: what the agent perceives.
            peers: what is known of those that have committed before it, or are silent.
            pending: what is known of those that are still to commit, and will have to comply with it.

        Raises:
            RuleError: a rule about all of them is beyond the budget, or two have the same name.
        """
        before, after = _sorted(peers), _sorted([one for one in pending if self._is_watched(own, one.rules)])
        ordered = [*before, *after]
        if not ordered:
            return Bound(rules=own, facts=facts, peers=())
        circle = self.circle(own, [one.rules for one in before], [one.rules for one in after])
        names = tuple(one.name for one in ordered)
        # Facts that are foreign, or contradict what they remember, are refused by the check, not read as others.
        if facts.schema is not own.state or not own.is_possible(facts):
            return Bound(rules=circle.rules, facts=facts, peers=names)
        codes = [_code(ordered[seat.part.agent - 1], seat) for seat in circle.seats]
        known = [one.facts.age_s for one in ordered if one.facts is not None]
        return Bound(
            rules=circle.rules,
            facts=Facts.from_codes(circle.rules.state, (*facts.codes, *codes), max([facts.age_s, *known])),
            peers=names,
        )

    def circle(self, own: Rules, peers: Sequence[Rules], pending: Sequence[Rules] = ()) -> Circle:
        """The rule set of one agent among peers of these roles, made once; see `bind`."""
        key = tuple(map(id, (own, *peers))), tuple(map(id, pending))
        if key not in self._circles:
            self._kept += (own, *peers, *pending)
            self._circles[key] = _circle(self.sets, (own, *peers, *pending), len(peers))
        return self._circles[key]

    def _is_watched(self, own: Rules, peer: Rules) -> bool:
        """Whether some rule binds an agent beside a peer of that role before the peer commits."""
        return len(self.circle(own, [], [peer]).rules.rules) > len(own.rules)

    def broken(self, one: Commitment, others: Sequence[Commitment]) -> tuple[str, ...]:
        """The joint rules that an agent has broken with others, all having acted: as `rule with peer`, or `rule`.

        Each is told once: of the agent whose rule it is, or of the other one where it alone acts.
        """
        if one.facts is None or one.action is None or not others:
            return ()
        bound = self.bind(one.rules, one.facts, others)
        placed = self.circle(one.rules, [peer.rules for peer in _sorted(others)]).placed
        broken = [placed[found.name] for found in bound.rules.check(bound.facts, one.action).violations]
        own = {id(rule) for rule in one.rules.rules}  # not by name: a joint rule may have that of one of the role
        joint = [rule for rule in broken if id(rule.rule) not in own]
        return tuple(_told(rule, bound.peers) for rule in joint if rule.agents[0] == 0 or rule.actors == {0})

    def graph(self, seen: Mapping[str, Commitment]) -> nx.Graph[str]:
        """The agents, those connected that are in range of each other, or may be for all that is known."""
        found: nx.Graph[str] = nx.Graph()
        found.add_nodes_from(seen)
        found.add_edges_from(
            (one, other) for one, other in combinations(seen, 2) if self._are_near(seen[one], seen[other])
        )
        return found

    def peers(self, seen: Mapping[str, Commitment]) -> dict[str, frozenset[str]]:
        """For each agent those that it shares rules with: its whole group where rules count, else those in range."""
        graph = self.graph(seen)
        if not any(joint.quotas for joint in self.sets):
            return {name: frozenset(graph[name]) for name in graph}
        groups = [frozenset(group) for group in nx.connected_components(graph)]
        return {name: group - {name} for group in groups for name in group}

    def _are_near(self, one: Commitment, other: Commitment) -> bool:
        key = id(one.rules), id(other.rules)
        if key not in self._near:
            self._kept += (one.rules, other.rules)
            self._near[key] = _nearness(self.sets, one.rules, other.rules)
        state, test, expr = self._near[key]
        if isinstance(expr, Constant):
            return expr.value
        codes = (*_codes(one), *_codes(other))
        if None not in codes and all(type(code) is int for code in codes):
            return bool(test(codes)[0])
        return truth(expr, Facts.from_codes(state, codes)) is not NO


def _codes(one: Commitment) -> tuple[Code, ...]:
    fields = domain_of(one.rules.state).fields
    return one.facts.codes if one.facts is not None and one.facts.schema is one.rules.state else (None,) * len(fields)


def _nearness(sets: Joints, one: Rules, other: Rules) -> tuple[type[State], Any, Expr]:
    """The state type of two agents side by side, the test that they are in range, and its expression."""
    specs = {
        f"{PEER}{n}_{spec.name}": spec for n, role in ((1, one), (2, other)) for spec in domain_of(role.state).fields
    }
    state = derived("Neighbours", specs)

    def place(part: Part) -> Read:
        return Read(Owner.STATE, domain_of(state).field(f"{PEER}{part.agent + 1}_{part.name}"))

    expr = near(sets, (one, other), 0, 1, place)
    return state, None if isinstance(expr, Constant) else compile_conditions((expr,)), expr


def _code(peer: Commitment, seat: _Seat) -> Code:
    if seat.part.owner is Owner.ACTION:
        return None if peer.action is None else peer.rules.codes_of(peer.action)[seat.index]
    return _codes(peer)[seat.index]


def _sorted(peers: Sequence[Commitment]) -> list[Commitment]:
    """Peers by role, so that few rule sets serve all of them."""
    return sorted(peers, key=lambda one: (one.rules.state.__name__, one.rules.action.__name__))


def _circle(sets: Joints, roles: Sequence[Rules], num_before: int) -> Circle:
    """The rules of the first agent, and its joint rules with all others, over its own fields and theirs."""
    own, numbers = roles[0], range(1, len(roles))
    wanted = [part for part in _wanted(sets, roles, num_before) if part.agent]
    specs = {spec.name: spec for spec in domain_of(own.state).fields}
    specs.update({_name(part): source(roles, part) for part in wanted})
    state = derived(f"{own.state.__name__}Among{len(numbers)}", specs)

    def place(part: Part) -> Read:
        if part.agent == 0 and part.owner is Owner.ACTION:
            return Read(Owner.ACTION, domain_of(own.action).field(part.name))
        return Read(Owner.STATE, domain_of(state).field(_name(part)))

    bound: Rules = RuleSet(state, own.action, decider=own.decider)
    named: dict[str, Placed] = {}
    for placed in _placed(sets, roles, num_before, place):
        name = _rule_name(placed)
        named[name] = placed
        bound.add(  # INVARIANT: a name that is taken is refused, else one rule would stand in the place of another
            kind=placed.rule.kind,
            name=name,
            expression=placed.expression,
            title=placed.rule.title,
            priority=placed.rule.priority,
            source=placed.rule.source,
            is_critical=placed.rule.is_critical,
        )
    return Circle(bound, tuple(_Seat(part, source(roles, part).index) for part in wanted), named)


def _placed(sets: Joints, roles: Sequence[Rules], num_before: int, place: Place) -> Iterable[Placed]:
    """The rules that bind the first agent: what it alone decides, and what it decides after others."""
    yield from of_one(roles[0], 0, place)
    for peer in range(1, len(roles)):
        for one in of_pair(sets, roles, 0, peer, place):
            if one.actors == {0} or (peer <= num_before and (0 in one.actors or not one.actors)):
                yield one
    yield from of_group(sets, roles, 0, range(1, num_before + 1), place)


def _wanted(sets: Joints, roles: Sequence[Rules], num_before: int) -> list[Part]:
    """The fields that the rules read, in order of agent, owner and declaration."""
    used: set[Part] = set()

    def place(part: Part) -> Read:
        used.add(part)
        return Read(part.owner, source(roles, part))

    for _ in _placed(sets, roles, num_before, place):
        pass
    return sorted(used, key=lambda part: (part.agent, part.owner is Owner.ACTION, source(roles, part).index))


def source(roles: Sequence[Rules], part: Part) -> FieldSpec:
    """The field of an agent as its role declares it."""
    role = roles[part.agent]
    return domain_of(role.state if part.owner is Owner.STATE else role.action).field(part.name)


def _name(part: Part) -> str:
    return f"{PEER}{part.agent}_{part.name}" if part.agent else part.name


def _rule_name(placed: Placed) -> str:
    """The rule's name, and the peer that it is kept with: `_of_` where it is the peer's rule."""
    match placed.agents:
        case (0, peer):
            return f"{placed.rule.name}_with_{PEER}{peer}"
        case (peer, 0):
            return f"{placed.rule.name}_of_{PEER}{peer}"
        case _:
            return placed.rule.name


def _told(placed: Placed, peers: Sequence[str]) -> str:
    """A joint rule by name, and whom it is kept with."""
    other = [agent for agent in placed.agents if agent]
    return f"{placed.rule.name} with {peers[other[0] - 1]}" if other else placed.rule.name


def in_order(ranks: Mapping[str, float]) -> tuple[str, ...]:
    """Agents in the order in which they commit: the highest rank first, then by name."""
    return tuple(sorted(ranks, key=lambda name: (-ranks[name], name)))
