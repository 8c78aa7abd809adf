"""Attention by block: how keys fall into blocks, what the dial asks, and what every back end gives back.

Back ends of one contract: `reference` (reference.py) is the specification, `packed` (packed.py) is what runs.

Dimension words: README.md. Scores s, log-sum-exps L_S, L_R, L_N and beta are in nats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import IntEnum

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
    of_token: Tensor
    """(batch, key, group) float32: 1 for the token's group."""
    columns: Tensor
    """(batch, key, block + group) float32: both side by side, so that one product sums over both; they are views."""
    groups: Tensor
    """(batch, key) int64, a `Group`; all tokens of a block have the same."""
    of_block: Tensor
    """(batch, group, block) float32: 1 for the block's group; a block without tokens has none."""
    outside: Tensor
    """(batch, group, key) float32: 0 for the tokens of the group, -inf for all others."""

    def of(self, entry: int) -> Layout:
        """The layout of one batch entry."""
        one = slice(entry, entry + 1)
        return _layout(
            columns=self.columns[one], groups=self.groups[one], of_block=self.of_block[one], outside=self.outside[one]
        )

    def taken(self, keys: Tensor) -> Layout:
        """The layout of these keys alone, given by index; an index of -1 is padding."""
        kept = keys.clamp(min=0)
        lost = (keys < 0)[:, None]
        membership = self.membership[:, kept].masked_fill(lost, 0.0)
        return _layout(
            columns=torch.cat([membership, self.of_token[:, kept]], dim=-1),
            groups=self.groups[:, kept].masked_fill(lost[:, 0], Group.NEUTRAL),
            of_block=self.of_block,
            outside=self.outside[:, :, kept],
        )

    def extended(self, like: Tensor) -> Layout:
        """With more keys for each batch entry, of the blocks of the keys with these indices, (batch, new)."""
        batch = torch.arange(len(like), device=like.device)[:, None]
        return _layout(
            columns=torch.cat([self.columns, self.columns[batch, like]], dim=1),
            groups=torch.cat([self.groups, self.groups[batch, like]], dim=1),
            of_block=self.of_block,
            outside=torch.cat([self.outside, self.outside[batch, :, like].mT], dim=2),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """The layout of a batch, and what its decision rows may do with it in one layer."""

    layout: Layout
    hidden: Tensor | None
    """(batch, 1, row, key) bool: True where a row must not look; padding is always hidden. None = nothing is hidden."""
    floor: Tensor
    """(batch, 1 or head) float32 in [0, 1]: the dial of each batch entry and head; 0 = off, 1 = hard cut."""
    has_floor: bool
    """Whether any of them is above 0."""
    has_cut: bool
    """Whether any of them is 1."""
    is_odds: Tensor | None = None
    """(batch,) bool: the entries under the odds dial; None = all are under the floor dial."""
    has_output: bool = True
    """Whether the output is asked for; a back end may give it all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attended:
    """Attention of the rows, and where it rested."""

    output: Tensor | None
    """(batch, head, row, width) under the dial; None if it was not asked for."""
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

    def without_output(self) -> Attended:
        """What is kept until all layers are done."""
        return replace(self, output=None)


def layout_of(membership: Tensor, groups: Tensor) -> Layout:
    """The layout of these blocks (batch, key, block) and groups (batch, key)."""
    of_token = torch.nn.functional.one_hot(groups, len(Group)).to(membership)
    return _layout(
        columns=torch.cat([membership, of_token], dim=-1),
        groups=groups,
        of_block=(of_token.mT @ membership).clamp(max=1.0),
        outside=torch.where(of_token.mT > 0.0, 0.0, -torch.inf),
    )


def _layout(*, columns: Tensor, groups: Tensor, of_block: Tensor, outside: Tensor) -> Layout:
    return Layout(
        membership=columns[..., : -len(Group)],
        of_token=columns[..., -len(Group) :],
        columns=columns,
        groups=groups,
        of_block=of_block,
        # Added to the scores in every layer: ten times faster where keys are neighbours in memory.
        outside=outside.contiguous(),
    )


def rest_bias(L: Tensor, floor: Tensor, is_odds: Tensor | None = None) -> Tensor:
    """The shift of the rest: min(0, L_S - L_R - log(floor / (1 - floor))), under the odds dial log(1 - floor).

    It is 0 where the dial is 0 or no rest is visible, and -inf where the dial is 1 (framework, section 3).

    Args:
        L: (..., group) log-sum-exps of neutral, target, rest; -inf = not visible.
        floor: the dial; broadcasts to `L` without its last axis.
        is_odds: likewise, bool; None = nowhere.
    """
    _, L_S, L_R = L.unbind(-1)
    floor = floor.to(L)
    # NaN comes of inf - inf: where the dial is 0 or there is no rest. NaN scores stay in L_R itself.
    bias = (L_S - L_R).sub_(torch.logit(floor)).clamp_(max=0.0).nan_to_num_(nan=0.0, neginf=-torch.inf)
    if is_odds is None:
        return bias
    return torch.where(is_odds, torch.where(L_R.isneginf(), 0.0, torch.log1p(-floor)), bias)


def bias_of(L: Tensor, segments: Segments) -> Tensor:
    """(batch, head, row) shift of the rest from the log-sum-exps (batch, head, row, group)."""
    is_odds = segments.is_odds
    return rest_bias(L, segments.floor[..., None], None if is_odds is None else is_odds[:, None, None])


def fidelity_of(L: Tensor) -> Tensor:
    """m_S / (m_S + m_R) from log-sum-exps of neutral, target, rest (..., group); NaN where neither is visible."""
    return torch.sigmoid(L[..., Group.TARGET] - L[..., Group.REST])


def entropy_bits(masses: Tensor) -> Tensor:
    """Block entropy -sum_b m_b log2 m_b over the last axis; empty blocks contribute 0."""
    return -torch.xlogy(masses, masses).sum(-1) / math.log(2.0)


def entropies_of(masses: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Entropy over all tokens, and over those that are not neutral, in bits; NaN where none of these is visible.

    Args:
        masses: (..., group) sum 1.
        inside: (..., group) entropy inside each group, in nats; 0 for an empty one.
    """
    inner = masses[..., Group.TARGET :]
    shares = inner / inner.sum(-1, keepdim=True)
    return joint_entropy_bits(masses, inside), joint_entropy_bits(shares, inside[..., Group.TARGET :])


def joint_entropy_bits(weights: Tensor, inside: Tensor) -> Tensor:
    """Entropy over all tokens from masses w of their groups or blocks and the entropy H_g inside each.

    H = sum_g w_g (H_g - ln w_g) / ln 2 over the last axis (framework, section 2). Empty ones contribute 0.

    Args:
        weights: (..., part) sum 1.
        inside: (..., part) in nats; 0 for an empty one.
    """
    return (weights * inside - torch.xlogy(weights, weights)).sum(-1).clamp(min=0.0) / math.log(2.0)
