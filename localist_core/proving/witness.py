"""What the rows of a model saw, logit by logit, for the bounds: one slow plain pass through any family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from localist_core.attending.attention import CAPTURED
from localist_core.errors import UnsupportedModelError
from localist_core.proving.bounds import Seen
from localist_core.proving.capture import CapturedLayer, Recorder


@torch.no_grad()
def captured(model: PreTrainedModel, inputs: Mapping[str, Tensor]) -> tuple[CapturedLayer, ...]:
    """The attention of one prompt, layer by layer; the model is set to `CAPTURED` and back.

    Args:
        model: of any family whose attention goes through transformers' interface.
        inputs: what the model takes, such as `input_ids`, each (1, token).

    Raises:
        UnsupportedModelError: the family does not call the function once in every layer.
    """
    before = model.config._attn_implementation
    recorder = Recorder()
    model.set_attn_implementation(CAPTURED)
    try:
        # Without a mask, positions that go back would be read as the start of another sequence.
        model(**{"attention_mask": torch.ones_like(inputs["input_ids"]), **inputs}, recorder=recorder, use_cache=False)
    finally:
        model.set_attn_implementation(before)
    expected = model.config.num_hidden_layers
    if len(recorder.layers) != expected:
        raise UnsupportedModelError(
            f"expected the attention of {expected} layers, got {len(recorder.layers)}; use a model of another family"
        )
    return tuple(recorder.layers)


def seen_by(
    layers: Sequence[CapturedLayer], *, targets: Sequence[bool], rest: Sequence[bool], rows: Sequence[int]
) -> Iterator[Seen]:
    """What each of these rows saw, in every layer and head; rows that see no target are left out."""
    S, R = torch.tensor(targets), torch.tensor(rest)
    for layer in layers:
        reaches: list[float] = layer.reach.tolist()
        for head, reach in enumerate(reaches):
            sink: list[float] = [] if layer.sinks is None else [float(layer.sinks[head])]
            for row in rows:
                logits, weights = layer.logits[head, row].double(), layer.weights[head, row].double()
                groups = [logits.isfinite() & group for group in (S, R, ~(S | R))]
                if bool(groups[0].any()):
                    yield _seen(logits, weights, groups, sink, reach)


def _seen(logits: Tensor, weights: Tensor, groups: Sequence[Tensor], sink: list[float], reach: float) -> Seen:
    (S, target_weights), (R, rest_weights), (N, neutral_weights) = (
        (tuple(logits[group].tolist()), tuple(weights[group].tolist())) for group in groups
    )
    left = [max(0.0, 1.0 - sum(target_weights) - sum(rest_weights) - sum(neutral_weights))] if sink else []
    return Seen(
        S=S,
        R=R,
        N=(*N, *sink),
        target_weights=target_weights,
        rest_weights=rest_weights,
        neutral_weights=(*neutral_weights, *left),
        reach=reach,
    )
