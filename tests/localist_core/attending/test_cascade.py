"""Attention behind a beginning: one softmax over all keys, taken apart; no bit of a row depends on its neighbours."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from localist_core.attending.cascade import can_cascade, cascaded

CPU = torch.device("cpu")


def made(batch: int, heads: int, kv_heads: int, tokens: int, prefix: int, *, shared: bool, seed: int):
    """Random query, beginning, own keys and values, and a causal mask."""
    torch.manual_seed(seed)
    query = torch.randn(batch, heads, tokens, 8)
    before = tuple(torch.randn(1 if shared else batch, kv_heads, prefix, 8) for _ in range(2))
    own = tuple(torch.randn(batch, kv_heads, tokens, 8) for _ in range(2))
    mask = torch.full((tokens, tokens), -torch.inf).triu(1).expand(batch, 1, -1, -1)
    return query, before, own, mask


def whole(query: Tensor, before, own, mask: Tensor, scale: float) -> Tensor:
    """The specification in float64: the keys one behind the other, one softmax."""
    key, value = (torch.cat([b.expand(len(o), -1, -1, -1), o], 2).double() for b, o in zip(before, own, strict=True))
    key, value = (part.repeat_interleave(query.shape[1] // part.shape[1], 1) for part in (key, value))
    free = torch.zeros(*mask.shape[:3], before[0].shape[2], dtype=torch.float64)
    scores = query.double() @ key.mT * scale + torch.cat([free, mask.double()], -1)
    return (scores.softmax(-1) @ value).transpose(1, 2)


@settings(max_examples=25)
@given(
    st.integers(1, 4),
    st.sampled_from([(2, 2), (4, 2), (4, 1)]),
    st.integers(1, 20),
    st.integers(1, 70),
    st.booleans(),
    st.integers(0, 99),
)
def test_cascade_is_one_softmax_over_all_keys(batch, heads, tokens, prefix, shared, seed) -> None:
    parts = made(batch, *heads, tokens, prefix, shared=shared, seed=seed)
    torch.testing.assert_close(
        cascaded(*parts, scale=0.7).double(), whole(*parts, scale=0.7), atol=2e-6, rtol=1e-5, check_stride=False
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shared", [True, False])
def test_row_alone_is_the_row_in_a_batch_bit_for_bit(shared, dtype) -> None:
    query, before, own, mask = made(64, 4, 2, 16, 48, shared=shared, seed=0)
    query, mask = query.to(dtype), mask.to(dtype)
    before, own = (tuple(part.to(dtype) for part in pair) for pair in (before, own))
    together = cascaded(query, before, own, mask, scale=0.3)
    for n in range(64):
        its = before if shared else tuple(part[n : n + 1] for part in before)
        alone = cascaded(query[n : n + 1], its, tuple(part[n : n + 1] for part in own), mask[n : n + 1], scale=0.3)
        assert torch.equal(alone[0], together[n])


def test_shared_beginning_gives_the_bits_of_copies_of_it() -> None:
    query, before, own, mask = made(8, 4, 2, 16, 48, shared=True, seed=1)
    copies = tuple(part.repeat(8, 1, 1, 1) for part in before)
    assert torch.equal(cascaded(query, before, own, mask, scale=0.3), cascaded(query, copies, own, mask, scale=0.3))


def test_overwhelming_part_takes_all_the_weight() -> None:
    query, before, own, mask = made(1, 2, 2, 4, 8, shared=True, seed=2)
    loud = (query.mean(2, keepdim=True).expand(-1, -1, 8, -1) * 1e4, before[1])
    assert torch.isfinite(cascaded(query, loud, own, mask, scale=1.0)).all()


@pytest.mark.parametrize(
    ("stock", "device", "arguments"),
    [
        ("eager", CPU, {}),
        ("sdpa", torch.device("cuda"), {}),
        ("sdpa", CPU, {"softcap": 30.0}),
        ("sdpa", CPU, {"s_aux": torch.zeros(4)}),
        ("sdpa", CPU, {"sliding_window": 8}),
    ],
)
def test_what_the_kernel_cannot_do_is_left_to_the_plain_way(stock, device, arguments) -> None:
    assert not can_cascade(stock, device, arguments)


def test_plain_attention_can_be_taken_apart() -> None:
    assert can_cascade("sdpa", CPU, {"sliding_window": None, "softcap": None, "position_ids": None})
