"""What a rule set says of one action: safe, unsafe with every violated rule, or, if anything is unclear, undecided."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from symbolic.domain import Action
from symbolic.facts import Facts
from symbolic.field import shortest
from symbolic.reading.compiled import Codes
from symbolic.reading.counterexample import Counterexample, counterexample
from symbolic.reading.enumeration import search
from symbolic.reading.margin import Margin
from symbolic.reading.reference import MAYBE, NO, YES, Truth, Walk, shown

if TYPE_CHECKING:
    from symbolic.rule import Rule
    from symbolic.rules import RuleSet

T = TypeVar("T")

Decider: TypeAlias = "Callable[[RuleSet[Any, Any], Facts, Action, Sequence[int]], Sequence[Truth | None]]"
"""Decides rules (by index) that open facts leave open: `smt.possible` has this shape."""


class Outcome(StrEnum):
    """The three outcomes of a check."""

    SAFE = "safe"
    UNSAFE = "unsafe"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One rule that an action breaks, in some state at least that the facts allow."""

    rule: str
    """Anchor of the rule, such as `R3`."""
    name: str
    title: str
    source: str
    priority: int
    sentence: str
    numbers: tuple[tuple[str, str], ...]
    """The fields that the rule reads with the text of their values."""
    margin: Margin | None = None
    """By how much it is broken, in the counterexample where there is one; None where no number decides (margin.py)."""
    counterexample: Counterexample | None = None
    """Where facts are open: a state that they allow and in which it is broken; None if only the solver says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome of one check with its reasons."""

    outcome: Outcome
    violations: tuple[Violation, ...]
    """Every violated rule, most important first."""
    undecided: tuple[str, ...]
    """Anchors of the rules that could not be decided."""
    action: Action | None
    """The checked action; None where something else was given."""
    facts_sha256: str
    ruleset_sha256: str
    reason: str = ""
    """Why nothing or not all could be decided, in one line; empty otherwise."""

    def __post_init__(self) -> None:
        """Refuse a safe verdict with violations, undecided rules or a fault."""
        is_clean = not (self.violations or self.undecided or self.reason)
        if (self.outcome is Outcome.SAFE) is not is_clean or (self.outcome is Outcome.UNSAFE) is not bool(
            self.violations
        ):
            raise ValueError(
                f"expected an outcome that fits its reasons, got `{self.outcome}`; build verdicts by check"
            )

    @property
    def is_safe(self) -> bool:
        """True only where every rule was decided and none is violated."""
        return self.outcome is Outcome.SAFE

    def to_json(self) -> str:
        """Canonical JSON for records, version 2."""
        record = {
            "action": None if self.action is None else self.action.model_dump(),
            "facts_sha256": self.facts_sha256,
            "outcome": self.outcome.value,
            "reason": self.reason,
            "ruleset_sha256": self.ruleset_sha256,
            "undecided": list(self.undecided),
            "version": 2,
            "violations": [
                {
                    "counterexample": None if v.counterexample is None else _state(v.counterexample),
                    "margin": None if v.margin is None else [v.margin.comparison, shortest(v.margin.amount)],
                    "name": v.name,
                    "numbers": [list(pair) for pair in v.numbers],
                    "priority": v.priority,
                    "rule": v.rule,
                    "sentence": v.sentence,
                    "source": v.source,
                    "title": v.title,
                }
                for v in self.violations
            ],
        }
        return json.dumps(record, sort_keys=True, separators=(",", ":"))


