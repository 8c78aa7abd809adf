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
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias, TypeVar, cast, get_args

from symbolic import verdict
from symbolic.canonical import to_plain
from symbolic.declaration import DEFAULT_PRIORITY, Declaration, RuleError, RuleKind, opposite
from symbolic.decoding import from_plain
from symbolic.deontic import flattened
from symbolic.domain import Action, State, actions_of, codes_of, domain_of, is_wide
from symbolic.expression import (
    Expr,
    ExpressionError,
    Past,
    Quantified,
    Read,
    Remaining,
    demand_budget,
    is_truth,
    reads,
    walk,
)
from symbolic.facts import Facts
from symbolic.mending import repair
from symbolic.mending.metric import Metric
from symbolic.reading.compiled import Codes, compile_rules
from symbolic.reading.masks import compile_masks
from symbolic.reading.measured import Measure, compile_measure
from symbolic.reading.reference import demand_divisors
from symbolic.reading.sentence import sentence
from symbolic.remembering.memory import Memory, memory_of
from symbolic.remembering.monitor import Monitor
from symbolic.terms import TruthTerm, fields
from symbolic.unrolling import MAX_UNROLLED, demand_unrollable, unrolled

if TYPE_CHECKING:
    from symbolic.reading.grounding import Line

S = TypeVar("S", bound=State)
A = TypeVar("A", bound=Action)
Body: TypeAlias = Callable[[S, A], bool]
Named: TypeAlias = str | Callable[..., Any]
"""A rule by its name, or by the function that declared it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One forbid or require, in its place in the order of its set."""

    anchor: str
    """`R1`, `R2`, ...: place in the order of priority."""
    declared: Declaration
    """As it was written."""
    expression: Expr
    """What is forbidden, or what is required, with all exceptions in it: a plain tree."""
    shown: Expr
    """The same as people read it: with whatever was declared that is more than the plain tree."""
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
        put(self, "violation", opposite(self.expression) if self.kind == "require" else self.expression)
        put(self, "reads", reads(self.expression))
        put(self, "sentence", sentence(self))

    @property
    def kind(self) -> Literal["forbid", "require"]:
        return "require" if self.declared.kind == "require" else "forbid"

    @property
    def name(self) -> str:
        return self.declared.name

    @property
    def title(self) -> str:
        """What people call it: the first line of the docstring."""
        return self.declared.title

    @property
    def priority(self) -> int:
        """0 to 100, the more important the higher."""
        return self.declared.priority

    @property
    def source(self) -> str:
        """Where it comes from, such as a paragraph of law; may be empty."""
        return self.declared.source

    @property
    def is_critical(self) -> bool:
        """Whether it is never given up."""
        return self.declared.is_critical


@dataclass(frozen=True, slots=True)
class _Sealed:
    """What is derived once from all rules."""

    rules: tuple[Rule, ...]
    permits: tuple[Declaration, ...]
    memory: Memory
    state: type[Any]
    sha256: str
    compiled: Callable[[Codes, Codes], list[int]]
    measure: Measure


