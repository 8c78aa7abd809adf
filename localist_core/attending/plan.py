"""One batch for one forward: canonical shapes, who sees whom, which rows are steered, and how far.

Shapes come in buckets, and rows are grouped by bucket, so that the numbers of a row do not depend on how long its
neighbours are: on the CPU a row alone and the same row in a batch agree bit for bit (a test keeps it so).

Keys stand in slots, in this order: `Plan.prefix` (keys and values that the plan carries itself), then what a cache of
transformers holds, then the tokens of this pass. A row says how many of its tokens are in the first two (`Row.cached`);
only the others are fed. `plan_of` lays a pass out from its rows, `step` the next pass of new tokens for each row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from localist_core.attending.backend import PACKED, Backend, Reader
from localist_core.attending.measuring import Measured, Passed, measured_of
from localist_core.attending.one_pass import Run
from localist_core.attending.row import Row, unrolled
from localist_core.attending.segments import Group, Layout, layout_of
from localist_core.dial import Dial, layer_floor
from localist_core.errors import DialError, RequestError


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The fed tokens of a batch entry before its decision rows, where the dial steers these too; indices among them."""

    entry: int
    """Of the batch."""
    first: int
    """The first of them."""
    steered: int
    """The first that sees a target: it is the first target token, or stands behind that."""
    stop: int
    """Behind the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What one kind of layer sees, with a window or without one; all for the keys that it has."""

    pattern: object
    """What it was made from; kept, so that its id stays its own."""
    stock_mask: Tensor | None
    """The mask for the family's own attention; without the prefix if that is apart."""
    hidden: Tensor | None
    """See `Segments`."""
    layout: Layout
    read: Reader
    """What attends for the decision rows."""
    runs: tuple[tuple[Run, ...], ...] | None
    """For each body of the plan the runs of its keys; None where they cannot be attended to in one pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the attention function needs to know of a batch. Built once for a forward, read by every layer."""

    ids: Tensor
    """(batch, token) int64: the tokens that this pass feeds."""
    positions: Tensor
    """(batch, token) int64; 0 in the padding."""
    padding: Tensor
    """(batch, cached + token) int64: 1 where there is a token, in the cache of transformers and behind it; what a model
    takes as `attention_mask`."""
    kinds: Tensor
    """(batch, token) int64, index into PROMPT_ORDER; 0 in the padding and in a chat template."""
    key_positions: Tensor
    """(batch, key) int64: positions of all keys, those of `prefix` and cache first; 0 in the padding."""
    seen: Tensor
    """(batch, 1, token, key) bool: causal, and a tree behind the prompt; no window."""
    rows: Tensor
    """(batch, row) int64, indices of fed tokens: the decision rows, then their twins; a shorter batch entry repeats its
    last one."""
    share: Tensor
    """(batch, pass, row) float32: weights of the means over decision rows and over their twins; sum 1, or 0 if none."""
    layout: Layout
    """Blocks and groups of the keys."""
    uncut: Tensor | None
    """(batch, key) bool: False where a knocked-out block stands; None = none is knocked out."""
    floors: Tensor
    """(layer, batch) float32, see `Segments`."""
    top_floors: tuple[float, ...]
    """The highest floor of each layer."""
    is_odds: Tensor | None
    """See `Segments`."""
    dials: tuple[Dial, ...]
    are_steered: tuple[bool, ...]
    """Of each batch entry, whether a dial or a cut replaces the output of its decision rows."""
    steered: Tensor
    """(change,) int64: flat indices into batch * row of the rows whose output the dial or a cut replaces; no twins."""
    bodies: tuple[Body, ...]
    """Of the batch entries whose dial steers all rows."""
    is_all_steered: bool
    """Whether the dial or a cut replaces every fed row in every head: then the family's own attention is not needed."""
    is_plain: bool
    """No tree, no twin, no prefix, no padding between tokens, and positions count every token: the family's own mask
    serves."""
    stock: str
    """The family's own attention for all other rows: `sdpa` or `eager`."""
    passed: list[Passed] = field(default_factory=list)
    """Filled by the attention function, one entry for each layer in the order of the calls."""
    backend: Backend = PACKED
    """What attends for the decision rows."""
    sights: dict[int, Sight] = field(default_factory=dict)
    """Cache of the attention function: what each kind of layer sees."""
    held: tuple[Sight, ...] = ()
    """What each kind of layer sees where that was made beforehand, in the order in which they ask; () = it was not."""
    is_even: bool = False
    """Whether there is a prefix, and every batch entry has all of it behind it."""
    prefix: Sequence[tuple[Tensor, Tensor]] = ()
    """For each layer keys and values, (1 or batch, kv head, prefix token, width), rotated and normalised as the layer
    itself makes them, that the attention function puts before the layer's own; () = none. What `kept` holds after a
    pass over the prefix is of this form. They are read, never written: many plans may share them."""
    cached: int = 0
    """Slots of the cache of transformers that earlier passes filled."""
    keeps: bool = False
    """Whether the attention function leaves the layers' own keys and values in `kept`."""
    kept: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """For each layer its own keys and values, without `prefix`: (batch, kv head, cached + token, width)."""

    @property
    def measured(self) -> Measured:
        """What follows from `passed`, derived anew at each call; for plans with decision rows."""
        return measured_of(self.passed, self.share)


