"""The trainer: its loss, batches and schedule; equal runs give equal weights, stopped ones too."""

from __future__ import annotations

import json
import math
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from localist_core.attending.attention import LEAN
from localist_core.learning.conditioning import FORBIDDEN
from localist_core.learning.lessons import ALIGNED, answer_loss, collate, grouped
from localist_core.learning.training import CHECKPOINT, HISTORY, TrainConfig, TrainingError, schedule, train
from localist_core.model import LocalistForCausalLM, small_config
from tests.localist_core.lessons import ACT, MESSAGE, OPTIONS, TINY, VOCAB, Recital, lesson, tokenizer

lessons = st.integers(0, 10_000).map(lambda seed: lesson(Random(seed)))
pools = st.lists(lessons, min_size=1, max_size=12)


# Loss


@st.composite
def scored(draw):
    """Log-probabilities of some rows, and for each row some different right answers."""
    rows = draw(st.integers(1, 5))
    logits = draw(st.lists(st.floats(-20, 20, width=32), min_size=rows * 7, max_size=rows * 7))
    answer = st.lists(st.integers(0, 6), min_size=1, max_size=7, unique=True).map(tuple)
    answers = draw(st.lists(answer, min_size=rows, max_size=rows))
    return torch.tensor(logits, requires_grad=True).view(rows, 7).log_softmax(1), answers


@given(scored())
def test_answer_loss_is_minus_the_log_of_the_summed_probability(case) -> None:
    scores, answers = case[0].detach(), case[1]
    expected = [-math.log(sum(math.exp(row[word]) for word in right)) for row, right in zip(scores, answers)]  # noqa: B905
    assert answer_loss(scores, answers).tolist() == pytest.approx(expected, abs=1e-4)


@given(scored())
def test_answer_loss_lies_between_0_and_the_loss_of_the_best_single_answer(case) -> None:
    scores, answers = case
    loss = answer_loss(scores, answers)
    best = torch.tensor([max(row[list(right)].tolist()) for row, right in zip(scores.detach(), answers)])  # noqa: B905
    assert (loss >= -1e-5).all()
    assert (loss <= -best + 1e-5).all()
    assert torch.isfinite(torch.autograd.grad(loss.sum(), scores)[0]).all()


# Batches


@given(pools, st.integers(24, 200))
def test_grouping_keeps_every_lesson_once_and_within_the_token_limit(pool, batch_tokens) -> None:
    groups = grouped(pool, batch_tokens)
    assert sorted(map(repr, (one for group in groups for one in group))) == sorted(map(repr, pool))
    for group in groups:
        assert len(group) * max(len(one.ids) for one in group) <= batch_tokens


def test_lesson_longer_than_the_limit_is_a_group_of_its_own() -> None:
    short, long = lesson(Random(0), size=6), lesson(Random(1), size=20)
    assert grouped([long, short], 8) == [[short], [long]]


@given(pools, st.integers(0, 99))
def test_without_a_dial_a_query_sees_exactly_what_stands_before_it(pool, seed) -> None:
    mask = collate(pool, Random(seed), 0.0, "cpu").mask
    width = mask.shape[-1]
    seen = torch.ones(width, width, dtype=torch.bool).tril()
    assert (mask[:, 0, seen] == 0).all()
    assert (mask[:, 0, ~seen] == torch.tensor(FORBIDDEN, dtype=torch.bfloat16)).all()


@given(pools, st.integers(0, 99))
def test_dial_pushes_down_only_rest_keys_of_decision_rows_all_by_the_same(pool, seed) -> None:
    bias = (collate(pool, Random(seed), 1.0, "cpu").mask - collate(pool, Random(seed), 0.0, "cpu").mask)[:, 0].float()
    for row, one in enumerate(pool):
        size = len(one.ids)
        decides = torch.tensor([kind in (OPTIONS, ACT) for kind in one.kinds])
        dialled = torch.zeros(bias.shape[1:], dtype=torch.bool)
        dialled[:size, :size] = decides[:, None] & torch.tensor(one.is_rest)
        assert (bias[row][~dialled] == 0).all()
        assert bias[row][dialled].unique().numel() <= 1
        assert (bias[row][dialled] < 0).all()


