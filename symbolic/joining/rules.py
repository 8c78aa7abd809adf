"""Joint rules: what two agents must not do together, and how many of a group may do the same. Read this file first.

    crossing = JointRules(Cart, Move)

    @crossing.in_range
    def near(i: Cart, j: Cart) -> bool:
        return absolute(i.cell - j.cell) <= 2

    @crossing.forbid(priority=90, is_symmetric=True)
    def enter_together(i: Cart, a: Move, j: Cart, b: Move) -> bool:
        "Two carts must not enter the crossing in the same step."
        return (i.cell == -1) & (a.step == "go") & (j.cell == -1) & (b.step == "go")

A body sees its own state and action, and those of a peer. It stands on a `Pair`, so it is a rule of an ordinary
`RuleSet` (`JointRules.pair`). A pair of agents must keep each rule both ways round; declared symmetry is proved first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Generic, TypeAlias, TypeVar, cast, overload

from symbolic.canonical import to_plain
from symbolic.declaration import DEFAULT_PRIORITY, RuleError, RuleKind
from symbolic.domain import Action, State
from symbolic.expression import (
    Constant,
    Expr,
    ExpressionError,
    Join,
    Junction,
    Owner,
    Past,
    Remaining,
    reads,
    renamed,
    walk,
)
from symbolic.joining.alike import are_alike
from symbolic.joining.pairing import Pair, View
from symbolic.joining.symmetry import asymmetry
from symbolic.rule import Rule
from symbolic.rules import RuleSet
from symbolic.terms import TruthTerm, fields, truth_of

S = TypeVar("S", bound=State)
A = TypeVar("A", bound=Action)
T = TypeVar("T", bound=State)
B = TypeVar("B", bound=Action)
JointBody: TypeAlias = Callable[[S, A, T, B], bool]
CountBody: TypeAlias = Callable[[S, A], bool]
RangeBody: TypeAlias = Callable[[S, T], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """At most so many of a group may do something."""

    most: int
    """How many, 1 or more."""
    rule: Rule
    """What is counted, as a rule that forbids it: its condition over one agent's own state and action."""


