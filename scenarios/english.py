"""English that is installable: paragraphs of the Python documentation, as lessons that rest on their own paragraph.

    apt-get install python3.11-doc        (Debian; the text is cited and read where it lies, never shipped)

A block is a paragraph. The targets of a decision are the paragraph that is written and the headings above it; the rest
is what stands before it in the document. As a control, paragraphs drawn at random from that rest, as many tokens as the
targets have, take the targets' place.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal, cast

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from localist_core.blocks import PROMPT_ORDER, BlockKind
from localist_core.learning.lessons import Lesson
from localist_core.tokenizer import BOS, PAD, load_tokenizer
from scenarios.config import ConfigError
from scenarios.prose import Paragraph, paragraphs

FOLDER = Path("/usr/share/doc/python3.11/html/_sources")
"""Where Debian puts the sources of the documentation."""
START: str = "<p>"
"""Begins a paragraph, and so predicts its first word."""
VOCABULARY = 2048
CONTEXT = 128
"""Tokens before the own paragraph, the rest of a lesson."""
SHORTEST, LONGEST = 24, 96
"""Tokens of an own paragraph: shorter ones are context only, longer ones are cut off."""
HEADINGS = 24
"""Most tokens of the headings."""

Split = Literal["train", "dev", "test"]
HEADING, BEFORE, OWN = (PROMPT_ORDER.index(kind) for kind in (BlockKind.GOAL, BlockKind.MEMORY, BlockKind.OBSERVATION))
FIRST = PROMPT_ORDER.index(BlockKind.SCHEMA)
BOS_ID, START_ID = 1, 2
"""The first token of every lesson is neutral."""


@dataclass(frozen=True, slots=True, kw_only=True)
class English:
    """A source of lessons: pool k is a function of the seed and k; a paragraph is drawn with equal chances."""

    tokenizer: Path
    """Directory of the tokenizer."""
    seed: int
    folder: Path = FOLDER
    size: int = 512
    """Lessons of one pool."""

    def __call__(self, pool: int) -> list[Lesson]:
        """The lessons of one pool."""
        pages = pages_of(self.folder, "train", self.tokenizer)
        places = [(page, index) for page in pages for index in page.writable]
        rng = random.Random(f"{self.seed}/{pool}")
        return [text_lesson(page, index) for page, index in rng.sample(places, min(self.size, len(places)))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One document as tokens."""

    paragraphs: tuple[tuple[int, ...], ...]
    """Each begins with `START`."""
    headings: tuple[tuple[int, ...], ...]
    """Above each paragraph."""
    writable: tuple[int, ...]
    """Paragraphs that are long enough and have enough before them."""


def held_out(
    tokenizer: Path, split: Split, count: int, seed: int, *, folder: Path = FOLDER, is_control: bool = False
) -> list[Lesson]:
    """Lessons of documents that training never sees; with random paragraphs as targets if it is the control.

    Raises:
        ConfigError: the documents have fewer, or the tokenizer is of another corpus.
    """
    pages = pages_of(folder, split, tokenizer)
    places = [(page, index) for page in pages for index in page.writable]
    if count > len(places):
        raise ConfigError(f"expected at most {len(places)} lessons of the documents for {split}, got `{count}`")
    rng = random.Random(seed)
    chosen = rng.sample(places, count)
    return [controlled(text_lesson(p, i), rng) if is_control else text_lesson(p, i) for p, i in chosen]


def text_lesson(page: Page, index: int) -> Lesson:
    """A paragraph to write, its headings, and the `CONTEXT` tokens before it.

    The decision rows are its tokens from `START` on; each is asked for the next one, so every word of the paragraph is
    predicted by a row under the dial.
    """
    own = page.paragraphs[index][:LONGEST]
    before = _before(page, index)
    headings = page.headings[index][:HEADINGS]
    first = 1 + len(headings) + len(before)
    count = first + len(own)
    rows = tuple(range(first, count - 1))
    return Lesson(
        ids=(BOS_ID, *headings, *before, *own),
        kinds=(FIRST, *[HEADING] * len(headings), *[BEFORE] * len(before), *[OWN] * len(own)),
        positions=tuple(range(count)),
        is_rest=tuple(len(headings) < place < first for place in range(count)),
        rows=rows,
        answers=tuple((word,) for word in own[1:]),
        sorts=("next",) * len(rows),
        weights=(1.0,) * len(rows),
        decision_from=first,
        is_target=tuple(0 < place <= len(headings) or place >= first for place in range(count)),
    )