def check(ruleset: RuleSet[Any, Any], facts: Facts, action: Action) -> Verdict:
    """Decide every rule for one action; whatever goes wrong is an undecided verdict, never an exception.

    Exact facts are decided by the compiled function; others by the reference walk, where that is not sure by
    trying states, and where those are too many by the solver. A rule that is violated in some state that the
    facts allow counts as violated.
    """
    try:
        _demand_fit(ruleset, facts, action)
        chosen = ruleset.codes_of(action)
        reason = ""
        if facts.is_exact:
            codes = cast(Codes, facts.codes)
            places = _found(ruleset.compiled(codes, chosen))
            violations = _violations(ruleset, places, facts, codes, chosen) if places else []
            undecided: tuple[str, ...] = ()
        else:
            truths, reason = _decide_open(ruleset, facts, chosen, action)
            pairs = list(zip(ruleset.rules, truths, strict=True))
            violations = [
                _open_violation(ruleset, place, facts, chosen)
                for place, (_, found) in enumerate(pairs)
                if found is YES or found is MAYBE
            ]
            # INVARIANT: what is none of the three truths is undecided, whatever a decider returned.
            undecided = tuple([rule.anchor for rule, found in pairs if not isinstance(found, Truth)])
        outcome = Outcome.UNSAFE if violations else Outcome.UNDECIDED if undecided else Outcome.SAFE
        return Verdict(
            outcome=outcome,
            violations=tuple(violations),
            undecided=undecided,
            action=action,
            facts_sha256=facts.sha256,
            ruleset_sha256=ruleset.sha256,
            reason=reason,
        )
    except Exception as error:  # noqa: BLE001 - the decision: any fault of a check is "undecided", with its text
        return _fault(ruleset, facts, action, error)


def sweep(ruleset: RuleSet[Any, Any], facts: Facts) -> tuple[bool, ...]:
    """For each action of a rule set in order: whether a check would be safe; all False where anything goes wrong."""
    if type(facts) is Facts and facts.is_exact and facts.schema is ruleset.state and ruleset.rules:
        try:
            facts.to_json()
            if not ruleset.is_possible(facts):
                return (False,) * len(ruleset.actions)
            check_codes, codes = ruleset.compiled, cast(Codes, facts.codes)
            return tuple([not _found(check_codes(codes, ruleset.codes_of(one))) for one in ruleset.actions])
        except Exception:  # noqa: BLE001, S110 - the decision: each action is checked again below, where faults are undecided
            pass
    return tuple([check(ruleset, facts, one).is_safe for one in ruleset.actions])


def _found(found: list[T]) -> list[T]:
    """What a compiled function found. INVARIANT: anything but a list, whatever its truth, is a fault of the check."""
    if type(found) is not list:
        raise TypeError(f"expected a list of violated rules, got {type(found).__name__}; the check is broken")
    return found


def _demand_fit(ruleset: RuleSet[Any, Any], facts: Facts, action: Action) -> None:
    if not ruleset.rules:
        raise ValueError("expected at least one rule, got none; declare the rules before checking")
    if type(facts) is not Facts or facts.schema is not ruleset.state:
        raise TypeError(f"expected facts of `{ruleset.state.__name__}`, got `{_sort(facts)}`; perceive before deciding")
    if not ruleset.is_possible(facts):
        raise ValueError("expected what is remembered to agree with what is perceived, got facts that contradict")
    if type(action) is not ruleset.action:
        raise TypeError(f"expected an action of `{ruleset.action.__name__}`, got `{_sort(action)}`; parse it first")


def _sort(given: object) -> str:
    return given.schema.__name__ if isinstance(given, Facts) else type(given).__name__


def _decide_open(
    ruleset: RuleSet[Any, Any], facts: Facts, chosen: tuple[int, ...], action: Action
) -> tuple[list[Truth | None], str]:
    """Truth of each rule's violation where facts are open, None where nobody knows, and why."""
    _demand_order(ruleset, facts)
    walk = Walk(facts, chosen)
    found: list[Truth | None] = [walk.truth(rule.violation) for rule in ruleset.rules]
    open_rules = [index for index, truth in enumerate(found) if truth is MAYBE]
    for index in open_rules:
        found[index] = search(ruleset, index, facts, chosen)
    left = [index for index in open_rules if found[index] is None]
    try:
        if left:
            solved = _decider(ruleset)(ruleset, facts, action, left)
            for index in left:
                found[index] = solved[index]
    except Exception as error:  # noqa: BLE001 - the decision: what the solver leaves open stays undecided
        return found, _text(error)
    return found, "" if None not in found else "the solver could not decide within its budget"