def plan_of(
    rows: Sequence[Row],
    *,
    stock: str,
    num_layers: int,
    pad_id: int,
    device: torch.device,
    prefix: Sequence[tuple[Tensor, Tensor]] = (),
    cached: int = 0,
    side: Literal["left", "right"] = "right",
    keeps: bool = False,
    backend: Backend = PACKED,
) -> Plan:
    """Lay rows of one canonical shape out as a batch.

    Args:
        rows: what each batch entry is. Of its first `Row.cached` tokens as many as `prefix` is long stand there, the
            others in the cache of transformers; an entry with fewer stands at the prefix's beginning.
        stock: the family's own attention, `sdpa` or `eager`.
        num_layers: layers of the model.
        pad_id: token of the padding.
        device: where the tensors go.
        prefix: see `Plan.prefix`.
        cached: slots that the cache of transformers has filled (`get_seq_length()`, never its capacity).
        side: where the padding stands, both among the cached slots and among the fed tokens.
        keeps: see `Plan.keeps`.
        backend: see `Plan.backend`.

    Raises:
        RequestError: a row with more cached tokens than prefix and cache hold.
        DialError: a dial on heads of a layer that the model does not have.
    """
    for row in rows:
        _check_layers(row.dial, num_layers)
    tokens, num_rows, blocks = (max(sizes) for sizes in zip(*(row.shape for row in rows), strict=True))
    batch = len(rows)
    before = prefix[0][0].shape[2] if prefix else 0
    keys = before + cached + tokens
    ids = torch.full((batch, keys), pad_id)
    positions, padding, kinds, groups = (torch.zeros(batch, keys, dtype=torch.long) for _ in range(4))
    seen = torch.ones(tokens, keys, dtype=torch.bool).tril(before + cached).repeat(batch, 1, 1, 1)
    membership = torch.zeros(batch, keys, blocks)
    uncut = torch.ones(batch, keys, dtype=torch.bool)
    decision = torch.zeros(batch, num_rows, dtype=torch.long)
    share = torch.zeros(batch, 2, num_rows)
    has_holes = False
    bodies: list[Body] = []
    for b, row in enumerate(rows):
        start, end, own = row.encoding.decision_from, row.end, row.num_decision_rows
        slots = _slots(row, before, cached, tokens, side)
        has_holes = has_holes or bool(slots[-1] - slots[0] != end - 1)
        fed = slots[row.cached :] - before - cached
        row_ids, row_positions, of_token = unrolled(row)
        of_token = of_token[:end]
        ids[b, slots] = torch.tensor(row_ids[:end])
        positions[b, slots] = torch.tensor(row_positions[:end])
        padding[b, slots] = 1
        kinds[b, slots] = torch.tensor(row.kinds)[of_token]
        groups[b, slots] = torch.tensor(row.groups)[of_token]
        membership[b, slots, of_token] = 1.0
        seen[b, 0] &= padding[b].bool()
        if row.until is None:
            _see_tree(seen[b, 0], row, slots, fed)
        if row.cut is not None:
            uncut[b, slots] = of_token != row.prompt.names().index(row.cut)
        if (body := _body_of(b, row, fed)) is not None:
            bodies.append(body)
        if not own:
            decision[b] = fed[-1]
            continue
        first = fed[max(start - row.cached, 0)]
        decision[b] = (first + torch.arange(num_rows)).clamp(max=int(fed[-1]))
        share[b, 0, :own] = 1.0 / own
        if row.feeds_twin:
            share[b, 1, own : 2 * own] = 1.0 / own
    floors = torch.tensor(
        [
            [layer_floor(row.dial.value, layer, num_layers, row.dial.gamma) for row in rows]
            for layer in range(num_layers)
        ]
    )
    is_steered = torch.tensor([row.dial.value > 0.0 or row.cut is not None for row in rows])
    new = slice(before + cached, None)
    return Plan(
        ids=ids[:, new].to(device),
        positions=positions[:, new].to(device),
        padding=padding[:, before:].to(device),
        kinds=kinds[:, new].to(device),
        key_positions=positions.to(device),
        seen=seen.to(device),
        rows=decision.to(device),
        share=share.to(device),
        layout=layout_of(membership.to(device), groups.to(device)),
        uncut=uncut.to(device) if any(row.cut is not None for row in rows) else None,
        floors=floors.to(device),
        top_floors=tuple(floors.amax(1).tolist()),
        is_odds=_odds(rows).to(device) if any(row.dial.kind == "odds" for row in rows) else None,
        dials=tuple(row.dial for row in rows),
        are_steered=tuple(is_steered.tolist()),
        steered=((share[:, 0] > 0.0) & is_steered[:, None]).flatten().nonzero()[:, 0].to(device),
        bodies=tuple(bodies),
        is_all_steered=_is_all_steered(rows, tokens),
        is_plain=not (prefix or has_holes or any(_is_uneven(row) for row in rows)),
        is_even=before > 0 and not bodies and all(row.cached >= before for row in rows),
        stock=stock,
        prefix=tuple(prefix),
        cached=cached,
        keeps=keeps,
        backend=backend,
    )