def test_dial_is_drawn_for_about_the_stated_share_of_lessons() -> None:
    pool = [lesson(Random(seed), size=12) for seed in range(400)]
    dialled = (collate(pool, Random(0), 0.3, "cpu").mask[:, 0, 11, :12] < 0).any(1)
    assert 0.2 < dialled.float().mean() < 0.4


@given(pools)
def test_batch_holds_the_lessons_and_points_at_their_supervised_tokens(pool) -> None:
    batch = collate(pool, Random(0), 0.5, "cpu")
    assert batch.ids.shape[1] % ALIGNED == 0
    asked = [(number, row) for number, one in enumerate(pool) for row in one.rows]
    assert batch.ids.flatten()[batch.rows].tolist() == [pool[number].ids[row] for number, row in asked]
    assert batch.answers == [right for one in pool for right in one.answers]
    for row, one in enumerate(pool):
        padding = [0] * (batch.ids.shape[1] - len(one.ids))
        assert batch.ids[row].tolist() == [*one.ids, *padding]
        assert batch.kinds[row].tolist() == [*one.kinds, *padding]
        assert batch.positions[row].tolist() == [*one.positions, *padding]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    made = LocalistForCausalLM(small_config(VOCAB, layers=2, width=32, heads=2, hidden=24, block_width=1)).eval()
    made.set_attn_implementation(LEAN)
    return made


def logits(model, batch, ids: torch.Tensor | None = None) -> torch.Tensor:
    """Of all tokens, (batch, position, word); with other token ids if given."""
    with torch.no_grad():
        return model(
            batch.ids if ids is None else ids,
            attention_mask=batch.mask.float(),
            position_ids=batch.positions,
            block_kinds=batch.kinds,
        ).logits


def test_padding_is_never_visible(model) -> None:
    short, long = lesson(Random(0), size=10), lesson(Random(1), size=40)
    batch = collate([short, long], Random(0), 0.0, "cpu")
    filled = batch.ids.clone()
    filled[0, 10:] = 7
    assert torch.equal(logits(model, batch, filled)[0, :10], logits(model, batch)[0, :10])
    alone = collate([short], Random(0), 0.0, "cpu")
    torch.testing.assert_close(logits(model, alone)[0, :10], logits(model, batch)[0, :10], rtol=1e-4, atol=1e-5)


def test_message_of_a_fully_dialled_lesson_does_not_reach_the_decision_of_one_layer() -> None:
    torch.manual_seed(0)
    model = LocalistForCausalLM(small_config(VOCAB, layers=1, width=32, heads=2, hidden=24, block_width=1)).eval()
    model.set_attn_implementation(LEAN)

    class Full(Random):
        def random(self) -> float:
            return math.nextafter(1.0, 0.0)

    one = lesson(Random(3), size=14)
    batch = collate([one], Full(0), 1.0, "cpu")
    other = batch.ids.clone()
    other[batch.kinds == MESSAGE] = 5
    torch.testing.assert_close(logits(model, batch, other)[0, 12:14], logits(model, batch)[0, 12:14])
    undialled = collate([one], Full(0), 0.0, "cpu")
    assert not torch.allclose(logits(model, undialled, other)[0, 13], logits(model, undialled)[0, 13])


# Schedule


@given(st.integers(0, 2_000_000))
def test_schedule_lies_between_0_and_1(tokens) -> None:
    assert 0.0 <= schedule(tokens, TrainConfig(tokens=1_000_000)) <= 1.0


