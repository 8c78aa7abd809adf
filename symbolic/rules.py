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
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from symbolic import verdict
from symbolic.authoring import A, Draft, S
from symbolic.declaration import Declaration
from symbolic.deontic import flattened
from symbolic.domain import actions_of, codes_of, domain_of, is_wide
from symbolic.expression import (
    Expr,
    Past,
    Remaining,
    walk,
)
from symbolic.facts import Facts
from symbolic.mending import repair
from symbolic.mending.metric import Metric
from symbolic.reading.compiled import Codes, compile_rules
from symbolic.reading.masks import compile_masks
from symbolic.reading.measured import Measure, compile_measure
from symbolic.reading.reference import NO, truth
from symbolic.remembering.memory import Memory, memory_of
from symbolic.remembering.monitor import Monitor
from symbolic.rule import Rule
from symbolic.rule_json import read, written
from symbolic.unrolling import MAX_UNROLLED, unrolled

if TYPE_CHECKING:
    pass


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


class RuleSet(Draft[S, A]):
    """The rules of one role; its first use seals it, so that a check never sees half a set."""

    def __init__(self, state: type[S], action: type[A], *, decider: verdict.Decider | None = None) -> None:
        """Start an empty set over a state and an action type; `decider` replaces the solver for open facts."""
        super().__init__(state, action)
        self.decider = decider
        self._sealed: _Sealed | None = None
        self._codes: dict[int, Codes] = {}
        if not is_wide(action):  # INVARIANT: `actions` keeps the ids alive
            self._codes = {id(one): codes_of(one) for one in self.actions}

    @property
    def is_sealed(self) -> bool:
        """Whether nothing can be declared any more: it has been used."""
        return self._sealed is not None

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

    def is_possible(self, facts: Facts) -> bool:
        """Whether some state that the facts allow agrees with what is remembered in it; facts of `state`."""
        assumption = (self._sealed or self._seal()).memory.assumption
        return assumption is None or truth(assumption, facts) is not NO

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
        text = written(self.declared_state, self.action, drafts)
        permits = tuple(draft for draft in drafts if draft.kind == "permit")
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        readings = compile_rules(*of_set), compile_measure(*of_set)
        self._sealed = _Sealed(rules, permits, memory, memory.state, sha256, *readings)
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

    def nearest(self, facts: Facts, action: A, metric: Metric | None = None) -> A | None:
        """The nearest safe action, by steps or by a declared metric; None where there is none."""
        return cast("A | None", repair.nearest(self, facts, action, metric))

    def to_json(self) -> str:
        """Canonical JSON of types and rules, version 1."""
        return written(self.declared_state, self.action, self._ordered())

    @classmethod
    def from_json(cls, text: str, state: type[S], action: type[A]) -> RuleSet[S, A]:
        """Read `to_json` text back; types that differ from those it was written with are a `RuleError`."""
        rules = cls(state, action)
        for entry in read(text, state, action):
            rules.add(**entry)
        return rules

    def __reduce__(self) -> tuple[Callable[..., RuleSet[S, A]], tuple[object, ...]]:
        """Pickle as canonical JSON, without the generated function."""
        return type(self).from_json, (self.to_json(), self.declared_state, self.action)


def _is_past(draft: Declaration) -> bool:
    return any(isinstance(node, Past | Remaining) for node in walk(draft.expression))
