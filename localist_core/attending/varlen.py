"""Attention by span through torch's `varlen_attn`: one call of flash attention for all rows, spans and dials.

Each span of each batch entry is one sequence: its keys, and all the entry's rows as queries, which therefore must see
the whole span. Keys that only some rows see (their own block, the trie, a twin, the edge of a window) are few and
attended in float32 by `dense_parts`. What lies between the sequences is a sequence without queries, so that sequences
and keys agree and nothing is copied but the queries.

`varlen_attn` needs CUDA, float16 or bfloat16, widths of at most 256 in steps of 8, and knows no soft caps (a sink
enters when parts are merged). Its log-sum-exps are float32, but its outputs are not, and so neither were mean keys from
which an entropy could follow: entropies are refused, not rounded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from localist_core.attending.parts import Parts, Spans, dense_parts, joined, spans_of
from localist_core.attending.segments import Layout, layout_of
from localist_core.errors import UnsupportedModelError


class Varlen(Protocol):
    """The part of `torch.nn.attention.varlen.varlen_attn` that is used here."""

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        cu_seq_q: Tensor,
        cu_seq_k: Tensor,
        max_q: int,
        max_k: int,
        *,
        scale: float,
        num_splits: int,
    ) -> tuple[Tensor, Tensor]:
        """Outputs (query token, head, width) and log-sum-exps (head, query token) of packed sequences.

        `query` is (query token, head, width), `key` and `value` (key token, kv head, width); the int32 offsets have one
        more entry than there are sequences. Sequences without queries are allowed.
        """
        ...


def flash(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float,
    num_splits: int,
) -> tuple[Tensor, Tensor]:
    """The `varlen_attn` of torch, on CUDA.

    Its documentation gives the log-sum-exps as (query token, head), the shape function of its operator as (head, query
    token); `varlen_parts` takes the latter and refuses all else.
    """
    from torch.nn.attention.varlen import AuxRequest, varlen_attn

    found = varlen_attn(
        query,
        key,
        value,
        cu_seq_q,
        cu_seq_k,
        max_q,
        max_k,
        return_aux=AuxRequest(lse=True),
        scale=scale,
        enable_gqa=query.shape[1] != key.shape[1],
        num_splits=num_splits,
    )
    assert isinstance(found, tuple)
    return found


def fits(query: Tensor) -> bool:
    """Whether flash attention serves queries of this type and width."""
    width = query.shape[-1]
    return query.dtype in (torch.float16, torch.bfloat16) and width <= 256 and width % 8 == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequences:
    """A batch of rows and spans as packed sequences, and the keys that are left over. Build it with `sequences_of`."""

    spans: Spans
    """Of the keys that all rows of an entry see."""
    entries: Tensor
    """(sequence with queries,) int64: its batch entry; sequences stand in the order of their keys."""
    places: Tensor
    """(batch, span) int64: the number of the span's sequence; 0 in the padding."""
    offsets_q: Tensor
    """(sequence + 1,) int32; see `Varlen`."""
    offsets_k: Tensor
    """(sequence + 1,) int32."""
    longest: int
    """Keys of the longest sequence with queries."""
    loose: Tensor
    """(batch, loose key) int64: keys that some rows see and others do not; padded with 0."""
    loose_layout: Layout
    """Blocks and groups of the loose keys."""
    loose_hidden: Tensor
    """(batch, 1, row, loose key) bool; padding is hidden."""


