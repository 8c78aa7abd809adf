"""The table of named cases: what a rule writer writes, what people read, and what it means in one state."""

# ruff: noqa: E501 - tables hold one case a line

from __future__ import annotations

from typing import Any

import pytest

from symbolic import (
    UNKNOWN,
    ExpressionError,
    Facts,
    Interval,
    RuleSet,
    Truth,
    absolute,
    domain_of,
    fields,
    implies,
    ite,
    lines,
    maximum,
    minimum,
    numbers,
    phrase,
    truth,
)
from symbolic.expression import Number
from symbolic.terms import TruthTerm
from tests.symbolic.strategies import ACTIONS, Operate, Plant

s: Any = fields(Plant)
a: Any = fields(Operate)
NO, MAYBE, YES = Truth.NO, Truth.MAYBE, Truth.YES

HERE = Facts.of(Plant, level=0.5, rate=0.3, count=2, mode="slow", wanted="fast", alarm=False)
"""The state of the column "here"."""
FOG = Facts.of(Plant, level=Interval(0, 1), rate=0.3, count=UNKNOWN, mode="slow", wanted=UNKNOWN, alarm=UNKNOWN)
"""The facts of the column "fog"."""
STAY = Operate(valve=0.0, mode="off", hold=True)
"""The action of both."""

