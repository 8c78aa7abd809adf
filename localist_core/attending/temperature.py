"""The temperature of attention: a_ij = softmax_j(s_ij / tau) in every layer of a model (framework, section 2).

A model is trained at tau = 1. Another tau is another model: its fingerprint differs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

from torch import nn

from localist_core.errors import RequestError, UnsupportedModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def heat(model: PreTrainedModel, tau: float) -> None:
    """Set the temperature of attention in all layers, in place; call it before the model goes into a core.

    Args:
        model: as loaded, at temperature 1.
        tau: above 0; below 1 attention is sharper.

    Raises:
        RequestError: a temperature that is none.
        UnsupportedModelError: a family whose layers do not keep the factor of q.k as `scaling`, or cap their logits:
            there tau would not divide what the softmax sees.
    """
    if not (tau > 0.0 and math.isfinite(tau)):
        raise RequestError(f"expected a temperature above 0, got `{tau}`")
    config: Any = model.config.get_text_config()
    layers = [cast(Any, one) for one in cast(nn.Module, model).modules() if _is_attention(one)]
    if len(layers) != config.num_hidden_layers or getattr(config, "attn_logit_softcapping", None) is not None:
        raise UnsupportedModelError(
            f"expected attention whose scores are scaling * q.k in {config.num_hidden_layers} layers, "
            f"got family `{config.model_type}` with {len(layers)}; tune it without temperatures"
        )
    for layer in layers:
        layer.scaling = layer.scaling / tau
    config.attention_temperature = tau * float(getattr(config, "attention_temperature", 1.0))


def _is_attention(module: nn.Module) -> bool:
    return isinstance(getattr(module, "scaling", None), float) and hasattr(module, "layer_idx")
