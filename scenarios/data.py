"""Held-out lessons by name, for the commands that examine a model, and the model that they examine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import torch

from localist_core.learning.lessons import Lesson
from localist_core.model import LocalistConfig, LocalistForCausalLM
from localist_core.serving.loading import SHIPPED, load
from scenarios import english, shares
from scenarios.config import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Which held-out lessons."""

    kind: Literal["curriculum", "english"] = "curriculum"
    share: float = 0.5
    """n_S / n of the curriculum, in (0, 1]."""
    is_control: bool = False
    """Of the English: whether random paragraphs take the targets' place."""
    documents: Path | None = None
    """Folder of the English; None = where Debian puts it."""
    count: int = 128
    seed: int = 0
    split: english.Split = "test"
    """Of the English: which documents."""

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise ConfigError(f"expected a share of targets above 0 and at most 1, got `{self.share}`; correct --share")
        if self.count < 1:
            raise ConfigError(f"expected 1 lesson or more, got `{self.count}`; correct --lessons")

    @property
    def name(self) -> str:
        """For tables and files."""
        if self.kind == "curriculum":
            return f"curriculum, n_S / n = {self.share:g}"
        return f"english, {self.split}, targets: {'random paragraphs' if self.is_control else 'own paragraph'}"

    def lessons(self, tokenizer: Path) -> list[Lesson]:
        """The lessons, for the tokenizer in a folder.

        Raises:
            ConfigError: no documents, or the tokenizer of another corpus.
        """
        if self.kind == "curriculum":
            return shares.held_out(tokenizer, self.share, self.count, self.seed)
        folder = self.documents or english.FOLDER
        return english.held_out(tokenizer, self.split, self.count, self.seed, folder=folder, is_control=self.is_control)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that can be examined under every dial."""

    name: str
    folder: Path
    model: LocalistForCausalLM


def localist_model(folder: Path | None, *, is_random: bool = False) -> Loaded:
    """The localist model in a folder, the core that ships if none is named; or its shape with random weights.

    Raises:
        CoreError: no model there.
        ConfigError: one of another family.
    """
    place = SHIPPED if folder is None else folder
    model, _ = load(place, torch.float32)
    if not isinstance(model, LocalistForCausalLM):
        raise ConfigError(
            f"expected a localist model, as `localist train` makes it, got one of family `{model.config.model_type}`; "
            f"correct --model"
        )
    name = "shipped core" if folder is None else place.name
    if is_random:
        model, name = _random(cast(LocalistConfig, model.config)), f"random weights in the shape of {name}"
    model.train(False)
    return Loaded(name, place, model)


def _random(config: LocalistConfig) -> LocalistForCausalLM:
    """Weights large enough for attention to have contrast; always the same."""
    torch.manual_seed(0)
    model = LocalistForCausalLM(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.mul_(6.0)
    return model
