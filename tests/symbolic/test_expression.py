"""Symbolic values: what they build, and what they refuse to be."""

# ruff: noqa: E501 - tables hold one case a line

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from symbolic import (
    ExpressionError,
    RuleError,
    RuleSet,
    absolute,
    among,
    fields,
    implies,
    ite,
    maximum,
    minimum,
    negate,
)
from symbolic.canonical import to_json
from symbolic.decoding import from_json
from symbolic.expression import MAX_DEPTH, demand_budget, is_nonlinear, reads
from symbolic.terms import TruthTerm
from tests.symbolic.strategies import Operate, Plant

s: Any = fields(Plant)
a: Any = fields(Operate)

AND_OR = (
    "expected `&`, `|`, `~` and single comparisons, got a truth test of an expression; "
    "write `(a < b) & (b < c)` for `and` or `a < b < c`, `ite` for `if`, `isin` for `in`"
)


@pytest.mark.parametrize(
    ("misuse", "message"),
    [
        (lambda: (s.level < 1) and s.alarm, AND_OR),
        (lambda: s.alarm or (s.level < 1), AND_OR),
        (lambda: not s.alarm, AND_OR),
        (lambda: 0 < s.level < 1, AND_OR),
        (lambda: s.level if s.alarm else 1, AND_OR),
        (lambda: s.mode in ("off", "fast"), AND_OR),
        (lambda: "off" in s.mode, "expected `==` or `isin` on a choice, got `in`; write `s.light.isin('red', 'amber')`"),
        (lambda: {s.mode: 1}, "expected an expression in a rule, got one as a key or set member; use `isin`"),
        (lambda: list(s.level), "expected one value, got an expression to iterate over; name the fields one by one"),
        (lambda: s.level == "off", "expected a number, got `'off'`; compare numbers with numbers"),
        (lambda: s.level < s.mode, "expected a number, got a choice; compare like with like"),
        (lambda: s.level + s.alarm, "expected a number, got a condition; compare like with like"),
        (lambda: s.level < True, "expected a number, got `True`; compare numbers with numbers"),
        (lambda: s.level < float("nan"), "expected a finite number, got `nan`; write a bound of the field"),
        (lambda: s.alarm & s.mode, "expected a condition, got a choice; compare it with a value"),
        (lambda: s.alarm & 1, "expected a condition, got `1`; combine conditions with `&`, `|`, `~`"),
        (lambda: s.mode == "burst", "expected one of `off`, `slow`, `fast` for `mode`, got `'burst'`; use a declared value"),
        (lambda: s.mode.isin(), "expected at least one value, got an empty set; it would never hold"),
        (lambda: s.mode.isin(["off"]), "expected single values, got a collection; spread it with `isin(*values)`"),
        (lambda: s.level.isin(), "expected at least one value, got an empty set; it would never hold"),
        (lambda: s.level / s.rate, "expected a constant divisor other than 0, got another; multiply the other side instead"),
        (lambda: s.level / 0, "expected a constant divisor other than 0, got another; multiply the other side instead"),
        (lambda: s.levle, "expected a field of `Plant` (`level`, `rate`, `count`, `mode`, `wanted`, `alarm`), got `levle`; correct the name"),
        (lambda: minimum(), "expected at least one number for `minimum`, got none; give the operands"),
        (lambda: among("off", "off"), "expected a choice field, got `'off'`; give the field first"),
    ],
)  # fmt: skip
def test_misuse_of_a_symbolic_value_says_what_to_write(misuse: Callable[[], object], message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        misuse()
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("term", "text"),
    [
        (s.level < 1, '["<",["read","state","level"],["number","1"]]'),
        (1 < s.level, '[">",["read","state","level"],["number","1"]]'),  # noqa: SIM300 - the reversed order is the case
        (s.rate * 0.1 >= 0.3, '[">=",["multiply",["read","state","rate"],["number","1/10"]],["number","3/10"]]'),
        (s.rate / 4 == 1, '["==",["multiply",["read","state","rate"],["number","1/4"]],["number","1"]]'),
        (~~s.alarm, '["read","state","alarm"]'),
        (negate(s.alarm), '["not",["read","state","alarm"]]'),
        (s.mode != "off", '["not",["member",["read","state","mode"],"off"]]'),
        (s.mode.isin("fast", "off"), '["member",["read","state","mode"],"off","fast"]'),
        (among(s.mode, "off"), '["member",["read","state","mode"],"off"]'),
        (s.mode == a.mode, '["same",["read","state","mode"],["read","action","mode"]]'),
        (s.alarm & a.hold & True, '["and",["read","state","alarm"],["read","action","hold"],["constant",true]]'),
        (s.alarm != a.hold, '["not",["iff",["read","state","alarm"],["read","action","hold"]]]'),
        (implies(s.alarm, a.hold), '["implies",["read","state","alarm"],["read","action","hold"]]'),
        (abs(-s.level) < 2 - s.count, '["<",["absolute",["negate",["read","state","level"]]],["subtract",["number","2"],["read","state","count"]]]'),
        (ite(a.hold, s.level, 0) > 0, '[">",["choose",["read","action","hold"],["read","state","level"],["number","0"]],["number","0"]]'),
        (maximum(s.level, 1) < minimum(s.rate, s.count), '["<",["maximum",["read","state","level"],["number","1"]],["minimum",["read","state","rate"],["read","state","count"]]]'),
        (s.count.isin(1, 2), '["or",["==",["read","state","count"],["number","1"]],["==",["read","state","count"],["number","2"]]]'),
    ],
)  # fmt: skip
def test_operators_build_the_tree_that_they_say(term: TruthTerm, text: str) -> None:
    assert to_json(term.expr) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '["and"]',
        '["and",["constant",true]]',
        '["nand",["constant",true],["constant",true]]',
        '["constant",1]',
        '["number","2/4"]',
        '["number","1/0"]',
        '["number",1]',
        '["read","world","level"]',
        '["read","state","gap"]',
        '["<",["number","1"],["constant",true]]',
        '["not",["number","1"]]',
        '["choose",["number","1"],["number","1"],["number","1"]]',
        '["member",["read","state","mode"]]',
        '["member",["read","state","mode"],"burst"]',
        '["member",["read","state","level"],"off"]',
        '["same",["read","state","level"],["read","state","level"]]',
        '["<",["number","1"],["number","1"],["number","1"]]',
        '["not",' * 60 + '["constant",true]' + "]" * 60,
        "[" * 100_000,
    ],
)
def test_bad_json_is_a_one_line_error(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        from_json(text, Plant, Operate)
    assert "\n" not in str(caught.value)


def test_too_large_an_expression_is_refused() -> None:
    term = s.level
    for _ in range(MAX_DEPTH):
        term = absolute(term)
    with pytest.raises(ExpressionError, match=r"^expected at most 512 nodes and 48 levels"):
        demand_budget((term < 1).expr)
    with pytest.raises(RuleError, match="split the rule"):
        RuleSet(Plant, Operate).add(kind="forbid", name="deep", expression=term < 1)


@pytest.mark.parametrize("shape", [absolute, lambda term: ite(s.alarm, term, 1), lambda term: term * 1 + s.level])
def test_deepest_allowed_expression_can_be_checked(shape: Callable[[Any], Any]) -> None:
    rules = RuleSet(Plant, Operate)
    term: Any = s.level
    for _ in range(44 if shape is absolute else 20):
        term = shape(term)
    rules.add(kind="forbid", name="deep", expression=term < -5)
    assert rules.compiled((0, 0, 0, 0, 0, 0), (0, 0, 0)) == []


def test_products_of_fields_are_flagged() -> None:
    assert is_nonlinear((s.level * s.rate < 1).expr)
    assert not is_nonlinear((s.level * 3 < s.rate).expr)


def test_fields_are_read_in_order_of_appearance() -> None:
    found = reads(((s.rate < s.level) & (a.mode == "off") & (s.rate > 0)).expr)
    assert [(read.owner.value, read.field.name) for read in found] == [
        ("state", "rate"),
        ("state", "level"),
        ("action", "mode"),
    ]
