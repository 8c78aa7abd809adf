"""One batch for one forward: canonical shapes, who sees whom, which rows are steered, and how far.

Shapes come in buckets, and rows are grouped by bucket, so that the numbers of a row do not depend on how long its
neighbours are: on the CPU a row alone and the same row in a batch agree bit for bit (a test keeps it so).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from localist_core.blocks import NEUTRAL_KINDS, PROMPT_ORDER, Prompt
from localist_core.choice import Trie
from localist_core.dial import Dial, layer_floor
from localist_core.encoding import Encoding
from localist_core.segments import Group, Layout, layout_of

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

    @property
    def num_decision_rows(self) -> int:
        """Decision rows of the prompt and fed nodes of the trie, counted once."""
        return len(self.encoding.ids) - self.encoding.decision_from + len(self.trie.tokens)

    @property
    def length(self) -> int:
        """Tokens of the prompt, of the trie behind it, and of the twin."""
        return self.encoding.decision_from + self.num_decision_rows * (2 if self.has_twin else 1)

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
        """The canonical shape: tokens, decision rows, blocks."""
        return (
            _round_up(self.length, 16 if self.length <= 512 else 64),
            _round_up(self.length - self.encoding.decision_from, 8),
            _round_up(len(self.prompt.blocks), 8),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the attention function needs to know of a batch. Built once for a forward, read by every layer."""

    ids: Tensor
    """(batch, token) int64."""
    positions: Tensor
    """(batch, token) int64; 0 in the padding."""
    padding: Tensor
    """(batch, token) int64: 1 where there is a token."""
    kinds: Tensor
    """(batch, token) int64, index into PROMPT_ORDER; 0 in the padding and in a chat template."""
    seen: Tensor
    """(batch, 1, token, token) bool: causal, and a tree behind the prompt; no window."""
    rows: Tensor
    """(batch, row) int64: the decision rows, then their twins; a shorter batch entry repeats its last one."""
    share: Tensor
    """(batch, pass, row) float32: weights of the means over decision rows and over their twins; sum 1, or 0 if none."""
    layout: Layout
    """Blocks and groups of the keys."""
    uncut: Tensor
    """(batch, token) bool: False where a knocked-out block stands."""
    floors: Tensor
    """(layer, batch) float32, see `Segments`."""
    top_floors: tuple[float, ...]
    """The highest floor of each layer."""
    dials: tuple[Dial, ...]
    steered: Tensor
    """(change,) int64: flat indices into batch * row of the rows whose output the dial or a cut replaces; no twins."""
    is_plain: bool
    """No tree, no twin, and positions count every token: the family's own mask serves."""
    stock: str
    """The family's own attention for all other rows: `sdpa` or `eager`."""
    measured: list[Measured] = field(default_factory=list)
    """Filled by the attention function, one entry for each layer in the order of the calls."""
    masks: dict[int, tuple[object, Tensor | None, Tensor]] = field(default_factory=dict)
    """Cache of the attention function: the masks of each kind of layer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Means over heads and decision rows in one layer; pass 0 is the decision, pass 1 its twin."""

    layer: int
    raw: Tensor
    """(batch, pass, block)"""
    steered: Tensor
    """(batch, pass, block)"""
    fidelities: Tensor
    """(batch, pass, 2) raw and steered; NaN where undefined."""
    entropy_bits: Tensor
    """(batch, pass) of the masses as used."""
    heads: Tensor
    """(batch, head, row, block): masses before the dial of every head and row, from which the pointer head is read."""


def plan_of(rows: Sequence[Row], *, stock: str, num_layers: int, pad_id: int, device: torch.device) -> Plan:
    """Lay rows of one canonical shape out as a batch."""
    tokens, num_rows, blocks = (max(sizes) for sizes in zip(*(row.shape for row in rows), strict=True))
    batch = len(rows)
    ids = torch.full((batch, tokens), pad_id)
    positions, padding, kinds, groups = (torch.zeros(batch, tokens, dtype=torch.long) for _ in range(4))
    seen = torch.ones(tokens, tokens, dtype=torch.bool).tril().repeat(batch, 1, 1, 1)
    membership = torch.zeros(batch, tokens, blocks)
    uncut = torch.ones(batch, tokens, dtype=torch.bool)
    decision = torch.zeros(batch, num_rows, dtype=torch.long)
    share = torch.zeros(batch, 2, num_rows)
    for b, row in enumerate(rows):
        start, length, own = row.encoding.decision_from, row.length, row.num_decision_rows
        row_ids, row_positions, of_token = _unrolled(row)
        ids[b, :length] = torch.tensor(row_ids)
        positions[b, :length] = torch.tensor(row_positions)
        padding[b, :length] = 1
        kinds[b, :length] = torch.tensor(row.kinds)[of_token]
        groups[b, :length] = torch.tensor(row.groups)[of_token]
        membership[b, torch.arange(length), of_token] = 1.0
        seen[b, 0, :, length:] = False
        for node in range(len(row.trie.tokens)):
            at = len(row.encoding.ids) + node
            seen[b, 0, at, len(row.encoding.ids) :] = False
            seen[b, 0, at, [len(row.encoding.ids) + other for other in row.trie.ancestors(node)]] = True
        if row.has_twin:
            seen[b, 0, start + own : length, start + own : length] = seen[
                b, 0, start : start + own, start : start + own
            ]
            seen[b, 0, start + own :, start : start + own] = False
            share[b, 1, own : 2 * own] = 1.0 / own
        if row.cut is not None:
            uncut[b, :length] = of_token != row.prompt.names().index(row.cut)
        decision[b] = torch.arange(start, start + num_rows).clamp(max=length - 1)
        share[b, 0, :own] = 1.0 / own
    floors = torch.tensor(
        [
            [layer_floor(row.dial.value, layer, num_layers, row.dial.gamma) for row in rows]
            for layer in range(num_layers)
        ]
    )
    is_steered = torch.tensor([row.dial.value > 0.0 or row.cut is not None for row in rows])
    return Plan(
        ids=ids.to(device),
        positions=positions.to(device),
        padding=padding.to(device),
        kinds=kinds.to(device),
        seen=seen.to(device),
        rows=decision.to(device),
        share=share.to(device),
        layout=layout_of(membership.to(device), groups.to(device)),
        uncut=uncut.to(device),
        floors=floors.to(device),
        top_floors=tuple(floors.amax(1).tolist()),
        dials=tuple(row.dial for row in rows),
        steered=((share[:, 0] > 0.0) & is_steered[:, None]).flatten().nonzero()[:, 0].to(device),
        is_plain=not any(
            row.has_twin or row.trie.tokens or row.encoding.positions[-1] != len(row.encoding.ids) - 1 for row in rows
        ),
        stock=stock,
    )


def _unrolled(row: Row) -> tuple[list[int], list[int], Tensor]:
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
