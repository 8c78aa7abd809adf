"""A stand-in for torch's `varlen_attn` on the CPU: the same contract, one sequence after the other."""

from __future__ import annotations

import torch
from torch import Tensor


def dense_varlen(
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
    """Outputs in the query's type, log-sum-exps in float32 as (head, query token), +inf where there is no key."""
    assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
    assert len(cu_seq_q) == len(cu_seq_k)
    assert cu_seq_q[-1] == len(query)
    assert cu_seq_k[-1] == len(key)
    assert num_splits == 1
    outputs = torch.full_like(query, torch.nan)
    L = torch.full((query.shape[1], len(query)), torch.inf)
    queries, keys = cu_seq_q.tolist(), cu_seq_k.tolist()
    for q, q_end, k, k_end in zip(queries, queries[1:], keys, keys[1:], strict=False):
        if q == q_end:
            continue
        assert q_end - q <= max_q
        assert 0 < k_end - k <= max_k
        several = query.shape[1] // key.shape[1]
        left = query[q:q_end].float().transpose(0, 1)
        right, values = (one[k:k_end].float().transpose(0, 1).repeat_interleave(several, 0) for one in (key, value))
        scores = left @ right.mT * scale
        outputs[q:q_end] = (scores.softmax(-1) @ values).transpose(0, 1).to(query)
        L[:, q:q_end] = scores.logsumexp(-1)
    return outputs, L
