"""Lessons of random tokens for a tiny trainer, importable by its worker process."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from localist_core.blocks import PROMPT_ORDER, BlockKind
from localist_core.learning.lessons import Lesson
from localist_core.learning.training import TrainConfig

VOCAB = 32
SCHEMA, RULE, MESSAGE, OPTIONS, ACT = (
    PROMPT_ORDER.index(kind)
    for kind in (BlockKind.SCHEMA, BlockKind.RULEBOOK, BlockKind.MESSAGE, BlockKind.OPTIONS, BlockKind.DECISION)
)

TINY = TrainConfig(
    tokens=1_400,
    batch_tokens=160,
    layers=1,
    width=20,
    heads=2,
    hidden=16,
    block_width=1,
    warm_up_tokens=200,
)
"""Some two dozen steps over four pools of `Recital`."""


def tokenizer() -> PreTrainedTokenizerFast:
    """As many words as the lessons have tokens."""
    words = {f"w{index}": index for index in range(VOCAB)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w1")), pad_token="w0", unk_token="w1"
    )


def lesson(rng: Random, *, size: int | None = None) -> Lesson:
    """A lesson whose last token asks which token stood first; any of it and its neighbour will do."""
    length = rng.randint(6, 24) if size is None else size
    ids = tuple(rng.randrange(2, VOCAB) for _ in range(length))
    half = length // 2
    kinds = (SCHEMA, *[RULE] * (half - 1), *[MESSAGE] * (length - half - 2), OPTIONS, ACT)
    return Lesson(
        ids=ids,
        kinds=kinds,
        positions=tuple(range(length)),
        is_rest=tuple(kind == MESSAGE for kind in kinds),
        rows=(length - 2, length - 1),
        answers=((ids[0],), (ids[0], ids[0] % (VOCAB - 1) + 1)),
        sorts=("cite", "act"),
        weights=(1.0, 2.0),
    )


@dataclass(frozen=True, slots=True)
class Recital:
    """Pools of such lessons."""

    seed: int = 0
    size: int = 24

    def __call__(self, pool: int) -> list[Lesson]:
        """The lessons of one pool."""
        rng = Random(f"{self.seed}/{pool}")
        return [lesson(rng) for _ in range(self.size)]
