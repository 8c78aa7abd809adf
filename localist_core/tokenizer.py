"""The tokenizer of the shipped core: one token per slot and structural word, sub-words of bytes for every name.

Slots (`A3` an action, `R2` a rule, `F5` a field, `V1` an enumerated value) and structural words (`if`, `not`, `yes`)
are **special** tokens: trusted text is encoded with them, untrusted text with `split_special_tokens=True`, so no string
from a message can become one. Digits and signs are ordinary characters and look alike in both. Names that were never
seen fall back to bytes, so nothing is ever unknown.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, cast

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from localist_core.prompting.slots import SLOTS as SLOTS

PAD: Final = "<pad>"
BOS: Final = "<s>"

NO_RULE: Final = "ok"
"""The citation of an action that no rule forbids."""

_STRUCTURE: Final = """
    if and or not always allowed with is to from intends claims unknown yes no maybe fires idle schema role
    goal options act min max abs div mod then else
"""
STRUCTURE: Final = tuple(_STRUCTURE.split())
"""Words with a fixed meaning in prompts."""

SIGNS: Final = r"?:;,<>=!+\-*/().0-9"
"""Signs and digits, as a character class: ordinary characters, each a token of its own."""

PAIRS: Final = (("<", "="), (">", "="), ("!", "="))
"""Signs of two characters that are one token."""


def special_words() -> tuple[str, ...]:
    """All special tokens in id order."""
    slots = tuple(f"{letter}{index}" for letter, count in SLOTS.items() for index in range(1, count + 1))
    return (PAD, BOS, NO_RULE, *STRUCTURE, *slots)


def build_tokenizer(words: tuple[str, ...], merges: int = 256) -> PreTrainedTokenizerFast:
    """Train the byte-level sub-words on a list of names and put the special tokens in front of them.

    Args:
        words: names to learn sub-words from; any other name still encodes, as bytes.
        merges: number of sub-words beyond the 256 bytes.
    """
    specials = special_words()
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = _splitting()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        words, trainers.BpeTrainer(vocab_size=256 + merges, initial_alphabet=alphabet, show_progress=False)
    )
    core = Tokenizer(models.BPE(**_without_clashes(json.loads(core.to_str())["model"], specials)))
    core.pre_tokenizer = _splitting()
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([_added(word) for word in specials])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=core, pad_token=PAD, bos_token=BOS, clean_up_tokenization_spaces=False
    )


def load_tokenizer(path: Path) -> PreTrainedTokenizerFast:
    """The tokenizer saved in a directory."""
    return cast(PreTrainedTokenizerFast, PreTrainedTokenizerFast.from_pretrained(path))


def _splitting() -> pre_tokenizers.PreTokenizer:
    """Signs and digits stand alone, and the spaces around them are dropped; words split into bytes."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(f" +(?=[{SIGNS}])|(?<=[{SIGNS}]) +"), behavior="removed"),
            pre_tokenizers.Split(Regex(f"<=|>=|!=|[{SIGNS}]"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )


def _without_clashes(model: dict[str, Any], specials: tuple[str, ...]) -> dict[str, Any]:
    """Vocabulary and merges in which no sub-word spells a special token; special tokens get the lowest ids."""
    banned = set(specials)
    known = {token for token in model["vocab"] if len(token) == 1}
    merges = list(PAIRS)
    known.update(left + right for left, right in PAIRS)
    for left, right in model["merges"]:
        # INVARIANT: a merge stands after the merges of its parts, so one dropped early drops all built on it.
        if left in known and right in known and left + right not in banned:
            merges.append((left, right))
            known.add(left + right)
    vocab = {token: index for index, token in enumerate([*specials, *sorted(known)])}
    return {"vocab": vocab, "merges": merges}


def _added(word: str) -> AddedToken:
    """A special token matches whole words only (`idle` is not found in `idler`) and eats the spaces around it."""
    is_word = word[0].isalpha()
    return AddedToken(word, single_word=is_word, lstrip=True, rstrip=True, normalized=False, special=True)
