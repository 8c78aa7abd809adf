"""The self-check at start: on this machine, is a row alone the row in a batch, bit for bit?

Canonical shapes make it so where a product's bits do not depend on how many rows it has; which is seen of one CPU and
one library, and promised by none. So it is tried with the model itself, on prompts of arbitrary tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from localist_core.attending.row import Row
from localist_core.blocks import Block, BlockKind, Prompt, Trust
from localist_core.choice import trie_of
from localist_core.dial import Dial
from localist_core.prompting.encoding import joined

if TYPE_CHECKING:
    from localist_core.serving.scoring import Scored

ROWS = 8
"""Rows that are tried alone and together."""

PIECES = (
    (BlockKind.SCHEMA, 24),
    (BlockKind.GOAL, 5),
    (BlockKind.OBSERVATION, 20),
    (BlockKind.MESSAGE, 7),
    (BlockKind.OPTIONS, 1),
    (BlockKind.DECISION, 1),
)
"""Kinds and tokens of the blocks of a sample prompt. Few decision rows: a window that the probe lets through shows them
a target."""

DIALS = (0.0, 0.4, 0.8)


def sample_rows(vocabulary: int, count: int = ROWS) -> list[Row]:
    """Rows of arbitrary tokens: one schema for all, then each its own; dials, twins and a trie among them."""
    trust = {BlockKind.MESSAGE: Trust.UNTRUSTED}
    blocks = [Block(kind=kind, name=kind, text="", trust=trust.get(kind, Trust.TRUSTED)) for kind, _ in PIECES]
    prompt = Prompt(tuple(blocks))
    trie = trie_of([[n % vocabulary for n in label] for label in ((2, 3), (2, 4), (5, 3))], end_id=None)
    rows = []
    for number in range(count):
        pieces = [
            [(7 + 11 * index + 13 * place + 17 * (number if place else 0)) % vocabulary for index in range(size)]
            for place, (_, size) in enumerate(PIECES)
        ]
        dial = Dial(DIALS[number % len(DIALS)], frozenset({"goal", "observation"}))
        has_twin = dial.value > 0.0 and number % 2 == 0
        rows.append(Row(prompt=prompt, encoding=joined(prompt, pieces), dial=dial, trie=trie, has_twin=has_twin))
    return rows


def difference(score: Callable[[Sequence[Row]], Sequence[Scored]], rows: Sequence[Row]) -> str:
    """Where a row alone first differs from the row in the batch, in one line; empty if no bit does.

    Args:
        score: runs rows through the model, keeping nothing from call to call.
        rows: of one or several canonical shapes, two or more of each.
    """
    for number, (row, beside) in enumerate(zip(rows, score(rows), strict=True)):
        (alone,) = score([row])
        for name, one, other in (
            ("last states", alone.states, beside.states),
            ("masses", alone.heads, beside.heads),
        ):
            if not torch.equal(one, other):
                largest = float((one.float() - other.float()).abs().max())
                return f"{name} of row {number + 1} alone and in a batch of {len(rows)} differ by {largest:.1e}"
    return ""
