"""Rules as text: the same tree as in Python, errors with line and column, one canonical layout that loses nothing."""

# ruff: noqa: E501 - tables hold one case a line

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from scenarios.cli import main
from symbolic import Facts, RuleError, RuleSet, domain_of, fields, formatted, ite, maximum, parse, to_text, truth
from symbolic.canonical import to_json
from symbolic.expression import Expr
from symbolic.writing.text import expression_text, namer, word_text
from tests.symbolic.strategies import Operate, Plant, actions, conditions, exact_facts, rule_sets
from tests.symbolic.test_cases import CASES

s: Any = fields(Plant)
a: Any = fields(Operate)
NAMES = namer(domain_of(Plant), domain_of(Operate))

JUNCTION = """\
# A junction.
state Car {
  gap_m: number 0 to 200 step 0.5
  lane: whole -1 to 1
  light: red | amber | "deep green"
  emergency: flag
}

action Drive {
  manoeuvre: stop | slow | go
}

# The law.
# All of it.
forbid enter_on_red priority 90 source "StVO 37" "Never enter the junction on \\"red\\"."
  when light is red and manoeuvre is go

require keep_gap
  that gap_m // 2 > 3
    or manoeuvre in (stop, slow)
    or light is not "deep green" and not emergency and lane % 2 == 1 and gap_m > -lane * 1.5

# The end.
"""


def read_back(expr: Expr) -> Expr:
    text = f"forbid it when {expression_text(expr, NAMES)}"
    return parse(text, state=Plant, action=Operate).rules[0].expression


@pytest.mark.parametrize("term", [term for _, term, *_ in CASES], ids=[name for name, *_ in CASES])
def test_text_of_a_rule_in_python_gives_the_same_tree(term: Any) -> None:
    assert to_json(read_back(term.expr)) == to_json(term.expr)


@given(conditions, exact_facts, actions)
def test_text_means_what_the_tree_means(expr: Expr, facts: Facts, action: Operate) -> None:
    again = read_back(expr)
    assert truth(again, facts, action) is truth(expr, facts, action)
    # What the reader built, operators could have built: from there on tree and text are one to one.
    assert to_json(read_back(again)) == to_json(again)


@given(rule_sets())
def test_a_whole_set_comes_back_with_its_hash_and_sentences(rules: RuleSet[Plant, Operate]) -> None:
    again = parse(to_text(rules))  # numbers as written are folded here, once
    text = to_text(again)
    assert (parse(text).sha256, formatted(text)) == (again.sha256, text)
    assert [rule.sentence for rule in parse(text).rules] == [rule.sentence for rule in again.rules]


