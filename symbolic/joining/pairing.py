"""The state types that joint rules stand on: fields of several agents side by side, under names of their own.

A field of another agent is a field of the state: of a pair `peer_gap_m`, of several peers `peer_1_gap_m`. What the peer
does is one too (`peer_1_step`): an exact fact where it has committed, unknown where it is silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from symbolic.declaration import RuleError
from symbolic.derivation import derived
from symbolic.domain import Action, State, domain_of
from symbolic.expression import ExpressionError, Owner, Read
from symbolic.field import DomainError, FieldSpec
from symbolic.terms import Term, fields

PEER = "peer_"


@dataclass(frozen=True, slots=True)
class Part:
    """A field of one of several agents."""

    agent: int
    """0 is the agent whose rules are read, 1 its peer."""
    owner: Owner
    name: str


@dataclass(frozen=True, slots=True)
class Pair:
    """The state type of two agents, seen by the first of them: its own state, the peer's state, what the peer does."""

    state: type[State]
    action: type[Action]
    """What the first agent may do."""
    parts: Mapping[str, Part]
    """Field of the state -> whose it is."""

    @classmethod
    def of(cls, state: type[State], action: type[Action], peer_state: type[State], peer_action: type[Action]) -> Pair:
        """Put two roles side by side.

        Raises:
            RuleError: two fields would get the same name.
        """
        specs: dict[str, FieldSpec] = {}
        parts: dict[str, Part] = {}
        for agent, owner, schema in (
            (0, Owner.STATE, state),
            (1, Owner.STATE, peer_state),
            (1, Owner.ACTION, peer_action),
        ):
            for spec in domain_of(schema).fields:
                name = f"{PEER if agent else ''}{spec.name}"
                if name in specs:
                    raise RuleError(
                        f"expected fields of a pair with different names, got `{name}` twice; rename a field"
                    )
                specs[name], parts[name] = spec, Part(agent, owner, spec.name)
        return cls(derived(f"{state.__name__}Beside{peer_state.__name__}", specs), action, parts)

    def part(self, read: Read) -> Part:
        """Whose field an expression over the pair reads."""
        return Part(0, Owner.ACTION, read.field.name) if read.owner is Owner.ACTION else self.parts[read.field.name]

    def read(self, part: Part) -> Read:
        """The field of the pair that holds a field of one of the two; the first agent's action is no fact."""
        if part.agent == 0 and part.owner is Owner.ACTION:
            return Read(Owner.ACTION, domain_of(self.action).field(part.name))
        return Read(Owner.STATE, domain_of(self.state).field(f"{PEER if part.agent else ''}{part.name}"))


class View:
    """The symbolic fields of one agent of a pair, under their own names."""

    __slots__ = ("_domain", "_layout", "_place")

    def __init__(self, layout: Pair, agent: int, owner: Owner, schema: type[State] | type[Action]) -> None:
        self._layout, self._domain, self._place = layout, domain_of(schema), (agent, owner)

    def __getattr__(self, name: str) -> Term:
        """The symbolic value of one field; an undeclared name is an `ExpressionError`."""
        if name in self._domain.neighbours:
            raise ExpressionError(
                f"expected a field with one value, got the neighbours `{name}`; ask for them in the rules of the role"
            )
        try:
            self._domain.field(name)
        except DomainError as error:
            raise ExpressionError(str(error)) from None
        agent, _ = self._place
        return fields(self._layout.state)[f"{PEER if agent else ''}{name}"]
