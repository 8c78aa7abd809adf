"""The specification of attention by block, in float64: one softmax for each block, merged. Slow; for tests.

Partial outputs O_b and log-sum-exps L_b of the blocks are merged as w = softmax_b(L_b + beta_b), out = sum_b w_b O_b
(framework, sections 2 and 3).
"""

from __future__ import annotations

import torch
from torch import Tensor

from localist_core.attending.segments import Attended, Group, Segments, bias_of, fidelity_of, joint_entropy_bits


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
    """Attention of the rows; same arguments as `packed`."""
    batch, heads, rows, _ = query.shape
    key, value = (one.double().repeat_interleave(heads // one.shape[1], dim=1) for one in (key, value))
    scores = query.double() @ key.mT * scale
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    layout, blocks = segments.layout, segments.layout.membership.shape[-1]
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
            if segments.hidden is not None:
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
        raw_fidelity=fidelity_of(L),
        steered_fidelity=fidelity_of(shifted),
        bias=beta,
        token_entropy_bits=joint_entropy_bits(steered, H_b),
        inner_entropy_bits=joint_entropy_bits(inner / inner.sum(-1, keepdim=True), H_b),
    )