def test_types_and_rules_from_text_are_those_from_python() -> None:
    written = parse(JUNCTION)
    in_python = RuleSet(written.state, written.action)

    @in_python.forbid(priority=90, source="StVO 37")
    def enter_on_red(s: Any, a: Any) -> Any:
        'Never enter the junction on "red".'
        return (s.light == "red") & (a.manoeuvre == "go")

    @in_python.require()
    def keep_gap(s: Any, a: Any) -> Any:
        return (s.gap_m // 2 > 3) | a.manoeuvre.isin("stop", "slow") | ((s.light != "deep green") & ~s.emergency & (s.lane % 2 == 1) & (s.gap_m > -s.lane * 1.5))  # fmt: skip

    assert written.sha256 == in_python.sha256
    assert [rule.sentence for rule in written.rules] == [rule.sentence for rule in in_python.rules]


def test_layout_is_canonical_and_keeps_comments() -> None:
    untidy = JUNCTION.replace("  that ", "\n that ").replace("\n    or", " or").replace("  lane", "lane")
    assert untidy != JUNCTION
    assert formatted(JUNCTION) == JUNCTION
    assert formatted(untidy) == JUNCTION


def test_a_comment_that_would_lose_its_place_is_refused() -> None:
    with pytest.raises(RuleError, match=r"^j.rules:16: expected comments above a rule or type, got `# why`"):
        formatted(JUNCTION.replace("  when light", "  # why\n  when light"), place="j.rules")


def test_a_sign_in_quotes_begins_no_comment() -> None:
    text = JUNCTION.replace("StVO 37", "StVO # 37")
    assert formatted(text) == text
    assert parse(text).rules[0].source == "StVO # 37"


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("level", "1:16: expected a condition, got a number; compare it with a value"),
        ("level < 1 < 2", "1:26: expected `and` or `forbid` or `if` or `iff`"),
        ("levle < 1", "1:16: expected a field among alarm, count, hold, level, mode, rate, valve, wanted, got `levle`; correct the name"),
        ("mode is off", "1:16: expected `state.mode` or `action.mode`, got `mode`, which both have"),
        ("state.mode is of", "1:16: expected one of `off`, `slow`, `fast` for `mode`, got `'of'`; use a declared value"),
        ("state.mood is off", "1:16: expected a field of `Plant`"),
        ("level + alarm > 1", "1:24: expected a number, got a condition; compare like with like"),
        ("alarm is on", "1:16: expected a choice field before `is` or `in`, got a condition; compare with `==`"),
        ("level > 1 / 0", "1:26: expected a divisor other than 0, got 0; correct it"),
        ("level > rate / rate", "1:24: expected a constant divisor other than 0, got another; multiply the other side instead"),
        ("level > $", "1:24: expected a rule, got `$`; remove or quote it"),
        ("abs(level, 1) > 1", "1:16: expected one number in `abs`, got 2; give one"),
        ("", "1:11: expected `(` or `-` or"),
        ("always", "1: rule `it`: expected a condition that reads a field, got a constant; compare fields with values"),
        ("(" * 3000, "expected"),
        ("(" * 3000 + "alarm" + ")" * 3000, "expected"),
        ("level > " + "9" * 5000, "1:24: expected a number of at most 300 digits"),
        ("once(alarm within " + "9" * 400 + " s)", "1:34: expected a number of at most 300 digits"),
        ("level > " + " * ".join(["9" * 300] * 2), "1: rule `it`: expected a number of at most 300 digits"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_line_and_column(condition: str, message: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse(f"forbid it when {condition}", state=Plant, action=Operate, place="p.rules")
    assert str(caught.value).startswith(f"p.rules:{message}" if message != "expected" else "p.rules:")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("forbid it when x > 1", "r: expected a type `state NAME { ... }`, got none; declare it first"),
        ("state S { x: number 1 to 0 step 1 }", "r:1:1: expected ge < le"),
        ("state S { x: number 0 to 1 step 0.3 }", "r:1:1: expected ge < le"),
        (f"state S {{ x: number 0 to {'9' * 400} step 1 }}", "r:1:26: expected a number of at most 300 digits"),
        ("state S { x: whole 0 to 1.5 }", "r:1:14: expected whole bounds, got decimals"),
        ("state S { x: flag x: flag }", "r:1:19: expected a new name"),
        ("state S { model_config: flag }", "r:1:11: expected a new name"),
        ("state S { x: flag } state T { y: flag }", "r:1:21: expected one state type, got another"),
        ("state S { x: flag } action A { go: flag } forbid f priority 1.5 when x", "r:1:52: expected a whole priority"),
        ("state S { x: flag } action A { go: flag } forbid f priority 101 when x", "r:1: rule `f`: expected a whole priority from 0 to 100"),
        ("state S { x: flag } action A { go: flag } forbid f when x\nforbid f when go", "r:2: rule `f`: expected a new name"),
    ],
)  # fmt: skip
def test_a_wrong_declaration_is_named(text: str, message: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse(text, place="r")
    assert str(caught.value).startswith(message)


def test_a_value_that_is_a_name_in_python_alone_is_quoted() -> None:
    assert word_text("col·la") == '"col·la"'
    assert word_text("straße") == "straße"


def test_operators_bind_as_people_expect() -> None:
    text = "not alarm or alarm and hold iff level - rate - 1 + count * 2 // 3 > (1 if alarm else max(level, rate))"
    level = s.level - s.rate - 1 + s.count * 2 // 3 > ite(s.alarm, 1, maximum(s.level, s.rate))
    expected = (~s.alarm | (s.alarm & a.hold)) == level
    rules = parse(f"forbid it when {text}", state=Plant, action=Operate)
    assert to_json(rules.rules[0].expression) == to_json(expected.expr)


def test_command_formats_in_place_or_only_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "junction.rules"
    path.write_text(JUNCTION.replace("  that ", " that "))
    assert main(["rules", "fmt", "--check", str(path)]) == 1
    assert path.read_text() != JUNCTION
    assert main(["rules", "fmt", str(path)]) == 0
    assert path.read_text() == JUNCTION
    assert main(["rules", "fmt", "--check", str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [f"would change: {path}", f"changed: {path}"]


def test_command_names_a_wrong_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "junction.rules"
    assert main(["rules", "fmt", str(path)]) == 2
    path.write_text(JUNCTION.replace("light is red", "light is rde"))
    assert main(["rules", "fmt", str(path)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith("localist: expected a rules file at")
    assert errors[1].startswith("localist: junction.rules:16:8: expected one of `red`, `amber`, `deep green`")
