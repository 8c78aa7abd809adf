"""Untrusted text made harmless: it becomes no special token, no slot word such as `R3`, no marker of a chat template.

Two guards stand one behind the other. Before the tokenizer: where slot words are ordinary text to it, they are broken
up (`R 3`), as are the markers of a template that is written in ordinary text (`[INST]`), seen through the spellings
that tokenizers fold together (case, accents, compatibility forms, invisible characters). After it: whatever special
token is still there is replaced. Look-alikes that no tokenizer folds (a Cyrillic `А`) are other tokens already.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, cast

from localist_core.errors import EncodingError
from localist_core.prompting.slots import SLOTS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SEPARATORS = (" ", "-", "_", "/", "~", "·")
"""Tried in order: the first that keeps the tokens of a broken word apart from those of the whole one."""

INVISIBLE = frozenset("CM")
"""First letters of the categories that some normaliser drops: control and format characters, private and unassigned
ones, marks on letters. Which mark is of which category differs between versions of Unicode: so all of them."""

BYTE = "<0x0A>"
"""A token that stands for a byte. Some tokenizers find it spelled out in text: then any byte could be forged."""

REPLACEMENT = "\ufffd"
"""What stands for a broken character; some normaliser drops it too."""


@dataclass(frozen=True, slots=True)
class Break:
    """How a word is broken up."""

    pattern: re.Pattern[str]
    """Matches up to the character behind which the word is broken, in folded text."""
    separator: str


class Harmless:
    """Spells untrusted text for one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, markers: Sequence[str] = ()) -> None:
        """Look what the tokenizer would let pass.

        Args:
            tokenizer: of the model.
            markers: words of ordinary text that untrusted text must not spell, such as `[INST]`.
        """
        self._tokenizer = tokenizer
        self.forbidden = forbidden_ids(tokenizer)
        unknown: int | None = tokenizer.unk_token_id
        self._unknown = None if unknown in self.forbidden else unknown
        vocabulary = tokenizer.get_vocab()
        letters = [letter for letter in SLOTS if vocabulary.get(f"{letter}1") not in self.forbidden]
        self._breaks = [self._break_of(marker) for marker in sorted(set(markers))]
        if letters:
            self._breaks.append(self._break_of(f"{letters[0]}3", letters="".join(letters)))
        if BYTE in vocabulary and vocabulary[BYTE] in self._split(BYTE):
            self._breaks.append(Break(re.compile("<(?=0x[0-9a-f]{2}>)"), SEPARATORS[0]))

    def ids(self, text: str) -> tuple[int, ...]:
        """Token ids of untrusted text.

        Raises:
            EncodingError: text that this tokenizer cannot carry without a forged word; none is known.
        """
        text = text.encode("utf-8", "replace").decode()  # half a character has no token anywhere
        if self._breaks:
            text = self._broken_up(_on_one_line(text))
        ids = self._replaced(self._split(text))
        if self._breaks and self._is_forged(ids):
            raise EncodingError("expected untrusted text without slot words, got one that cannot be broken up")
        return ids

    def _break_of(self, word: str, *, letters: str = "") -> Break:
        """How to break up a word, or, given letters, every slot word of them, of which `word` is an example."""
        cuts = [(separator, at) for separator in SEPARATORS for at in range(1, len(word))]
        apart = (cut for cut in cuts if not self._is_alike(word[: cut[1]] + cut[0] + word[cut[1] :], word))
        separator, at = next(apart, cuts[0])
        if letters:
            gap = r"\s*" if self._is_alike(f"{word[0]} {word[1:]}", word) else ""
            return Break(re.compile(rf"[{letters.lower()}](?={gap}(?:\d|$))"), separator)
        # Some tokenizers drop spaces around signs: to them the word is also its spaced form.
        gap = r"\s*" if self._is_alike(re.sub(r"([^\w\s])", r" \1 ", word), word) else ""
        parts = [
            re.escape(character) + ("" if character.isalnum() and after.isalnum() else gap)
            for character, after in pairwise(fold(word)[0] + "a")
        ]
        return Break(re.compile(f"{''.join(parts[:at])}(?={''.join(parts[at:])})"), separator)

    def _broken_up(self, text: str) -> str:
        folded, origins = fold(text)
        cuts = {origins[m.end() - 1]: one.separator for one in self._breaks for m in one.pattern.finditer(folded)}
        return "".join(c + cuts.get(index, "") for index, c in enumerate(text))

    def _is_forged(self, ids: Sequence[int]) -> bool:
        # What stands behind the last letter is another block's; whether one is forged there, the border decides.
        text = fold(cast(str, self._tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)))[0]
        return any(match.end() < len(text.rstrip()) for one in self._breaks for match in one.pattern.finditer(text))

    def _replaced(self, ids: Sequence[int]) -> tuple[int, ...]:
        if self.forbidden.isdisjoint(ids):
            return tuple(ids)
        # A token in the base vocabulary, or one added without being called special, is found in spite of the splitting.
        if self._unknown is not None:
            return tuple(self._unknown if token in self.forbidden else token for token in ids)
        return tuple(t for token in ids for t in (self._spelled(token) if token in self.forbidden else (token,)))

    def _spelled(self, token: int) -> tuple[int, ...]:
        """A special token letter by letter; of a letter that is one itself nothing is left."""
        letters = cast(str, self._tokenizer.convert_ids_to_tokens(token))
        return tuple(t for letter in letters for t in self._split(letter) if t not in self.forbidden)

    def _split(self, text: str) -> tuple[int, ...]:
        try:
            encoded = self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        except Exception as error:  # the type that `tokenizers` raises for a letter that has no token
            raise EncodingError(
                f"expected text that the tokenizer knows, got some that it does not ({error})"
            ) from error
        return tuple(cast("list[int]", encoded["input_ids"]))

    def _is_alike(self, one: str, other: str) -> bool:
        try:
            return contains(self._split(one), self._split(other))
        except EncodingError:
            return False


