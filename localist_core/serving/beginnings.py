"""Beginnings of prompts as keys and values: read once, kept in a tree, put before every row that continues them.

Where a row is resumed follows from its prompt alone (`stretches_of`), so a beginning that is found and one that is read
anew put the same numbers before a row, and the row goes through the same arithmetic. Read `Beginnings.behind` first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from localist_core.attending.row import Row
from localist_core.serving.prefix import PrefixTree, Stretch, root_key, stretches_of

KeyValues = tuple[tuple[Tensor, Tensor], ...]
"""For each layer keys and values, (1, kv head, token, width); see `Plan.prefix`."""

CAPACITY_BYTES = 256 << 20
"""What a core keeps unless told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A row, and the stretches of its prompt that stand before what it feeds."""

    row: Row
    stretches: tuple[Stretch, ...]
    """() = it is fed whole."""

    @property
    def key(self) -> bytes | None:
        """Names the beginning; None if there is none."""
        return self.stretches[-1].key if self.stretches else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A stretch to be read: the tokens of `row` between `row.cached` and `row.until`, behind a beginning."""

    row: Row
    before: KeyValues
    """() = they are the first."""


Read = Callable[[Sequence[Reading]], list[KeyValues]]
"""Reads stretches; gives keys and values of their own tokens, in order."""


class Beginnings:
    """What prompts begin with, for one model. Not safe for threads: the core that owns it is."""

    def __init__(self, read: Read, *, fingerprint: str, capacity_bytes: int = CAPACITY_BYTES) -> None:
        """Keep nothing yet.

        Args:
            read: runs the model.
            fingerprint: of the model; part of every key.
            capacity_bytes: most bytes kept, 0 or more. 0 resumes nothing: every row is fed whole.
        """
        self._read = read
        self._root = root_key(fingerprint)
        self._resumes = capacity_bytes > 0
        self.tree: PrefixTree[KeyValues] = PrefixTree(capacity_bytes)

    def resumed(self, row: Row) -> Resumed:
        """The row behind its beginning.

        Not with a dial that also steers rows of the beginning: what it makes of them is its own.
        """
        if not self._resumes or row.dial.touches_prefix:
            return Resumed(row=row, stretches=())
        stretches = stretches_of(row.prompt.blocks, row.encoding, self._root)
        if not stretches:
            return Resumed(row=row, stretches=())
        return Resumed(row=replace(row, cached=stretches[-1].stop), stretches=stretches)

    @contextmanager
    def behind(self, rows: Sequence[Resumed]) -> Iterator[Mapping[bytes, KeyValues]]:
        """For each key of these rows the keys and values of its beginning; what is missing is read and kept.

        Nothing that is used here is let go before the block ends; what finds no room is dropped then.
        """
        whole: dict[bytes, KeyValues] = {}
        with self.tree.pinned({stretch.key for one in rows for stretch in one.stretches}):
            for depth in range(max((len(one.stretches) for one in rows), default=0)):
                self._fill([one for one in rows if len(one.stretches) > depth], depth, whole)
            yield whole

    def _fill(self, rows: Sequence[Resumed], depth: int, whole: dict[bytes, KeyValues]) -> None:
        """Complete `whole` by the stretches of this depth, those before it being there."""
        own: dict[bytes, KeyValues] = {}
        missing: dict[bytes, tuple[Stretch, Reading]] = {}
        for one in rows:
            stretch = one.stretches[depth]
            if stretch.key in own or stretch.key in missing:
                continue
            found = self.tree.find(stretch.key)
            if found is not None:
                own[stretch.key] = found
                continue
            part = replace(one.row, cached=stretch.start, until=stretch.stop, has_twin=False)
            before = () if stretch.parent is None else whole[stretch.parent]
            missing[stretch.key] = (stretch, Reading(row=part, before=before))
        for (stretch, _), made in zip(
            missing.values(), self._read([reading for _, reading in missing.values()]), strict=True
        ):
            own[stretch.key] = made
            self.tree.add(stretch.key, stretch.parent, made, num_bytes(made))
        for one in rows:
            stretch = one.stretches[depth]
            if stretch.key in whole:
                continue
            parent = () if stretch.parent is None else whole[stretch.parent]
            whole[stretch.key] = joined(parent, own[stretch.key])


def joined(first: KeyValues, second: KeyValues) -> KeyValues:
    """Two stretches, one behind the other."""
    if not first:
        return second
    return tuple(
        (torch.cat([key, next_key], dim=2), torch.cat([value, next_value], dim=2))
        for (key, value), (next_key, next_value) in zip(first, second, strict=True)
    )


def num_bytes(kept: KeyValues) -> int:
    """Bytes of the tensors."""
    return sum(part.numel() * part.element_size() for layer in kept for part in layer)
