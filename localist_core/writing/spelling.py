"""What each token spells, byte for byte, so that a text is its tokens put together; special tokens spell nothing.

Only tokenizers that spell by putting together can carry a grammar: byte-level, SentencePiece-like with or without
bytes, and plain words. Which kind one is, its decoder says, and a text is decoded on load to try it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from localist_core.errors import UnsupportedModelError
from localist_core.prompting.harmless import fold, forbidden_ids
from localist_core.prompting.slots import SLOTS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SPACE: Final = "▁"
"""How SentencePiece writes a space."""
BYTE: Final = re.compile(r"<0x([0-9A-F]{2})>")
SLOT: Final = re.compile(rf"\s*[{''.join(SLOTS).lower()}]\s*\d+\W*")
SAMPLE: Final = '{"name":[-12.5,true,"A b"]}'


def spellings(tokenizer: PreTrainedTokenizerBase, size: int) -> tuple[bytes, ...]:
    """The bytes of each token id below `size`; b"" for a token that no generated text may hold.

    Those are all special and added tokens, tokens that are a slot word such as `R3`, the unknown token, and ids without
    a token.

    Raises:
        UnsupportedModelError: a tokenizer of another kind, by name and reason.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise _refusal(tokenizer, "it is none of the library `tokenizers`")
    described = json.loads(backend.to_str())
    kind = _kind(tokenizer, described)
    never = forbidden_ids(tokenizer) | {tokenizer.unk_token_id}
    known = [b""] * size
    for token, index in tokenizer.get_vocab().items():
        if index < size and index not in never:
            spelled = _bytes(token, kind, described)
            known[index] = b"" if _is_slot(spelled.decode(errors="replace")) else spelled
    if kind != "words":
        _try(tokenizer, known)
    return tuple(known)


def is_spellable(text: bytes, tokens: Sequence[bytes]) -> bool:
    """Whether some tokens put together are the text."""
    pieces = frozenset(tokens) - {b""}
    reached = [True] + [False] * len(text)
    longest = max(map(len, pieces), default=0)
    for end in range(1, len(text) + 1):
        starts = range(max(0, end - longest), end)
        reached[end] = any(reached[start] and text[start:end] in pieces for start in starts)
    return reached[-1]


def _kind(tokenizer: PreTrainedTokenizerBase, described: dict[str, Any]) -> str:
    model = described["model"]
    if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        raise _refusal(tokenizer, "its tokens mark where a word goes on or ends")
    decoder = described.get("decoder")
    if decoder is None:
        return "words"
    parts = decoder["decoders"] if decoder["type"] == "Sequence" else [decoder]
    types = {part["type"] for part in parts}
    if "ByteLevel" in types:
        return "bytes"
    if "Metaspace" in types or any(part.get("content") == " " for part in parts):
        return "pieces"
    raise _refusal(tokenizer, f"its decoder is {' '.join(sorted(types))}")


def _bytes(token: str, kind: str, described: dict[str, Any]) -> bytes:
    if kind == "bytes":
        return bytes(BYTES[letter] for letter in token) if all(letter in BYTES for letter in token) else b""
    if kind == "pieces":
        found = BYTE.fullmatch(token)
        if found and described["model"].get("byte_fallback"):
            return bytes([int(found.group(1), 16)])
        return token.replace(SPACE, " ").encode()
    return token.encode()


def _is_slot(text: str) -> bool:
    return any(map(str.isdigit, text)) and SLOT.fullmatch(fold(text)[0]) is not None


def _try(tokenizer: PreTrainedTokenizerBase, known: Sequence[bytes]) -> None:
    """Refuse a tokenizer that decodes its own tokens to something else than what they spell here."""
    encoded = cast("list[int]", tokenizer(SAMPLE, add_special_tokens=False)["input_ids"])
    ids = [index for index in encoded if index < len(known) and known[index]]
    spelled = b"".join(known[index] for index in ids).decode(errors="replace").removeprefix(" ")
    decoded = cast(str, tokenizer.decode(ids, clean_up_tokenization_spaces=False)).removeprefix(" ")
    if spelled != decoded:
        raise _refusal(tokenizer, f"tokens that spell `{spelled}` are decoded as `{decoded}`")


def _byte_letters() -> dict[str, int]:
    """The letters by which byte-level tokenizers write bytes: printable ones as they are, the others from 256 on."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(0x100 + n): byte for n, byte in enumerate(others)}


BYTES: Final = _byte_letters()


def _refusal(tokenizer: PreTrainedTokenizerBase, reason: str) -> UnsupportedModelError:
    name = tokenizer.name_or_path or type(tokenizer).__name__
    return UnsupportedModelError(
        f"expected a tokenizer whose tokens spell a text put together, got that of `{name}`: {reason}"
    )
