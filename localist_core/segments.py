"""Attention by block: exact masses of every block and the output under any dial, from one set of scores.

Two back ends of one contract. `reference` is the specification: float64, block by block, partial outputs O_b and
log-sum-exps L_b merged as w = softmax_b(L_b + beta_b), out = sum_b w_b O_b (framework, sections 2 and 3). `packed` is
what runs, on CPU and GPU: float32, all blocks at once by matrix products, for the few decision rows of a batch.

Dimension words: README.md. Scores s, log-sum-exps L_S, L_R, L_N and beta are in nats.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor


class Group(IntEnum):
    """What a token is to the dial."""

    NEUTRAL = 0
    TARGET = 1
    REST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """How the keys of a batch fall into blocks, and what the decision rows may do with them in one layer."""

    membership: Tensor
    """(batch, key, block) float32: 1 where the token stands in the block; padding has none."""
    groups: Tensor
    """(batch, key) int64, a `Group`."""
    visible: Tensor
    """(batch, 1, row, key) bool: what each row may see; padding is never visible."""
    floor: Tensor
    """(batch,) float32 in [0, 1]: the fidelity floor of this layer; 0 = off, 1 = hard cut."""
    has_floor: bool
    """Whether any floor is above 0."""
    has_cut: bool
    """Whether any floor is 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attended:
    """Attention of the rows, and where it rested."""

    output: Tensor
    """(batch, head, row, width) under the dial."""
    raw: Tensor
    """(batch, head, row, block) masses before the dial; a sink logit of the model is one more, last, block."""
    steered: Tensor
    """(batch, head, row, block) masses under the dial."""
    raw_fidelity: Tensor
    """(batch, head, row) before the dial; NaN where neither target nor rest is visible."""
    steered_fidelity: Tensor
    """(batch, head, row) under the dial; NaN likewise."""


def packed(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    segments: Segments,
    *,
    scale: float,
    softcap: float | None = None,
    sink: Tensor | None = None,
) -> Attended:
    """Attention of a few rows in float32.

    Args:
        query: (batch, head, row, width).
        key: (batch, kv head, key, width), any dtype.
        value: (batch, kv head, key, width).
        segments: the blocks. Every row sees a key; a row with a floor above 0 sees a target (the caller checks).
        scale: factor on q.k.
        softcap: logits are softcap * tanh(s / softcap).
        sink: (head,) extra logits without a key, neutral; None = none.
    """
    scores = _scores(query.float(), key.float(), scale, softcap)
    scores = scores.masked_fill(~segments.visible, -torch.inf)
    cut = None
    if segments.has_cut:
        cut = (segments.floor == 1.0)[:, None] & (segments.groups == Group.REST)
        # A poisoned key that is cut must not reach a sum: 0 * inf is NaN.
        scores = scores.masked_fill(cut[:, None, None] & ~scores.isfinite(), -torch.inf)
    of_group = torch.nn.functional.one_hot(segments.groups, len(Group)).to(scores)
    tops = _tops(scores, segments, sink)
    # Each token relative to the top of its own group: no group underflows because another one towers above it.
    exps = (scores - _flat(tops, of_group.mT)).exp()
    block_sums = _flat(exps, segments.membership)
    group_sums = _flat(exps, of_group)
    if sink is not None:
        extra = (sink.float()[None, :, None] - tops[..., Group.NEUTRAL]).exp()
        group_sums[..., Group.NEUTRAL] += extra
        block_sums = torch.cat([block_sums, extra[..., None]], dim=-1)
    L = tops + group_sums.log()
    of_block = _group_of_block(segments, of_group, has_sink=sink is not None)
    raw = block_sums * _flat((tops - L.logsumexp(-1, keepdim=True)).exp(), of_block)
    raw_fidelity = _fidelity(L)
    steered, steered_fidelity = raw, raw_fidelity
    weights = (tops - L.logsumexp(-1, keepdim=True)).exp()
    if segments.has_floor:
        shifted = L.clone()
        shifted[..., Group.REST] += rest_bias(L, segments.floor[:, None, None])
        # What a cut leaves of the rest is exactly nothing, whatever its scores are.
        weights = (tops + (shifted - L).nan_to_num(nan=0.0) - shifted.logsumexp(-1, keepdim=True)).exp()
        steered = block_sums * _flat(weights, of_block)
        steered_fidelity = _fidelity(shifted)
    probabilities = exps * _flat(weights, of_group.mT)
    value = value.float()
    if cut is not None:
        value = value.masked_fill(cut[:, None, :, None], 0.0)
    return Attended(
        output=_grouped(probabilities, value.shape[1], value),
        raw=raw,
        steered=steered,
        raw_fidelity=raw_fidelity,
        steered_fidelity=steered_fidelity,
    )


def rest_bias(L: Tensor, floor: Tensor) -> Tensor:
    """The shift of the rest: min(0, L_S - L_R - log(floor / (1 - floor))), 0 where the floor is 0, -inf where it is 1.

    Args:
        L: (..., group) log-sum-exps of neutral, target, rest; -inf = not visible.
        floor: broadcasts to `L` without its last axis.
    """
    L_S, L_R = L[..., Group.TARGET], L[..., Group.REST]
    bias = (L_S - L_R - torch.logit(floor.to(L))).clamp(max=0.0)
    is_untouched = (floor == 0.0) | (L_R == -torch.inf)
    return torch.where(is_untouched, 0.0, torch.where(floor == 1.0, -torch.inf, bias))


