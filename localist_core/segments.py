"""Attention by block: exact masses of every block and the output under any dial, from one set of scores.

Two back ends of one contract. `reference` is the specification: float64, block by block, partial outputs O_b and
log-sum-exps L_b merged as w = softmax_b(L_b + beta_b), out = sum_b w_b O_b (framework, sections 2 and 3). `packed` is
what runs, on CPU and GPU: float32, all blocks at once by matrix products, for the few decision rows of a batch.

Dimension words: README.md. Scores s, log-sum-exps L_S, L_R, L_N and beta are in nats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import accumulate, pairwise

import torch
from torch import Tensor


class Group(IntEnum):
    """What a token is to the dial."""

    NEUTRAL = 0
    TARGET = 1
    REST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the keys of a batch fall into blocks and groups; the same in every layer. Build it with `layout_of`."""

    membership: Tensor
    """(batch, key, block) float32: 1 where the token stands in the block; padding has none."""
    groups: Tensor
    """(batch, key) int64, a `Group`; all tokens of a block have the same."""
    of_token: Tensor
    """(batch, key, group) float32: 1 for the token's group."""
    of_block: Tensor
    """(batch, group, block) float32: 1 for the block's group; a block without tokens has none."""
    outside: Tensor
    """(batch, group, key) float32: 0 for the tokens of the group, -inf for all others."""

    def taken(self, keys: Tensor) -> Layout:
        """The layout of these keys alone, given by index; an index of -1 is padding."""
        kept = keys.clamp(min=0)
        lost = (keys < 0)[:, None]
        return Layout(
            membership=self.membership[:, kept].masked_fill(lost, 0.0),
            groups=self.groups[:, kept].masked_fill(lost[:, 0], Group.NEUTRAL),
            of_token=self.of_token[:, kept],
            of_block=self.of_block,
            outside=self.outside[:, :, kept],
        )

    def extended(self, like: Tensor) -> Layout:
        """With more keys for each batch entry, of the blocks of the keys with these indices, (batch, new)."""
        batch = torch.arange(len(like), device=like.device)[:, None]
        return Layout(
            membership=torch.cat([self.membership, self.membership[batch, like]], dim=1),
            groups=torch.cat([self.groups, self.groups[batch, like]], dim=1),
            of_token=torch.cat([self.of_token, self.of_token[batch, like]], dim=1),
            of_block=self.of_block,
            outside=torch.cat([self.outside, self.outside[batch, :, like].mT], dim=2),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """The layout of a batch, and what its decision rows may do with it in one layer."""

    layout: Layout
    hidden: Tensor
    """(batch, 1, row, key) bool: True where a row must not look; padding is always hidden."""
    floor: Tensor
    """(batch, 1 or head) float32 in [0, 1]: the dial of each batch entry and head; 0 = off, 1 = hard cut."""
    has_floor: bool
    """Whether any of them is above 0."""
    has_cut: bool
    """Whether any of them is 1."""
    is_odds: Tensor | None = None
    """(batch,) bool: the entries under the odds dial; None = all are under the floor dial."""


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
    bias: Tensor
    """(batch, head, row) what the dial adds to every logit of the rest, in nats, <= 0."""
    token_entropy_bits: Tensor
    """(batch, head, row) under the dial, over all tokens; a model's own attention sink is one more."""
    inner_entropy_bits: Tensor
    """(batch, head, row) under the dial, over the tokens that are not neutral; NaN where none is visible."""


def layout_of(membership: Tensor, groups: Tensor) -> Layout:
    """The layout of these blocks (batch, key, block) and groups (batch, key)."""
    of_token = torch.nn.functional.one_hot(groups, len(Group)).to(membership)
    return Layout(
        membership=membership,
        groups=groups,
        of_token=of_token,
        of_block=(of_token.mT @ membership).clamp(max=1.0),
        outside=torch.where(of_token.mT > 0.0, 0.0, -torch.inf),
    )


def packed(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    segments: Segments,
    *,
    scale: float,
    softcap: float | None = None,
    sink: Tensor | None = None,
    before: tuple[Tensor, Tensor] | None = None,
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
        before: keys and values that stand before these, (1 or batch, kv head, key, width); they are not copied.
    """
    layout = segments.layout
    parts = [(key, value)] if before is None else [before, (key, value)]
    values = [part for _, part in parts]
    scores = torch.cat([_scores(query.float(), part.float(), scale, softcap) for part, _ in parts], dim=-1)
    scores = scores.masked_fill(segments.hidden, -torch.inf)
    if segments.has_cut:
        is_cut = segments.floor == 1.0
        is_rest = layout.groups == Group.REST
        # A poisoned key or value that is cut must not reach a sum: 0 * inf is NaN. Values are those of several heads.
        cut = is_cut[:, :, None, None] & is_rest[:, None, None]
        scores = scores.masked_fill(cut & ~scores.isfinite(), -torch.inf)
        gone = _split((is_cut.all(1)[:, None] & is_rest)[:, None, None], values)
        values = [part.masked_fill(lost.mT, 0.0) for part, lost in zip(values, gone, strict=True)]
    # Each group relative to its own top: none underflows because another towers above it.
    tops = _tops(scores, layout, sink)
    # exp of -200 is 0 in float32, and so is its product with itself.
    below = (scores - _flat(tops, layout.of_token.mT)).clamp(min=-200.0)
    exps = below.exp()
    block_sums, of_block = _flat(exps, layout.membership), layout.of_block
    below_sums = _flat(exps * below, layout.of_token)
    if sink is not None:
        extra = sink.float()[None, :, None] - tops[..., Group.NEUTRAL]
        below_sums[..., Group.NEUTRAL] += extra.exp() * extra
        block_sums = torch.cat([block_sums, extra.exp()[..., None]], dim=-1)
        is_neutral = torch.eye(len(Group))[:, :1].to(of_block)
        of_block = torch.cat([of_block, is_neutral.expand(len(of_block), -1, -1)], dim=-1)
    group_sums = _flat(block_sums, of_block.mT)
    L = tops + group_sums.log()
    weights = (tops - L.logsumexp(-1, keepdim=True)).exp()
    raw = steered = block_sums * _flat(weights, of_block)
    raw_fidelity = steered_fidelity = _fidelity(L)
    bias = torch.zeros_like(raw_fidelity)
    if segments.has_floor:
        bias = bias_of(L, segments)
        tops[..., Group.REST] += bias
        L[..., Group.REST] += bias
        weights = (tops - L.logsumexp(-1, keepdim=True)).exp()
        steered, steered_fidelity = block_sums * _flat(weights, of_block), _fidelity(L)
    inside = group_sums.log() - below_sums / group_sums
    token_entropy, inner_entropy = entropies_of(weights * group_sums, inside.masked_fill(group_sums == 0.0, 0.0))
    shares = _split(exps * _flat(weights, layout.of_token.mT), values)
    outputs = [_grouped(share, part.shape[1], part.float()) for share, part in zip(shares, values, strict=True)]
    return Attended(
        output=outputs[0] if before is None else outputs[0] + outputs[1],
        raw=raw,
        steered=steered,
        raw_fidelity=raw_fidelity,
        steered_fidelity=steered_fidelity,
        bias=bias,
        token_entropy_bits=token_entropy,
        inner_entropy_bits=inner_entropy,
    )


def rest_bias(L: Tensor, floor: Tensor, is_odds: Tensor | None = None) -> Tensor:
    """The shift of the rest: min(0, L_S - L_R - log(floor / (1 - floor))), under the odds dial log(1 - floor).

    It is 0 where the dial is 0 or no rest is visible, and -inf where the dial is 1 (framework, section 3).

    Args:
        L: (..., group) log-sum-exps of neutral, target, rest; -inf = not visible.
        floor: the dial; broadcasts to `L` without its last axis.
        is_odds: likewise, bool; None = nowhere.
    """
    L_S, L_R, floor = L[..., Group.TARGET], L[..., Group.REST], floor.to(L)
    bias = (L_S - L_R - torch.logit(floor)).clamp(max=0.0)
    if is_odds is not None:
        bias = torch.where(is_odds, torch.log1p(-floor), bias)
    is_untouched = (floor == 0.0) | L_R.isneginf()
    return torch.where(is_untouched, 0.0, torch.where(floor == 1.0, -torch.inf, bias))


def bias_of(L: Tensor, segments: Segments) -> Tensor:
    """(batch, head, row) shift of the rest from the log-sum-exps (batch, head, row, group)."""
    is_odds = segments.is_odds
    return rest_bias(L, segments.floor[..., None], None if is_odds is None else is_odds[:, None, None])


def entropies_of(masses: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Entropy over all tokens, and over those that are not neutral, in bits: H = sum_g w_g (H_g - ln w_g).

    Args:
        masses: (batch, head, row, group) w_g, sum 1.
        inside: (batch, head, row, group) H_g, the entropy inside each group, in nats; 0 for an empty one.
    """
    inner = masses[..., Group.TARGET :]
    shares = inner / inner.sum(-1, keepdim=True)
    return _summed_bits(masses, inside), _summed_bits(shares, inside[..., Group.TARGET :])


def _summed_bits(weights: Tensor, inside: Tensor) -> Tensor:
    return (weights * inside - torch.xlogy(weights, weights)).sum(-1).clamp(min=0.0) / math.log(2.0)


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
    layout, blocks = segments.layout, segments.layout.membership.shape[-1]
    value = value.double().repeat_interleave(heads // value.shape[1], dim=1)
    L_b = scores.new_full((batch, heads, rows, blocks), -torch.inf)
    O_b = scores.new_zeros((batch, heads, rows, blocks, value.shape[-1]))
    H_b = scores.new_zeros((batch, heads, rows, blocks))
    group_b = torch.zeros(batch, blocks, dtype=torch.long)
    for b in range(batch):
        for block in range(blocks):
            keys = layout.membership[b, :, block].bool().nonzero()[:, 0]
            if not len(keys):
                continue
            group_b[b, block] = layout.groups[b, keys[0]]
            seen = scores[b][..., keys]
            if group_b[b, block] == Group.REST:
                harmless = seen.nan_to_num(nan=-torch.inf, posinf=-torch.inf)
                seen = torch.where((segments.floor[b] == 1.0)[:, None, None], harmless, seen)
            seen = seen.masked_fill(segments.hidden[b][..., keys], -torch.inf)
            L_b[b, ..., block] = seen.logsumexp(-1)
            inside = (seen - L_b[b, ..., block, None]).exp().nan_to_num(nan=0.0)
            O_b[b, ..., block, :] = inside @ value[b][:, keys]
            H_b[b, ..., block] = -torch.xlogy(inside, inside).sum(-1)
    if sink is not None:
        L_b = torch.cat([L_b, sink.double()[None, :, None, None].expand(batch, heads, rows, 1)], dim=-1)
        O_b = torch.cat([O_b, torch.zeros_like(O_b[..., :1, :])], dim=-2)
        H_b = torch.cat([H_b, torch.zeros_like(H_b[..., :1])], dim=-1)
        group_b = torch.cat([group_b, torch.zeros(batch, 1, dtype=torch.long)], dim=-1)
    L = torch.stack(
        [L_b.masked_fill((group_b != group)[:, None, None], -torch.inf).logsumexp(-1) for group in Group], dim=-1
    )
    beta = bias_of(L, segments)
    is_rest = (group_b == Group.REST)[:, None, None]
    shifted_b = torch.where(is_rest, L_b + beta[..., None], L_b)
    steered = shifted_b.softmax(-1)
    shifted = L.clone()
    shifted[..., Group.REST] += beta
    parts = O_b.masked_fill((steered == 0.0)[..., None], 0.0)
    inner = steered.masked_fill((group_b == Group.NEUTRAL)[:, None, None], 0.0)
    return Attended(
        output=(steered[..., None] * parts).sum(-2),
        raw=L_b.softmax(-1),
        steered=steered,
        raw_fidelity=_fidelity(L),
        steered_fidelity=_fidelity(shifted),
        bias=beta,
        token_entropy_bits=_summed_bits(steered, H_b),
        inner_entropy_bits=_summed_bits(inner / inner.sum(-1, keepdim=True), H_b),
    )


def entropy_bits(masses: Tensor) -> Tensor:
    """Block entropy -sum_b m_b log2 m_b over the last axis; empty blocks contribute 0."""
    return -torch.xlogy(masses, masses).sum(-1) / math.log(2.0)


def _scores(query: Tensor, key: Tensor, scale: float, softcap: float | None) -> Tensor:
    scores = _grouped(query, key.shape[1], key.mT) * scale
    return scores if softcap is None else torch.tanh(scores / softcap) * softcap


def _grouped(rows: Tensor, kv_heads: int, right: Tensor) -> Tensor:
    """(batch, head, row, x) times (1 or batch, kv head, x, y): each kv head serves its group of heads."""
    batch, heads, num_rows, width = rows.shape
    rows = rows.reshape(batch, kv_heads, heads // kv_heads * num_rows, width)
    if len(right) == 1:  # one product for each batch entry all the same, so that no bit depends on the batch
        product = torch.stack(
            [torch.bmm(rows[:, head], right[0, head].expand(batch, -1, -1)) for head in range(kv_heads)], 1
        )
    else:
        product = rows @ right
    return product.reshape(batch, heads, num_rows, right.shape[-1])


def _split(of_keys: Tensor, parts: Sequence[Tensor]) -> list[Tensor]:
    """(..., key) cut where the parts, each (..., key, width), end."""
    ends = list(accumulate(part.shape[-2] for part in parts))
    return [of_keys[..., start:end] for start, end in pairwise([0, *ends])]


def _flat(values: Tensor, right: Tensor) -> Tensor:
    """(batch, head, row, x) times (batch, x, y), one product for each batch entry."""
    return (values.flatten(1, 2) @ right).reshape(*values.shape[:3], right.shape[-1])


def _tops(scores: Tensor, layout: Layout, sink: Tensor | None) -> Tensor:
    """Highest score of each group for each row, (batch, head, row, group); 0 where the group is not visible."""
    tops = torch.stack([(scores + layout.outside[:, group, None, None]).amax(-1) for group in Group], dim=-1)
    if sink is not None:
        tops[..., Group.NEUTRAL] = torch.maximum(tops[..., Group.NEUTRAL], sink.float()[None, :, None])
    return tops.masked_fill(tops.isneginf(), 0.0)


def _fidelity(L: Tensor) -> Tensor:
    return torch.sigmoid(L[..., Group.TARGET] - L[..., Group.REST])