def sequences_of(layout: Layout, hidden: Tensor) -> Sequences:
    """Lay the keys of a batch out as packed sequences.

    Args:
        layout: blocks and groups of the keys.
        hidden: (batch, 1, row, key) bool: True where a row must not look.
    """
    seen = ~hidden[:, 0]
    is_whole = seen.all(1)
    spans = spans_of(layout, is_whole)
    batch, _, rows, keys = hidden.shape
    starts, ends = (one.cpu().long() + keys * torch.arange(batch)[:, None] for one in (spans.starts, spans.ends))
    is_span = starts < ends
    borders = torch.cat([torch.tensor([0, batch * keys]), starts[is_span], ends[is_span]])
    offsets = torch.tensor(sorted(set(borders.tolist())))
    has_queries = torch.isin(offsets[:-1], starts[is_span])
    order = starts[is_span].argsort()
    places = torch.zeros_like(starts)
    places[is_span] = order.argsort()
    loose, is_loose = _packed_keys(seen.any(1) & ~is_whole & layout.membership.any(-1))
    device = hidden.device
    return Sequences(
        spans=spans,
        entries=is_span.nonzero()[:, 0][order].to(device),
        places=places.to(device),
        offsets_q=torch.nn.functional.pad((has_queries * rows).cumsum(0), (1, 0)).int().to(device),
        offsets_k=offsets.int().to(device),
        longest=int((ends - starts).max()),
        loose=loose,
        loose_layout=_layout_at(layout, loose, is_loose),
        loose_hidden=hidden.gather(3, loose[:, None, None].expand(-1, -1, rows, -1)) | ~is_loose[:, None, None],
    )


def varlen_parts(
    query: Tensor, key: Tensor, value: Tensor, sequences: Sequences, *, scale: float, kernel: Varlen
) -> Parts:
    """Attention of the rows inside each span, and inside each group of the loose keys.

    Args:
        query: (batch, head, row, width).
        key: (batch, kv head, key, width), of the query's type.
        value: likewise.
        sequences: the batch.
        scale: factor on q.k.
        kernel: `varlen_attn`, or what stands in for it.

    Raises:
        UnsupportedModelError: log-sum-exps of another shape than `Varlen` says.
    """
    loose = sequences.loose[:, None, :, None].expand(-1, key.shape[1], -1, key.shape[3])
    rest = dense_parts(
        query, key.gather(2, loose), value.gather(2, loose), sequences.loose_layout, sequences.loose_hidden, scale=scale
    )
    if not len(sequences.entries):
        return rest
    _, heads, rows, width = query.shape
    flat_key, flat_value = (one.transpose(1, 2).flatten(0, 1) for one in (key, value))
    outputs, L = kernel(
        query.transpose(1, 2)[sequences.entries].flatten(0, 1),
        flat_key,
        flat_value,
        sequences.offsets_q,
        sequences.offsets_k,
        rows,
        sequences.longest,
        scale=scale,
        num_splits=1,
    )
    if L.shape != (heads, len(sequences.entries) * rows):
        raise UnsupportedModelError(
            f"expected log-sum-exps of shape {(heads, len(sequences.entries) * rows)}, got `{tuple(L.shape)}`; "
            "use another version of torch, or the packed back end"
        )
    spans, places = sequences.spans, sequences.places
    is_padding = (spans.starts == spans.ends)[:, None, None]
    of_span = L.reshape(heads, -1, rows)[:, places].permute(1, 0, 3, 2).float().masked_fill(is_padding, -torch.inf)
    whole = Parts(
        outputs=outputs.reshape(-1, rows, heads, width)[places].permute(0, 3, 2, 1, 4).float(),
        L=of_span,
        inside=torch.full_like(of_span, torch.nan),
        groups=spans.groups,
        L_span=of_span,
        span_groups=spans.groups,
        blocks=spans.blocks,
    )
    return joined(whole, rest)


def _packed_keys(is_loose: Tensor) -> tuple[Tensor, Tensor]:
    """Indices of these keys, (batch, loose key), and which of them are no padding."""
    counts = is_loose.sum(1)
    longest = max(1, int(counts.max()))
    order = is_loose.int().argsort(dim=1, descending=True, stable=True)[:, :longest]
    return order, torch.arange(longest, device=counts.device) < counts[:, None]


def _layout_at(layout: Layout, keys: Tensor, is_there: Tensor) -> Layout:
    """The layout of these keys of each entry."""
    wide = keys[..., None].expand(-1, -1, layout.membership.shape[-1])
    return replace(
        layout_of(layout.membership.gather(1, wide) * is_there[..., None], layout.groups.gather(1, keys)),
        of_block=layout.of_block,
    )
