"""Plain attention that keeps every logit and weight; `attention.py` registers it under the name `CAPTURED`."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

CAPTURED = "localist-captured"
"""The implementation's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedLayer:
    """One layer of one prompt."""

    logits: Tensor
    """(head, query, key) in nats, as they enter the softmax; -inf where the mask hides the key."""
    weights: Tensor
    """(head, query, key): what the softmax gave."""
    sinks: Tensor | None
    """(head,) logits of the family's own attention sinks, which take weight and hold no token; None = it has none."""
    reach: Tensor
    """(head,): no logit can be farther from 0: scale * max|q| * max|k|, or the soft cap where that is less."""


@dataclass(slots=True)
class Recorder:
    """Handed through the model to its attention."""

    layers: list[CapturedLayer] = field(default_factory=list)


def attend_captured(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    recorder: Recorder | None = None,
    **_: object,
) -> tuple[Tensor, Tensor]:
    """Plain attention in float32 that keeps what it computes; see `attention.attend` for the arguments."""
    groups = query.shape[1] // key.shape[1]
    key, value = (part.repeat_interleave(groups, dim=1) for part in (key, value))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    logits = query.float() @ key.float().mT * scale
    reach = scale * query.float().norm(dim=-1).amax(-1) * key.float().norm(dim=-1).amax(-1)
    if softcap is not None:
        logits, reach = softcap * (logits / softcap).tanh(), reach.clamp(max=softcap)
    if attention_mask is not None:
        hidden = attention_mask[..., : key.shape[2]] < torch.finfo(torch.float32).min / 2
        logits = logits.masked_fill(hidden, -torch.inf)
    with_sinks = logits
    if s_aux is not None:
        with_sinks = torch.cat([logits, s_aux[None, :, None, None].expand(*logits.shape[:3], 1)], -1)
    weights = with_sinks.softmax(-1)[..., : key.shape[2]]
    if recorder is not None:
        sinks = None if s_aux is None else s_aux.detach().float()
        recorder.layers.append(CapturedLayer(logits=logits[0], weights=weights[0], sinks=sinks, reach=reach[0]))
    return (weights.to(value.dtype) @ value).transpose(1, 2).contiguous(), weights
