"""Thresholds: on losses whose answer is known, and of a small trained model; observed against predicted."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from localist_core.attending.attention import LEAN
from localist_core.learning.objective import accumulate
from localist_core.learning.penalty import LocalistGroups, Penalised, Penalty, Side
from localist_core.learning.thresholds import (
    MET,
    SaddleError,
    factors_of,
    free_path,
    predicted_threshold,
    solve,
    thresholds,
)
from localist_core.learning.training import train
from tests.localist_core.learning.test_training import thread
from tests.localist_core.lessons import TINY, Recital, tokenizer

ONES = torch.ones(4, dtype=torch.float64)


class Plain(torch.nn.Module):
    """Queries and keys of one layer, two heads, four kinds; groups as a model has them, without a scale to hold."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        made = [torch.randn(6, 12, generator=generator, dtype=torch.float64) for _ in range(4)]
        self.centres = made[2:]
        self.sides = torch.nn.ParameterList(made[:2])
        self.penalised = tuple(
            Penalised(layer=0, side=side, parameter=parameter, num_heads=2, num_kinds=4, width=2)
            for side, parameter in zip(Side, self.sides, strict=True)
        )

    def still(self) -> None:
        pass

    def hold(self) -> None:
        pass

    def convex(self) -> float:
        """||W - C||^2 / 2."""
        loss = sum((one - centre).square().sum() / 2 for one, centre in zip(self.sides, self.centres))  # noqa: B905
        loss.backward()
        return loss.item()

    def quartic(self) -> float:
        """Not convex: minima away from zero that outlive the loss of stability at zero."""
        size = self.sides[0][0, 0]
        loss = (size.square() - 1.0).square() / 4 - 0.1 * size + self.sides[1].square().sum()
        loss.backward()
        return loss.item()


seeds = st.integers(0, 999)


@settings(max_examples=25)
@given(seeds, st.integers(0, 15))
def test_convex_loss_has_all_three_thresholds_at_the_norm_of_the_gradient(seed, index) -> None:
    made = Plain(seed)
    factor = factors_of(made, ONES * 2)[index]
    before = factor.values.clone()
    centre = factor.block(made.centres[factor.matrix.side is Side.KEY])
    found = thresholds(factor, made.convex, made)
    assert found.block == pytest.approx(float(centre.norm()) / 2)
    assert 0.0 <= found.deviation <= 0.021
    assert found.block / 1.021 <= found.reentry <= found.block
    assert found.residual <= MET
    assert torch.equal(factor.values, before)
    assert all(one.requires_grad for one in made.parameters())


@given(seeds, st.floats(0.1, 3))
def test_solution_of_one_factor_is_the_shrunk_centre_and_leaves_the_others(seed, strength) -> None:
    made = Plain(seed)
    factor = factors_of(made, ONES)[5]
    others = [one.detach().clone() for one in made.sides]
    centre = factor.block(made.centres[0])

    def evaluate() -> float:
        factor.matrix.parameter.grad = None
        return made.convex()

    assert solve(factor, evaluate, strength) <= MET
    expected = centre * max(0.0, 1.0 - strength / float(centre.norm()))
    torch.testing.assert_close(factor.values, expected, rtol=1e-2, atol=1e-2 * strength)
    factor.block(others[0])[:] = factor.values
    assert all(torch.equal(one, other) for one, other in zip(made.sides, others))  # noqa: B905


def test_loss_that_is_not_convex_jumps_later_than_predicted_and_comes_back_at_the_prediction() -> None:
    made = Plain(0)
    factor = factors_of(made, ONES)[0]
    factor.values.zero_()
    factor.values[0, 0, 0, 0] = 1.0
    far, near = (thresholds(factor, made.quartic, made, reach=reach) for reach in (8.0, 1.5))
    assert far.path > 2 * far.block
    assert near.path is None
    for found in (far, near):
        assert found.block == pytest.approx(0.1)
        assert found.block / 1.021 <= found.reentry <= found.block


@pytest.mark.parametrize("silent", [0, 1])
def test_head_without_queries_or_keys_is_a_saddle_and_is_refused(silent) -> None:
    made = Plain(1)
    with torch.no_grad():
        made.sides[silent][3:] = 0.0  # head 1
    for factor in factors_of(made, ONES):
        if factor.head == 0:
            assert predicted_threshold(factor, made.convex, made) > 0.0
        else:
            with pytest.raises(SaddleError, match=r"head 1, .* it is a saddle$"):
                predicted_threshold(factor, made.convex, made)


def test_free_path_goes_up_and_comes_back() -> None:
    made = Plain(2)
    factors = factors_of(made, ONES)[:3]

    def settle(strength: float) -> None:
        for factor in factors_of(made, ONES):
            centre = factor.block(made.centres[factor.matrix.side is Side.KEY])
            factor.values.copy_(centre * max(0.0, 1.0 - strength / float(centre.norm())))

    strengths = [0.5 * 1.3**power for power in range(10)]
    found = free_path(factors, made.convex, made, settle, strengths, tolerance=0.01)
    for factor, one in zip(factors, found, strict=True):
        size = float(factor.block(made.centres[0]).norm())
        assert one.block == pytest.approx(size)
        assert one.path == min(each for each in strengths if each >= size)
        assert one.reentry == max(each for each in strengths if each < size)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small model after some steps under a penalty, in float64, and the loss over its first pool."""
    out = tmp_path_factory.mktemp("thresholds")
    config = replace(TINY, tokens=4_000, dialled=0.0, penalty=Penalty(strength=0.005, lr=1.0))
    train(config, Recital(), tokenizer(), out, helper=thread)
    model = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float64)
    model.set_attn_implementation(LEAN)
    data, whole = Recital()(0)[:8], replace(config, batch_tokens=4096)
    return model, lambda: accumulate(model, data, whole, learns_language=False, device="cpu")


def test_thresholds_of_a_trained_model_are_those_predicted_unless_a_solution_jumps(trained) -> None:
    model, evaluate = trained
    factors = factors_of(LocalistGroups(model), torch.ones(10))
    alive = [one for one in factors if predicted_threshold(one, evaluate, model) > 1e-3]
    found = [thresholds(one, evaluate, model, start=0.8, ratio=1.04, reach=1.3) for one in alive[::2]]
    assert len(found) >= 5
    for one in found:
        assert one.path is None or one.path >= one.block * 0.99
        assert abs(one.reentry / one.block - 1.0) <= 0.05
    assert sum(abs(one.deviation) <= 0.05 for one in found) >= len(found) / 2