CASES: list[tuple[str, TruthTerm, str, Truth, Truth]] = [
    ("less", s.level < 1, "level < 1", YES, MAYBE),
    ("at most", s.level <= 0.5, "level <= 0.5", YES, MAYBE),
    ("mirrored constant", 1 > s.level, "level < 1", YES, MAYBE),  # noqa: SIM300 - the reversed order is the case
    ("off the grid", s.level == 0.7, "level == 0.7", NO, MAYBE),
    ("different steps", s.level > s.rate, "level > rate", YES, MAYBE),
    ("sum", s.level + s.rate >= 0.8, "level + rate >= 0.8", YES, MAYBE),
    ("sum of three", s.level + s.rate + s.count < 3, "level + rate + count < 3", YES, MAYBE),
    ("difference", s.count - s.level - 1 > 0, "( count - level ) - 1 > 0", YES, MAYBE),
    ("difference of open numbers", s.level - s.count > 0, "level - count > 0", NO, MAYBE),
    ("scaled", 2 * s.level < 1.5, "2 * level < 1.5", YES, MAYBE),
    ("divided", s.count / 3 < 0.7, "count * 1/3 < 0.7", YES, YES),
    ("whole part", (s.count - 3) // 2 == -1, "( count - 3 ) // 2 == -1", YES, MAYBE),
    ("whole part by a negative", s.count // -2 <= -1, "count // -2 <= -1", YES, MAYBE),
    ("rest", (s.level - 2) % 1 == 0.5, "( level - 2 ) % 1 == 0.5", YES, MAYBE),
    ("rest by a negative", s.level % -2 < 0, "level % -2 < 0", YES, MAYBE),
    ("rest by a field", s.count % maximum(s.rate, 1) == 0, "count % max ( rate , 1 ) == 0", YES, MAYBE),
    ("product of fields", s.level * s.rate == 0.15, "level * rate == 0.15", YES, MAYBE),
    ("negated number", -s.level < 0, "- level < 0", YES, MAYBE),
    ("absolute", absolute(s.level - 1) <= 0.5, "abs ( level - 1 ) <= 0.5", YES, MAYBE),
    ("minimum", minimum(s.level, s.rate) < 3, "min ( level , rate ) < 3", YES, YES),
    ("maximum", maximum(s.level, 1) == 1, "max ( level , 1 ) == 1", YES, YES),
    ("one or the other", ite(s.alarm, s.level, 2) >= 1, "( level if alarm else 2 ) >= 1", YES, MAYBE),
    ("choice is", s.mode == "slow", "mode is slow", YES, YES),
    ("choice is not", s.mode != "slow", "mode is not slow", NO, NO),
    ("choice among", s.mode.isin("off", "fast"), "mode is not slow", NO, NO),
    ("choice of two words", s.wanted.isin("slow", "fast") & s.alarm, "wanted is not burst and alarm", NO, MAYBE),
    ("same choice", s.mode == s.wanted, "mode is wanted", NO, MAYBE),
    ("other choice", s.mode != s.wanted, "mode is not wanted", YES, MAYBE),
    ("action and state of one name", s.mode == a.mode, "mode is mode", NO, NO),
    ("flag", s.alarm, "alarm", NO, MAYBE),
    ("no flag", ~s.alarm, "not alarm", YES, MAYBE),
    ("flag equals flag", s.alarm == a.hold, "alarm same as hold", NO, MAYBE),
    ("flag differs from flag", s.alarm != a.hold, "not ( alarm same as hold )", YES, MAYBE),
    ("and", (s.level < 1) & (s.rate < 0.5), "level < 1 and rate < 0.5", YES, MAYBE),
    ("or in and", ((s.level < 1) | s.alarm) & a.hold, "( level < 1 or alarm ) and hold", YES, MAYBE),
    ("and in or", (s.alarm & a.hold) | (s.rate > 0), "alarm and hold or rate > 0", YES, YES),
    ("not and", ~((s.level < 1) & a.hold), "not ( level < 1 and hold )", NO, MAYBE),
    ("if then", implies(s.level < 0, a.valve <= 0), "if level < 0 then valve <= 0", YES, YES),
    ("if then in and", implies(s.alarm, a.hold) & a.hold, "( if alarm then hold ) and hold", YES, YES),
]  # fmt: skip

NAMES = {f.name: f.name for schema in (Plant, Operate) for f in domain_of(schema).fields}
WORDS = {f"{f.name}={word}": word for schema in (Plant, Operate) for f in domain_of(schema).fields for word in f.words}


@pytest.mark.parametrize(("term", "text", "here", "fog"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_case_reads_and_means(term: TruthTerm, text: str, here: Truth, fog: Truth) -> None:
    assert phrase(term.expr, NAMES | WORDS) == text
    assert truth(term.expr, HERE, STAY) is here
    assert truth(term.expr, FOG, STAY) is fog


def test_truth_is_never_a_bool() -> None:
    with pytest.raises(TypeError, match="MAYBE is neither"):
        bool(YES)


def test_phrase_puts_given_words_for_names_and_values() -> None:
    words = {"level": "F1", "rate": "F2", "mode": "F3", "mode=slow": "V7", "alarm": "F4"}
    term = (s.level + s.rate >= 3.5) & (s.mode != "slow") & ~s.alarm
    assert phrase(term.expr, words) == "F1 + F2 >= 3.5 and F3 is not V7 and not F4"


def test_phrase_without_a_word_is_refused() -> None:
    with pytest.raises(ExpressionError, match=r"^expected a word for `mode=slow`, got none; add it to the words$"):
        phrase((s.mode == "slow").expr, {"mode": "F1"})


def test_phrase_of_a_number_is_its_shortest_decimal() -> None:
    assert phrase(Number((s.level < 2.50).expr.right.value), {}) == "2.5"


def rules_of(term: TruthTerm, kind: Any = "forbid") -> RuleSet[Plant, Operate]:
    rules = RuleSet(Plant, Operate)
    rules.add(kind=kind, name="r", expression=term)
    return rules


@pytest.mark.parametrize(
    ("kind", "term", "text"),
    [
        ("forbid", (s.level > 1) & (a.valve > 0), "Forbidden when level > 1 and valve > 0."),
        ("require", implies(s.alarm, a.mode == "off"), "Required: if alarm then mode is off."),
        ("forbid", (s.mode == "off") & (a.mode == "fast"), "Forbidden when state.mode is off and action.mode is fast."),
    ],
)
def test_sentence_speaks_with_the_declared_names(kind: Any, term: TruthTerm, text: str) -> None:
    assert rules_of(term, kind).rules[0].sentence == text


@pytest.mark.parametrize(
    ("kind", "term", "expected"),
    [
        ("forbid", (s.level > 1) & (a.valve > 0), [("level > 1", (8, 9, 10, 11))]),
        ("require", implies(s.alarm, a.valve <= 0), [("alarm", (8, 9, 10, 11))]),
        ("forbid", a.hold, [("", (1, 3, 5, 7, 9, 11))]),
        ("forbid", s.level + a.valve > 1, [("level > 1.5", (0, 1, 2, 3)), ("level > 1", (4, 5, 6, 7)), ("level > 0.5", (8, 9, 10, 11))]),
        ("forbid", (s.mode == a.mode) & a.hold, [("mode is off", (1, 5, 9)), ("mode is fast", (3, 7, 11))]),
        ("forbid", (s.alarm | (s.level > 1)) & (a.valve == 0.5), [("alarm", (8, 9, 10, 11)), ("level > 1", (8, 9, 10, 11))]),
        ("forbid", (s.level < -1) & a.hold, []),
        ("forbid", (s.level >= -1) & a.hold, [("", (1, 3, 5, 7, 9, 11))]),
        ("forbid", ~s.mode.isin("off") & (s.mode != "slow") & a.hold, [("mode is fast", (1, 3, 5, 7, 9, 11))]),
        ("forbid", 3 - 2 * s.level < a.valve, [("level > 1.75", (0, 1, 2, 3)), ("level > 1.5", (4, 5, 6, 7)), ("level > 1.25", (8, 9, 10, 11))]),
        ("forbid", (-2 * s.level < 1) & a.hold, [("level > -0.5", (1, 3, 5, 7, 9, 11))]),
        ("forbid", (-s.level * 0 < -1) & a.hold, []),
        ("forbid", maximum(s.level, s.rate + a.valve) > 1, [("max ( level , rate - 0.5 ) > 1", (0, 1, 2, 3)), ("max ( level , rate ) > 1", (4, 5, 6, 7)), ("max ( level , rate + 0.5 ) > 1", (8, 9, 10, 11))]),
        ("forbid", ite(a.hold, s.level, s.rate) > 0.5, [("rate > 0.5", (0, 2, 4, 6, 8, 10)), ("level > 0.5", (1, 3, 5, 7, 9, 11))]),
    ],
)  # fmt: skip
def test_lines_of_a_rule(kind: Any, term: TruthTerm, expected: list[tuple[str, tuple[int, ...]]]) -> None:
    found = lines(rules_of(term, kind).rules[0], ACTIONS)
    shown = [(" and ".join(phrase(one, NAMES | WORDS) for one in line.conditions), line.actions) for line in found]
    assert shown == expected


def test_more_than_six_alternatives_stay_one_opaque_condition() -> None:
    pairs = (s.alarm | (s.level > 1)) & (s.rate.isin(0, 0.3)) & (s.count.isin(0, 1)) & a.hold
    found = lines(rules_of(pairs).rules[0], ACTIONS)
    assert [(len(line.conditions), line.actions) for line in found] == [(1, (1, 3, 5, 7, 9, 11))]


def test_numbers_show_what_a_rule_reads() -> None:
    rule = rules_of((s.mode == a.mode) & (s.level + s.count > 1) & s.alarm).rules[0]
    assert dict(numbers(rule, FOG, STAY)) == {
        "mode": "slow",
        "action.mode": "off",
        "level": "0 to 1",
        "count": "unknown",
        "alarm": "unknown",
    }
