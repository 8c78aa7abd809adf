"""What prompts begin with alike: where one may be resumed, the key of what stands before, and a bounded tree of it.

A node holds what a model makes of one stretch of a prompt (keys and values of all layers), read behind its parent. Its
key is a hash over the parent's key and the stretch itself, so equal keys mean equal beginnings under the same model.
Where a prompt is resumed follows from the prompt alone, never from what the tree happens to hold: so a hit and a miss
go through the same arithmetic and give the same bits. No torch.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from localist_core.blocks import Block, BlockKind, Trust
from localist_core.prompting.encoding import Encoding

Value = TypeVar("Value")

SHARED_KINDS = frozenset({BlockKind.SCHEMA, BlockKind.ROLE, BlockKind.TEMPLATE})
"""What agents of one role have in common. A goal is short and often an agent's own, so it begins the private part."""

STANDING_KINDS = frozenset({*SHARED_KINDS, BlockKind.GOAL, BlockKind.OBSERVATION, BlockKind.RULEBOOK})
"""What stays when the same agent is asked again in the same state."""

_PLACES = {kind: place for place, kind in enumerate(BlockKind)}

STEP = 16
"""The grid of the second resume point, in tokens."""

SHORTEST_SHARED = 16
"""Fewest tokens of a stretch that many agents share and that is worth a pass of its own."""

SHORTEST_OWN = 64
"""Likewise of a stretch that only the same agent reads again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """The tokens between two resume points of one prompt."""

    key: bytes
    """Names the whole beginning of the prompt up to `stop`."""
    parent: bytes | None
    """Key of the stretch before it; None for the first."""
    start: int
    """Index of its first token."""
    stop: int
    """Index after its last token."""


def root_key(*parts: str) -> bytes:
    """The key that all first stretches hang from: what must be equal for anything to be shared, such as the model."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode()
        digest.update(len(raw).to_bytes(4, "big") + raw)
    return digest.digest()


def stretches_of(blocks: Sequence[Block], encoding: Encoding, root: bytes) -> tuple[Stretch, ...]:
    """Where a prompt is resumed: behind schema and role, and behind all that the next attempt repeats.

    The second place is the last multiple of `STEP` before the end of the rulebook, so that prompts of nearly equal
    length go through the model together. Only trusted blocks stand before either.

    Args:
        blocks: of the prompt that was encoded.
        encoding: its tokens.
        root: see `root_key`.
    """
    found: list[Stretch] = []
    start = 0
    for kinds, step, shortest in ((SHARED_KINDS, 1, SHORTEST_SHARED), (STANDING_KINDS, STEP, SHORTEST_OWN)):
        stop = bisect_left(encoding.block_ids, _leading(blocks, kinds)) // step * step
        if stop - start < shortest:
            continue
        parent = found[-1].key if found else None
        key = _chained(parent or root, blocks, encoding, start, stop)
        found.append(Stretch(key=key, parent=parent, start=start, stop=stop))
        start = stop
    return tuple(found)


def _leading(blocks: Sequence[Block], kinds: frozenset[BlockKind]) -> int:
    """How many blocks at the beginning are trusted and of these kinds."""
    for count, block in enumerate(blocks):
        if block.kind not in kinds or block.trust is not Trust.TRUSTED:
            return count
    return len(blocks)


def _chained(parent: bytes, blocks: Sequence[Block], encoding: Encoding, start: int, stop: int) -> bytes:
    """Hash of the parent's key and of all that decides keys and values: ids, positions and kinds of the tokens."""
    runs: list[int] = []
    first = start
    while first < stop:  # blocks stand one behind the other, so kinds are told by runs
        block = encoding.block_ids[first]
        after = min(stop, bisect_right(encoding.block_ids, block))
        runs += (_PLACES[blocks[block].kind], after - first)
        first = after
    numbers = array("q", (*encoding.ids[start:stop], *encoding.positions[start:stop], *runs))
    return hashlib.sha256(parent + numbers.tobytes()).digest()


@dataclass(slots=True, kw_only=True)
class Node(Generic[Value]):
    """One stretch in the tree."""

    parent: bytes | None
    value: Value
    num_bytes: int
    children: int = 0
    pins: int = 0


class PrefixTree(Generic[Value]):
    """The stretches used last, at most `capacity_bytes` of them. Not safe for threads: the core that owns it is."""

    def __init__(self, capacity_bytes: int) -> None:
        """Args: capacity_bytes, 0 or more; 0 keeps nothing."""
        if capacity_bytes < 0:
            raise ValueError(f"expected a capacity of 0 bytes or more, got `{capacity_bytes}`")
        self._capacity_bytes = capacity_bytes
        self._nodes: dict[bytes, Node[Value]] = {}
        """In the order of use: the one used last is the last."""
        self.num_bytes = 0
        """Sum over all nodes."""
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, key: bytes) -> bool:
        return key in self._nodes

    def find(self, key: bytes) -> Value | None:
        """The value of this key, which is then the one used last; None if it is not here."""
        node = self._nodes.get(key)
        if node is None:
            self.misses += 1
            return None
        self.hits += 1
        self._touch(key)
        return node.value

    def add(self, key: bytes, parent: bytes | None, value: Value, num_bytes: int) -> bool:
        """Keep a value behind its parent, None for a first stretch, and let go of what was used longest ago.

        Returns:
            Whether it is kept: not if its parent is gone, nor if it cannot fit beside what is pinned.
        """
        if key in self._nodes:
            self._touch(key)
            return True
        if (parent is not None and parent not in self._nodes) or num_bytes > self._capacity_bytes:
            return False
        with self.pinned([] if parent is None else [parent]):
            while self.num_bytes + num_bytes > self._capacity_bytes:
                oldest = self._oldest_free()
                if oldest is None:
                    return False
                self._drop(oldest)
        if parent is not None:
            self._touch(parent)
            self._nodes[parent].children += 1
        self._nodes[key] = Node(parent=parent, value=value, num_bytes=num_bytes)
        self.num_bytes += num_bytes
        return True

    @contextmanager
    def pinned(self, keys: Iterable[bytes]) -> Iterator[None]:
        """Keep these nodes, where they are here, until the block ends."""
        held = [self._nodes[key] for key in keys if key in self._nodes]
        for node in held:
            node.pins += 1
        try:
            yield
        finally:
            for node in held:
                node.pins -= 1

    def pin(self, key: bytes) -> bool:
        """Keep this node until `unpin`; whether it is here."""
        if key not in self._nodes:
            return False
        self._nodes[key].pins += 1
        return True

    def unpin(self, key: bytes) -> None:
        """Take one pin away.

        Raises:
            KeyError: no pinned node of this key.
        """
        node = self._nodes[key]
        if not node.pins:
            raise KeyError(key)
        node.pins -= 1

    def clear(self) -> None:
        """Let everything go that is not pinned, nor stands before something pinned."""
        while (oldest := self._oldest_free()) is not None:
            self._drop(oldest)

    def _touch(self, key: bytes) -> None:
        """Mark a node and all before it as used: a child is worth nothing without its parents."""
        above: bytes | None = key
        while above is not None:
            node = self._nodes.pop(above)
            self._nodes[above] = node
            above = node.parent

    def _oldest_free(self) -> bytes | None:
        return next((key for key, node in self._nodes.items() if not node.pins and not node.children), None)

    def _drop(self, key: bytes) -> None:
        node = self._nodes.pop(key)
        self.num_bytes -= node.num_bytes
        if node.parent is not None:
            self._nodes[node.parent].children -= 1
