"""What a rule set remembers: one field for each past-time operator, in a state type derived from the declared one.

The plain tree reads that field in place of the operator. Its name is the operator and eight digits of the hash of its
canonical JSON: whoever has the rules alone can tell which field stands for which operator, and two sets that share an
operator share its field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

from pydantic import create_model

from symbolic.canonical import sha256
from symbolic.declaration import RuleError, opposite
from symbolic.domain import State, domain_of, fixed
from symbolic.expression import (
    Compare,
    Expr,
    Join,
    Junction,
    Number,
    Order,
    Owner,
    Past,
    Read,
    Remaining,
    Tense,
    children,
    rebuilt,
)

MAX_OPERATORS: Final = 32
"""A rule set with more different past-time operators is refused: each is a field of the state."""

REMEMBERING: Final = "Remembering"
"""What the name of a derived state type ends with."""

KEPT_TYPES: Final = 256
"""Derived state types that are kept, so that the same operators over the same state give the same type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One past-time operator of a rule set."""

    node: Past | Remaining
    name: str
    """Of its field."""
    args: tuple[Expr, ...]
    """What it looks at, as plain conditions over the derived state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The past-time operators of a rule set, inner ones before those that look at them."""

    declared: type[State]
    """The state type as it was declared."""
    state: type[State]
    """The same with a field for each operator, behind the declared ones; the declared type where there is none."""
    operators: tuple[Operator, ...]
    assumption: Expr | None
    """What the fields of one moment say about each other: plain; None where there is no operator."""

    def plain(self, expr: Expr) -> Expr:
        """An expression with the field of each operator in its place."""
        return recalled(expr, {one.node: self._read(one.name) for one in self.operators}) if self.operators else expr

    def _read(self, name: str) -> Read:
        return Read(Owner.STATE, domain_of(self.state).field(name))


def memory_of(state: type[State], conditions: Iterable[Expr]) -> Memory:
    """The memory that the conditions of a rule set need.

    Raises:
        RuleError: more operators than `MAX_OPERATORS`, or a declared field with the name of one.
    """
    nodes: dict[Past | Remaining, None] = {}
    for condition in conditions:
        _collect(condition, nodes)
    if not nodes:
        return Memory(declared=state, state=state, operators=(), assumption=None)
    if len(nodes) > MAX_OPERATORS:
        raise RuleError(
            f"expected at most {MAX_OPERATORS} different past-time operators, got {len(nodes)}; split the rule set"
        )
    schema = _derived(state, tuple(nodes))
    reads: dict[Expr, Read] = {node: Read(Owner.STATE, domain_of(schema).field(name_of(node))) for node in nodes}
    operators = tuple(
        Operator(node=node, name=name_of(node), args=tuple(recalled(arg, reads) for arg in children(node)))
        for node in nodes
    )
    known = [part for one in operators for part in _known(one, reads[one.node])]
    assumption = known[0] if len(known) == 1 else Join(Junction.AND, tuple(known)) if known else None
    return Memory(declared=state, state=schema, operators=operators, assumption=assumption)


def name_of(node: Past | Remaining) -> str:
    """The name of the field that remembers an operator: what it is and does, not where it stands."""
    return f"{node.op.value if isinstance(node, Past) else 'remaining_s'}_{sha256(node)[:8]}"


def recalled(expr: Expr, reads: Mapping[Expr, Read]) -> Expr:
    """An expression with every operator that has a field replaced by it."""
    if isinstance(expr, Past | Remaining) and expr in reads:
        return reads[expr]
    parts = children(expr)
    return rebuilt(expr, tuple(recalled(part, reads) for part in parts)) if parts else expr


def _collect(expr: Expr, nodes: dict[Past | Remaining, None]) -> None:
    for part in children(expr):
        _collect(part, nodes)
    if isinstance(expr, Past | Remaining):
        nodes.setdefault(expr)


@lru_cache(maxsize=KEPT_TYPES)
def _derived(state: type[State], nodes: Sequence[Past | Remaining]) -> type[State]:
    """The state with a field for each operator; one that has the field already is kept: it is derived itself."""
    fields: dict[str, Any] = {}
    for node in nodes:
        name = name_of(node)
        if name in fields:
            raise RuleError(f"expected different names of past-time operators, got `{name}` twice; change one a little")
        if name not in domain_of(state).by_name:
            fields[name] = (bool, ...) if isinstance(node, Past) else (float, _countdown(node))
    return create_model(f"{state.__name__}{REMEMBERING}", __base__=state, **fields) if fields else state


def _countdown(node: Remaining) -> float:
    return fixed(ge=-float(node.step_s), le=float(node.window_s), step=float(node.step_s))


def _known(one: Operator, field: Read) -> list[Expr]:
    """What the present moment says of what an operator remembers."""
    if isinstance(one.node, Remaining):
        nothing_due = Compare(Order.EQ, field, Number(Fraction(one.node.window_s)))
        return [Join(Junction.IMPLIES, (one.args[1], nothing_due))]
    condition = one.args[0]
    match one.node.op:
        case Tense.PREV:
            return []
        case Tense.ONCE:
            return [Join(Junction.IMPLIES, (condition, field))]
        case Tense.SINCE:
            start = one.args[1]
            either = Join(Junction.OR, (condition, start))
            return [Join(Junction.IMPLIES, (start, field)), Join(Junction.IMPLIES, (field, either))]
        case Tense.HISTORICALLY | Tense.HELD_FOR | Tense.RISING:
            return [Join(Junction.IMPLIES, (opposite(condition), opposite(field)))]
