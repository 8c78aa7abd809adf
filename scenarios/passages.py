"""Running text as lessons for an existing model, in its own tokenizer: a paragraph to write, and what stands before it.

As in `english.py` a block is a paragraph, and the paragraph that is written is the target; the rest is the text before
it. The last tenth of the paragraphs of each file is held out.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

from localist_core.learning.lessons import Lesson
from localist_core.serving.loading import tokenizer_in
from scenarios.config import ConfigError
from scenarios.english import BEFORE, CONTEXT, FIRST, LONGEST, OWN, SHORTEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Passages:
    """Pools of paragraphs, drawn with equal chances."""

    base: Path
    """Directory of the model whose tokenizer reads them."""
    files: tuple[Path, ...]
    """Text files in UTF-8, paragraphs apart by empty lines."""
    seed: int
    size: int = 64
    """Paragraphs of one pool, if there are so many."""

    def __call__(self, pool: int) -> list[Lesson]:
        """The lessons of one pool."""
        found, _ = passages(self.base, self.files)
        return random.Random(f"{self.seed}/{pool}").sample(found, min(self.size, len(found)))

    def held_out(self, count: int) -> list[Lesson]:
        """At most so many lessons that no pool has."""
        _, found = passages(self.base, self.files)
        return random.Random(0).sample(found, min(count, len(found)))


@lru_cache(maxsize=2)
def passages(base: Path, files: tuple[Path, ...]) -> tuple[tuple[Lesson, ...], tuple[Lesson, ...]]:
    """All paragraphs of some files that are long enough and have others before them: to train on, and held out.

    Raises:
        ConfigError: a file that cannot be read, or none with enough of them.
    """
    tokenizer = tokenizer_in(base)
    start = () if tokenizer.bos_token_id is None else (int(cast(int, tokenizer.bos_token_id)),)
    trained: list[Lesson] = []
    held_out: list[Lesson] = []
    for path in files:
        texts = [" ".join(part.split()) for part in re.split(r"\n\s*\n", _text(path)) if part.strip()]
        ids = [cast("list[int]", tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
        for index, own in enumerate(ids[1:], 1):
            if len(own) >= SHORTEST:
                before = [token for text in ids[:index] for token in text][-CONTEXT:]
                of_split = trained if index < 0.9 * len(ids) else held_out
                of_split.append(passage(start, before, own[:LONGEST]))
    if not (trained and held_out):
        names = " ".join(str(path) for path in files)
        raise ConfigError(
            f"expected paragraphs of {SHORTEST} tokens or more in all parts of `{names}`, got too few; give longer text"
        )
    return tuple(trained), tuple(held_out)


def passage(start: tuple[int, ...], before: list[int], own: list[int]) -> Lesson:
    """A paragraph to write behind others; its tokens are asked for the next one each.

    Args:
        start: what the tokenizer begins texts with: neutral.
        before: tokens of the text before it: the rest.
        own: its tokens, 2 or more: the target.
    """
    first = len(start) + len(before)
    count = first + len(own)
    rows = tuple(range(first, count - 1))
    return Lesson(
        ids=(*start, *before, *own),
        kinds=(*[FIRST] * len(start), *[BEFORE] * len(before), *[OWN] * len(own)),
        positions=tuple(range(count)),
        is_rest=tuple(len(start) <= place < first for place in range(count)),
        rows=rows,
        answers=tuple((token,) for token in own[1:]),
        sorts=("next",) * len(rows),
        weights=(1.0,) * len(rows),
        decision_from=first,
        is_target=tuple(place >= first for place in range(count)),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"expected a text file at `{path}`, got {type(error).__name__}; correct --text") from error
