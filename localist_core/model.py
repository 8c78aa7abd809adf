"""The localist language model: a Qwen3 decoder whose residual stream keeps a subspace for each kind of block.

The first `kinds * block_width` coordinates are **localist subspaces**: the embedding of a token writes into the shared
coordinates and into the subspace of its own block's kind, never into another kind's (framework, section 4). So the
model can tell a rule from a message that looks like one, whatever the message says. Everything after is the library's
Qwen3 (RMSNorm on queries and keys, RoPE, SwiGLU), therefore every attention function registered with
transformers works here too. Importing this module registers the type, after which `AutoModelForCausalLM` loads it.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, GenerationMixin, Qwen3Config, Qwen3Model
from transformers.cache_utils import Cache
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.models.qwen3.modeling_qwen3 import Qwen3PreTrainedModel

from localist_core.blocks import PROMPT_ORDER


class LocalistConfig(Qwen3Config):  # type: ignore[no-untyped-call] # the library's hook is untyped
    """Shape of a localist model; what Qwen3's configuration knows, and the width of one localist subspace."""

    model_type = "localist"

    block_width: int = 4
    """Coordinates of the residual stream reserved for each kind of block; 0 = none reserved."""
    num_kinds: int = len(PROMPT_ORDER)
    """Kinds of block, in the order of `PROMPT_ORDER`."""
    grouped_norm: bool = False
    """Whether the norm before attention treats each localist subspace, and the shared coordinates, on their own."""
    pointer_head: list[int] | None = None
    """Layer and head that rest, at an option, on the rule that forbids it (see pointer.py); None = not known."""


def small_config(
    vocab_size: int,
    *,
    layers: int = 4,
    width: int = 128,
    heads: int = 8,
    hidden: int = 384,
    block_width: int = 4,
    grouped_norm: bool = False,
) -> LocalistConfig:
    """The configuration of a small core: many small heads, tied embeddings, full attention in every layer."""
    return LocalistConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        intermediate_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=width // heads,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        block_width=block_width,
        grouped_norm=grouped_norm,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
        use_cache=False,
    )


class GroupedRMSNorm(nn.Module):
    """RMSNorm over each localist subspace, and over the shared coordinates, apart: groups do not scale each other.

    One norm over all coordinates makes what attention reads of one group depend on the size of every other.
    """

    def __init__(self, config: LocalistConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(config.hidden_size))
        self._kinds, self._width, self._epsilon = config.num_kinds, config.block_width, config.rms_norm_eps

    def forward(self, hidden: Tensor) -> Tensor:
        """Normalise (..., width) in float32, and give it back in its own type."""
        reserved = self._kinds * self._width
        parts = hidden.float()
        groups = self._normed(parts[..., :reserved].view(*parts.shape[:-1], self._kinds, self._width)).flatten(-2)
        normed = torch.cat([groups, self._normed(parts[..., reserved:])], -1)
        return self.weight * normed.to(hidden.dtype)

    def _normed(self, values: Tensor) -> Tensor:
        return values * torch.rsqrt(values.square().mean(-1, keepdim=True) + self._epsilon)


class LocalistForCausalLM(Qwen3PreTrainedModel, GenerationMixin):  # type: ignore[no-untyped-call] # likewise
    """A causal language model whose input embedding depends on the kind of block a token stands in."""

    config_class = LocalistConfig
    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012 - the library's attribute

    def __init__(self, config: LocalistConfig) -> None:
        super().__init__(config)
        self.model = Qwen3Model(config)
        if config.grouped_norm and config.block_width > 0:
            for layer in cast(Any, self.model.layers):
                layer.input_layernorm = GroupedRMSNorm(config)
        self.kind_embedding = nn.Embedding(config.num_kinds, config.hidden_size)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self._writable: Tensor | None = None  # made on the device at first use: a copy to a GPU would stop it each time
        self.post_init()  # type: ignore[no-untyped-call]

    def embed(self, input_ids: Tensor, block_kinds: Tensor | None) -> Tensor:
        """Embed tokens of blocks of these kinds, both (batch, position), to (batch, position, width)."""
        tokens = cast(Tensor, self.model.embed_tokens(input_ids))
        if block_kinds is None:
            return tokens
        if self._writable is None or self._writable.device != tokens.device or self._writable.dtype != tokens.dtype:
            self._writable = subspaces(cast(LocalistConfig, self.config)).to(tokens)
        return cast(Tensor, (tokens + self.kind_embedding(block_kinds)) * self._writable[block_kinds])

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        block_kinds: Tensor | None = None,
        rows: Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Score the next token.

        Args:
            input_ids: token ids, (batch, position).
            attention_mask: what transformers accepts: (batch, position) or a prepared (batch, 1, query, key).
            position_ids: (batch, position); defaults to 0, 1, ...
            past_key_values: cached keys and values of earlier positions.
            block_kinds: index into `PROMPT_ORDER` for each token, (batch, position); None = no kinds known.
            rows: flat indices into batch * position whose logits are wanted; None = all.
            use_cache: return the cache.
            kwargs: passed on to the attention function.
        """
        outputs = self.model(
            inputs_embeds=self.embed(input_ids, block_kinds),
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
            **kwargs,
        )
        hidden = outputs.last_hidden_state
        if rows is not None:
            hidden = hidden.flatten(0, 1)[rows]
        return CausalLMOutputWithPast(
            logits=self.lm_head(hidden),
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


def subspaces(config: LocalistConfig) -> Tensor:
    """1 where a kind's tokens may write, (kind, width): the shared coordinates and the kind's own subspace.

    Raises:
        ValueError: subspaces wider than the residual stream.
    """
    reserved = config.num_kinds * config.block_width
    if reserved > config.hidden_size:
        raise ValueError(
            f"expected a width of {reserved} or more for {config.num_kinds} kinds of {config.block_width} coordinates, "
            f"got `{config.hidden_size}`; use a smaller block width"
        )
    mask = torch.ones(config.num_kinds, config.hidden_size)
    for kind in range(config.num_kinds):
        mask[kind, :reserved] = 0.0
        mask[kind, kind * config.block_width : (kind + 1) * config.block_width] = 1.0
    return mask


AutoConfig.register("localist", LocalistConfig, exist_ok=True)
AutoModelForCausalLM.register(LocalistConfig, LocalistForCausalLM, exist_ok=True)
