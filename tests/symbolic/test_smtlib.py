"""SMT-LIB 2 scripts: read back by a solver they have the answers that trying everything gives."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy
import pytest
import z3
from hypothesis import given, settings

from symbolic import RuleError, RuleSet, domain_of, to_smtlib
from symbolic.expression import Arithmetic, Compare, Compute, Number, Order
from symbolic.proving.grid import first
from symbolic.solving.question import Question, spans_of
from symbolic.solving.smt import Solver
from symbolic.solving.smtlib import script
from tests.symbolic.strategies import STATE_READS, Operate, Plant, conditions, rule_sets
from tests.symbolic.test_verify import Truth, t, tank, v

SOLVER = Solver()


def solved(text: str) -> str:
    """What Z3 says of a script, from its text alone."""
    context = z3.Context()
    solver = z3.Solver(ctx=context)
    solver.from_string(text)
    return str(solver.check())


def expected(text: str) -> str:
    (line,) = [line for line in text.splitlines() if line.startswith("(set-info :status")]
    return line.split()[-1].rstrip(")")


def name_of(is_some: object) -> str:
    return "sat" if is_some else "unsat"


@settings(max_examples=60)
@given(conditions)
def test_a_condition_as_text_has_a_point_where_trying_all_finds_one(condition: Any) -> None:
    question = Question(domain_of(Plant), domain_of(Operate), (condition,), spans_of(domain_of(Plant)))
    assert solved(script(question, title="any")) == name_of(first(question))


@settings(max_examples=20)
@given(rule_sets())
def test_questions_have_the_answers_of_trying_everything(rules: RuleSet[Plant, Operate]) -> None:
    truth = Truth(rules)
    answers = {"consistency": truth.consistent, "totality": not truth.total}
    for place in range(len(rules.rules)):
        answers[f"rule:R{place + 1}"] = place not in truth.idle
        answers[f"alone:R{place + 1}"] = place not in truth.idle | truth.excess
    if len(rules.rules) > 1:
        answers["together:R1,R2"] = bool(numpy.logical_or(truth.of[..., 0], truth.of[..., 1]).all(1).any())
    for name, is_some in answers.items():
        text = to_smtlib(rules, name, solver=SOLVER)
        assert (solved(text), expected(text)) == (name_of(is_some),) * 2, name


@pytest.mark.parametrize("divisor", ["-2/3", "-2", "1/3", "2"])
@pytest.mark.parametrize("op", [Arithmetic.FLOOR_DIVIDE, Arithmetic.MODULO])
def test_division_has_the_meaning_of_python(op: Arithmetic, divisor: str) -> None:
    level, by = STATE_READS[0], Fraction(divisor)
    own, act = domain_of(Plant), domain_of(Operate)
    for code in range(level.field.low, level.field.high + 1):
        value = code * level.field.step
        result = Fraction(value // by) if op is Arithmetic.FLOOR_DIVIDE else value % by
        equal = Compare(Order.EQ, Compute(op, (level, Number(by))), Number(result))
        spans = ((code, code), *spans_of(own)[1:])
        assert solved(script(Question(own, act, (equal,), spans), title="division")) == "sat"


def test_a_script_says_what_its_codes_mean() -> None:
    text = to_smtlib(tank(a=(50, (t.level > 90) & (v.turn == "shut"))), "rule:a", solver=SOLVER)
    assert text.splitlines()[1].startswith("; can R1 be broken? (rules ")
    assert "(declare-const |action.turn| Int) ; 0 is open, 1 is shut" in text
    assert "(assert (! (<= 0 |state.level| 100) :named range_state_level))" in text
    assert "(assert (! (and (> |state.level| 90) (= |action.turn| 1)) :named broken_R1))" in text


@pytest.mark.parametrize("name", ["", "nothing", "rule", "rule:R1,R2", "together:R1", "totality:R1"])
def test_an_unknown_question_is_refused(name: str) -> None:
    rules = tank(a=(50, v.turn == "shut"), b=(50, v.turn == "open"))
    with pytest.raises(RuleError, match="expected a question"):
        to_smtlib(rules, name)


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(RuleError, match="expected a rule among R1 to R1, or its name, got `R2`"):
        to_smtlib(tank(a=(50, v.turn == "shut")), "rule:R2")
