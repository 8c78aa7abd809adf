"""Rules: what is forbidden and what is required, in order of priority. Read this file first.

    rules = RuleSet(Car, Drive)

    @rules.forbid(priority=90, source="StVO 37")
    def enter_on_red(s: Car, a: Drive) -> bool:
        "Never enter the junction on red."
        return (s.light == "red") & (a.manoeuvre == "go")

    rules.check(Facts.exact(car), Drive(manoeuvre="go"))

The body of a rule runs once, on symbolic fields, when it is declared; only its expression is kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias, TypeVar, cast, get_args

from symbolic import repair, verdict
from symbolic.compiled import Codes, compile_rules
from symbolic.domain import Action, Facts, State, actions_of, codes_of, domain_of
from symbolic.expression import (
    Expr,
    ExpressionError,
    Not,
    Read,
    TruthTerm,
    demand_budget,
    fields,
    from_plain,
    is_truth,
    reads,
    to_plain,
)
from symbolic.reference import demand_divisors
from symbolic.sentence import sentence

if TYPE_CHECKING:
    from symbolic.grounding import Line

RuleKind: TypeAlias = Literal["forbid", "require"]
DEFAULT_PRIORITY: Final = 50

S = TypeVar("S", bound=State)
A = TypeVar("A", bound=Action)
Body: TypeAlias = Callable[[S, A], bool]


class RuleError(ValueError):
    """A rule that cannot be read, with its place: one line, with what to correct."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One declared rule, in its place in the order of its set."""

    anchor: str
    """`R1`, `R2`, ...: place in the order of priority."""
    kind: RuleKind
    name: str
    title: str
    """What people call it: the first line of the docstring."""
    priority: int
    """0 to 100, the more important the higher."""
    source: str
    """Where it comes from, such as a paragraph of law; may be empty."""
    expression: Expr
    """What is forbidden, or what is required."""
    violation: Expr = field(init=False)
    """True where the rule is broken."""
    reads: tuple[Read, ...] = field(init=False, repr=False)
    """The fields that it reads."""
    sentence: str = field(init=False, repr=False)
    """One English sentence."""
    grounded: list[tuple[Sequence[Action], tuple[Line, ...]]] = field(default_factory=list, repr=False, compare=False)
    """Cache of `grounding.lines`."""

    def __post_init__(self) -> None:
        """Derive what every check and prompt needs."""
        put = object.__setattr__
        put(self, "violation", self.expression if self.kind == "forbid" else _opposite(self.expression))
        put(self, "reads", reads(self.expression))
        put(self, "sentence", sentence(self))


def _opposite(expr: Expr) -> Expr:
    return expr.arg if isinstance(expr, Not) else Not(expr)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """A rule before the order of the set is known."""

    kind: RuleKind
    name: str
    title: str
    priority: int
    source: str
    expression: Expr


@dataclass(frozen=True, slots=True)
class _Sealed:
    """What is derived once from all rules."""

    rules: tuple[Rule, ...]
    sha256: str
    compiled: Callable[[Codes, Codes], list[int]]


