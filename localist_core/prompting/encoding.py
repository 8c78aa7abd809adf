"""From a prompt to token ids, the block of each token, and positions; nothing untrusted can become a special token.

Each block is tokenised on its own and the ids are joined, so a block's span is exact and never found by searching text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import TYPE_CHECKING, cast

from localist_core.blocks import DECISION_KINDS, Block, Prompt, Trust
from localist_core.errors import EncodingError
from localist_core.prompting.harmless import Harmless

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """A prompt as the model reads it; all four run in step, one entry for each token."""

    ids: tuple[int, ...]
    """Token ids."""
    block_ids: tuple[int, ...]
    """Index of each token's block in `prompt.blocks`, never falling."""
    positions: tuple[int, ...]
    """Trusted tokens count 0..T-1, untrusted ones go on from T, and the decision rows go on from T too, as if nothing
    untrusted stood there: what an untrusted text says or how long it is moves no position but its own."""
    decision_from: int
    """Index of the first token of the decision rows (options, decision)."""

    def span(self, block: int) -> tuple[int, int]:
        """First token of a block and the one after its last; equal for an empty block."""
        start = sum(1 for other in self.block_ids if other < block)
        return start, start + self.block_ids.count(block)


class Encoder:
    """Tokenises prompts; remembers the blocks that it has seen, at most `capacity` of them."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, *, markers: Sequence[str] = (), capacity: int = 4096
    ) -> None:
        """Read prompts with a tokenizer.

        Args:
            tokenizer: of the model.
            markers: see `Harmless`.
            capacity: blocks remembered, 1 or more.
        """
        self._tokenizer = tokenizer
        self._capacity = capacity
        self._seen: dict[tuple[str, Trust], tuple[int, ...]] = {}
        self._harmless = Harmless(tokenizer, markers)

    def arranged(self, prompt: Prompt) -> Prompt:
        """The prompt as the model reads it: here as it is."""
        return prompt

    def encode(self, prompt: Prompt) -> Encoding:
        """Encode a prompt.

        Raises:
            EncodingError: the decision block has no token, trusted text holds half a character, or untrusted text
                cannot be made harmless.
        """
        pieces = [self.block(block) for block in prompt.blocks]
        if self._tokenizer.bos_token_id is not None:
            pieces[0] = (self._tokenizer.bos_token_id, *pieces[0])
        return joined(prompt, pieces)

    def block(self, block: Block) -> tuple[int, ...]:
        """Token ids of one block alone."""
        return self._remembered(block.text, block.trust)

    def label(self, text: str) -> tuple[int, ...]:
        """Token ids of trusted text, special tokens included."""
        return self._remembered(text, Trust.TRUSTED)

    def words(self, block: Block) -> tuple[str, ...]:
        """The tokens of one block alone, as the tokenizer spells them."""
        return tuple(self._tokenizer.convert_ids_to_tokens(list(self.block(block))))

    def ids(self, words: Sequence[str]) -> tuple[int, ...]:
        """Ids of words that are one token each."""
        return tuple(cast("list[int]", self._tokenizer.convert_tokens_to_ids(list(words))))

    def _remembered(self, text: str, trust: Trust) -> tuple[int, ...]:
        ids = self._seen.get((text, trust))
        if ids is None:
            if len(self._seen) >= self._capacity:
                self._seen.clear()
            ids = self._whole(text) if trust is Trust.TRUSTED else self._harmless.ids(text)
            self._seen[text, trust] = ids
        return ids

    def _whole(self, text: str) -> tuple[int, ...]:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise EncodingError(f"expected trusted text in whole characters, got half a one ({error})") from error
        return tuple(cast("list[int]", self._tokenizer(text, add_special_tokens=False)["input_ids"]))


def encode(prompt: Prompt, tokenizer: PreTrainedTokenizerBase) -> Encoding:
    """Encode one prompt; see `Encoder.encode`."""
    return Encoder(tokenizer).encode(prompt)


def joined(prompt: Prompt, pieces: Sequence[Sequence[int]]) -> Encoding:
    """The encoding of a prompt whose blocks have these tokens.

    Raises:
        EncodingError: the decision block has none.
    """
    if not pieces[-1]:
        raise EncodingError("expected a decision block of at least one token, got none")
    return Encoding(
        ids=tuple(chain.from_iterable(pieces)),
        block_ids=tuple(chain.from_iterable(repeat(index, len(piece)) for index, piece in enumerate(pieces))),
        positions=_positions(prompt.blocks, pieces),
        decision_from=sum(
            len(piece) for block, piece in zip(prompt.blocks, pieces, strict=True) if block.kind not in DECISION_KINDS
        ),
    )


def _positions(blocks: Sequence[Block], pieces: Sequence[Sequence[int]]) -> tuple[int, ...]:
    positions: list[int] = []
    trusted = untrusted = 0
    for block, piece in zip(blocks, pieces, strict=True):
        if block.trust is Trust.TRUSTED or block.kind in DECISION_KINDS:
            positions += range(trusted, trusted + len(piece))
            trusted += len(piece)
        else:
            # INVARIANT: Prompt puts every trusted block before every untrusted one, so `trusted` is T here.
            positions += range(trusted + untrusted, trusted + untrusted + len(piece))
            untrusted += len(piece)
    return tuple(positions)
