"""What a back end for the decision rows gives: attention inside each part of the keys; and how parts are merged.

A **span** is a run of neighbouring keys of one block. A **part** is some spans of one group (neutral, target, rest): a
dial shifts whole groups, so outputs are kept for parts, and only log-sum-exps for every span. `Parts` is what a back
end returns, whatever computed it; `merged` turns it into `Attended` under any dial, in float32 and from the
log-sum-exps alone (framework, section 3, "one pass").

Spans are made once for a forward and read by every layer. They follow from a row's own layout, never from its
neighbours: a row alone and the same row in a batch add the same numbers in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from localist_core.attending.segments import Attended, Group, Layout, Segments, bias_of, entropies_of

CHUNK = 1024
"""Most keys of a span, and of a part: long prompts then keep a whole GPU busy though the rows are few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """The keys of a batch cut into spans and parts; each batch entry has its own, padded. Build it with `spans_of`."""

    starts: Tensor
    """(batch, span) int32: the first key; spans stand in the order of groups, then of keys. Padding is empty."""
    ends: Tensor
    """(batch, span) int32: behind the last key."""
    blocks: Tensor
    """(batch, span, block) float32: 1 for the span's block; padding has none."""
    groups: Tensor
    """(batch, span) int64, a `Group`; NEUTRAL in the padding."""
    firsts: Tensor
    """(batch, part) int32: the part's first span. Padding is empty."""
    lasts: Tensor
    """(batch, part) int32: behind the part's last span."""
    part_groups: Tensor
    """(batch, part) int64, a `Group`; NEUTRAL in the padding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Attention of the rows inside each part, before any dial."""

    outputs: Tensor
    """(batch, head, row, part, width) float32; anything where the row sees nothing of the part."""
    L: Tensor
    """(batch, head, row, part) float32 log-sum-exps in nats; -inf where the row sees nothing of the part."""
    inside: Tensor
    """(batch, head, row, part) float32 entropies inside the part in nats, 0 where the row sees nothing of it; NaN where
    the back end cannot give them exactly."""
    groups: Tensor
    """(batch, part) int64, a `Group`."""
    L_span: Tensor
    """(batch, head, row, span) float32; -inf where the row sees nothing of the span."""
    span_groups: Tensor
    """(batch, span) int64, a `Group`."""
    blocks: Tensor
    """(batch, span, block) float32: 1 for the span's block."""


class _Run(NamedTuple):
    """A span of one batch entry; sorts by group, then by key."""

    group: int
    start: int
    end: int
    block: int


class _Part(NamedTuple):
    first: int
    last: int
    group: int
    size: int
    """Keys in it."""


def spans_of(layout: Layout, taken: Tensor, *, chunk: int = CHUNK) -> Spans:
    """Cut keys into spans and parts.

    Args:
        layout: blocks and groups of all keys.
        taken: (batch, key) bool: the keys to cut up. Others, and padding, stand in no span.
        chunk: most keys of a span and of a part.
    """
    numbers = torch.arange(1.0, layout.membership.shape[-1] + 1.0, device=taken.device)
    blocks = ((layout.membership @ numbers) * taken).long().cpu() - 1
    groups = layout.groups.tolist()
    is_border = torch.nn.functional.pad(blocks[:, 1:] != blocks[:, :-1], (1, 1), value=True)
    runs = [
        _runs(border.nonzero()[:, 0].tolist(), of_key, group, chunk)
        for border, of_key, group in zip(is_border, blocks.tolist(), groups, strict=True)
    ]
    parts = [_parts(some, chunk) for some in runs]
    device, num_blocks = taken.device, layout.membership.shape[-1]
    group, start, end, block = _table(runs, 4, 8)
    first, last, part_group, _ = _table(parts, 4, 4)
    is_padding = (start == end)[..., None]
    return Spans(
        starts=start.int().to(device),
        ends=end.int().to(device),
        blocks=torch.nn.functional.one_hot(block, num_blocks).masked_fill(is_padding, 0).float().to(device),
        groups=group.to(device),
        firsts=first.int().to(device),
        lasts=last.int().to(device),
        part_groups=part_group.to(device),
    )


