"""Attention by span as one Triton kernel: compiled on CUDA; on the CPU run by Triton's interpreter, where that is on.

One program serves one part of the keys (some spans of one group, see parts.py) and one tile of queries of one kv head:
a tile holds all heads of the kv head for each of its rows, so that keys are read once for all of them. It walks over
the spans with the usual running maximum, leaves the log-sum-exp of a span at the span's end, and output and log-sum-exp
of the part at the end. Nothing of the size rows * keys is ever written.

What a row may see is read from a mask of one byte for each row and key. Beside the keys themselves, hundreds of bytes
each, that is little, and so padding, windows, the trie and a twin need no representation of their own.

Queries, keys and values may be float32, bfloat16 or float16; sums and log-sum-exps are float32.
"""
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, disallow-untyped-decorators=False
# ruff: noqa: ANN001, ANN202  # arguments of a kernel are pointers and numbers; Triton takes annotations for its own

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.errors import TritonError

from localist_core.attending.parts import Parts, Spans
from localist_core.errors import UnsupportedModelError

QUERIES = (16, 32)
"""Least and most queries of a tile. 16 is the least that tensor cores take; with 64 the compiler runs out of registers
(480 bytes spilled at width 128, bfloat16, sm_80)."""


def kernel_parts(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    hidden: Tensor,
    spans: Spans,
    *,
    scale: float,
    softcap: float | None = None,
) -> Parts:
    """Attention of the rows inside each part and span.

    Args:
        query: (batch, head, row, width).
        key: (batch, kv head, key, width), of the query's type.
        value: likewise.
        hidden: (batch, 1, row, key) bool: True where a row must not look.
        spans: of all keys that any row sees.
        scale: factor on q.k.
        softcap: logits are softcap * tanh(s / softcap).

    Raises:
        UnsupportedModelError: tensors on the CPU, and Triton's interpreter is off; or the kernel does not compile.
    """
    if query.device.type == "cpu" and not triton.knobs.runtime.interpret:
        raise UnsupportedModelError(
            "expected a CUDA device for the triton back end, got `cpu`; use the packed back end, or set "
            "TRITON_INTERPRET=1 to try the kernel out"
        )
    batch, heads, rows, width = query.shape
    kv_heads, parts, num_spans = key.shape[1], spans.firsts.shape[1], spans.starts.shape[1]
    queries = rows * (heads // kv_heads)
    tile, step, padded = steps(queries, width, query.element_size())
    outputs = query.new_empty(batch, heads, rows, parts, width, dtype=torch.float32)
    L = query.new_empty(batch, heads, rows, parts, dtype=torch.float32)
    inside = torch.empty_like(L)
    L_span = query.new_full((batch, heads, rows, num_spans), -torch.inf, dtype=torch.float32)
    query, key, value = query.contiguous(), _dense_width(key), _dense_width(value)
    hidden = hidden.expand(batch, 1, rows, -1).contiguous()
    grid = (triton.cdiv(queries, tile), batch * kv_heads, parts)
    try:
        with torch.cuda.device_of(query):  # type: ignore[no-untyped-call]
            _part[grid](
                query, key, value, hidden.view(torch.uint8),
                spans.starts, spans.ends, spans.firsts, spans.lasts,
                outputs, L, inside, L_span,
                *key.stride()[:3], *value.stride()[:3],
                rows, kv_heads, heads // kv_heads, key.shape[2], parts, num_spans, width,
                scale, 0.0 if softcap is None else softcap,
                HAS_CAP=softcap is not None, IS_WIDE=query.device.type == "cpu", TILE=tile, KEYS=step, WIDTH=padded,
                enable_fp_fusion=True,
            )  # fmt: skip
    except TritonError as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UnsupportedModelError(f"expected the triton kernel to run, got {reason}; use packed") from error
    return Parts(
        outputs=outputs,
        L=L,
        inside=inside,
        groups=spans.part_groups,
        L_span=L_span,
        span_groups=spans.groups,
        blocks=spans.blocks,
    )


def steps(queries: int, width: int, size: int) -> tuple[int, int, int]:
    """Queries of a tile, keys of a step, and the padded width, for numbers of `size` bytes.

    They keep shared memory below 84 KiB and registers unspilled on sm_80; float32 products take no tensor core.
    """
    padded = max(16, triton.next_power_of_2(width))
    tile = min(QUERIES[1], max(QUERIES[0], triton.next_power_of_2(queries)))
    return tile, min(64, max(16, 32768 // (padded * size**2))), padded


def num_compiled() -> int:
    """How many variants of the kernel this process has compiled: one for a number format and canonical shape."""
    caches: Any = getattr(_part, "device_caches", {})
    return sum(len(variants[0]) for variants in caches.values())


def _dense_width(tensor: Tensor) -> Tensor:
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


@triton.jit(do_not_specialize=["rows", "num_keys", "parts", "num_spans"])
def _part(
    query, key, value, hidden,
    starts, ends, firsts, lasts,
    outputs, L, inside, L_span,
    key_b, key_h, key_k, value_b, value_h, value_k,
    rows, kv_heads, heads_each, num_keys, parts, num_spans, width,
    scale, softcap,
    HAS_CAP: tl.constexpr, IS_WIDE: tl.constexpr, TILE: tl.constexpr, KEYS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    entry = (tl.program_id(1) // kv_heads).to(tl.int64)
    kv_head = tl.program_id(1) % kv_heads
    part = tl.program_id(2)
    at = tl.program_id(0) * TILE + tl.arange(0, TILE)
    row = at // heads_each
    is_query = row < rows
    of_row = (entry * kv_heads * heads_each + kv_head * heads_each + at % heads_each) * rows + row
    d = tl.arange(0, WIDTH)
    is_width = d < width
    q = tl.load(query + of_row[:, None] * width + d[None, :], mask=is_query[:, None] & is_width[None, :], other=0.0)
    if IS_WIDE:  # the interpreter multiplies the bit patterns of bfloat16 (triton issue 11584)
        q = q.to(tl.float32)
    key += entry * key_b + kv_head * key_h
    value += entry * value_b + kv_head * value_h
    top = tl.full([TILE], float("-inf"), tl.float32)
    total = tl.full([TILE], 0.0, tl.float32)
    below = tl.full([TILE], 0.0, tl.float32)  # sum of p * (s - top), from which the entropy follows
    sums = tl.full([TILE, WIDTH], 0.0, tl.float32)
    for span in range(tl.load(firsts + entry * parts + part), tl.load(lasts + entry * parts + part)):
        start = tl.load(starts + entry * num_spans + span)
        end = tl.load(ends + entry * num_spans + span)
        of_span = tl.full([TILE], 0.0, tl.float32)
        for first in range(start, end, KEYS):
            n = first + tl.arange(0, KEYS)
            is_key = n < end
            k = tl.load(key + n[None, :] * key_k + d[:, None], mask=is_key[None, :] & is_width[:, None], other=0.0)
            v = tl.load(value + n[:, None] * value_k + d[None, :], mask=is_key[:, None] & is_width[None, :], other=0.0)
            is_hidden = tl.load(
                hidden + (entry * rows + row[:, None]) * num_keys + n[None, :],
                mask=is_query[:, None] & is_key[None, :],
                other=1,
            )
            if IS_WIDE:
                k, v = k.to(tl.float32), v.to(tl.float32)
            s = tl.dot(q, k, input_precision="ieee") * scale
            if HAS_CAP:
                shrunk = tl.exp(-2.0 * tl.abs(s / softcap))  # tanh in a form that cannot overflow
                s = tl.where(s < 0.0, -softcap, softcap) * ((1.0 - shrunk) / (1.0 + shrunk))
            s = tl.where(is_hidden != 0, float("-inf"), s)
            new_top = tl.maximum(top, tl.max(s, 1))
            base = tl.where(new_top == float("-inf"), 0.0, new_top)
            p = tl.exp(s - base[:, None])
            decay = tl.exp(top - base)
            of_step = tl.sum(p, 1)
            fall = tl.where(top == float("-inf"), 0.0, top - base)
            depth = tl.where(s == float("-inf"), 0.0, s - base[:, None])
            below = (below + fall * total) * decay + tl.sum(p * depth, 1)
            total = total * decay + of_step
            of_span = of_span * decay + of_step
            sums = sums * decay[:, None] + tl.dot(p.to(v.dtype), v, input_precision="ieee")
            top = new_top
        seen = tl.where(of_span == 0.0, 1.0, of_span)
        logs = tl.where(of_span == 0.0, float("-inf"), top + tl.log(seen))
        tl.store(L_span + of_row * num_spans + span, logs, mask=is_query)
    seen = tl.where(total == 0.0, 1.0, total)
    tl.store(L + of_row * parts + part, tl.where(total == 0.0, float("-inf"), top + tl.log(seen)), mask=is_query)
    tl.store(inside + of_row * parts + part, tl.log(seen) - below / seen, mask=is_query)
    tl.store(
        outputs + (of_row * parts + part)[:, None] * width + d[None, :],
        sums / seen[:, None],
        mask=is_query[:, None] & is_width[None, :],
    )