def step(plan: Plan, ids: Tensor, counts: Tensor | None = None) -> Plan:
    """The plan of the next pass: new tokens for each batch entry, behind all its tokens and of its last block.

    The caller has put the keys of `plan`'s own tokens into its cache. The new tokens are decision rows, under the same
    dial.

    Args:
        plan: of the pass before, without trie and twin, each entry with a decision row.
        ids: (batch, token) int64 token ids.
        counts: (batch,) int64, how many of an entry's ids are tokens, 1 or more; those behind are padding. None = all.
    """
    (batch, width), device = ids.shape, ids.device
    last = plan.rows[:, -1:]
    own_slot = (last + plan.layout.groups.shape[1] - plan.ids.shape[1]).expand(-1, width)
    place = torch.arange(width, device=device).expand(batch, -1)
    end = torch.full_like(place[:, :1], width) if counts is None else counts[:, None]
    present = place < end
    positions = (plan.key_positions.gather(1, own_slot) + 1 + place) * present
    before = plan.seen.gather(2, last[:, None, :, None].expand(-1, -1, width, plan.seen.shape[-1]))
    own = torch.ones(width, width, dtype=torch.bool, device=device).tril() & present[:, None, None]
    changed = present.cpu() & torch.tensor(plan.are_steered)[:, None]
    share = torch.zeros(batch, 2, width, device=device)
    share[:, 0] = present / end
    return replace(
        plan,
        ids=ids,
        positions=positions,
        padding=torch.cat([plan.padding, present.long()], dim=1),
        kinds=plan.kinds.gather(1, last).expand(-1, width),
        key_positions=torch.cat([plan.key_positions, positions], dim=1),
        seen=torch.cat([before, own], dim=-1),
        rows=torch.minimum(place, end - 1),
        share=share,
        layout=plan.layout.extended(own_slot),
        uncut=None if plan.uncut is None else torch.cat([plan.uncut, torch.ones_like(present)], dim=1),
        steered=changed.flatten().nonzero()[:, 0].to(device),
        bodies=(),
        is_all_steered=bool(changed.all()) and all(dial.heads is None for dial in plan.dials),
        is_plain=plan.is_plain and bool(plan.padding[:, -1].all()),
        passed=[],
        sights={},
        cached=plan.cached + plan.ids.shape[1],
        kept={},
    )


