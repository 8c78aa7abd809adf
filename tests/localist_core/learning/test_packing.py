"""Several lessons in one row: each is what it is alone, and none sees another."""

from __future__ import annotations

from random import Random

import torch
from hypothesis import given
from hypothesis import strategies as st

from localist_core.attending.attention import LEAN
from localist_core.learning.conditioning import Conditioning
from localist_core.learning.lessons import ALIGNED, answer_loss, collate, grouped, seats_of
from localist_core.learning.objective import other_rows
from localist_core.model import LocalistForCausalLM, small_config
from tests.localist_core.lessons import VOCAB, lesson

pools = st.lists(st.integers(0, 9999).map(lambda seed: lesson(Random(seed))), min_size=2, max_size=9)
ASKED = Conditioning(dial="floor", gammas=(0.0, 2.0), margin_weight=0.3, leak_weight=0.2)


def model() -> LocalistForCausalLM:
    torch.manual_seed(0)
    made = LocalistForCausalLM(small_config(VOCAB, layers=2, width=32, heads=2, hidden=24, block_width=1))
    with torch.no_grad():
        for weight in made.parameters():
            weight.mul_(4.0 if weight.ndim == 2 else 1.0)
    made.set_attn_implementation(LEAN)
    return made.eval()


MODEL = model()


def scores(batch, ids: torch.Tensor | None = None) -> torch.Tensor:
    with torch.no_grad():
        logits = MODEL(
            batch.ids if ids is None else ids,
            attention_mask=batch.mask.float(),
            position_ids=batch.positions,
            block_kinds=batch.kinds,
            rows=batch.rows,
            steering=batch.steering,
        ).logits
    return logits.log_softmax(-1)


@given(pools, st.integers(24, 80))
def test_seats_hold_every_lesson_whole_and_none_overlap(pool, pack_tokens) -> None:
    seats = seats_of(pool, pack_tokens)
    taken = [(seat.row, seat.offset + place) for one, seat in zip(pool, seats) for place in range(len(one.ids))]  # noqa: B905
    assert len(set(taken)) == len(taken) == sum(len(one.ids) for one in pool)
    assert all(place < pack_tokens for _, place in taken)
    assert {seat.row for seat in seats} == set(range(max(seat.row for seat in seats) + 1))


@given(pools, st.integers(24, 80), st.sampled_from([Conditioning(), ASKED]))
def test_packed_lessons_score_and_lose_as_each_does_alone(pool, pack_tokens, conditioning) -> None:
    rng = Random(5)
    packed = collate(pool, rng, 0.5, "cpu", conditioning=conditioning, pack_tokens=pack_tokens)
    found = scores(packed)
    again = Random(5)  # dials are drawn lesson by lesson: here as in the batch
    alone = torch.cat([scores(collate([one], again, 0.5, "cpu", conditioning=conditioning)) for one in pool])
    torch.testing.assert_close(found, alone, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        answer_loss(found, packed.answers), answer_loss(alone, packed.answers), rtol=1e-3, atol=1e-4
    )


@given(pools)
def test_another_lesson_of_the_row_changes_no_bit(pool) -> None:
    batch = collate(pool, Random(0), 0.0, "cpu", pack_tokens=10_000)
    assert batch.ids.shape[0] == 1
    first = seats_of(pool, 10_000)[0].offset
    other = batch.ids.clone()
    other[0, first : first + len(pool[0].ids)] = 7
    own = len(pool[0].rows)
    assert torch.equal(scores(batch)[own:], scores(batch, other)[own:])


@given(pools)
def test_attention_losses_of_packed_lessons_are_those_of_rows_of_their_own(pool) -> None:
    found = []
    for pack_tokens in (None, 64):
        batch = collate(pool, Random(1), 0.7, "cpu", conditioning=ASKED, pack_tokens=pack_tokens)
        scores(batch)
        found.append(float(batch.steering.loss()))
    assert abs(found[0] - found[1]) < 1e-4 * max(1.0, abs(found[0]))


@given(pools)
def test_last_token_of_a_packed_lesson_is_followed_by_nothing(pool) -> None:
    batch = collate(pool, Random(0), 0.0, "cpu", pack_tokens=64)
    ends = {(seat.row, seat.offset + len(one.ids) - 1) for one, seat in zip(pool, seats_of(pool, 64))}  # noqa: B905
    assert int(batch.followed.sum()) == sum(len(one.ids) - 1 for one in pool)
    assert not any(bool(batch.followed[place]) for place in ends)
    predicted = {divmod(int(row), batch.ids.shape[1]) for row in other_rows(batch, Random(0))}
    assert not predicted & ends


@given(pools, st.integers(24, 200))
def test_packed_groups_keep_the_order_and_the_token_limit(pool, batch_tokens) -> None:
    groups = grouped(pool, batch_tokens, pack_tokens=64)
    assert [one for group in groups for one in group] == pool
    assert all(sum(len(one.ids) for one in group) <= batch_tokens for group in groups)


def test_packing_fills_rows_that_padding_would_waste() -> None:
    pool = [lesson(Random(seed)) for seed in range(64)]
    plain, packed = (collate(pool, Random(0), 0.0, "cpu", pack_tokens=width).ids for width in (None, 96))
    tokens = sum(len(one.ids) for one in pool)
    assert packed.shape[1] % ALIGNED == 0
    assert packed.numel() < 1.1 * tokens < plain.numel()