def test_schedule_warms_up_stays_and_cools_down_to_0() -> None:
    config = TrainConfig(tokens=1_000_000, batch_tokens=1_000, warm_up_tokens=100_000, cool_down=0.5)
    assert schedule(0, config) == pytest.approx(0.01)
    assert schedule(49_000, config) == pytest.approx(0.5)
    assert [schedule(tokens, config) for tokens in (100_000, 300_000, 500_000)] == [1.0, 1.0, 1.0]
    assert schedule(750_000, config) == pytest.approx(0.5)
    assert schedule(1_000_000, config) == 0.0


# Runs


def thread() -> Executor:
    """Starts at once, unlike the process that full runs use."""
    return ThreadPoolExecutor(max_workers=1)


def weights(directory):
    return load_file(directory / "model.safetensors")


def assert_equal_weights(one, other) -> None:
    """Bit for bit."""
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A directory that an uninterrupted run was made in."""
    out = tmp_path_factory.mktemp("whole")
    assert train(TINY, Recital(), tokenizer(), out, helper=thread)
    return out


def test_complete_run_leaves_a_model_and_no_checkpoint(whole) -> None:
    assert not (whole / CHECKPOINT).exists()
    assert {"model.safetensors", "config.json", "tokenizer.json", "training.json"} <= {p.name for p in whole.iterdir()}
    assert json.loads((whole / "training.json").read_text())["seed"] == TINY.seed


def test_same_seed_gives_equal_weights_bit_for_bit(whole, tmp_path) -> None:
    train(TINY, Recital(), tokenizer(), tmp_path, helper=thread)
    assert_equal_weights(weights(whole), weights(tmp_path))


def test_run_stopped_nine_times_and_resumed_ends_with_the_same_weights(whole, tmp_path) -> None:
    stops = 0

    # 0 minutes are over after the first step of each call; nine steps reach into the second pool.
    def go_on() -> bool:
        minutes = 0.0 if stops < 9 else math.inf
        return train(TINY, Recital(), tokenizer(), tmp_path, resume=stops > 0, minutes=minutes, helper=thread)

    while not go_on():
        stops += 1
        assert (tmp_path / CHECKPOINT).exists()
    assert stops == 9
    assert_equal_weights(weights(whole), weights(tmp_path))


def test_resume_without_a_checkpoint_is_one_clear_line(tmp_path) -> None:
    with pytest.raises(TrainingError, match=r"^expected a checkpoint at `.*`, got none; train without --resume$"):
        train(TINY, Recital(), tokenizer(), tmp_path / "none", resume=True)
    assert not (tmp_path / "none").exists()


def test_resume_with_another_configuration_is_one_clear_line_and_keeps_the_checkpoint(tmp_path) -> None:
    train(TINY, Recital(), tokenizer(), tmp_path, minutes=0.0, helper=thread)
    before = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(TrainingError, match=r"^expected a checkpoint of this configuration at `[^\n]*with$"):
        train(replace(TINY, seed=1), Recital(), tokenizer(), tmp_path, resume=True)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_report_and_history_tell_the_same_and_the_history_begins_anew(tmp_path) -> None:
    (tmp_path / HISTORY).write_text('{"step": 99}\n')
    seen = []
    config = replace(TINY, tokens=7_000)
    train(config, Recital(), tokenizer(), tmp_path, examine=Recital(seed=5)(0), report=seen.append, helper=thread)
    rows = [json.loads(line) for line in (tmp_path / HISTORY).read_text().splitlines()]
    assert [row["step"] for row in rows] == [progress.step for progress in seen] == [50, 63]
    assert [row["tokens"] for row in rows] == [progress.tokens for progress in seen]
    assert seen[0].tokens <= config.tokens <= seen[1].tokens
    assert "held_out_act" not in rows[0]
    assert rows[1]["held_out_act"] == pytest.approx(seen[1].held_out["act"], abs=1e-4)
    assert {"act", "cite", "loss"} <= rows[0].keys()
    assert all(0.0 <= share <= 1.0 for share in seen[0].accuracy.values())
