"""The slots of a rule set: which short token stands for which action, rule, field and value in a prompt.

A prompt speaks of `A2`, `R3`, `F1` and `V4`; the schema block binds them to the user's names. So a core that reads
slots reads any domain. Slots are given in declaration order; training permutes them, so that none means anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from localist_core.prompting.slots import SLOTS
from symbolic import FieldSpec, Kind, Line, RuleError, RuleSet, domain_of, lines, phrase


class LexiconError(RuleError):
    """A rule set with more actions, rules, fields or values than there are slots."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineText:
    """One line of a rule and how prompts write it."""

    line: Line
    conditions: tuple[str, ...]
    """Text of each condition, without its truth value."""
    conclusion: str
    """Each action that the line forbids, with the rule's slot behind it: `not A2 R1 A4 R1`.

    The slot follows the action, so that naming the rule of an action is what an induction head does: find the token
    behind the action's own. With the slot once in front, citations stalled (DESIGN.md).
    """


@dataclass(frozen=True)
class Lexicon:
    """Slots of one rule set, as words."""

    ruleset: RuleSet[Any, Any]
    actions: tuple[str, ...]
    """Slot of each action, in the order of `ruleset.actions`."""
    rules: tuple[str, ...]
    """Slot of each rule, in the order of `ruleset.rules`."""
    fields: Mapping[str, str]
    """State field -> slot."""
    values: Mapping[str, str]
    """`field=word` -> slot."""

    @cached_property
    def words(self) -> dict[str, str]:
        """The words that `symbolic.phrase` needs."""
        return {**self.fields, **self.values}

    @cached_property
    def line_texts(self) -> tuple[tuple[LineText, ...], ...]:
        """For each rule its lines as texts; none for a rule that forbids nothing."""
        return tuple(
            tuple(self._line_text(slot, line) for line in lines(rule, self.ruleset.actions))
            for slot, rule in zip(self.rules, self.ruleset.rules, strict=True)
        )

    def _line_text(self, slot: str, line: Line) -> LineText:
        return LineText(
            line=line,
            conditions=tuple(phrase(condition, self.words) for condition in line.conditions),
            conclusion=f"not {' '.join(f'{self.actions[index]} {slot}' for index in line.actions)}",
        )

    @cached_property
    def schema(self) -> str:
        """Text of the schema block: every slot and its name."""
        pairs = [(slot, action_name(self.ruleset, index)) for index, slot in enumerate(self.actions)]
        pairs += [(slot, name) for name, slot in self.fields.items()]
        pairs += [(slot, key.partition("=")[2]) for key, slot in self.values.items()]
        return " ".join(["schema", *(f"{slot} {name}" for slot, name in pairs)])

    def show(self, spec: FieldSpec, code: int) -> str:
        """A value as prompts write it: a slot, `yes` or `no`, or a number."""
        if spec.kind is Kind.CHOICE:
            return self.values[f"{spec.name}={spec.words[code]}"]
        if spec.kind is Kind.FLAG:
            return "yes" if code else "no"
        return spec.show(code)


def lexicon(ruleset: RuleSet[Any, Any]) -> Lexicon:
    """Slots in declaration order: `A1` is the first action, `R1` the rule of highest priority.

    Raises:
        LexiconError: there are not enough slots.
    """
    specs = domain_of(ruleset.state).fields
    keys = [f"{spec.name}={word}" for spec in specs if spec.kind is Kind.CHOICE for word in spec.words]
    _demand_slots("A", len(ruleset.actions), f"actions of `{ruleset.action.__name__}`")
    _demand_slots("R", len(ruleset.rules), f"rules over `{ruleset.state.__name__}`")
    _demand_slots("F", len(specs), f"fields of `{ruleset.state.__name__}`")
    _demand_slots("V", len(keys), f"words in all choices of `{ruleset.state.__name__}` together")
    return Lexicon(
        ruleset=ruleset,
        actions=tuple(f"A{index + 1}" for index in range(len(ruleset.actions))),
        rules=tuple(rule.anchor for rule in ruleset.rules),
        fields={spec.name: f"F{index + 1}" for index, spec in enumerate(specs)},
        values={key: f"V{index + 1}" for index, key in enumerate(keys)},
    )


def _demand_slots(letter: str, count: int, what: str) -> None:
    """Refuse what would be written with a slot that the core has no token for."""
    if count > SLOTS[letter]:
        raise LexiconError(
            f"expected at most {SLOTS[letter]} {what}, got {count}; prompts have no more slots, so merge or drop some"
        )


def action_name(ruleset: RuleSet[Any, Any], index: int) -> str:
    """The name of an action for people: its values, joined."""
    values = ruleset.actions[index].model_dump().values()
    return "-".join(str(value) for value in values)