class RuleSet(Generic[S, A]):
    """The rules of one role; its first use seals it, so that a check never sees half a set."""

    def __init__(self, state: type[S], action: type[A], *, decider: verdict.Decider | None = None) -> None:
        """Start an empty set over a state and an action type; `decider` replaces the solver for open facts."""
        if not (isinstance(state, type) and issubclass(state, State) and domain_of(state).fields):
            raise RuleError(f"expected a State type with fields, got `{state!r}`; declare what is perceived")
        if not (isinstance(action, type) and issubclass(action, Action)):
            raise RuleError(f"expected an Action type, got `{action!r}`; declare what can be done")
        self.declared_state: type[S] = state
        """The state type that it was declared with."""
        self.action: type[A] = action
        self._codes: dict[int, Codes] = {}
        if not is_wide(action):  # INVARIANT: `actions` keeps the ids alive
            self._codes = {id(one): codes_of(one) for one in self.actions}
        self.decider = decider
        self._drafts: dict[str, Declaration] = {}
        self._names: dict[object, str] = {}
        self._sealed: _Sealed | None = None

    # Declaring

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
        if self._sealed is not None:
            raise RuleError(f"{where}expected all rules before the first use, got one after; declare it earlier")
        if rule.kind not in get_args(RuleKind):
            raise RuleError(f"{where}expected kind `forbid`, `require` or `permit`, got `{rule.kind}`; use one of them")
        if rule.name in self._drafts or not rule.name.isidentifier():
            raise RuleError(f"{where}expected a new name made of letters, digits and `_`, got `{rule.name}`; rename it")
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

    # Reading

    @property
    def actions(self) -> tuple[A, ...]:
        """All actions in declaration order; a `DomainError` where they are too many to list (`is_wide`)."""
        return actions_of(self.action)

    @cached_property
    def texts(self) -> dict[int, str]:
        """Canonical JSON of each of `actions`, by its id; none where they are too many to list."""
        listed = () if is_wide(self.action) else self.actions
        return {id(one): json.dumps(one.model_dump(), sort_keys=True, separators=(",", ":")) for one in listed}

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules that can be broken, most important first, then by name."""
        return (self._sealed or self._seal()).rules

    @property
    def permits(self) -> tuple[Declaration, ...]:
        """All permits, most important first, then by name."""
        return (self._sealed or self._seal()).permits

    @property
    def state(self) -> type[S]:
        """The type whose facts are checked: with a field for each past-time operator, where there are any."""
        return cast("type[S]", self.memory.state) if self._sealed is None else self._sealed.state

    @property
    def memory(self) -> Memory:
        """The past-time operators and the fields that remember them; asking seals a set that has any."""
        if self._sealed is None and not any(map(_is_past, self._drafts.values())):
            return memory_of(self.declared_state, ())
        return (self._sealed or self._seal()).memory

    def monitor(self, *, max_gap_s: float, begins_empty: bool = False) -> Monitor:
        """A monitor that gives facts of `state`, one moment after another; arguments as `Monitor`."""
        return Monitor(self.memory, max_gap_s=max_gap_s, begins_empty=begins_empty)

    @property
    def assumption(self) -> Expr | None:
        """What the present says of what is remembered: true of every state that a monitor gives; None = nothing."""
        return self.memory.assumption

    @property
    def sha256(self) -> str:
        """Hash of the canonical JSON, as hexadecimal text."""
        return (self._sealed or self._seal()).sha256

    @property
    def compiled(self) -> Callable[[Codes, Codes], list[int]]:
        """Generated function: codes of state and action to the places of the violated rules, in order."""
        return (self._sealed or self._seal()).compiled

    @property
    def measure(self) -> Measure:
        """The same with margins: by how much each violated rule is broken."""
        return (self._sealed or self._seal()).measure

    @cached_property
    def broken(self) -> Callable[[Codes], int]:
        """Generated function: codes of a state to the bits of the actions of the list that break some rule."""
        violations, actions = [rule.violation for rule in self.rules], [codes_of(one) for one in self.actions]
        return compile_masks(violations, actions, domain_of(self.state), domain_of(self.action))

    def _seal(self) -> _Sealed:
        drafts = self._ordered()
        actions = None if is_wide(self.action) else [codes_of(action) for action in self.actions]
        unrolled_ = [unrolled(draft.expression) for draft in drafts]
        memory = memory_of(self.declared_state, unrolled_)
        plain = [replace(one, expression=memory.plain(expr)) for one, expr in zip(drafts, unrolled_, strict=True)]
        shown = flattened(drafts, actions)
        flat = shown if plain == drafts else flattened(plain, actions, most=MAX_UNROLLED)
        obligations = [draft for draft in drafts if draft.kind != "permit"]
        rules = tuple(
            Rule(anchor=f"R{place}", declared=draft, expression=flat[draft.name], shown=shown[draft.name])
            for place, draft in enumerate(obligations, start=1)
        )
        of_set = [rule.violation for rule in rules], domain_of(memory.state), domain_of(self.action)
        text = _to_json(self.declared_state, self.action, drafts)
        permits = tuple(draft for draft in drafts if draft.kind == "permit")
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        readings = compile_rules(*of_set), compile_measure(*of_set)
        self._sealed = _Sealed(rules, permits, memory, memory.state, sha256, *readings)
        return self._sealed

    def _ordered(self) -> list[Declaration]:
        return sorted(self._drafts.values(), key=lambda draft: (-draft.priority, draft.name))

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

    def nearest(self, facts: Facts, action: A, metric: Metric | None = None) -> A | None:
        """The nearest safe action, by steps or by a declared metric; None where there is none."""
        return cast("A | None", repair.nearest(self, facts, action, metric))

    def to_json(self) -> str:
        """Canonical JSON of types and rules, version 1."""
        return _to_json(self.declared_state, self.action, self._ordered())

    @classmethod
    def from_json(cls, text: str, state: type[S], action: type[A]) -> RuleSet[S, A]:
        """Read `to_json` text back; types that differ from those it was written with are a `RuleError`."""
        try:
            record = cast(dict[str, Any], json.loads(text))
            version, schemas, entries = record["version"], (record["state"], record["action"]), record["rules"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise RuleError("expected a rule set as JSON, got other text; give the text of to_json") from None
        if version != 1:
            raise RuleError(f"expected a rule set of version 1, got version `{version!r:.20}`; use its own version")
        if schemas != (_schema(state), _schema(action)):
            raise RuleError(
                f"expected rules over `{state.__name__}` and `{action.__name__}` as declared here, "
                "got other declarations; load it with its own types"
            )
        rules = cls(state, action)
        for entry in entries:
            rules._read(entry)
        return rules

    def _read(self, entry: object) -> None:
        if not isinstance(entry, dict) or not _is_entry(entry):
            raise RuleError(
                f"expected a rule with {', '.join(sorted(_KEYS))}, got `{entry!r:.60}`; give the text of to_json"
            )
        try:
            expression = from_plain(entry["expression"], self.declared_state, self.action)
        except ExpressionError as error:
            raise RuleError(f"rule `{entry['name']}`: {error}") from None
        self.add(**{**entry, "expression": expression})

    def __reduce__(self) -> tuple[Callable[..., RuleSet[S, A]], tuple[object, ...]]:
        """Pickle as canonical JSON, without the generated function."""
        return type(self).from_json, (self.to_json(), self.declared_state, self.action)


def _is_past(draft: Declaration) -> bool:
    return any(isinstance(node, Past | Remaining) for node in walk(draft.expression))


def _schema(schema: type[State] | type[Action]) -> dict[str, object]:
    domain = domain_of(schema)
    return {"fields": domain.record(), "name": schema.__name__, **domain.extras()}


def _to_json(state: type[State], action: type[Action], drafts: Sequence[Declaration]) -> str:
    entries = [{"expression": to_plain(draft.expression), **draft.record()} for draft in drafts]
    record = {"action": _schema(action), "rules": entries, "state": _schema(state), "version": 1}
    return json.dumps(record, sort_keys=True, separators=(",", ":"))


_KEYS: Final = frozenset({"expression", "kind", "name", "priority", "source", "title"})
_OPTIONAL: Final = frozenset({"unless", "overrides", "is_critical", "trusts"})
"""Written where they are not as by default."""


def _is_entry(entry: dict[str, object]) -> bool:
    """Whether an entry has the keys of a rule, with texts and lists of texts where they belong."""
    lists = [entry[key] for key in ("unless", "overrides", "trusts") if key in entry]
    return (
        set(entry) >= _KEYS >= set(entry) - _OPTIONAL
        and all(isinstance(entry[key], str) for key in _KEYS - {"expression", "priority"})
        and all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in lists)
    )


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