class RuleSet(Generic[S, A]):
    """The rules of one role; its first use seals it, so that a check never sees half a set."""

    def __init__(self, state: type[S], action: type[A], *, decider: verdict.Decider | None = None) -> None:
        """Start an empty set over a state and an action type; `decider` replaces the solver for open facts."""
        if not (isinstance(state, type) and issubclass(state, State) and domain_of(state).fields):
            raise RuleError(f"expected a State type with fields, got `{state!r}`; declare what is perceived")
        if not (isinstance(action, type) and issubclass(action, Action)):
            raise RuleError(f"expected an Action type, got `{action!r}`; declare what can be done")
        self.state: type[S] = state
        self.action: type[A] = action
        self.actions: tuple[A, ...] = actions_of(action)
        self._codes = {id(one): codes_of(one) for one in self.actions}  # INVARIANT: self.actions keeps the ids alive
        self.decider = decider
        self._drafts: dict[str, _Draft] = {}
        self._sealed: _Sealed | None = None

    # Declaring

    def forbid(
        self,
        *,
        priority: int = DEFAULT_PRIORITY,
        source: str = "",
        id: str | None = None,  # noqa: A002
    ) -> Callable[[Body[S, A]], Body[S, A]]:
        """Declare that what the function describes must not happen."""
        return self._declare("forbid", priority, source, id)

    def require(
        self,
        *,
        priority: int = DEFAULT_PRIORITY,
        source: str = "",
        id: str | None = None,  # noqa: A002
    ) -> Callable[[Body[S, A]], Body[S, A]]:
        """Declare that what the function describes must hold."""
        return self._declare("require", priority, source, id)

    def _declare(
        self, kind: RuleKind, priority: int, source: str, name: str | None
    ) -> Callable[[Body[S, A]], Body[S, A]]:
        def trace(body: Body[S, A]) -> Body[S, A]:
            place = f"{PurePath(body.__code__.co_filename).name}:{body.__code__.co_firstlineno}: "
            try:
                expression = body(cast(S, fields(self.state)), cast(A, fields(self.action)))
            except (ExpressionError, TypeError, AttributeError) as error:
                raise RuleError(f"{place}rule `{name or body.__name__}`: {error}") from error
            title = (body.__doc__ or "").strip().partition("\n")[0].strip()
            self._add(kind, name or body.__name__, title, priority, source, expression, place)
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
    ) -> None:
        """Declare a rule from an expression: `s, a = fields(Car), fields(Drive); rules.add(...)`."""
        self._add(kind, name, title, priority, source, expression, "")

    def _add(
        self, kind: str, name: str, title: str, priority: int, source: str, expression: object, place: str
    ) -> None:
        where = f"{place}rule `{name}`: "
        expr = expression.expr if isinstance(expression, TruthTerm) else expression
        try:
            if not isinstance(expr, Expr.__args__) or not is_truth(expr):
                raise ExpressionError(
                    f"expected a condition over the fields, got `{expression!r:.60}`; return a comparison"
                )
            demand_budget(expr)
            demand_divisors(expr)
            if not reads(expr):
                raise ExpressionError(
                    "expected a condition that reads a field, got a constant; compare fields with values"
                )
        except ExpressionError as error:
            raise RuleError(f"{where}{error}") from None
        if self._sealed is not None:
            raise RuleError(f"{where}expected all rules before the first use, got one after; declare it earlier")
        if kind not in get_args(RuleKind):
            raise RuleError(f"{where}expected kind `forbid` or `require`, got `{kind}`; use one of them")
        if name in self._drafts or not name.isidentifier():
            raise RuleError(f"{where}expected a new name made of letters, digits and `_`, got `{name}`; rename it")
        if type(priority) is not int or not 0 <= priority <= 100:
            raise RuleError(
                f"{where}expected a whole priority from 0 to 100, got `{priority!r}`; rank it in that range"
            )
        self._drafts[name] = _Draft(
            kind=cast(RuleKind, kind),
            name=name,
            title=title or name.replace("_", " "),
            priority=priority,
            source=source,
            expression=expr,
        )

    # Reading

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules, most important first, then by name."""
        return (self._sealed or self._seal()).rules

    @property
    def sha256(self) -> str:
        """Hash of the canonical JSON, as hexadecimal text."""
        return (self._sealed or self._seal()).sha256

    @property
    def compiled(self) -> Callable[[Codes, Codes], list[int]]:
        """Generated function: codes of state and action to the places of the violated rules, in order."""
        return (self._sealed or self._seal()).compiled

    def _seal(self) -> _Sealed:
        drafts = sorted(self._drafts.values(), key=lambda draft: (-draft.priority, draft.name))
        rules = tuple(
            Rule(
                anchor=f"R{place}",
                kind=draft.kind,
                name=draft.name,
                title=draft.title,
                priority=draft.priority,
                source=draft.source,
                expression=draft.expression,
            )
            for place, draft in enumerate(drafts, start=1)
        )
        compiled = compile_rules([rule.violation for rule in rules], domain_of(self.state), domain_of(self.action))
        text = _to_json(self.state, self.action, drafts)
        self._sealed = _Sealed(rules, hashlib.sha256(text.encode()).hexdigest(), compiled)
        return self._sealed

    # Using

    def codes_of(self, action: A) -> Codes:
        """Codes of an action, at once for those of `actions`."""
        return self._codes.get(id(action)) or codes_of(action)

    def check(self, facts: Facts, action: A) -> verdict.Verdict:
        """Decide every rule for one action; faults are undecided verdicts, never exceptions."""
        return verdict.check(self, facts, action)

    def compliant(self, facts: Facts) -> tuple[bool, ...]:
        """For each action in order: whether it is safe."""
        return verdict.sweep(self, facts)

    def nearest(self, facts: Facts, action: A) -> A | None:
        """The nearest safe action; None where there is none."""
        return cast("A | None", repair.nearest(self, facts, action))

    def to_json(self) -> str:
        """Canonical JSON of types and rules, version 1."""
        return _to_json(self.state, self.action, sorted(self._drafts.values(), key=lambda d: (-d.priority, d.name)))

    @classmethod
    def from_json(cls, text: str, state: type[S], action: type[A]) -> RuleSet[S, A]:
        """Read `to_json` text back; types that differ from those it was written with are a `RuleError`."""
        try:
            record = cast(dict[str, Any], json.loads(text))
            version, schemas, entries = record["version"], (record["state"], record["action"]), record["rules"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise RuleError("expected a rule set as JSON, got other text; give the text of to_json") from None
        if version != 1 or schemas != (_schema(state), _schema(action)):
            raise RuleError(
                f"expected version 1 over the given types, got version `{version}`; load it with its own types"
            )
        rules = cls(state, action)
        for entry in entries:
            rules._read(entry)
        return rules

    def _read(self, entry: object) -> None:
        keys = {"expression", "kind", "name", "priority", "source", "title"}
        if (
            not isinstance(entry, dict)
            or set(entry) != keys
            or not all(isinstance(entry[k], str) for k in keys - {"expression", "priority"})
        ):
            raise RuleError(
                f"expected a rule with {', '.join(sorted(keys))}, got `{entry!r:.60}`; give the text of to_json"
            )
        try:
            expression = from_plain(entry["expression"], self.state, self.action)
        except ExpressionError as error:
            raise RuleError(f"rule `{entry['name']}`: {error}") from None
        self.add(**{**entry, "expression": expression})

    def __reduce__(self) -> tuple[Callable[..., RuleSet[S, A]], tuple[object, ...]]:
        """Pickle as canonical JSON, without the generated function."""
        return type(self).from_json, (self.to_json(), self.state, self.action)


def _schema(schema: type[State] | type[Action]) -> dict[str, object]:
    return {"fields": domain_of(schema).record(), "name": schema.__name__}


def _to_json(state: type[State], action: type[Action], drafts: Sequence[_Draft]) -> str:
    entries = [
        {
            "expression": to_plain(draft.expression),
            "kind": draft.kind,
            "name": draft.name,
            "priority": draft.priority,
            "source": draft.source,
            "title": draft.title,
        }
        for draft in drafts
    ]
    record = {"action": _schema(action), "rules": entries, "state": _schema(state), "version": 1}
    return json.dumps(record, sort_keys=True, separators=(",", ":"))
