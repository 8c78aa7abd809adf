"""The dial of the trainer against the specification, and the losses on attention."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from localist_core.attending.attention import LEAN
from localist_core.attending.reference import reference
from localist_core.attending.segments import Group, Segments, layout_of
from localist_core.dial import layer_floor, odds_fidelity
from localist_core.errors import DialError
from localist_core.learning.conditioning import FORBIDDEN, Conditioning
from localist_core.learning.examination import examination
from localist_core.learning.lessons import batch_at, collate, steering_of, width_of
from localist_core.model import LocalistForCausalLM, small_config
from tests.localist_core.lessons import MESSAGE, VOCAB, lesson

HEADS, WIDTH = 2, 8
seeds = st.integers(0, 10_000)
values = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])


def model(layers: int = 2) -> LocalistForCausalLM:
    torch.manual_seed(0)
    made = LocalistForCausalLM(small_config(VOCAB, layers=layers, width=32, heads=HEADS, hidden=24, block_width=1))
    with torch.no_grad():
        for weight in made.parameters():
            if weight.ndim == 2:
                weight.mul_(8.0)
    made.set_attn_implementation(LEAN)
    return made.eval()


def attention_of(one, dial: str, value: float, gamma: float, layer: int, seed: int, *, num_layers: int = 3):
    """Random scores of one lesson: raw and steered weights of its decision rows, and the steering."""
    batch = batch_at([one], value, gamma, Conditioning(dial=dial, gammas=(gamma,)), "cpu")
    width = batch.ids.shape[1]
    torch.manual_seed(seed)
    query, key = torch.randn(1, HEADS, width, WIDTH) * 2, torch.randn(1, HEADS, width, WIDTH)
    scores = query @ key.mT
    mask = batch.mask.float()
    raw = (scores + mask).softmax(-1)
    steered = (batch.steering.steer(scores.clone(), mask, layer, num_layers) + mask).softmax(-1)
    start, size = one.first_decision_row, len(one.ids)
    return query[:, :, start:size], key, raw[:, :, start:size], steered[:, :, start:size]


@given(seeds, values, st.sampled_from([0.0, 1.0, 5.0]), st.integers(0, 2))
def test_floor_dial_of_the_trainer_is_that_of_the_specification(seed, value, gamma, layer) -> None:
    one = lesson(Random(seed))
    query, key, raw, steered = attention_of(one, "floor", value, gamma, layer, seed)
    size, start, width = len(one.ids), one.first_decision_row, key.shape[2]
    groups = torch.zeros(1, width, dtype=torch.long)
    groups[0, :size] = torch.tensor(
        [Group.REST if r else Group.TARGET if t else Group.NEUTRAL for r, t in zip(one.is_rest, one.targets)]  # noqa: B905
    )
    hidden = torch.ones(1, 1, size - start, width, dtype=torch.bool)
    for row in range(size - start):
        hidden[..., row, : start + row + 1] = False
    floor = layer_floor(value, layer, 3, gamma)
    membership = torch.nn.functional.one_hot(groups, len(Group)).float()
    membership[0, size:] = 0.0
    segments = Segments(
        layout=layout_of(membership, groups),
        hidden=hidden,
        floor=torch.tensor([[floor]]),
        has_floor=floor > 0.0,
        has_cut=floor == 1.0,
    )
    expected = reference(query, key, key, segments, scale=1.0)
    for weights, masses in ((raw, expected.raw), (steered, expected.steered)):
        torch.testing.assert_close((weights @ membership).double(), masses, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close((steered @ key).double(), expected.output, rtol=1e-3, atol=1e-4)


@given(seeds, values)
def test_odds_dial_of_the_trainer_follows_its_closed_form(seed, value) -> None:
    one = lesson(Random(seed))
    _, _, raw, steered = attention_of(one, "odds", value, 0.0, 0, seed)
    targets, rest = (torch.zeros(raw.shape[-1]) for _ in range(2))
    targets[: len(one.ids)], rest[: len(one.ids)] = torch.tensor(one.targets).float(), torch.tensor(one.is_rest).float()
    before = (raw @ targets) / (raw @ (targets + rest))
    after = (steered @ targets) / (steered @ (targets + rest))
    expected = [odds_fidelity(F, value) for F in before.flatten().tolist()]
    assert after.flatten().tolist() == pytest.approx(expected, abs=1e-5)


def losses(scores: torch.Tensor, one, conditioning: Conditioning, layer: int = 0):
    steering = steering_of([one], [0.0], [0.0], conditioning, "cpu")
    mask = collate([one], Random(0), 0.0, "cpu").mask.float()
    steering.steer(scores, mask, layer, 2)
    return steering


@given(seeds)
def test_losses_on_attention_are_those_of_a_loop_over_rows(seed) -> None:
    one = lesson(Random(seed))
    torch.manual_seed(seed)
    width = width_of([one])
    scores = torch.randn(1, HEADS, width, width) * 2
    steering = losses(scores, one, Conditioning(margin_weight=1.0, leak_weight=1.0, focus_weight=1.0, margin=1.5))
    hinges, leaks, entropies = [], [], []
    for head in range(HEADS):
        for row in range(one.first_decision_row, len(one.ids)):
            seen = scores[0, head, row].tolist()
            S = [seen[key] for key in range(row + 1) if one.targets[key]]
            R = [seen[key] for key in range(row + 1) if one.is_rest[key]]
            hinges.append(max(0.0, 1.5 - (min(S) - max(R))))
            leaks.append(-math.log(sum(map(math.exp, S)) / sum(map(math.exp, S + R))))
            kept = [math.exp(seen[key]) for key in range(row + 1) if not one.is_rest[key]]
            entropies.append(-sum(x / sum(kept) * math.log(x / sum(kept)) for x in kept))
    assert float(steering.margins[0]) == pytest.approx(sum(hinges) / len(hinges), rel=1e-4)
    assert float(steering.leaks[0]) == pytest.approx(sum(leaks) / len(leaks), rel=1e-4)
    assert float(steering.entropies[0]) == pytest.approx(sum(entropies) / len(entropies), rel=1e-4)


def test_losses_ask_only_of_the_named_heads() -> None:
    one = lesson(Random(1), size=12)
    scores = torch.randn(1, HEADS, 16, 16, generator=torch.Generator().manual_seed(0), requires_grad=True)
    asked = Conditioning(leak_weight=1.0, heads=((0, 1),))
    losses(scores * 1.0, one, asked).loss().backward()
    assert (scores.grad[:, 0] == 0.0).all()
    assert (scores.grad[:, 1] != 0.0).any()
    assert losses(scores.detach(), one, asked, layer=1).loss() is None


def test_focus_leaves_the_scores_of_the_rest_alone() -> None:
    one = lesson(Random(2), size=12)
    scores = torch.randn(1, HEADS, 16, 16, generator=torch.Generator().manual_seed(0), requires_grad=True)
    losses(scores * 1.0, one, Conditioning(focus_weight=1.0)).loss().backward()
    assert (scores.grad[..., :12][..., torch.tensor(one.is_rest)] == 0.0).all()
    assert (scores.grad[..., 11, :12][..., torch.tensor(one.targets)] != 0.0).any()


def test_shift_of_the_floor_has_no_gradient_and_raw_leak_has_one() -> None:
    one = lesson(Random(2), size=12)
    scores = torch.randn(1, HEADS, 16, 16, generator=torch.Generator().manual_seed(0), requires_grad=True)
    floor = Conditioning(dial="floor", leak_weight=1.0)
    steering = steering_of([one], [0.9], [0.0], floor, "cpu")
    mask = collate([one], Random(0), 0.0, "cpu").mask.float()
    shifted = steering.steer(scores * 1.0, mask, 0, 1)
    through = torch.autograd.grad(shifted.sum(), scores, retain_graph=True)[0]
    assert torch.equal(through, torch.ones_like(through))
    of_leak = torch.autograd.grad(steering.loss(), scores)[0][0, :, -5]  # row 11 of 16
    assert (of_leak[:, [place for place, kind in enumerate(one.kinds) if kind == MESSAGE]] > 0.0).all()


def test_decision_rows_may_be_a_paragraph_that_is_its_own_target() -> None:
    one = lesson(Random(3), size=12)
    own = tuple(place == 1 or place >= 6 for place in range(12))
    text = replace(one, decision_from=6, is_target=own, is_rest=tuple(1 < place < 6 for place in range(12)))
    assert text.target_share == 7 / 11
    seen = examination(model(), [text], value=0.7)
    assert all(layer.steered_fidelity >= 0.7 - 1e-6 for layer in seen.layers)


def test_lesson_without_a_target_before_its_decision_is_refused_under_a_dial() -> None:
    blind = replace(lesson(Random(3), size=12), is_target=(False,) * 12)
    with pytest.raises(DialError, match="got a lesson with none"):
        examination(model(), [blind], value=0.5)


# Examination


def test_examination_at_dial_0_agrees_with_eager_attention() -> None:
    pool = [lesson(Random(seed)) for seed in range(6)]
    made = model()
    seen = examination(made, pool, batch_tokens=64)
    fidelities, masses, entropies = [], [], []
    made.set_attn_implementation("eager")
    for one in pool:
        with torch.no_grad():
            attentions = made(
                torch.tensor([one.ids]),
                position_ids=torch.tensor([one.positions]),
                block_kinds=torch.tensor([one.kinds]),
                output_attentions=True,
            ).attentions
        rows = torch.stack(attentions)[:, 0, :, one.first_decision_row :].double()
        m_S, m_R = rows[..., list(one.targets)].sum(-1), rows[..., list(one.is_rest)].sum(-1)
        fidelities += (m_S / (m_S + m_R)).flatten().tolist()
        masses += m_S.flatten().tolist()
        entropies += (-torch.xlogy(rows, rows).sum(-1) / math.log(2)).flatten().tolist()
    assert seen.raw_fidelity == seen.steered_fidelity == pytest.approx(sum(fidelities) / len(fidelities), abs=1e-5)
    assert seen.target_mass == pytest.approx(sum(masses) / len(masses), abs=1e-5)
    assert seen.entropy_bits == pytest.approx(sum(entropies) / len(entropies), abs=1e-4)
    assert made.config._attn_implementation == "eager"


@given(st.sampled_from([0.3, 0.8, 1.0]), st.sampled_from([0.0, 3.0]))
def test_examined_fidelity_of_each_layer_is_at_least_its_floor(value, gamma) -> None:
    seen = examination(model(), [lesson(Random(seed)) for seed in range(3)], value=value, gamma=gamma)
    for layer, one in enumerate(seen.layers):
        assert one.steered_fidelity >= layer_floor(value, layer, 2, gamma) - 1e-5
        assert one.steered_fidelity >= one.raw_fidelity - 1e-6
    assert seen.perplexity == pytest.approx(math.exp(seen.loss))


def test_examination_at_a_full_cut_does_not_depend_on_the_message() -> None:
    one = lesson(Random(4), size=14)
    other = replace(one, ids=tuple(7 if kind == MESSAGE else word for word, kind in zip(one.ids, one.kinds)))  # noqa: B905
    assert other.ids != one.ids
    assert examination(model(), [one], value=1.0).loss == examination(model(), [other], value=1.0).loss
    assert examination(model(), [one], value=0.9).loss != examination(model(), [other], value=0.9).loss


def test_forbidden_stays_forbidden_under_every_shift() -> None:
    assert math.exp(FORBIDDEN) == 0.0
