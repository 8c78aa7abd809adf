"""Attention of all rows of one prompt under a dial, in one pass: partial outputs and log-sum-exps of runs of keys.

Keys of one group that stand side by side are a run. Flash attention gives the output of every row inside a run, and its
log-sum-exp; runs of one group merge into O_g and L_g, and any dial is then a choice of weights (framework, section 3):
w = softmax_g(L_g + beta_g), out = sum_g w_g O_g. Each run costs its share of plain attention: no row looks at a key
twice, and nothing of the size row * key is ever held.

CPU only, and only where a row sees exactly the keys before it: no window, no soft cap. `dense` does all else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from localist_core.attending.packed import sums
from localist_core.attending.segments import Group, Layout, Segments, rest_bias

CHUNK = 128
"""Rows that `dense` takes at a time."""


class Run(NamedTuple):
    """Keys of one group that stand side by side."""

    group: int
    start: int
    """The first key."""
    end: int
    """Behind the last."""


class Piece(NamedTuple):
    """A run, or a part of one, and the rows that see it."""

    group: int
    keys: slice
    first: int
    """The first row that sees any of it."""
    is_diagonal: bool
    """Whether row `first` is the first key itself, and each row sees one key more; else all rows see all keys."""
    last: int
    """Behind the last row of the piece."""


def runs_of(layout: Layout, entry: int) -> tuple[Run, ...]:
    """The runs of one batch entry in order; padding is in none."""
    is_there = layout.membership[entry].any(-1)
    labels, counts = torch.unique_consecutive(layout.groups[entry].where(is_there, -1), return_counts=True)
    found, end = [], 0
    for label, count in zip(labels.tolist(), counts.tolist(), strict=True):
        start, end = end, end + count
        if label >= 0:
            found.append(Run(label, start, end))
    return tuple(found)


def one_pass(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    runs: Sequence[Run],
    *,
    first: int,
    steered: int,
    floor: Tensor,
    is_odds: bool,
    scale: float,
    sink: Tensor | None = None,
) -> Tensor:
    """Attention of neighbouring rows, each of which sees the keys before it and its own: (head, row, width) float32.

    Args:
        query: (head, row, width), any dtype.
        key: (kv head, key, width).
        value: (kv head, key, width).
        runs: of all keys, see `runs_of`.
        first: the key that is the first row's own; the others follow.
        steered: the first row that is steered, and sees a target.
        floor: (1 or head,) the dial, see `Segments`.
        is_odds: whether it is the odds dial.
        scale: factor on q.k.
        sink: (head,) extra logits without a key, neutral; None = none.
    """
    # Torch's kernel does not check: without keys it reads what is not there.
    assert all(run.end <= key.shape[1] for run in runs)
    query, key, value = query.float(), key.float(), value.float()
    heads, rows, _ = query.shape
    outputs = query.new_zeros((len(Group), heads, rows, value.shape[-1]))
    L = query.new_full((len(Group), heads, rows), -torch.inf)
    is_cut = bool((floor == 1.0).all())
    for piece in _pieces(runs, first, rows):
        last = min(piece.last, steered) if is_cut and piece.group == Group.REST else piece.last
        seen = slice(piece.first, last)
        if piece.first >= last:
            continue
        output, own = _flash(query[:, seen], key[:, piece.keys], value[:, piece.keys], scale, piece.is_diagonal)
        before = L[piece.group, :, seen]
        outputs[piece.group, :, seen].lerp_(output, torch.sigmoid(own - before)[..., None])
        torch.logaddexp(before, own, out=before)
    if sink is not None:
        # A sink takes its share of the neutral weight and brings no output.
        whole = torch.logaddexp(L[Group.NEUTRAL], sink.float()[:, None])
        outputs[Group.NEUTRAL].mul_((L[Group.NEUTRAL] - whole).exp()[..., None])
        L[Group.NEUTRAL] = whole
    under = L[:, :, steered:]
    under[Group.REST] += rest_bias(under.movedim(0, -1), floor[:, None], torch.tensor(True) if is_odds else None)
    return outputs.mul_(L.softmax(0)[..., None]).sum(0)


def dense(query: Tensor, key: Tensor, value: Tensor, segments: Segments, **how: Any) -> Tensor:
    """The same from the scores of a few rows at a time, (head, row, width) float32; whatever a row sees.

    Args:
        query: (1, head, row, width).
        key: (1, kv head, key, width).
        value: (1, kv head, key, width).
        segments: of this batch entry and these rows; every row sees a target.
        how: scale, softcap and sink, see `packed`.
    """
    assert segments.hidden is not None
    found = []
    for start in range(0, query.shape[2], CHUNK):
        rows = slice(start, start + CHUNK)
        part = sums(query[:, :, rows], key, value, replace(segments, hidden=segments.hidden[:, :, rows]), **how)
        assert part.output is not None
        found.append(part.output[0])
    return torch.cat(found, dim=1)


def _pieces(runs: Sequence[Run], first: int, rows: int) -> Iterator[Piece]:
    """The runs cut where rows begin to see them: what all rows see, then squares on the diagonal and what is below."""
    end = first + rows
    for run in runs:
        early = min(run.end, first)
        if run.start < early:
            yield Piece(run.group, slice(run.start, early), 0, False, rows)
        start, stop = max(run.start, first), min(run.end, end)
        if start < stop:
            yield Piece(run.group, slice(start, stop), start - first, True, stop - first)
        if first < stop < end and start < stop:
            yield Piece(run.group, slice(start, stop), stop - first, False, rows)


def _flash(query: Tensor, key: Tensor, value: Tensor, scale: float, is_causal: bool) -> tuple[Tensor, Tensor]:
    """Output (head, row, width) and log-sum-exp (head, row) of rows and keys by torch's own kernel for the CPU."""
    output, L = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query[None], key[None], value[None], 0.0, is_causal, scale=scale
    )
    return output[0], L[0]
