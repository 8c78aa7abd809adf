"""Declaring rules: by functions that run once on symbolic fields, from expressions, or as written already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any, Generic, TypeAlias, TypeVar, cast, get_args

from symbolic.declaration import DEFAULT_PRIORITY, Declaration, RuleError, RuleKind
from symbolic.domain import Action, State, domain_of
from symbolic.expression import Expr, ExpressionError, Quantified, Read, demand_budget, is_truth, walk
from symbolic.reading.reference import demand_divisors
from symbolic.terms import TruthTerm, fields
from symbolic.unrolling import demand_unrollable, unrolled

S = TypeVar("S", bound=State)
A = TypeVar("A", bound=Action)
Body: TypeAlias = Callable[[S, A], bool]
Named: TypeAlias = str | Callable[..., Any]
"""A rule by its name, or by the function that declared it."""


class Draft(Generic[S, A]):
    """Rules over a state and an action type that are being declared; `RuleSet` is one that can be sealed and used."""

    def __init__(self, state: type[S], action: type[A]) -> None:
        """Start an empty one."""
        if not (isinstance(state, type) and issubclass(state, State) and domain_of(state).fields):
            raise RuleError(f"expected a State type with fields, got `{state!r}`; declare what is perceived")
        if not (isinstance(action, type) and issubclass(action, Action)):
            raise RuleError(f"expected an Action type, got `{action!r}`; declare what can be done")
        self.declared_state: type[S] = state
        """The state type that it was declared with."""
        self.action: type[A] = action
        self._drafts: dict[str, Declaration] = {}
        self._names: dict[object, str] = {}

    @property
    def is_sealed(self) -> bool:
        """Whether nothing can be declared any more."""
        return False

    def forbid(
        self,
        *,
        priority: int = DEFAULT_PRIORITY,
        source: str = "",
        id: str | None = None,  # noqa: A002
        unless: Sequence[Named] = (),
        overrides: Sequence[Named] = (),
        is_critical: bool = False,
        trusts: Sequence[str] = (),
    ) -> Callable[[Body[S, A]], Body[S, A]]:
        """Declare that what the function describes must not happen.

        Args:
            priority: 0 to 100, the more important the higher.
            source: where it comes from, such as a paragraph of law.
            id: its name; that of the function if None.
            unless: permits, of a higher priority, where it is out of force.
            overrides: rules that are out of force in every state in which this one forbids something.
            is_critical: whether it is never given up, not even where no action complies with all rules.
            trusts: roles whose claims may allow what it forbids without them.
        """
        return self._declare("forbid", priority, source, id, unless, overrides, is_critical, trusts)

    def require(
        self,
        *,
        priority: int = DEFAULT_PRIORITY,
        source: str = "",
        id: str | None = None,  # noqa: A002
        unless: Sequence[Named] = (),
        overrides: Sequence[Named] = (),
        is_critical: bool = False,
        trusts: Sequence[str] = (),
    ) -> Callable[[Body[S, A]], Body[S, A]]:
        """Declare that what the function describes must hold; arguments as `forbid`."""
        return self._declare("require", priority, source, id, unless, overrides, is_critical, trusts)

    def permit(
        self,
        *,
        priority: int = DEFAULT_PRIORITY,
        source: str = "",
        id: str | None = None,  # noqa: A002
        overrides: Sequence[Named] = (),
        trusts: Sequence[str] = (),
    ) -> Callable[[Body[S, A]], Body[S, A]]:
        """Declare an exception: where the condition holds, the rules that name it in `unless` are out of force.

        It never forbids or forces anything itself, and defeats rules of lower priority only; arguments as `forbid`.
        """
        return self._declare("permit", priority, source, id, (), overrides, False, trusts)

    def _declare(
        self,
        kind: RuleKind,
        priority: int,
        source: str,
        name: str | None,
        unless: Sequence[Named],
        overrides: Sequence[Named],
        is_critical: bool,
        trusts: Sequence[str],
    ) -> Callable[[Body[S, A]], Body[S, A]]:
        def trace(body: Body[S, A]) -> Body[S, A]:
            place = f"{PurePath(body.__code__.co_filename).name}:{body.__code__.co_firstlineno}: "
            own = name or body.__name__
            try:
                expression = body(cast(S, fields(self.declared_state)), cast(A, fields(self.action)))
            except (ExpressionError, TypeError, AttributeError) as error:
                raise RuleError(f"{place}rule `{own}`: {error}") from error
            title = (body.__doc__ or "").strip().partition("\n")[0].strip()
            where = f"{place}rule `{own}`: "
            self.declare(
                Declaration(
                    kind=kind,
                    name=own,
                    title=title,
                    priority=priority,
                    source=source,
                    expression=_condition(expression, where),
                    unless=self._named(unless, where),
                    overrides=self._named(overrides, where),
                    is_critical=is_critical,
                    trusts=_roles(trusts, where),
                ),
                place=place,
            )
            self._names[body] = own
            return body

        return trace

    def add(
        self,
        *,
        kind: RuleKind,
        name: str,
        expression: Expr | TruthTerm,
        title: str = "",
        priority: int = DEFAULT_PRIORITY,
        source: str = "",
        unless: Sequence[Named] = (),
        overrides: Sequence[Named] = (),
        is_critical: bool = False,
        trusts: Sequence[str] = (),
    ) -> None:
        """Declare a rule from an expression: `s, a = fields(Car), fields(Drive); rules.add(...)`; see `forbid`."""
        where = f"rule `{name}`: "
        self.declare(
            Declaration(
                kind=kind,
                name=name,
                title=title,
                priority=priority,
                source=source,
                expression=_condition(expression, where),
                unless=self._named(unless, where),
                overrides=self._named(overrides, where),
                is_critical=is_critical,
                trusts=_roles(trusts, where),
            )
        )

    def declare(self, rule: Declaration, *, place: str = "") -> None:
        """Declare a rule that is written already; `place` begins the text of errors."""
        where = f"{place}rule `{rule.name}`: "
        _condition(rule.expression, where)
        try:
            demand_budget(rule.expression)
            demand_unrollable(rule.expression)
            demand_divisors(unrolled(rule.expression))
        except ExpressionError as error:
            raise RuleError(f"{where}{error}") from None
        if self.is_sealed:
            raise RuleError(f"{where}expected all rules before the first use, got one after; declare it earlier")
        if rule.kind not in get_args(RuleKind):
            raise RuleError(f"{where}expected kind `forbid`, `require` or `permit`, got `{rule.kind}`; use one of them")
        if rule.name in self._drafts or not rule.name.isidentifier():
            raise RuleError(f"{where}expected a new name made of letters, digits and `_`, got `{rule.name}`; rename it")
        if "\n" in rule.title + rule.source:
            raise RuleError(f"{where}expected title and source on one line, got a line break; join the lines")
        if type(rule.priority) is not int or not 0 <= rule.priority <= 100:
            raise RuleError(
                f"{where}expected a whole priority from 0 to 100, got `{rule.priority!r}`; rank it in that range"
            )
        if type(rule.is_critical) is not bool or (rule.kind == "permit" and (rule.unless or rule.is_critical)):
            raise RuleError(
                f"{where}expected a permit without `unless` and not critical, got one; only rules are broken"
            )
        claimants = {field.claim.by for field in domain_of(self.declared_state).fields if field.claim is not None}
        if not set(rule.trusts) <= claimants:
            roles = ", ".join(f"`{role}`" for role in sorted(claimants)) or "none"
            raise RuleError(
                f"{where}expected to trust roles that claim something here ({roles}), got `{', '.join(rule.trusts)}`; "
                "correct the role"
            )
        self._drafts[rule.name] = replace(rule, title=rule.title or rule.name.replace("_", " "))

    def _named(self, others: Sequence[Named], where: str) -> tuple[str, ...]:
        """Sorted names of rules given as names or as the functions that declared them."""
        if isinstance(others, str):
            raise RuleError(f"{where}expected a list of rules, got `{others}`; write `[{others}]`")
        names = {other if isinstance(other, str) else self._names.get(other, "") for other in others}
        if "" in names:
            raise RuleError(f"{where}expected rules of this set, got another function; declare it here first")
        return tuple(sorted(names))

    def _ordered(self) -> list[Declaration]:
        return sorted(self._drafts.values(), key=lambda draft: (-draft.priority, draft.name))


def _roles(given: Sequence[str], where: str) -> tuple[str, ...]:
    if isinstance(given, str):
        raise RuleError(f"{where}expected a list of roles, got `{given}`; write `[{given!r}]`")
    return tuple(sorted(set(given)))


def _condition(given: object, where: str) -> Expr:
    """The condition that a rule's body gave."""
    expr = given.expr if isinstance(given, TruthTerm) else given
    if not isinstance(expr, Expr.__args__) or not is_truth(expr):
        raise RuleError(f"{where}expected a condition over the fields, got `{given!r:.60}`; return a comparison")
    if not any(isinstance(node, Read | Quantified) for node in walk(expr)):
        raise RuleError(f"{where}expected a condition that reads a field, got a constant; compare fields with values")
    return cast(Expr, expr)