def merged(parts: Parts, segments: Segments, *, sink: Tensor | None = None) -> Attended:
    """The attention of the rows under the dial: out = sum_p w_p O_p with w = softmax_p(L_p + beta of p's group).

    Args:
        parts: attention inside each part.
        segments: the dial; every row sees a key, a row with a floor above 0 sees a target.
        sink: (head,) extra logits without a key, neutral; None = none.
    """
    parts = _uncut(parts, segments)
    L = _by_group(parts, sink)
    raw = steered = _masses(parts, L, torch.zeros_like(L), sink)
    bias = torch.zeros_like(L)
    if segments.has_floor:
        bias[..., Group.REST] = bias_of(L, segments)
        steered = _masses(parts, L, bias, sink)
    shifted = L + bias
    total = shifted.logsumexp(-1, keepdim=True)
    weights = (parts.L + _spread(bias, parts.groups) - total).exp()
    # What has no weight adds nothing, whatever it holds: 0 * inf is NaN.
    outputs = parts.outputs.masked_fill((weights == 0.0)[..., None], 0.0)
    token_entropy, inner_entropy = entropies_of((shifted - total).exp(), _inside(parts, L, sink))
    return Attended(
        # Products and sums of each row's own numbers: a matrix product on a GPU may depend on how many rows there are.
        output=(weights[..., None] * outputs).sum(-2),
        raw=raw,
        steered=steered,
        raw_fidelity=_fidelity(L),
        steered_fidelity=_fidelity(shifted),
        bias=bias[..., Group.REST],
        token_entropy_bits=token_entropy,
        inner_entropy_bits=inner_entropy,
    )