def prefix_of(plan: Plan, length: int) -> tuple[tuple[Tensor, Tensor], ...]:
    """What a pass with `keeps` left behind, as the prefix of later ones: its own prefix and its first `length` tokens.

    The tokens must be padded on the right, and in a batch all of them present in every entry.
    """
    before = plan.prefix or tuple((key[:, :, :0], value[:, :, :0]) for _, (key, value) in sorted(plan.kept.items()))
    return tuple(
        (
            torch.cat([old_key.expand(len(key), -1, -1, -1), key[:, :, :length]], dim=2),
            torch.cat([old_value.expand(len(value), -1, -1, -1), value[:, :, :length]], dim=2),
        )
        for (old_key, old_value), (_, (key, value)) in zip(before, sorted(plan.kept.items()), strict=True)
    )


def _check_layers(dial: Dial, num_layers: int) -> None:
    for layer, head in sorted(dial.heads or ()):
        if layer >= num_layers:
            raise DialError(f"expected heads of layers 0 to {num_layers - 1}, got head `{head}` of layer `{layer}`")


def _odds(rows: Sequence[Row]) -> Tensor:
    return torch.tensor([row.dial.kind == "odds" for row in rows])


def _body_of(entry: int, row: Row, fed: Tensor) -> Body | None:
    """The body of a row, given the index of each of its fed tokens; None if no token of it is steered."""
    if not row.dial.touches_prefix:
        return None
    stop, groups = min(row.end, row.encoding.decision_from), row.groups
    targets = (index for index in range(stop) if groups[row.encoding.block_ids[index]] is Group.TARGET)
    steered = max(next(targets, stop), row.cached)
    if steered >= stop:
        return None
    first = int(fed[0]) - row.cached
    return Body(entry=entry, first=int(fed[0]), steered=first + steered, stop=first + stop)


def _is_all_steered(rows: Sequence[Row], tokens: int) -> bool:
    """Whether every fed token of every row is a decision row under a dial, and there is no padding."""
    return all(
        row.num_decision_rows == tokens and row.dial.heads is None and (row.dial.value > 0.0 or row.cut is not None)
        for row in rows
    )


def _slots(row: Row, before: int, cached: int, tokens: int, side: str) -> Tensor:
    """The slot of each token of a row, in order."""
    in_prefix = min(row.cached, before)
    in_cache, fed = row.cached - in_prefix, row.end - row.cached
    if in_cache > cached:
        raise RequestError(f"expected at most {before} + {cached} cached tokens, got a row with {row.cached}")
    is_left = side == "left"
    return torch.cat(
        [
            torch.arange(in_prefix),
            before + torch.arange(in_cache) + (cached - in_cache) * is_left,
            before + cached + torch.arange(fed) + (tokens - fed) * is_left,
        ]
    )


def _see_tree(seen: Tensor, row: Row, slots: Tensor, fed: Tensor) -> None:
    """Let the nodes of the trie see the prompt and their ancestors only, and the twin not what it is the twin of.

    Args:
        seen: (token, key) bool, changed in place.
        row: the row.
        slots: slot of each of its tokens.
        fed: index of each of its fed tokens.
    """
    prompt, start, own = len(row.encoding.ids), row.encoding.decision_from, row.num_decision_rows
    for node in range(len(row.trie.tokens)):
        at = fed[prompt + node - row.cached]
        seen[at, slots[prompt:]] = False
        seen[at, slots[[prompt + other for other in row.trie.ancestors(node)]]] = True
    if row.has_twin:
        first, second = fed[start - row.cached :][:own], fed[start - row.cached :][own:]
        seen[second[:, None], slots[start + own :]] = seen[first[:, None], slots[start : start + own]]
        seen[second[:, None], slots[start : start + own]] = False


def _is_uneven(row: Row) -> bool:
    """Whether the family's own mask does not serve: a tree, a twin, or positions that leave tokens out."""
    if row.until is not None:
        return row.encoding.positions[: row.until] != tuple(range(row.until))
    return row.has_twin or bool(row.trie.tokens) or row.encoding.positions[-1] != len(row.encoding.ids) - 1