def forbidden_ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """All special and added tokens. A token that means `unknown` and nothing else is none of them: it says nothing."""
    special = set(tokenizer.all_special_ids) | set(tokenizer.get_added_vocab().values())
    unknown = tokenizer.unk_token_id
    # GPT-2 has one token for beginning, end and unknown.
    others = [token for name, token in tokenizer.special_tokens_map.items() if name != "unk_token"]
    roles = {str(one) for token in others for one in (token if isinstance(token, list | tuple) else [token])}
    if unknown is not None and str(tokenizer.unk_token) not in roles:
        special.discard(unknown)
    return frozenset(special)


def fold(text: str) -> tuple[str, list[int]]:
    """The text as the most forgiving normaliser reads it, and for each of its characters the index it came from.

    Lower case, compatibility forms taken apart, without marks and without invisible characters.
    """
    folded, origins = [], []
    for index, character in enumerate(text):
        visible = "".join(part for part in unicodedata.normalize("NFKD", character) if _is_visible(part))
        for part in unicodedata.normalize("NFKD", visible.casefold()):
            if _is_visible(part):
                folded.append(part)
                origins.append(index)
    return "".join(folded), origins


def _is_visible(character: str) -> bool:
    return unicodedata.category(character)[0] not in INVISIBLE and character != REPLACEMENT


def contains(ids: Sequence[int], word: Sequence[int]) -> bool:
    """Whether one sequence stands in another without a gap; an empty one does."""
    return any(tuple(ids[n : n + len(word)]) == tuple(word) for n in range(len(ids) - len(word) + 1))


def _on_one_line(text: str) -> str:
    """Text in compatibility forms, without control characters and line breaks: no message begins a line of its own."""
    plain = unicodedata.normalize("NFKC", text)
    return "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in plain)
