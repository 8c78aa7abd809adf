"""Kept answers: a report with those of the set before an edit is the report without them; points are replayed."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symbolic import Answers, AnswersError, Declaration, Report, RuleSet, domain_of, verify
from symbolic.expression import Compare, Join, Junction, Not, Number, Order
from symbolic.proving.answers import Denial
from symbolic.solving.question import Question, spans_of
from symbolic.solving.smt import Solver
from tests.symbolic.strategies import ALL_READS, STATE_READS, Operate, Plant, conditions, rule_sets

SOLVER = Solver()
ASK_EVERYTHING: dict[str, Any] = {"solver": SOLVER, "complete": 0, "sample": 1}
"""Nothing is answered by trying points."""

LEVEL = Compare(Order.GT, STATE_READS[0], Number(Fraction(1)))


def declared(rules: RuleSet[Plant, Operate]) -> list[Declaration]:
    return [*(rule.declared for rule in rules.rules), *rules.permits]


def of(drafts: list[Declaration]) -> RuleSet[Plant, Operate]:
    rules = RuleSet(Plant, Operate)
    for draft in drafts:
        rules.declare(draft)
    return rules


@st.composite
def edits(draw: st.DrawFn) -> tuple[RuleSet[Plant, Operate], RuleSet[Plant, Operate]]:
    """A set, and the same with a rule changed, removed or added."""
    old = draw(rule_sets())
    drafts = declared(old)
    named = {name for draft in drafts for name in (*draft.unless, *draft.overrides)}
    free = [place for place, draft in enumerate(drafts) if draft.name not in named and draft.kind != "permit"]
    place = draw(st.sampled_from(free))
    match draw(st.sampled_from(["change", "rank", "remove", "add"])):
        case "remove" if len(old.rules) > 1:
            del drafts[place]
        case "rank":
            drafts[place] = replace(drafts[place], priority=draw(st.integers(0, 99)))
        case "add":
            drafts.append(Declaration(
                kind="forbid", name="added", title="", priority=50, source="", expression=draw(conditions)
            ))  # fmt: skip
        case _:
            drafts[place] = replace(drafts[place], expression=draw(conditions))
    return old, of(drafts)


def said(report: Report) -> dict[str, Any]:
    """All that a report says but how much was asked."""
    return {key: value for key, value in report.record().items() if key not in ("num_queries", "num_kept")}


@settings(max_examples=20)
@given(edits())
def test_a_report_with_kept_answers_is_the_report_without(edit: tuple[RuleSet[Any, Any], RuleSet[Any, Any]]) -> None:
    old, new = edit
    for options in ({"solver": SOLVER}, ASK_EVERYTHING):
        answers = Answers.empty()
        verify(old, answers=answers, **options)
        kept = Answers.from_json(answers.to_json())
        assert said(verify(new, answers=kept, **options)) == said(verify(new, **options))


@settings(max_examples=10)
@given(rule_sets())
def test_the_same_set_asks_nothing_again(rules: RuleSet[Plant, Operate]) -> None:
    answers = Answers.empty()
    first = verify(rules, answers=answers, **ASK_EVERYTHING)
    again = verify(rules, answers=answers, **ASK_EVERYTHING)
    assert (again.num_queries, again.num_kept) == (0, first.num_queries)


@settings(max_examples=10)
@given(rule_sets(), st.randoms(use_true_random=False))
def test_kept_points_that_are_none_are_asked_anew(rules: RuleSet[Plant, Operate], rng: Any) -> None:
    answers = Answers.empty()
    report = verify(rules, answers=answers, **ASK_EVERYTHING)
    for key, kept in answers.known.items():
        if not isinstance(kept, Denial):
            answers.known[key] = tuple(rng.randint(-3, 3) for _ in kept)
    assert said(verify(rules, answers=answers, **ASK_EVERYTHING))["total"] == report.total
    assert verify(rules, answers=answers, **ASK_EVERYTHING).findings == report.findings


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[", "expected kept answers as JSON, got other text"),
        ("[]", "expected format localist-answers version 1, got another"),
        (json.dumps({"format": "localist-answers", "schema_version": 2}), "version 1, got another"),
    ],
)
def test_another_text_holds_no_answers(text: str, reason: str) -> None:
    with pytest.raises(AnswersError, match=reason):
        Answers.from_json(text)


def test_answers_that_were_changed_are_refused() -> None:
    answers = Answers.empty()
    never = Join(Junction.AND, (ALL_READS[-1], LEVEL, Not(LEVEL)))
    draft = Declaration(kind="forbid", name="a", title="", priority=1, source="", expression=never)
    verify(of([draft]), answers=answers, **ASK_EVERYTHING)
    record = json.loads(answers.to_json())
    record["answers"] = dict.fromkeys(record["answers"], "enumerated")
    assert record["answers"]
    with pytest.raises(AnswersError, match="fit their hash"):
        Answers.from_json(json.dumps(record))


def test_the_key_of_a_question_changes_with_conditions_and_ranges() -> None:
    own, act = domain_of(Plant), domain_of(Operate)
    spans = spans_of(own)
    narrow, elsewhere = ((0, 1), *spans[1:]), (*spans[:-1], (0, 0))
    asked = Question(own, act, (LEVEL,), spans)
    assert asked.key == Question(own, act, (LEVEL,), elsewhere).key  # a field that it does not read
    others = [Question(own, act, (LEVEL,), narrow), Question(own, act, (Not(LEVEL),), spans)]
    assert len({asked.key, *(other.key for other in others)}) == 3
