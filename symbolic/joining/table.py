"""A group of agents side by side: what they perceive as one state, and every rule that binds them.

The agents decide one after another. A rule belongs to the **step** of the last agent whose action it reads: that agent
is bound by it, those before it have committed already, those after it are only seen.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, combinations, product
from typing import Final, Generic, TypeAlias, TypeVar

from symbolic.derivation import derived
from symbolic.domain import State, domain_of
from symbolic.expression import Expr, Junction, Owner, Read
from symbolic.field import FieldSpec, Kind
from symbolic.joining.binding import source
from symbolic.joining.pairing import Part
from symbolic.joining.placing import Joints, Place, Placed, Rules, assumed, near, of_group, of_one, of_pair
from symbolic.reading.compiled import Codes
from symbolic.reading.residual import junction

UNREAD: Final = FieldSpec(name="unread", index=0, kind=Kind.FLAG, low=0, high=1)
"""Stands in a state of which no rule reads anything."""


Said = TypeVar("Said")


@dataclass(frozen=True, slots=True)
class Layout(Generic[Said]):
    """What was said of a group of agents, and the state that it reads."""

    state: type[State]
    """What the rules read: `agent_1_gap_m`, ..., and then, of those that have committed, `agent_1_step`, ..."""
    num_acts: int
    """Fields of the state that are actions: the last ones."""
    said: Said


def laid_out(roles: Sequence[Rules], say: Callable[[Place], Said], committed: Container[int]) -> Layout[Said]:
    """Lay out what is said of agents of these roles.

    Args:
        roles: the rule set of each agent.
        say: places rules; called twice, first to see which fields are read.
        committed: agents whose actions are fields of the state; those of the others are one joint action.
    """
    used: set[Part] = set()

    def seen(part: Part) -> Read:
        used.add(part)
        return Read(part.owner, source(roles, part))

    say(seen)
    free = [agent for agent in range(len(roles)) if agent not in committed]
    sizes = [len(domain_of(roles[agent].action).fields) for agent in free]
    starts = dict(zip(free, accumulate(sizes, initial=0), strict=False))
    held = [part for part in used if part.owner is Owner.STATE or part.agent in committed]
    held.sort(key=lambda part: (part.owner is Owner.ACTION, part.agent, source(roles, part).index))
    state = derived("Group", {_name(part): source(roles, part) for part in held} or {UNREAD.name: UNREAD})

    def place(part: Part) -> Read:
        if part.owner is Owner.STATE or part.agent in committed:
            return Read(Owner.STATE, domain_of(state).field(_name(part)))
        spec = source(roles, part)
        return Read(Owner.ACTION, replace(spec, index=starts[part.agent] + spec.index))

    num_acts = sum(part.owner is Owner.ACTION for part in held)
    return Layout(state, num_acts, say(place))


def _name(part: Part) -> str:
    return f"agent_{part.agent + 1}_{part.name}"


_Said: TypeAlias = tuple[tuple[Expr, ...], tuple[tuple[Placed, ...], ...]]
"""What never holds, and the rules of each step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The rules of a group."""

    deciding: tuple[Rules, ...]
    """The role's rule set of the agent that decides, or of all where all decide at once."""
    layout: Layout[_Said]
    """What never holds of the state, and the steps."""

    @property
    def steps(self) -> tuple[tuple[Placed, ...], ...]:
        """For each agent up to the one that decides the rules that bind it; the last are those of this one."""
        return self.layout.said[1]

    @property
    def never(self) -> tuple[Expr, ...]:
        """What never holds, since each agent's present says something of what it remembers."""
        return self.layout.said[0]

    @property
    def looks_ahead(self) -> bool:
        """Whether some rule binds the agent that decides beside one that is still to commit."""
        return any(max(placed.agents) >= len(self.steps) for placed in self.steps[-1])

    @property
    def num_kept(self) -> int:
        """What never holds, and the rules that bind those before the one that decides."""
        return len(self.never) + sum(map(len, self.steps[:-1]))

    @property
    def acts(self) -> list[Codes]:
        """All actions of those that decide, as codes."""
        each = [[role.codes_of(action) for action in role.actions] for role in self.deciding]
        return [tuple(code for codes in chosen for code in codes) for chosen in product(*each)]


def table(joints: Joints, roles: Sequence[Rules], decider: int | None) -> Table:
    """The rules of agents of these roles.

    Args:
        joints: the joint rules.
        roles: the rule set of each agent, in the order in which they decide.
        decider: the agent that decides, those before it having committed; None where all decide at once.
    """
    committed = range(decider or 0)

    def say(place: Place) -> _Said:
        never = tuple(expr for one in assumed(roles, place) for expr in one)
        return never, _steps(joints, roles, place)[: None if decider is None else decider + 1]

    deciding = tuple(roles) if decider is None else (roles[decider],)
    return Table(deciding=deciding, layout=laid_out(roles, say, committed))


def _steps(joints: Joints, roles: Sequence[Rules], place: Place) -> tuple[tuple[Placed, ...], ...]:
    """For each agent its own rules, and the joint ones of which it is the last to act."""

    def linked(one: int, other: int) -> Expr:
        """Where two agents are of one group: in range of each other, or both of a third."""
        third = [
            junction(Junction.AND, [near(joints, roles, one, by, place), near(joints, roles, by, other, place)])
            for by in range(len(roles))
            if by not in (one, other)
        ]
        return junction(Junction.OR, [near(joints, roles, one, other, place), *third])

    steps = [list(of_one(role, agent, place)) for agent, role in enumerate(roles)]
    for before, agent in combinations(range(len(roles)), 2):
        for placed in of_pair(joints, roles, agent, before, place):
            steps[max(placed.actors, default=agent)].append(placed)
    for agent, step in enumerate(steps):
        step += of_group(joints, roles, agent, range(agent), place, linked)
    return tuple(map(tuple, steps))
