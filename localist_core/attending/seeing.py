"""What each kind of layer sees of a batch: masks, layout and runs of the keys that it has, made once for a forward.

Layers differ by their pattern (causal, or a window too) and by the keys that their cache still holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from localist_core.attending.backend import PACKED
from localist_core.attending.cascade import can_cascade
from localist_core.attending.one_pass import Run, runs_of
from localist_core.attending.plan import Body, Plan, Sight
from localist_core.attending.segments import Group
from localist_core.dial import Dial
from localist_core.errors import DialError, UnsupportedModelError


class Pattern(Protocol):
    """Which positions the layers of one kind let see which, and the keys that these layers have."""

    @property
    def is_causal(self) -> bool:
        """Whether the pattern is order alone: no window, no chunk."""
        ...

    @property
    def num_keys(self) -> int:
        """Keys of the layer's cache and of the fed tokens."""
        ...

    @property
    def offset(self) -> int:
        """How many keys before these the cache has dropped."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Of an additive mask."""
        ...

    def mask(self, stock: str) -> Tensor | None:
        """The family's own mask."""
        ...

    def allows(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Where the pattern lets positions (batch, query) see (batch, key): (batch, 1, query, key) bool.

        A window is cut by position, not by index (framework, section 3, condition f). Order is not judged here: a key
        at a later position counts as one at the same position.
        """
        ...


def sight_of(plan: Plan, pattern: Pattern, *, is_apart: bool) -> Sight:
    """What the layers of one pattern see, made once for a forward.

    Args:
        plan: the batch.
        pattern: of the layers.
        is_apart: whether the prefix is attended to apart.

    Raises:
        DialError: a decision row under the dial that sees no target.
        UnsupportedModelError: a cache that has dropped keys that a row still sees.
    """
    known = plan.sights.get(id(pattern))
    if known is not None:
        return known
    if plan.held:
        held = replace(plan.held[len(plan.sights)], pattern=pattern)
        plan.sights[id(pattern)] = held
        return held
    row_positions = plan.positions.gather(1, plan.rows)
    seen = plan.seen.gather(2, plan.rows[:, None, :, None].expand(-1, -1, -1, plan.seen.shape[-1]))
    allowed = pattern.allows(row_positions, plan.key_positions)
    visible, layout = seen & allowed, plan.layout
    if plan.uncut is not None:
        visible &= plan.uncut[:, None, None]
    _check_targets(plan, visible)
    slots = _slots(plan, pattern)
    if slots is not None:
        _check_dropped(visible if plan.is_plain else _fed(plan) & plan.seen & _allowed(plan, pattern), slots)
        visible, layout = _taken(visible, slots), layout.taken(slots)
    hidden = ~visible
    # Asking a GPU whether anything is hidden would make it wait; hiding nothing is harmless.
    is_open = visible.device.type == "cpu" and not bool(hidden.any())
    sight = Sight(
        pattern=pattern,
        runs=_runs(plan, pattern, slots),
        stock_mask=None if plan.is_all_steered else _stock_mask(plan, pattern, slots, is_apart=is_apart),
        hidden=None if is_open else hidden,
        layout=layout,
        read=plan.backend.reader(layout, hidden),
    )
    plan.sights[id(pattern)] = sight
    return sight


def body_visible(plan: Plan, pattern: Pattern, body: Body) -> Tensor:
    """Which keys the steered rows of a body see, (1, 1, row, key) bool.

    Raises:
        DialError: a row that sees no target.
    """
    entry, rows = slice(body.entry, body.entry + 1), slice(body.steered, body.stop)
    allowed = pattern.allows(plan.positions[entry, rows], plan.key_positions[entry])
    visible, slots = plan.seen[entry, :, rows] & allowed, _slots(plan, pattern)
    sees_target = (visible & (plan.layout.groups[entry] == Group.TARGET)).any(-1)
    if not bool(sees_target.all()):
        raise _blindness(plan.dials[body.entry])
    if slots is None:
        return visible
    _check_dropped(visible, slots)
    return _taken(visible, slots)


def can_be_apart(plan: Plan, pattern: Pattern, arguments: Mapping[str, object]) -> bool:
    """Whether the prefix is attended to apart from the other keys; it follows from model and shape, not from a row.

    Args:
        plan: the batch.
        pattern: of the layer.
        arguments: see `can_cascade`.
    """
    is_whole = plan.is_even and pattern.is_causal and _slots(plan, pattern) is None and plan.backend is PACKED
    return is_whole and can_cascade(plan.stock, plan.ids.device, arguments)


def _slots(plan: Plan, pattern: Pattern) -> Tensor | None:
    """Which keys of the plan the layer has, (key,) indices, -1 = a place of its cache that is not filled yet; None =
    exactly the plan's.
    """
    keys, before = plan.key_positions.shape[1], plan.key_positions.shape[1] - plan.padding.shape[1]
    if pattern.offset == 0 and before + pattern.num_keys == keys:
        return None
    own = torch.arange(before + pattern.offset, before + pattern.offset + pattern.num_keys)
    return torch.cat([torch.arange(before), own.masked_fill(own >= keys, -1)]).to(plan.ids.device)


def _taken(visible: Tensor, slots: Tensor) -> Tensor:
    """Who sees whom, for these keys alone; nobody sees padding."""
    return visible[..., slots.clamp(min=0)] & (slots >= 0)


def _check_dropped(visible: Tensor, slots: Tensor) -> None:
    """A cache that drops keys by their index must not drop one that the window, cut by position, still shows."""
    dropped = torch.ones(visible.shape[-1], dtype=torch.bool, device=slots.device)
    dropped[slots[slots >= 0]] = False
    if bool((visible & dropped).any()):
        raise UnsupportedModelError(
            "expected a cache that still holds every key in a row's window, got one that dropped some by their index; "
            "use a cache that keeps all keys, such as DynamicCache() without a configuration"
        )


def _runs(plan: Plan, pattern: Pattern, slots: Tensor | None) -> tuple[tuple[Run, ...], ...] | None:
    if not pattern.is_causal or slots is not None or plan.ids.device.type != "cpu":
        return None
    return tuple(runs_of(plan.layout, body.entry) for body in plan.bodies)


def _fed(plan: Plan) -> Tensor:
    """(batch, 1, token, 1) bool: False for padding."""
    return plan.padding[:, None, -plan.ids.shape[1] :, None] > 0


def _allowed(plan: Plan, pattern: Pattern) -> Tensor:
    return pattern.allows(plan.positions, plan.key_positions)


def _stock_mask(plan: Plan, pattern: Pattern, slots: Tensor | None, *, is_apart: bool) -> Tensor | None:
    """The mask as the family's attention takes it: its own, or one for a batch with a tree, a prefix, or positions that
    leave tokens out; without the prefix if that is apart.
    """
    if plan.is_plain:
        return pattern.mask(plan.stock)
    mask = plan.seen[..., plan.prefix[0][0].shape[2] :] if is_apart else plan.seen & _allowed(plan, pattern)
    if slots is not None:
        mask = _taken(mask, slots)
    lowest = -torch.inf if plan.stock == "sdpa" else torch.finfo(pattern.dtype).min
    return torch.where(mask, torch.zeros((), dtype=pattern.dtype, device=mask.device), lowest)


def _check_targets(plan: Plan, visible: Tensor) -> None:
    dialled = [index for index, dial in enumerate(plan.dials) if dial.value > 0.0]
    if not dialled:
        return
    sees_target = (visible[dialled, 0] & (plan.layout.groups[dialled] == Group.TARGET)[:, None]).any(-1)
    blind = (~sees_target & (plan.share[dialled, 0] > 0.0)).any(-1)
    if bool(blind.any()):
        raise _blindness(plan.dials[dialled[int(blind.int().argmax())]])


def _blindness(dial: Dial) -> DialError:
    rows = "row from the first target on" if dial.scope == "all" else "decision row"
    return DialError(
        f"expected every {rows} to see a token of the targets {' '.join(sorted(dial.targets))}, "
        f"got a row that sees none (empty block, or out of the layer's window); choose other targets"
    )
