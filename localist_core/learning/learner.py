"""What a training run moves: a localist model made anew, or the adapter of an existing model that stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from localist_core.attending.attention import LEAN
from localist_core.attending.family import family_of
from localist_core.learning.adapters import Adapter, weights_hash
from localist_core.learning.penalty import Groups, LocalistGroups
from localist_core.learning.train_config import TrainConfig, TrainingError
from localist_core.model import LocalistForCausalLM, small_config
from localist_core.serving.loading import load


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """A model and the part of it that learns."""

    model: PreTrainedModel
    """Set to the trainer's attention, on its device."""
    trained: nn.Module
    """Its parameters move and stand in checkpoints: the model itself, or the adapter of a frozen base."""
    groups: Groups | None
    """What is penalised; None = nothing."""
    longest: int | None
    """Most tokens of a lesson; None = any number."""
    identity: str
    """What a checkpoint must agree on besides the configuration: the base's weights; empty for a model made anew."""
    save: Callable[[Path], None]
    """Leaves in a directory what `SharedCore.load` takes."""


def made_anew(config: TrainConfig, tokenizer: PreTrainedTokenizerBase, device: str) -> Learner:
    """A localist model with random weights.

    Raises:
        PenaltyError: a penalty on a model without reserved and shared coordinates.
    """
    torch.manual_seed(config.seed)
    shape = small_config(
        len(tokenizer),
        layers=config.layers,
        width=config.width,
        heads=config.heads,
        hidden=config.hidden,
        block_width=config.block_width,
        grouped_norm=config.grouped_norm,
    )
    model = LocalistForCausalLM(shape)
    cast(nn.Module, model).to(torch.device(device))
    model.set_attn_implementation(LEAN)

    def save(out: Path) -> None:
        model.save_pretrained(out)
        tokenizer.save_pretrained(out)

    return Learner(
        model=model,
        trained=model,
        groups=LocalistGroups(model) if config.penalty.strength > 0.0 else None,
        longest=None,
        identity="",
        save=save,
    )


def adapting(config: TrainConfig, base: Path, device: str) -> Learner:
    """An adapter that has learned nothing, on a base that stays as it is.

    Raises:
        ModelMissingError: no complete model in `base`.
        UnsupportedModelError: a family whose queries and keys cannot be adapted.
        TrainingError: a base that is a localist model itself.
    """
    model, _ = load(base, torch.float32)
    if model.config.model_type == "localist":
        raise TrainingError(f"expected a model without localist subspaces in `{base}`, got one that has them; train it")
    cast(nn.Module, model).to(torch.device(device))
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    adapter = Adapter(model, rank=config.rank, seed=config.seed)
    adapter.attach(model, trains=True)
    model.set_attn_implementation(LEAN)
    family = family_of(model)
    bounds = [bound for bound in (*family.windows, family.longest) if bound is not None]
    return Learner(
        model=model,
        trained=adapter,
        groups=adapter if config.penalty.strength > 0.0 else None,
        longest=min(bounds, default=None),
        identity=weights_hash(base),
        save=lambda out: adapter.save(out, base),
    )
