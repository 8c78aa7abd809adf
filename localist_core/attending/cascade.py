"""Attention behind a beginning: over its keys and over a row's own keys apart, joined by their log-sum-exps.

Keys and values of a beginning that many rows share are read where they lie, not copied for each row, and only the own
part needs a mask. Exact: a softmax over two sets of keys is the mean of the two softmaxes, weighted by exp(L_1 - L) and
exp(L_2 - L), where L is the log-sum-exp of L_1 and L_2 (Hydragen, arXiv 2402.05099; FlashInfer, arXiv 2501.01005).

Every row goes through the same products whether it stands alone or in a batch, shares its beginning or not: the CPU's
flash attention takes one row and one head at a time. So the bits of a row do not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

UNSERVED = ("softcap", "s_aux", "position_bias", "sliding_window")
"""What a family may hand to its attention that the kernel cannot do: then the keys are put one behind the other."""


def can_cascade(stock: str, device: torch.device, arguments: Mapping[str, object]) -> bool:
    """Whether attention with these arguments of the family can be taken apart.

    Args:
        stock: the family's own attention, `sdpa` or `eager`.
        device: where the keys are.
        arguments: what the family passes beside query, key, value, mask and scale.
    """
    has_plain_logits = all(arguments.get(name) is None for name in UNSERVED)
    return stock == "sdpa" and device.type == "cpu" and has_plain_logits


def cascaded(
    query: Tensor, before: tuple[Tensor, Tensor], own: tuple[Tensor, Tensor], mask: Tensor, *, scale: float
) -> Tensor:
    """Attention over keys that all tokens see, and over own keys under a mask: (batch, token, head, width).

    Args:
        query: (batch, head, token, width).
        before: keys and values of the beginning, (1 or batch, kv head, prefix token, width).
        own: keys and values behind it, (batch, kv head, key, width).
        mask: (batch, 1, token, key), added to the logits of the own keys; every token that anybody reads sees one.
        scale: factor on q.k.
    """
    batch, heads, tokens, width = query.shape
    kv_heads = own[0].shape[1]
    # The heads that share keys stand below each other as rows: then keys and values are never repeated.
    rows = query.reshape(batch, kv_heads, heads // kv_heads * tokens, width)
    key, value = (part.to(query).expand(batch, -1, -1, -1) for part in before)
    first, L_1 = _flash(rows, key, value, scale=scale)
    second, L_2 = _flash(rows, *own, mask=mask.repeat(1, 1, heads // kv_heads, 1), scale=scale)
    L = torch.logaddexp(L_1, L_2)
    joined = first * (L_1 - L).exp()[..., None] + second * (L_2 - L).exp()[..., None]
    return joined.to(query.dtype).reshape(batch, heads, tokens, width).transpose(1, 2)


def _flash(
    query: Tensor, key: Tensor, value: Tensor, *, scale: float, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The CPU's flash attention, and the log-sum-exp of each row that it computes on the way, (batch, head, row)."""
    made = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value, attn_mask=mask, scale=scale)
    return cast(tuple[Tensor, Tensor], made)
