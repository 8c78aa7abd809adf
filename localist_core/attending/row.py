"""One row of a batch: a prompt under one dial, and how much of it is fed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from localist_core.attending.segments import Group
from localist_core.blocks import NEUTRAL_KINDS, PROMPT_ORDER, Prompt
from localist_core.choice import Trie
from localist_core.dial import Dial
from localist_core.errors import RequestError
from localist_core.prompting.encoding import Encoding

NO_TRIE = Trie(tokens=(), parents=(), depths=(), paths=((),), branches={})
"""Nothing to choose: for passes that only look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a batch: a prompt under one dial."""

    prompt: Prompt
    encoding: Encoding
    dial: Dial
    trie: Trie = NO_TRIE
    cut: str | None = None
    """A block that the decision rows cannot see at all; None = they see every block."""
    has_twin: bool = False
    """Whether a second copy of the decision rows stands behind the first, unseen by it and at dial 0: the evidence at
    the price of a few rows. Not beside a dial of 1, which keeps blocks out of the model."""
    cached: int = 0
    """How many of the first tokens are not fed, because their keys are in a prefix or a cache."""
    until: int | None = None
    """Feed the tokens before this one, without trie and twin; None = all. To fill a cache in parts: tokens before
    `encoding.decision_from` are no decision rows, and a pass of such alone is neither steered nor measured."""

    def __post_init__(self) -> None:
        if not 0 <= self.cached < self.end:
            raise RequestError(f"expected at least one token to feed, got {self.cached} of {self.end} in the cache")
        if self.has_twin and self.cached > self.encoding.decision_from:
            raise RequestError("expected a twin of all decision rows, got some of them in the cache")
        if self.has_twin and self.dial.touches_prefix:
            raise RequestError("expected no twin beside a dial of all rows, since it steers keys too; use a second row")

    @property
    def num_decision_rows(self) -> int:
        """Decision rows of the prompt and fed nodes of the trie that this pass feeds, counted once."""
        end = self.until if self.until is not None else len(self.encoding.ids) + len(self.trie.tokens)
        return max(0, end - max(self.encoding.decision_from, self.cached))

    @property
    def feeds_twin(self) -> bool:
        """Whether this pass feeds the twin."""
        return self.has_twin and self.until is None

    @property
    def end(self) -> int:
        """Tokens of the row behind this pass, those in the cache included."""
        return self.until if self.until is not None else self.length

    @property
    def length(self) -> int:
        """Tokens of the prompt, of the trie behind it, and of the twin, wherever their keys are."""
        own = len(self.encoding.ids) + len(self.trie.tokens)
        return own + (own - self.encoding.decision_from if self.has_twin else 0)

    @property
    def groups(self) -> tuple[Group, ...]:
        """What each block of the prompt is to the dial. Without targets everything that is not neutral is rest."""
        return tuple(
            Group.NEUTRAL
            if block.kind in NEUTRAL_KINDS
            else Group.TARGET
            if block.name in self.dial.targets
            else Group.REST
            for block in self.prompt.blocks
        )

    @property
    def kinds(self) -> tuple[int, ...]:
        """Index into PROMPT_ORDER of each block of the prompt; 0 for a piece of a chat template."""
        places = {kind: index for index, kind in enumerate(PROMPT_ORDER)}
        return tuple(places.get(block.kind, 0) for block in self.prompt.blocks)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The canonical shape: fed tokens, decision rows, blocks. A single fed token is a shape of its own."""
        fed, rows = self.end - self.cached, self.num_decision_rows * (2 if self.feeds_twin else 1)
        return (
            1 if fed == 1 else _round_up(fed, 16 if fed <= 512 else 64),
            rows if fed == 1 else _round_up(rows, 8),
            _round_up(len(self.prompt.blocks), 8),
        )


def unrolled(row: Row) -> tuple[list[int], list[int], Tensor]:
    """Ids, positions and block of each token: the prompt, the trie behind it (of the decision block), and the twin."""
    encoding, trie = row.encoding, row.trie
    ids = [*encoding.ids, *trie.tokens]
    positions = [*encoding.positions, *(encoding.positions[-1] + depth for depth in trie.depths)]
    blocks = [*encoding.block_ids, *(len(row.prompt.blocks) - 1 for _ in trie.tokens)]
    if row.has_twin:
        ids, positions, blocks = (each + each[encoding.decision_from :] for each in (ids, positions, blocks))
    return ids, positions, torch.tensor(blocks)


def _round_up(number: int, step: int) -> int:
    return -(-number // step) * step
