"""What a training run depends on besides its lessons, as one frozen tree."""

from __future__ import annotations

from dataclasses import dataclass

from localist_core.conditioning import PLAIN, Conditioning
from localist_core.errors import CoreError
from localist_core.penalty import NONE, Penalty


class TrainingError(CoreError):
    """Training that cannot start or go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """All that a training run depends on, besides its lessons."""

    tokens: int = 40_000_000
    """Prompt tokens to learn from."""
    batch_tokens: int = 8192
    """Most tokens of one batch, padding included (without it, where lessons are packed)."""
    pack_tokens: int | None = None
    """Several lessons share a row of at most so many tokens, none seeing another; None = a row for each."""
    layers: int = 5
    width: int = 128
    heads: int = 8
    hidden: int = 384
    block_width: int = 4
    grouped_norm: bool = False
    """See `LocalistConfig.grouped_norm`."""
    muon_lr: float = 0.02
    adam_lr: float = 0.003
    warm_up_tokens: int = 1_000_000
    cool_down: float = 0.35
    """Share of the tokens over which the learning rates fall linearly to 0."""
    language_weight: float = 0.1
    """Weight of predicting a sample of the other prompt tokens."""
    language_tokens: int = 7_530_000
    """Prompt tokens after which they are no longer predicted: slots are random, and what cannot be learned is noise
    that Muon, blind to the size of gradients, would follow to the end."""
    dialled: float = 0.5
    """Share of lessons trained under a random dial."""
    conditioning: Conditioning = PLAIN
    """Which dial that is, and losses on the attention itself."""
    penalty: Penalty = NONE
    """Group sparsity of the localist subspaces."""
    seed: int = 0
    threads: int = 1

    def learns_language(self, tokens: int) -> bool:
        """Whether other prompt tokens are predicted after so many tokens."""
        return self.language_weight > 0 and tokens < self.language_tokens

    def freezes(self, tokens: int) -> bool:
        """Whether zero factors stay zero after so many tokens."""
        return self.penalty.freeze_from < 1.0 and tokens >= self.penalty.freeze_from * self.tokens


def schedule(tokens: int, config: TrainConfig) -> float:
    """Factor of the learning rates in [0, 1]: a warm-up, a plateau, a linear cool-down."""
    warm = min(1.0, (tokens + config.batch_tokens) / max(1, config.warm_up_tokens))
    cool = (config.tokens - tokens) / max(1.0, config.cool_down * config.tokens)
    return max(0.0, min(warm, cool, 1.0))
