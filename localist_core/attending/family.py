"""What a model's configuration says of its attention: sizes, windows, soft caps, and how positions enter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The attention of one model, as configured."""

    name: str
    """The family's name in transformers, such as `llama`."""
    num_layers: int
    num_heads: int
    num_kv_heads: int
    """Heads of keys and values; as many as `num_heads` where none are shared."""
    windows: tuple[int | None, ...]
    """For each layer how many tokens a row sees, itself included; None = all before it."""
    softcap: float | None
    """Bound of the attention's logits; None = none."""
    rope_types: tuple[str, ...]
    """Kinds of rotary positions, such as `default`, `dynamic` or `longrope`, sorted; empty = no rotary positions."""
    has_alibi: bool
    """Whether a bias grows with the distance in tokens."""
    longest: int | None
    """Most tokens of a prompt; None = not said."""

    @property
    def num_windowed(self) -> int:
        """Layers with a window."""
        return sum(window is not None for window in self.windows)


def family_of(model: PreTrainedModel) -> Family:
    """Read the configuration of a model."""
    config: Any = model.config.get_text_config()
    num_layers, num_heads = int(config.num_hidden_layers), int(config.num_attention_heads)
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"] * num_layers
    alibi = (getattr(config, "alibi", False), getattr(config, "position_embedding_type", None) == "alibi")
    return Family(
        name=str(model.config.model_type),
        num_layers=num_layers,
        num_heads=num_heads,
        num_kv_heads=int(getattr(config, "num_key_value_heads", None) or num_heads),
        windows=tuple(int(window) if window and "sliding" in kind else None for kind in kinds),
        softcap=getattr(config, "attn_logit_softcapping", None),
        rope_types=_rope_types(getattr(config, "rope_parameters", None) or {}),
        has_alibi=any(alibi) or config.model_type in ("bloom", "mpt"),
        longest=int(getattr(config, "max_position_embeddings", 0) or 0) or None,
    )


def _rope_types(parameters: dict[str, Any]) -> tuple[str, ...]:
    """One kind for all layers, or one for each kind of layer."""
    each = [one for one in parameters.values() if isinstance(one, dict)] or [parameters]
    return tuple(sorted({str(one["rope_type"]) for one in each if "rope_type" in one}))