class JointRules(Generic[S, A, T, B]):
    """Rules over pairs of agents in range of each other, of one role or of two."""

    @overload
    def __init__(self: JointRules[S, A, S, A], state: type[S], action: type[A]) -> None: ...
    @overload
    def __init__(self, state: type[S], action: type[A], peer_state: type[T], peer_action: type[B]) -> None: ...
    def __init__(self, state: type[Any], action: type[Any], peer_state: Any = None, peer_action: Any = None) -> None:
        """Start an empty set.

        Args:
            state: what the first agent of a pair perceives.
            action: what it may do.
            peer_state: what the second perceives; the same type if None.
            peer_action: what the second may do; the same type if None.

        Raises:
            RuleError: types without fields, or fields of the pair with the same name.
        """
        self.state: type[S] = state
        self.action: type[A] = action
        self.peer_state: type[T] = peer_state or state
        self.peer_action: type[B] = peer_action or action
        self.layout = Pair.of(self.state, self.action, self.peer_state, self.peer_action)
        self.pair: RuleSet[State, A] = RuleSet(self.layout.state, self.action)
        """The rules as those of the first agent, over the state of the pair."""
        self.counted: RuleSet[S, A] = RuleSet(self.state, self.action)
        """What is counted in a group: each a rule of one agent, as if it forbade that."""
        self._most: dict[str, int] = {}
        self._symmetric: dict[str, bool] = {}
        """Rule -> whether it was declared symmetric."""
        self._names: dict[object, str] = {}
        self._range: Expr | None = None
        self._proved: frozenset[str] | None = None
        """Names of the rules whose symmetry is proved; None while the set is not in use."""

    @property
    def is_of_one_role(self) -> bool:
        """Whether both agents of a pair have the same types, so that every pair is two pairs, one each way round."""
        return (self.state, self.action) == (self.peer_state, self.peer_action)

    # Declaring

    def in_range(self, body: RangeBody[S, T]) -> RangeBody[S, T]:
        """Declare which pairs the rules bind; all pairs where nothing is declared.

        A pair of one role is in range where the condition holds one way round or the other.
        """
        place = _place(body)
        is_used = self._proved is not None or self.pair.is_sealed or self.counted.is_sealed
        if self._range is not None or is_used:
            raise RuleError(f"{place}expected one range before the first use, got another; join the conditions")
        views = View(self.layout, 0, Owner.STATE, self.state), View(self.layout, 1, Owner.STATE, self.peer_state)
        try:
            self._range = truth_of(body(cast(S, views[0]), cast(T, views[1])))
        except (ExpressionError, TypeError, AttributeError) as error:
            raise RuleError(f"{place}range `{body.__name__}`: {error}") from error
        if not reads(self._range):
            raise RuleError(
                f"{place}range `{body.__name__}`: expected a condition over fields, got a constant; drop it"
            )
        return body

    def forbid(
        self,
        *,
        priority: int = DEFAULT_PRIORITY,
        source: str = "",
        id: str | None = None,  # noqa: A002
        unless: Sequence[object] = (),
        overrides: Sequence[object] = (),
        is_critical: bool = False,
        is_symmetric: bool = False,
    ) -> Callable[[JointBody[S, A, T, B]], JointBody[S, A, T, B]]:
        """Declare what a pair must not do; arguments as `RuleSet.forbid`.

        `is_symmetric` claims that the rule says the same both ways round, so that one way need not be checked. The
        claim is proved at the first use; a refuted one is a `RuleError`, where it is not known both ways are checked.
        """
        return self._declare("forbid", priority, source, id, unless, overrides, is_critical, is_symmetric)

    def require(
        self,
        *,
        priority: int = DEFAULT_PRIORITY,
        source: str = "",
        id: str | None = None,  # noqa: A002
        unless: Sequence[object] = (),
        overrides: Sequence[object] = (),
        is_critical: bool = False,
        is_symmetric: bool = False,
    ) -> Callable[[JointBody[S, A, T, B]], JointBody[S, A, T, B]]:
        """Declare what must hold of a pair; arguments as `forbid`."""
        return self._declare("require", priority, source, id, unless, overrides, is_critical, is_symmetric)

    def permit(
        self,
        *,
        priority: int = DEFAULT_PRIORITY,
        source: str = "",
        id: str | None = None,  # noqa: A002
        overrides: Sequence[object] = (),
    ) -> Callable[[JointBody[S, A, T, B]], JointBody[S, A, T, B]]:
        """Declare an exception; see `RuleSet.permit`."""
        return self._declare("permit", priority, source, id, (), overrides, False, False)

    def at_most(
        self,
        most: int,
        *,
        priority: int = DEFAULT_PRIORITY,
        source: str = "",
        id: str | None = None,  # noqa: A002
        is_critical: bool = False,
    ) -> Callable[[CountBody[S, A]], CountBody[S, A]]:
        """Declare that at most so many of a group do what the function describes, by its own state and action.

        A group is all agents that are connected by pairs in range. Only for agents of one role.
        """

        def trace(body: CountBody[S, A]) -> CountBody[S, A]:
            place = _place(body)
            if type(most) is not int or most < 1 or not self.is_of_one_role:
                raise RuleError(
                    f"{place}expected a number of 1 or more for agents of one role, got `{most}`; "
                    "forbid what nobody may do in the rules of the role"
                )
            own = id or body.__name__
            if own in self._symmetric or self._proved is not None:
                raise RuleError(f"{place}expected a new name before the first use, got `{own}`; rename the rule")
            self.counted.forbid(priority=priority, source=source, id=own, is_critical=is_critical)(body)
            self._most[own] = most
            return body

        return trace

    def _declare(
        self,
        kind: RuleKind,
        priority: int,
        source: str,
        name: str | None,
        unless: Sequence[object],
        overrides: Sequence[object],
        is_critical: bool,
        is_symmetric: bool,
    ) -> Callable[[JointBody[S, A, T, B]], JointBody[S, A, T, B]]:
        def trace(body: JointBody[S, A, T, B]) -> JointBody[S, A, T, B]:
            place, own = _place(body), name or body.__name__
            if is_symmetric and not self.is_of_one_role:
                raise RuleError(f"{place}rule `{own}`: expected two agents of one role for a symmetric rule, got two")
            if own in self._most:
                raise RuleError(f"{place}expected a new name, got `{own}`; rename the rule")
            try:
                expression = self._traced(body)
                self.pair.add(
                    kind=kind,
                    name=own,
                    expression=cast(Any, expression),
                    title=(body.__doc__ or "").strip().partition("\n")[0].strip(),
                    priority=priority,
                    source=source,
                    unless=self._named(unless),
                    overrides=self._named(overrides),
                    is_critical=is_critical,
                )
            except RuleError as error:
                raise RuleError(f"{place}{error}") from None
            except (ExpressionError, TypeError, AttributeError) as error:
                raise RuleError(f"{place}rule `{own}`: {error}") from error
            self._names[body] = own
            self._symmetric[own] = is_symmetric
            return body

        return trace

    def _traced(self, body: JointBody[S, A, T, B]) -> object:
        own, peer = (View(self.layout, n, Owner.STATE, one) for n, one in enumerate((self.state, self.peer_state)))
        does = View(self.layout, 1, Owner.ACTION, self.peer_action)
        found = body(cast(S, own), cast(A, fields(self.action)), cast(T, peer), cast(B, does))
        if isinstance(found, TruthTerm) and any(isinstance(node, Past | Remaining) for node in walk(found.expr)):
            raise ExpressionError(
                "expected a rule over the present, got a look back; let a rule of the role remember it"
            )
        return found

    def _named(self, others: Sequence[object]) -> tuple[str, ...]:
        """Names of rules given as names or as the functions that declared them."""
        if isinstance(others, str):
            raise RuleError(f"expected a list of rules, got `{others}`; write `[{others}]`")
        return tuple(other if isinstance(other, str) else self._names.get(other, "") for other in others)

    # Reading

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules over pairs, most important first."""
        return self.pair.rules

    @property
    def quotas(self) -> tuple[Quota, ...]:
        """The rules over groups, most important first."""
        return tuple(Quota(most=self._most[rule.name], rule=rule) for rule in self.counted.rules)

    @property
    def range(self) -> Expr:
        """Which pairs are in range, over the state of the pair, whichever of the two looks."""
        near = self._range or Constant(True)
        if not self.is_of_one_role:
            return near
        other = self.swapped(near)
        return near if are_alike(near, other) else Join(Junction.OR, (near, other))

    def swapped(self, expr: Expr) -> Expr:
        """For two agents of one role: what an expression says with the two in each other's place.

        The first agent's action is then read as a fact and the peer's as the action, so that the first decides again.
        """

        def other(read: Any) -> Any:
            part = self.layout.part(read)
            return self.layout.read(type(part)(1 - part.agent, part.owner, part.name))

        return renamed(expr, other)

    @property
    def symmetric(self) -> frozenset[str]:
        """Names of the rules that are proved to say the same both ways round.

        Raises:
            RuleError: a rule that was declared so and is not, with the pair that shows it.
        """
        if self._proved is None:
            declared = [rule for rule in self.rules if self._symmetric[rule.name]]
            self._proved = frozenset(rule.name for rule in declared if self._is_symmetric(rule))
        return self._proved

    def _is_symmetric(self, rule: Rule) -> bool:
        found = asymmetry(self.pair, rule.violation, self.swapped(rule.violation))
        if found:
            raise RuleError(
                f"rule `{rule.name}`: expected the same both ways round, as declared, got a pair that breaks it "
                f"one way only ({found}); declare it without `is_symmetric`"
            )
        return found is False

    def to_json(self) -> str:
        """Canonical JSON, version 1: the rules over the pair, the range, the quotas."""
        record = {
            "pair": json.loads(self.pair.to_json()),
            "quotas": json.loads(self.counted.to_json())["rules"],
            "most": self._most,
            "range": to_plain(self.range),
            "version": 1,
        }
        return json.dumps(record, sort_keys=True, separators=(",", ":"))

    @property
    def sha256(self) -> str:
        """Hash of the canonical JSON, as hexadecimal text."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def _place(body: Callable[..., object]) -> str:
    return f"{PurePath(body.__code__.co_filename).name}:{body.__code__.co_firstlineno}: "
