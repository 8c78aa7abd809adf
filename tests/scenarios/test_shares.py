"""Lessons with a fixed share of targets: the share is met, chatter is untrusted rest, the case itself is kept."""

from __future__ import annotations

import random
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localist_core.blocks import PROMPT_ORDER, BlockKind
from localist_core.serving.loading import SHIPPED
from scenarios.curriculum import Difficulty, cases, encoder_of, lesson
from scenarios.names import Names
from scenarios.shares import BARE, SHARES, SharedLessons, held_out, with_share

MESSAGE = PROMPT_ORDER.index(BlockKind.MESSAGE)
CASES = list(islice(cases(11, held_out=False, difficulty=BARE), 12))


def shared(case, share, seed=0):
    rng = random.Random(seed)
    return with_share(case, encoder_of(SHIPPED), share, Names(rng, held_out=False), rng)


@given(st.sampled_from(CASES), st.floats(0.1, 1.0), st.integers(0, 99))
def test_targets_hold_the_share_to_the_nearest_token(case, share, seed) -> None:
    one = shared(case, share, seed)
    n_S = sum(one.targets)
    assert abs(sum(one.is_rest) - n_S * (1 - share) / share) <= 0.5


@given(st.sampled_from(CASES), st.sampled_from(SHARES))
def test_without_its_chatter_the_lesson_is_that_of_the_case(case, share) -> None:
    one, bare = shared(case, share), lesson(case, encoder_of(SHIPPED))
    kept = [place for place, is_rest in enumerate(one.is_rest) if not is_rest]
    assert tuple(one.ids[place] for place in kept) == bare.ids
    assert tuple(one.positions[place] for place in kept) == bare.positions
    assert [one.ids[row] for row in one.rows] == [bare.ids[row] for row in bare.rows]
    assert {kind for kind, is_rest in zip(one.kinds, one.is_rest, strict=True) if is_rest} <= {MESSAGE}


def test_chatter_forms_no_slot() -> None:
    slots = set(encoder_of(SHIPPED).ids([f"A{n}" for n in range(1, 9)]))
    one = shared(CASES[0], 0.1)
    assert not slots & {word for word, is_rest in zip(one.ids, one.is_rest, strict=True) if is_rest}


def test_pool_gives_each_share_in_turn() -> None:
    pool = SharedLessons(tokenizer=SHIPPED, seed=1, size=6)(0)
    assert [one.target_share for one in pool] == pytest.approx([*SHARES, *SHARES], abs=0.01)


def test_held_out_lessons_ask_for_the_action_twice() -> None:
    for one in held_out(SHIPPED, 0.5, 4, 3):
        act, comply = one.sorts.index("act"), one.sorts.index("comply")
        assert one.rows[act] == one.rows[comply]
        assert set(one.answers[act]) <= set(one.answers[comply])
        assert set(one.sorts) == {"act", "comply", "cite"}


def test_case_with_rest_of_its_own_is_refused() -> None:
    talked = next(c for c in cases(5, held_out=False, difficulty=Difficulty(messages=1.0)) if c.messages)
    with pytest.raises(ValueError, match="expected a share"):
        shared(talked, 0.5)
