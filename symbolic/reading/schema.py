"""The reading for writers under a constraint: the compliant actions of a state as a JSON Schema or as a grammar.

Both accept exactly the compliant actions: `json_schema` as JSON values, `grammar` as canonical JSON text, which is what
`rules.texts` holds. They are made from the list of the actions that check as safe, so one of which the check is not
sure is not among them. What was written under either is still checked: this saves attempts, it proves nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from symbolic.domain import codes_of, domain_of
from symbolic.facts import Facts
from symbolic.field import FieldSpec, Kind

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

MAX_ENUM: Final = 64
"""Numbers that are listed one by one; more are a range where that is as exact."""

Codes: TypeAlias = tuple[int, ...]
Box: TypeAlias = tuple[Codes, ...]
"""For each field, in order of names, the codes that it may have, whatever the others have."""


class NoActionError(ValueError):
    """No action is sure to comply with all rules, so there is nothing that a schema or grammar could accept."""


@dataclass(frozen=True, slots=True)
class Branch:
    """Some values of a field, and what the rest may be behind each of them."""

    codes: Codes
    rest: Choice | None
    """None behind the last field."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What one field may be; equal choices are one object."""

    field: FieldSpec
    branches: tuple[Branch, ...]


def json_schema(ruleset: RuleSet[Any, Any], facts: Facts) -> dict[str, object]:
    """A JSON Schema (2020-12) that accepts the compliant actions and nothing else.

    Exact up to what JSON cannot tell apart: 1 and 1.0 are one number there.

    Args:
        ruleset: the rules.
        facts: what is known of the state.

    Raises:
        NoActionError: no action complies for sure.
    """
    first = choices(ruleset, facts)
    fields = _sorted(ruleset)
    schemas = [_box_schema(fields, box) for box in _boxes(first)]
    body = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return {"$schema": DIALECT, "title": ruleset.action.__name__, **body}


def grammar(ruleset: RuleSet[Any, Any], facts: Facts) -> str:
    """A grammar in GBNF that derives the canonical JSON texts of the compliant actions and nothing else.

    Arguments and errors as `json_schema`.
    """
    names: dict[int, str] = {}
    lines: list[str] = []

    def rule(choice: Choice, opening: str) -> str:
        """The name of the rule of a choice; rules are written behind those that they use."""
        if id(choice) not in names:
            key = opening + json.dumps(choice.field.name) + ":"
            options = []
            for branch in choice.branches:
                values = " | ".join(_literal(_json(choice.field, code)) for code in branch.codes)
                rest = _literal("}") if branch.rest is None else rule(branch.rest, ",")
                options.append(f"{f'({values})' if len(branch.codes) > 1 else values} {rest}")
            body = " | ".join(options)
            names[id(choice)] = f"choice{len(names)}"
            lines.append(f"{names[id(choice)]} ::= {_literal(key)} ({body})")
        return names[id(choice)]

    first = choices(ruleset, facts)
    root = f"root ::= {rule(first, '{')}"
    return "\n".join([root, *reversed(lines)]) + "\n"


def choices(ruleset: RuleSet[Any, Any], facts: Facts) -> Choice:
    """The compliant actions as a decision diagram over the fields in order of names.

    Raises:
        NoActionError: no action complies for sure.
    """
    fields = _sorted(ruleset)
    safe = [action for action, is_safe in zip(ruleset.actions, ruleset.compliant(facts), strict=True) if is_safe]
    if not safe:
        raise NoActionError(
            f"expected an action of `{ruleset.action.__name__}` that complies for sure, got none; "
            "concede or take the safe stop"
        )
    rows = frozenset(tuple(codes_of(action)[field.index] for field in fields) for action in safe)
    return _diagram(fields, rows, {})


def _sorted(ruleset: RuleSet[Any, Any]) -> Sequence[FieldSpec]:
    return sorted(domain_of(ruleset.action).fields, key=lambda field: field.name)


def _diagram(fields: Sequence[FieldSpec], rows: frozenset[Codes], made: dict[frozenset[Codes], Choice]) -> Choice:
    """The choice of the first field: values behind which the same rests may follow are one branch."""
    if rows not in made:
        rests: dict[int, set[Codes]] = {}
        for first, *rest in rows:
            rests.setdefault(first, set()).add(tuple(rest))
        groups: dict[frozenset[Codes], list[int]] = {}
        for code in sorted(rests):
            groups.setdefault(frozenset(rests[code]), []).append(code)
        branches = tuple(
            Branch(tuple(codes), _diagram(fields[1:], rest, made) if len(fields) > 1 else None)
            for rest, codes in groups.items()
        )
        made[rows] = Choice(fields[0], branches)
    return made[rows]


def _boxes(choice: Choice) -> Iterator[Box]:
    for branch in choice.branches:
        if branch.rest is None:
            yield (branch.codes,)
        else:
            yield from ((branch.codes, *rest) for rest in _boxes(branch.rest))


def _box_schema(fields: Sequence[FieldSpec], box: Box) -> dict[str, object]:
    return {
        "type": "object",
        "properties": {field.name: _values(field, codes) for field, codes in zip(fields, box, strict=True)},
        "required": [field.name for field in fields],
        "additionalProperties": False,
    }


def _values(field: FieldSpec, codes: Codes) -> Mapping[str, object]:
    """The schema of some values of a field."""
    if len(codes) == 1:
        return {"const": field.decode(codes[0])}
    if field.kind is Kind.FLAG:
        return {"type": "boolean"}
    is_gapless = field.kind is Kind.NUMBER and codes[-1] - codes[0] == len(codes) - 1
    if is_gapless and (len(codes) > MAX_ENUM or _is_count(field)):
        bounds = {"minimum": field.decode(codes[0]), "maximum": field.decode(codes[-1])}
        if _is_count(field):
            return {"type": "integer", **bounds}
        if _is_dyadic(field.step):
            return {"type": "number", **bounds, "multipleOf": float(field.step)}
    return {"enum": [field.decode(code) for code in codes]}


def _is_count(field: FieldSpec) -> bool:
    return field.is_whole and field.step == 1


def _is_dyadic(step: Fraction) -> bool:
    """Whether floats divide by a step exactly: a validator that divides by 0.1 refuses 0.3."""
    return step.denominator & (step.denominator - 1) == 0


def _json(field: FieldSpec, code: int) -> str:
    return json.dumps(field.decode(code))


def _literal(text: str) -> str:
    """A literal of the grammar."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