def _decider(ruleset: RuleSet[Any, Any]) -> Decider:
    if ruleset.decider is not None:
        return ruleset.decider
    from symbolic.solving import smt  # here: exact checks must work where the solver is absent

    return smt.possible


def _demand_order(ruleset: RuleSet[Any, Any], facts: Facts) -> None:
    fields = ruleset.state.__domain__.fields
    if len(facts.codes) != len(fields):
        raise ValueError(f"expected {len(fields)} facts, got {len(facts.codes)}; give UNKNOWN for what is not known")
    for field in fields:
        low, high = facts.span(field)
        if type(low) is not int or type(high) is not int or not field.low <= low <= high <= field.high:
            raise ValueError(
                f"expected an ordered range inside `{field.name}`, got `{low}` to `{high}`; facts contradict"
            )


def _violations(
    ruleset: RuleSet[Any, Any], places: list[int], facts: Facts, codes: Codes, chosen: Codes
) -> list[Violation]:
    """The violations at these places, measured by a second function, which must find the same."""
    found = ruleset.measure.function(codes, chosen)
    if [one[0] for one in found] != places:
        raise ValueError("expected the measured rules to be the violated ones, got others; the check is broken")
    return [_violation(ruleset.rules[one[0]], facts, chosen, ruleset.measure.margin(one)) for one in found]


def _violation(rule: Rule, facts: Facts, chosen: tuple[int, ...], margin: Margin | None) -> Violation:
    return Violation(
        rule=rule.anchor,
        name=rule.name,
        title=rule.title,
        source=rule.source,
        priority=rule.priority,
        sentence=rule.sentence,
        numbers=tuple(shown(rule.reads, facts, chosen).items()),
        margin=margin,
    )


def _open_violation(ruleset: RuleSet[Any, Any], place: int, facts: Facts, chosen: tuple[int, ...]) -> Violation:
    """A violation in some state that open facts allow, with that state; finding none makes nothing safe."""
    example, margin = counterexample(ruleset, place, facts, chosen), None
    if example is not None:
        broken = {found[0]: found for found in ruleset.measure.function(example.codes, chosen)}
        margin = ruleset.measure.margin(broken[place])
    return replace(_violation(ruleset.rules[place], facts, chosen, margin), counterexample=example)


def _state(example: Counterexample) -> dict[str, Any]:
    return {"fields": dict(example.facts.items()), "is_first": example.is_first}


def _fault(ruleset: RuleSet[Any, Any], facts: object, action: object, error: Exception) -> Verdict:
    try:
        rules, ruleset_sha256 = ruleset.rules, ruleset.sha256
    except ValueError:  # rules that contradict each other, such as overrides in a circle: `error` says so
        rules, ruleset_sha256 = (), ""
    return Verdict(
        outcome=Outcome.UNDECIDED,
        violations=(),
        undecided=tuple(rule.anchor for rule in rules),
        action=action if isinstance(action, Action) else None,
        facts_sha256=_hash_if_possible(facts),
        ruleset_sha256=ruleset_sha256,
        reason=_text(error),
    )


def _text(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _hash_if_possible(facts: object) -> str:
    try:
        return facts.sha256 if isinstance(facts, Facts) else ""
    except Exception:  # noqa: BLE001 - facts that cannot even be written down have no hash
        return ""


def truths_of(verdict: Verdict, anchors: tuple[str, ...]) -> tuple[Truth | None, ...]:
    """What a verdict says of each rule: YES violated, NO not, None undecided."""
    broken = {violation.rule for violation in verdict.violations}
    return tuple(YES if anchor in broken else None if anchor in verdict.undecided else NO for anchor in anchors)