def controlled(one: Lesson, rng: random.Random) -> Lesson:
    """The control: as many tokens of random paragraphs before the own one take the place of the targets.

    All else but the first token becomes rest, the own paragraph and its headings too.
    """
    n_S = sum(one.targets)
    places = [place for place, kind in enumerate(one.kinds) if kind == BEFORE]
    starts = [place for place in places if one.ids[place] == START_ID or place == places[0]]
    spans = list(zip(starts, [*starts[1:], places[-1] + 1], strict=True))
    rng.shuffle(spans)
    chosen = frozenset([place for start, end in spans for place in range(start, end)][:n_S])
    return replace(
        one,
        is_target=tuple(place in chosen for place in range(len(one.ids))),
        is_rest=tuple(place not in chosen and place > 0 for place in range(len(one.ids))),
    )


def _before(page: Page, index: int) -> tuple[int, ...]:
    """The last `CONTEXT` tokens before a paragraph; fewer where the document has no more."""
    found: list[int] = []
    for paragraph in reversed(page.paragraphs[:index]):
        found[:0] = paragraph
        if len(found) >= CONTEXT:
            break
    return tuple(found[-CONTEXT:])


# Documents


@lru_cache(maxsize=4)
def pages_of(folder: Path, split: Split, tokenizer: Path) -> tuple[Page, ...]:
    """The documents of one split, as tokens."""
    read = load_tokenizer(tokenizer)
    if read.convert_tokens_to_ids(START) != START_ID:
        raise ConfigError(f"expected a model that was trained on English, got one without the word `{START}`")
    return tuple(_page(document, read) for document in documents(folder, split))


def documents(folder: Path, split: Split) -> Iterator[list[Paragraph]]:
    """The paragraphs of each document of a split that has any.

    A document belongs to a split by a hash of its path: of ten, one is for development and one for the test.

    Raises:
        ConfigError: no documents there.
    """
    paths = sorted(folder.rglob("*.rst.txt"))
    if not paths:
        raise ConfigError(
            f"expected the sources of Python's documentation in `{folder}`, got none; "
            f"`apt-get install python3.11-doc`, or give another folder"
        )
    for path in paths:
        if split_of(path.relative_to(folder).as_posix()) == split:
            found = list(paragraphs(path.read_text(encoding="utf-8")))
            if found:
                yield found


def split_of(name: str) -> Split:
    """The split of a document."""
    kept: dict[int, Split] = {0: "test", 1: "dev"}
    return kept.get(hashlib.sha256(name.encode()).digest()[0] % 10, "train")


def _page(document: list[Paragraph], tokenizer: PreTrainedTokenizerFast) -> Page:
    encoded = cast("list[list[int]]", tokenizer([START + one.text for one in document])["input_ids"])
    titles = [" / ".join(one.headings) for one in document]
    known = {title: tuple(cast("list[int]", tokenizer(title)["input_ids"])) for title in set(titles)}
    texts = tuple(tuple(ids) for ids in encoded)
    length = 0
    writable: list[int] = []
    for index, text in enumerate(texts):
        if len(text) >= SHORTEST and length >= CONTEXT:
            writable.append(index)
        length += len(text)
    return Page(paragraphs=texts, headings=tuple(known[title] for title in titles), writable=tuple(writable))


def build_english(folder: Path = FOLDER) -> PreTrainedTokenizerFast:
    """A tokenizer of sub-words of bytes, made from the training documents."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, BOS, START],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    texts = (f"{one.text} {' '.join(one.headings)}" for found in documents(folder, "train") for one in found)
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD)  # type: ignore[no-untyped-call]
