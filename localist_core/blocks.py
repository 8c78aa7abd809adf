"""What a prompt is made of: ordered blocks of text, each with a kind, a name and a trust.

Immutable and free of torch. The order of the kinds is the order in every prompt; it was settled by
measuring (DESIGN.md, "Order of the blocks"): a rule stands after the facts that it speaks of, and
everything untrusted stands after everything trusted, so that by causality alone no trusted block
depends on an untrusted one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from itertools import pairwise


class BlockKind(StrEnum):
    """The kinds of block, in prompt order."""

    SCHEMA = "schema"
    ROLE = "role"
    GOAL = "goal"
    OBSERVATION = "observation"
    RULEBOOK = "rulebook"
    INJECTION = "injection"
    MESSAGE = "message"
    MEMORY = "memory"
    OPTIONS = "options"
    DECISION = "decision"
    TEMPLATE = "template"
    """What a chat template puts between the others; of no place of its own in the order (see chat.py)."""


PROMPT_ORDER: tuple[BlockKind, ...] = tuple(kind for kind in BlockKind if kind is not BlockKind.TEMPLATE)
"""Every prompt lists its blocks in this order of kinds, unless it names another."""

CHAT_ORDER: tuple[BlockKind, ...] = (
    BlockKind.SCHEMA,
    BlockKind.ROLE,
    BlockKind.RULEBOOK,
    BlockKind.GOAL,
    BlockKind.OBSERVATION,
    BlockKind.INJECTION,
    BlockKind.MESSAGE,
    BlockKind.MEMORY,
    BlockKind.OPTIONS,
    BlockKind.DECISION,
)
"""The order in which a chat model reads them: rules stand in the system's turn, the agent's own in the user's."""

NEUTRAL_KINDS = frozenset({BlockKind.SCHEMA, BlockKind.OPTIONS, BlockKind.DECISION, BlockKind.TEMPLATE})
"""Kinds that belong neither to the targets nor to the rest: the attention sink stands in the schema or the template,
options and decision are the decision's own text (framework, section 1)."""

DECISION_KINDS = frozenset({BlockKind.OPTIONS, BlockKind.DECISION})
"""Kinds whose rows are decision rows: they alone are steered by the dial."""


class Trust(IntEnum):
    """Trust of a block: the minimum over its sources."""

    UNTRUSTED = 0
    """Holds some string from the world, a message, memory or a model."""
    TRUSTED = 1
    """Only numbers, booleans and enumerated values rendered from typed state, or the user's own rules."""


class PromptError(ValueError):
    """A prompt that breaks the order of kinds or of trust, or names two blocks alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One named piece of a prompt."""

    kind: BlockKind
    name: str
    """Unique in its prompt; for rules the anchor token, such as `R3`."""
    text: str
    trust: Trust = Trust.TRUSTED

    def __post_init__(self) -> None:
        if not self.name:
            raise PromptError(f"expected a block name, got an empty one for a block of kind `{self.kind}`")


@dataclass(frozen=True, slots=True)
class Prompt:
    """Blocks in the order of their kinds; cannot be built in any other."""

    blocks: tuple[Block, ...]
    order: tuple[BlockKind, ...] = PROMPT_ORDER
    """The order of kinds."""

    def __post_init__(self) -> None:
        ranks = [self.order.index(block.kind) for block in self.blocks if block.kind is not BlockKind.TEMPLATE]
        if ranks != sorted(ranks):
            kinds = " ".join(block.kind for block in self.blocks)
            raise PromptError(f"expected blocks in the order {' '.join(self.order)}, got {kinds}")
        names = [block.name for block in self.blocks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise PromptError(f"expected one block of each name, got `{twice[0]}` twice")
        body = [block for block in self.blocks if block.kind not in DECISION_KINDS]
        trusts = [block.trust for block in body]
        if trusts != sorted(trusts, reverse=True):
            late = next(b.name for a, b in pairwise(body) if b.trust > a.trust)
            raise PromptError(f"expected trusted blocks before untrusted ones, got `{late}` after an untrusted block")
        if not self.blocks or self.blocks[-1].kind is not BlockKind.DECISION:
            raise PromptError("expected the last block to be the decision")

    def __getitem__(self, name: str) -> Block:
        """The block of this name; KeyError if there is none."""
        for block in self.blocks:
            if block.name == name:
                return block
        raise KeyError(name)

    def names(self, *kinds: BlockKind) -> tuple[str, ...]:
        """Names of the blocks of these kinds, in order; of all blocks without an argument."""
        return tuple(block.name for block in self.blocks if not kinds or block.kind in kinds)

    def without(self, names: Iterable[str]) -> Prompt:
        """The same prompt with these blocks left out."""
        gone = frozenset(names)
        return Prompt(tuple(block for block in self.blocks if block.name not in gone), self.order)

    @property
    def sha256(self) -> str:
        """Hash of kinds, names, trusts and texts in hex; equal prompts have equal hashes."""
        digest = hashlib.sha256()
        for block in self.blocks:
            for part in (block.kind, block.name, str(int(block.trust)), block.text):
                raw = part.encode("utf-8", "surrogatepass")
                digest.update(len(raw).to_bytes(4, "big") + raw)
        return digest.hexdigest()