def dense_parts(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    layout: Layout,
    hidden: Tensor,
    *,
    scale: float,
    softcap: float | None = None,
) -> Parts:
    """Attention inside each group in float32 by matrix products, for a few keys; the groups are the parts.

    Args:
        query: (batch, head, row, width).
        key: (batch, kv head, key, width).
        value: (batch, kv head, key, width).
        layout: blocks and groups of these keys.
        hidden: (batch, 1, row, key) bool: True where a row must not look; padding is always hidden.
        scale: factor on q.k.
        softcap: logits are softcap * tanh(s / softcap).
    """
    key, value = (one.float().repeat_interleave(query.shape[1] // key.shape[1], dim=1) for one in (key, value))
    scores = query.float() @ key.mT * scale
    scores = scores if softcap is None else torch.tanh(scores / softcap) * softcap
    scores = scores.masked_fill(hidden, -torch.inf)
    outputs, L, entropies = [], [], []
    for group in Group:
        is_other = layout.groups != group
        inside = scores.masked_fill(is_other[:, None, None], -torch.inf)
        L.append(inside.logsumexp(-1))
        weights = (inside - L[-1][..., None]).exp().masked_fill(L[-1].isneginf()[..., None], 0.0)
        entropies.append(-torch.xlogy(weights, weights).sum(-1))
        outputs.append(weights @ value.masked_fill(is_other[:, None, :, None], 0.0))
    batch, blocks = layout.membership.shape[0], layout.membership.shape[-1]
    of_block = [scores.masked_fill(layout.membership[:, None, None, :, b] == 0.0, -torch.inf) for b in range(blocks)]
    device = query.device
    return Parts(
        outputs=torch.stack(outputs, dim=3),
        L=torch.stack(L, dim=-1),
        inside=torch.stack(entropies, dim=-1),
        groups=torch.arange(len(Group), device=device).expand(batch, -1),
        L_span=torch.stack([inside.logsumexp(-1) for inside in of_block], dim=-1),
        span_groups=layout.of_block.argmax(1),
        blocks=torch.eye(blocks, device=device).expand(batch, -1, -1),
    )


def joined(one: Parts, other: Parts) -> Parts:
    """The parts of both, which have no key in common."""
    return Parts(
        outputs=torch.cat([one.outputs, other.outputs], dim=3),
        L=torch.cat([one.L, other.L], dim=3),
        inside=torch.cat([one.inside, other.inside], dim=3),
        groups=torch.cat([one.groups, other.groups], dim=1),
        L_span=torch.cat([one.L_span, other.L_span], dim=3),
        span_groups=torch.cat([one.span_groups, other.span_groups], dim=1),
        blocks=torch.cat([one.blocks, other.blocks], dim=1),
    )


def _runs(borders: Sequence[int], of_key: Sequence[int], group_of: Sequence[int], chunk: int) -> list[_Run]:
    """The spans of one entry.

    Args:
        borders: keys at which another block begins, and the number of keys.
        of_key: the block of each key; -1 = in none.
        group_of: the group of each key.
        chunk: most keys of a span.
    """
    found: list[_Run] = []
    for start, end in pairwise(borders):
        if of_key[start] >= 0:
            pieces = range(start, end, chunk)
            found += [_Run(group_of[start], piece, min(piece + chunk, end), of_key[start]) for piece in pieces]
    return sorted(found)


def _parts(runs: Sequence[_Run], chunk: int) -> list[_Part]:
    """Neighbouring spans of one group put together while they have at most `chunk` keys."""
    found: list[_Part] = []
    for place, run in enumerate(runs):
        size = run.end - run.start
        if found and found[-1].group == run.group and found[-1].size + size <= chunk:
            found[-1] = found[-1]._replace(last=place + 1, size=found[-1].size + size)
        else:
            found.append(_Part(first=place, last=place + 1, group=run.group, size=size))
    return found


def _table(rows: Sequence[Sequence[tuple[int, ...]]], columns: int, step: int) -> Tensor:
    """(column, batch, place) int64 of tuples of numbers, padded with zeros to the same length, a multiple of `step`."""
    longest = max(1, -(-max(len(row) for row in rows) // step)) * step
    padded = [[*row, *[(0,) * columns] * (longest - len(row))] for row in rows]
    return torch.tensor(padded).movedim(-1, 0)


def _uncut(parts: Parts, segments: Segments) -> Parts:
    """Without log-sum-exps that are inf or NaN in what a hard cut takes away: a poisoned key must not reach a sum."""
    if not segments.has_cut:
        return parts
    is_cut = (segments.floor == 1.0)[..., None, None]

    def poisoned(L: Tensor, groups: Tensor) -> Tensor:
        return is_cut & (groups == Group.REST)[:, None, None] & ~L.isfinite()

    is_lost = poisoned(parts.L, parts.groups)
    return replace(
        parts,
        L=parts.L.masked_fill(is_lost, -torch.inf),
        inside=parts.inside.masked_fill(is_lost, 0.0),
        L_span=parts.L_span.masked_fill(poisoned(parts.L_span, parts.span_groups), -torch.inf),
    )


def _by_group(parts: Parts, sink: Tensor | None) -> Tensor:
    """Log-sum-exps of neutral, target, rest: (batch, head, row, group)."""
    L = torch.stack([one.logsumexp(-1) for one in _of_groups(parts, -torch.inf)], dim=-1)
    if sink is not None:
        L[..., Group.NEUTRAL] = torch.logaddexp(L[..., Group.NEUTRAL], sink.float()[None, :, None])
    return L


def _of_groups(parts: Parts, outside: float) -> list[Tensor]:
    """The log-sum-exps of the parts of each group, and this value for all other parts."""
    return [parts.L.masked_fill((parts.groups != group)[:, None, None], outside) for group in Group]


def _inside(parts: Parts, L: Tensor, sink: Tensor | None) -> Tensor:
    """Entropy inside each group in nats, (batch, head, row, group): H_g = sum_p u_p (H_p - ln u_p), u_p = p's share."""
    found = []
    for group, of_group in zip(Group, _of_groups(parts, -torch.inf), strict=True):
        log_share = (of_group - L[..., group, None]).masked_fill(of_group.isneginf(), 0.0)
        share = log_share.exp().masked_fill(of_group.isneginf(), 0.0)
        found.append((share * (parts.inside - log_share)).sum(-1))
    if sink is not None:
        log_share = sink.float()[None, :, None] - L[..., Group.NEUTRAL]
        found[Group.NEUTRAL] = found[Group.NEUTRAL] - log_share.exp() * log_share
    return torch.stack(found, dim=-1)


def _masses(parts: Parts, L: Tensor, bias: Tensor, sink: Tensor | None) -> Tensor:
    """Mass of each block, the sink's last, under a bias of each group: (batch, head, row, block)."""
    total = (L + bias).logsumexp(-1, keepdim=True)
    of_span = (parts.L_span + _spread(bias, parts.span_groups) - total).exp()
    masses = (of_span[..., None] * parts.blocks[:, None, None]).sum(-2)
    if sink is None:
        return masses
    return torch.cat([masses, (sink.float()[None, :, None, None] - total).exp()], dim=-1)


def _spread(bias: Tensor, groups: Tensor) -> Tensor:
    """The bias of each part or span from those of the groups, (batch, head, row, place)."""
    return bias.gather(-1, groups[:, None, None].expand(*bias.shape[:3], -1))


def _fidelity(L: Tensor) -> Tensor:
    return torch.sigmoid(L[..., Group.TARGET] - L[..., Group.REST])