def reference(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    segments: Segments,
    *,
    scale: float,
    softcap: float | None = None,
    sink: Tensor | None = None,
) -> Attended:
    """The specification in float64: one softmax for each block, merged. Slow; same arguments as `packed`."""
    scores = _scores(query.double(), key.double(), scale, softcap)
    batch, heads, rows, _ = scores.shape
    blocks = segments.membership.shape[-1]
    value = value.double().repeat_interleave(heads // value.shape[1], dim=1)
    L_b = scores.new_full((batch, heads, rows, blocks), -torch.inf)
    O_b = scores.new_zeros((batch, heads, rows, blocks, value.shape[-1]))
    group_b = torch.zeros(batch, blocks, dtype=torch.long)
    for b in range(batch):
        for block in range(blocks):
            keys = segments.membership[b, :, block].bool().nonzero()[:, 0]
            if not len(keys):
                continue
            group_b[b, block] = segments.groups[b, keys[0]]
            if group_b[b, block] == Group.REST and segments.floor[b] == 1.0:
                seen = scores[b][..., keys].nan_to_num(nan=-torch.inf, posinf=-torch.inf)
            else:
                seen = scores[b][..., keys]
            seen = seen.masked_fill(~segments.visible[b][..., keys], -torch.inf)
            L_b[b, ..., block] = seen.logsumexp(-1)
            inside = (seen - L_b[b, ..., block, None]).exp().nan_to_num(nan=0.0)
            O_b[b, ..., block, :] = inside @ value[b][:, keys]
    if sink is not None:
        L_b = torch.cat([L_b, sink.double()[None, :, None, None].expand(batch, heads, rows, 1)], dim=-1)
        O_b = torch.cat([O_b, torch.zeros_like(O_b[..., :1, :])], dim=-2)
        group_b = torch.cat([group_b, torch.zeros(batch, 1, dtype=torch.long)], dim=-1)
    L = torch.stack(
        [L_b.masked_fill((group_b != group)[:, None, None], -torch.inf).logsumexp(-1) for group in Group], dim=-1
    )
    beta = rest_bias(L, segments.floor.double()[:, None, None])
    is_rest = (group_b == Group.REST)[:, None, None]
    shifted_b = torch.where(is_rest, L_b + beta[..., None], L_b)
    steered = shifted_b.softmax(-1)
    shifted = L.clone()
    shifted[..., Group.REST] += beta
    parts = O_b.masked_fill((steered == 0.0)[..., None], 0.0)
    return Attended(
        output=(steered[..., None] * parts).sum(-2),
        raw=L_b.softmax(-1),
        steered=steered,
        raw_fidelity=_fidelity(L),
        steered_fidelity=_fidelity(shifted),
    )


def entropy_bits(masses: Tensor) -> Tensor:
    """Block entropy -sum_b m_b log2 m_b over the last axis; empty blocks contribute 0."""
    return -torch.xlogy(masses, masses).sum(-1) / torch.log(torch.tensor(2.0)).item()


def _scores(query: Tensor, key: Tensor, scale: float, softcap: float | None) -> Tensor:
    scores = _grouped(query, key.shape[1], key.mT) * scale
    return scores if softcap is None else torch.tanh(scores / softcap) * softcap


def _grouped(rows: Tensor, kv_heads: int, right: Tensor) -> Tensor:
    """(batch, head, row, x) times (batch, kv head, x, y): each kv head serves its group of heads."""
    batch, heads, num_rows, width = rows.shape
    product = rows.reshape(batch, kv_heads, heads // kv_heads * num_rows, width) @ right
    return product.reshape(batch, heads, num_rows, right.shape[-1])


def _flat(values: Tensor, right: Tensor) -> Tensor:
    """(batch, head, row, x) times (batch, x, y), one product for each batch entry."""
    return (values.flatten(1, 2) @ right).unflatten(1, values.shape[1:3])


def _tops(scores: Tensor, segments: Segments, sink: Tensor | None) -> Tensor:
    """Highest score of each group for each row, (batch, head, row, group); 0 where the group is not visible."""
    tops = torch.stack(
        [scores.masked_fill((segments.groups != group)[:, None, None], -torch.inf).amax(-1) for group in Group], dim=-1
    )
    if sink is not None:
        tops[..., Group.NEUTRAL] = torch.maximum(tops[..., Group.NEUTRAL], sink.float()[None, :, None])
    return tops.masked_fill(tops == -torch.inf, 0.0)


def _group_of_block(segments: Segments, of_group: Tensor, *, has_sink: bool) -> Tensor:
    """(batch, group, block): 1 where the block's tokens are of the group; a sink is neutral."""
    table = (of_group.mT @ segments.membership).clamp(max=1.0)
    if not has_sink:
        return table
    return torch.cat([table, torch.eye(len(Group))[:, :1].to(table).expand(len(table), -1, -1)], dim=-1)


def _fidelity(L: Tensor) -> Tensor:
    return torch.sigmoid(L[..., Group.TARGET] - L[..., Group.REST])
