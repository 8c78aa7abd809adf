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
from localist_core.segments import Group

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

    @property
    def length(self) -> int:
        """Tokens of the prompt and of the trie behind it."""
        return len(self.encoding.ids) + len(self.trie.tokens)

    @property
    def num_decision_rows(self) -> int:
        return self.length - self.encoding.decision_from

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
    def shape(self) -> tuple[int, int, int]:
        """The canonical shape: tokens, decision rows, blocks."""
        return (
            _round_up(self.length, 32 if self.length <= 512 else 128),
            _round_up(self.num_decision_rows, 8),
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
    """(batch, token) int64, index into PROMPT_ORDER; 0 in the padding."""
    seen: Tensor
    """(batch, 1, token, token) bool: causal, and a tree behind the prompt; no window."""
    rows: Tensor
    """(batch, row) int64: the decision rows; a shorter batch entry repeats its last one."""
    is_row: Tensor
    """(batch, row) bool: False for those repeats."""
    membership: Tensor
    """(batch, token, block) float32, see `Segments`."""
    groups: Tensor
    """(batch, token) int64, see `Segments`."""
    uncut: Tensor
    """(batch, token) bool: False where a knocked-out block stands."""
    dials: tuple[Dial, ...]
    steered: Tensor
    """(change,) int64: flat indices into batch * row of the rows whose output the dial or a cut replaces."""
    is_plain: bool
    """No tree, and positions count every token: the family's own mask serves."""
    stock: str
    """The family's own attention for all other rows: `sdpa` or `eager`."""
    num_layers: int
    measured: list[Measured] = field(default_factory=list)
    """Filled by the attention function, one entry for each layer in the order of the calls."""
    masks: dict[int, tuple[object, Tensor | None, Tensor]] = field(default_factory=dict)
    """Cache of the attention function: the masks of each kind of layer."""

    def floors(self, layer: int) -> tuple[float, ...]:
        """The floor of each batch entry in one layer."""
        return tuple(layer_floor(dial.value, layer, self.num_layers, dial.gamma) for dial in self.dials)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Means over heads and decision rows in one layer."""

    layer: int
    raw: Tensor
    """(batch, block)"""
    steered: Tensor
    """(batch, block)"""
    fidelities: Tensor
    """(batch, 2) raw and steered; NaN where undefined."""
    entropy_bits: Tensor
    """(batch,) of the masses as used."""


def plan_of(rows: Sequence[Row], *, stock: str, num_layers: int, pad_id: int, device: torch.device) -> Plan:
    """Lay rows of one canonical shape out as a batch."""
    tokens, num_rows, blocks = (max(sizes) for sizes in zip(*(row.shape for row in rows), strict=True))
    batch = len(rows)
    ids = torch.full((batch, tokens), pad_id)
    positions, padding, kinds, groups = (torch.zeros(batch, tokens, dtype=torch.long) for _ in range(4))
    seen = torch.ones(tokens, tokens, dtype=torch.bool).tril().expand(batch, 1, -1, -1).clone()
    membership = torch.zeros(batch, tokens, blocks)
    uncut = torch.ones(batch, tokens, dtype=torch.bool)
    decision = torch.zeros(batch, num_rows, dtype=torch.long)
    is_row = torch.zeros(batch, num_rows, dtype=torch.bool)
    for b, row in enumerate(rows):
        encoding, trie, length = row.encoding, row.trie, row.length
        prompt_length = len(encoding.ids)
        of_token = torch.tensor(encoding.block_ids + (len(row.prompt.blocks) - 1,) * len(trie.tokens))
        ids[b, :length] = torch.tensor(encoding.ids + trie.tokens)
        last = encoding.positions[-1]
        positions[b, :length] = torch.tensor(encoding.positions + tuple(last + depth for depth in trie.depths))
        padding[b, :length] = 1
        kinds[b, :length] = torch.tensor([PROMPT_ORDER.index(block.kind) for block in row.prompt.blocks])[of_token]
        groups[b, :length] = torch.tensor(row.groups)[of_token]
        membership[b, torch.arange(length), of_token] = 1.0
        seen[b, 0, :, length:] = False
        for node in range(len(trie.tokens)):
            seen[b, 0, prompt_length + node, prompt_length:] = False
            seen[b, 0, prompt_length + node, [prompt_length + other for other in trie.ancestors(node)]] = True
        if row.cut is not None:
            uncut[b, :length] = of_token != row.prompt.names().index(row.cut)
        decision[b] = torch.arange(encoding.decision_from, encoding.decision_from + num_rows).clamp(max=length - 1)
        is_row[b, : row.num_decision_rows] = True
    is_steered = torch.tensor([row.dial.value > 0.0 or row.cut is not None for row in rows])
    is_plain = not any(row.trie.tokens or row.encoding.positions[-1] != len(row.encoding.ids) - 1 for row in rows)
    return Plan(
        ids=ids.to(device),
        positions=positions.to(device),
        padding=padding.to(device),
        kinds=kinds.to(device),
        seen=seen.to(device),
        rows=decision.to(device),
        is_row=is_row.to(device),
        membership=membership.to(device),
        groups=groups.to(device),
        uncut=uncut.to(device),
        dials=tuple(row.dial for row in rows),
        steered=(is_row & is_steered[:, None]).flatten().nonzero()[:, 0].to(device),
        is_plain=is_plain,
        stock=stock,
        num_layers=num_layers,
    )


def _round_up(number: int, step: int) -> int:
    return -(-number // step) * step
