"""The examination: a core that reads the truth is perfect, a random one is not, and pairs are counted right."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from agents.deciding import Grounding, Ladder, Style
from localist_core import CoreError, ScriptedCore
from scenarios.exam import (
    NO_DIAL,
    PLAIN,
    SCHEDULE,
    Answered,
    Arm,
    copied,
    examine,
    first_try,
    judged,
    laddered,
    masked,
    questions,
)
from scenarios.statistics import mcnemar

ASKED = questions(60, PLAIN, 77)
BEST = {one.case.prompt().sha256: one.case.words.actions[one.best] for one in ASKED}
PERFECT = ScriptedCore(lambda request: BEST[request.prompt.sha256], name="perfect")


def guess(request) -> str:
    """An action by the hash of the prompt: random, but the same every time."""
    return request.actions[hashlib.sha256(request.prompt.sha256.encode()).digest()[0] % len(request.actions)]


RANDOM = ScriptedCore(guess, name="random")


def arm(*best: bool) -> Arm:
    return Arm(name="made", answered=tuple(Answered(is_compliant=True, is_best=is_best) for is_best in best))


def test_core_that_reads_the_truth_is_always_compliant_and_best() -> None:
    found = first_try(PERFECT, ASKED, "perfect")
    assert (found.compliant, found.best, found.cited()) == (1.0, 1.0, None)


def test_random_core_is_not() -> None:
    found = first_try(RANDOM, ASKED, "random")
    assert 0.1 < found.best < 0.7
    assert found.best < found.compliant < 1.0


def test_mask_makes_a_random_core_compliant_and_not_best() -> None:
    found = masked(RANDOM, ASKED, "masked")
    assert found.compliant == 1.0
    assert found.best < 1.0


def test_ladder_leaves_a_perfect_core_perfect_and_helps_no_random_one_to_the_repairs() -> None:
    ladder = Ladder(asks=0, chooses=False)
    assert laddered(PERFECT, ASKED, "perfect", ladder, SCHEDULE).best == 1.0
    once, first = laddered(RANDOM, ASKED, "once", ladder, NO_DIAL), first_try(RANDOM, ASKED, "first")
    assert once.answered == first.answered


def test_core_that_fails_on_the_ladder_is_one_clear_line() -> None:
    def fail(request) -> str:
        raise CoreError("expected memory, got none")

    with pytest.raises(CoreError, match=r"^expected an answer from the core, got none: core failed; examine another"):
        laddered(ScriptedCore(fail), ASKED[:1], "broken", Ladder(asks=0, chooses=False), SCHEDULE)


def test_copy_baseline_is_perfect_with_truth_values_and_not_without() -> None:
    assert copied(ASKED, "truth", Style()).best == 1.0
    raw = copied(ASKED, "raw", Style(grounding=Grounding.RAW))
    assert raw.best < 1.0


def test_pairs_are_counted_on_each_side_with_the_exact_chance() -> None:
    one, other = arm(True, True, True, True, False, False), arm(True, False, False, False, True, False)
    assert one.against(other) == (3, 1, mcnemar(3, 1))
    assert other.against(one) == (1, 3, mcnemar(3, 1))
    assert one.against(one) == (0, 0, 1.0)
    assert mcnemar(3, 1) == pytest.approx(2 * (1 + 4) / 16)


def test_arms_over_other_cases_are_not_compared() -> None:
    with pytest.raises(ValueError, match="shorter"):
        arm(True, False).against(arm(True))


def test_rate_comes_with_an_interval_that_holds_it() -> None:
    rate, bounds = arm(True, True, False, True).rate(lambda one: one.is_best)
    assert rate == 0.75
    assert bounds.low < rate < bounds.high


def test_citations_are_right_if_any_forbidding_rule_is_named_and_none_where_none_forbids() -> None:
    question = next(q for q in ASKED if any(q.case.forbidding) and not all(q.case.forbidding))
    core = ScriptedCore(guess)
    choice = core.decide([_request(question)])[0]
    words, forbidding = question.case.words, question.case.forbidding
    right = tuple(words.rules[rules[-1]] if rules else None for rules in forbidding)
    perfect = Arm(name="", answered=(judged(question, 0, replace(choice, citations=right)),))
    assert (perfect.cited(), perfect.cited(forbidden=True), perfect.cited(forbidden=False)) == (1.0, 1.0, 1.0)
    silent = Arm(name="", answered=(judged(question, 0, replace(choice, citations=(None,) * len(right))),))
    assert (silent.cited(forbidden=True), silent.cited(forbidden=False)) == (0.0, 1.0)


def _request(question):
    from localist_core import Dial, Request

    return Request(
        agent="a", prompt=question.case.prompt(), actions=question.case.words.actions, dial=Dial.off()
    )  # fmt: skip


def test_examination_gives_every_arm_of_a_group_the_same_cases() -> None:
    heard: list[str] = []
    exam = examine(RANDOM, 8, progress=heard.append)
    for group in (exam.plain, exam.after_injection, exam.distracted):
        assert {len(one.answered) for one in group} == {8}
    assert heard == [one.name for group in (exam.plain, exam.after_injection, exam.distracted) for one in group]
    assert len(set(heard)) == len(heard)


def test_questions_are_the_same_for_the_same_seed_and_all_answerable() -> None:
    again = questions(60, PLAIN, 77)
    assert [q.case.prompt().sha256 for q in again] == [q.case.prompt().sha256 for q in ASKED]
    assert all(any(q.allowed) and q.best in q.case.allowed() for q in ASKED)
