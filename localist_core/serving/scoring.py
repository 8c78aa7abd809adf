"""From rows to what the model makes of them: logits and masses of the decision rows, one forward for each shape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from localist_core.attending.backend import PACKED, Backend
from localist_core.attending.graphs import Graphs, capture
from localist_core.attending.plan import Plan, plan_of
from localist_core.attending.row import Row
from localist_core.attending.trace import Seen, seen_of
from localist_core.choice import probabilities
from localist_core.core import Request
from localist_core.errors import NumericsError
from localist_core.serving.beginnings import CAPACITY_BYTES, Beginnings, KeyValues, Reading, Resumed
from localist_core.serving.readout import Readout, readout_of
from localist_core.serving.selfcheck import difference, sample_rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel

One = TypeVar("One")

BATCH = 256
"""Most rows in one forward; more rows of one shape take several."""

CANONICAL_ROWS = 8
"""Rows of every forward where a row's bits depend on how many there are: what lacks is filled up with copies."""

TOKENS_ON_CPU = 1280
"""Most fed tokens in one forward on a CPU, but at least one row: more leave its cache, and cost time."""

TOKENS_ON_GPU = 1 << 17
"""Likewise on a GPU, for its memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What one row gave."""

    row: Row
    states: Tensor
    """(row, width) on the device: what `readout` makes logits of, for the decision rows and the fed trie nodes."""
    readout: Readout
    seen: Seen
    twin: Seen
    heads: Tensor
    """(layer, head, row, block) float32: masses before the dial of the decision rows."""

    @property
    def logits(self) -> Tensor:
        """(row, vocabulary) float32: all of them. What a choice needs is cheaper by `readout.at`."""
        return self.readout.all(self.states)


class Scorer:
    """Runs rows through one model. Not safe for threads: the core that owns it is."""

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        stock: str,
        pad_id: int,
        fingerprint: str,
        prefix_bytes: int = CAPACITY_BYTES,
        backend: Backend = PACKED,
        graphs: bool = False,
    ) -> None:
        """Take a model that the probe has accepted.

        Args:
            model: set to our attention.
            stock: the family's own attention, `sdpa` or `eager`.
            pad_id: token of the padding.
            fingerprint: of the model.
            prefix_bytes: see `Beginnings`.
            backend: what attends for the decision rows.
            graphs: whether forwards are replayed as CUDA graphs.
        """
        self._model = model
        self._backend = backend
        self._stock = stock
        self._pad_id = pad_id
        self._num_layers = int(model.config.get_text_config().num_hidden_layers)
        self._canonical = 0
        self._most_tokens = TOKENS_ON_CPU if model.device.type == "cpu" else TOKENS_ON_GPU
        vocabulary = int(model.config.get_text_config().vocab_size)
        self._samples = sample_rows(vocabulary)
        self._readout = self._tried_readout()
        self.graphs = Graphs(self._readout.states, capture=capture) if graphs else None
        self._fingerprint, self._prefix_bytes = fingerprint, prefix_bytes
        self.beginnings = self._no_beginnings()

    @torch.inference_mode()
    def score(self, rows: Sequence[Row]) -> list[Scored]:
        """Run the rows, one forward for each canonical shape (or more, see `BATCH`); results in their order."""
        scored: dict[int, Scored] = {}
        for indices, plan in self.plans(rows, fills=True):
            scored |= zip(indices, self._forward([rows[index] for index in indices], plan), strict=True)
        return [scored[index] for index in range(len(rows))]

    def plans(self, rows: Sequence[Row], *, fills: bool = False) -> Iterator[tuple[list[int], Plan]]:
        """The passes that rows need, behind what they begin with: which rows each one runs, and its plan.

        Args:
            rows: in any order.
            fills: whether a plan may hold copies of its last row behind its rows, so that all batches have one size.
        """
        resumed = [self.beginnings.resumed(row) for row in rows]
        with self.beginnings.behind(resumed) as whole:
            for indices in self._batches([one.row for one in resumed]):
                batch = [resumed[index] for index in indices]
                if fills:
                    batch = self._filled(batch)
                yield indices, self._plan([one.row for one in batch], _stacked(batch, whole))

    def settle(self) -> str:
        """Try that a row alone is the row in a batch, bit for bit, and if not, go on with batches of one size.

        Returns:
            What differs all the same, see `selfcheck.difference`; empty if nothing does.
        """
        for self._canonical in (0, CANONICAL_ROWS):
            found = difference(self._score_anew, self._samples)
            if not found:
                break
        self.beginnings = self._no_beginnings()
        return found

    def _score_anew(self, rows: Sequence[Row]) -> list[Scored]:
        self.beginnings = self._no_beginnings()
        return self.score(rows)

    def _no_beginnings(self) -> Beginnings:
        return Beginnings(self._read, fingerprint=self._fingerprint, capacity_bytes=self._prefix_bytes)

    @torch.inference_mode()
    def _tried_readout(self) -> Readout:
        return readout_of(self._model, self._plan(self._samples[:1], ()))

    def _forward(self, rows: Sequence[Row], plan: Plan) -> list[Scored]:
        states = self._readout.states(plan) if self.graphs is None else self.graphs.run(plan)
        measured = plan.measured
        seen = seen_of(measured)
        return [
            Scored(
                row=row,
                states=states[position],
                readout=self._readout,
                seen=seen[position][0],
                twin=seen[position][1],
                heads=measured.heads[:, position],
            )
            for position, row in enumerate(rows)
        ]

    def _read(self, readings: Sequence[Reading]) -> list[KeyValues]:
        """Keys and values of stretches, see `Beginnings`."""
        made: dict[int, KeyValues] = {}
        for indices in self._batches([one.row for one in readings]):
            batch = self._filled([readings[index] for index in indices])
            plan = self._plan([one.row for one in batch], _side_by_side([one.before for one in batch]), keeps=True)
            self._readout.states(plan)
            for position, index in enumerate(indices):
                row = readings[index].row
                made[index] = tuple(
                    (
                        key[position : position + 1, :, : row.end - row.cached].clone(),
                        value[position : position + 1, :, : row.end - row.cached].clone(),
                    )
                    for _, (key, value) in sorted(plan.kept.items())
                )
        return [made[index] for index in range(len(readings))]

    def _batches(self, rows: Sequence[Row]) -> Iterator[list[int]]:
        """Indices of rows that go through the model together: of one canonical shape and one place of resuming."""
        of_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            of_shape[(*row.shape, row.cached)].append(index)
        for (fed, *_), indices in of_shape.items():
            size = self._canonical or min(BATCH, max(1, self._most_tokens // fed))
            for first in range(0, len(indices), size):
                yield indices[first : first + size]

    def _filled(self, batch: list[One]) -> list[One]:
        """The batch, filled up with copies of its last row where all forwards have one size."""
        return batch + batch[-1:] * (self._canonical - len(batch))

    def _plan(self, rows: Sequence[Row], prefix: KeyValues, *, keeps: bool = False) -> Plan:
        return plan_of(
            rows,
            stock=self._stock,
            num_layers=self._num_layers,
            pad_id=self._pad_id,
            device=self._model.device,
            prefix=prefix,
            keeps=keeps,
            backend=self._backend,
        )


def _stacked(rows: Sequence[Resumed], whole: Mapping[bytes, KeyValues]) -> KeyValues:
    """What stands before these rows, all resumed at one place: once if it is the same for all."""
    keys = [one.key for one in rows]
    if keys[0] is None:
        return ()
    return whole[keys[0]] if len(set(keys)) == 1 else _side_by_side([whole[key] for key in keys if key is not None])


def _side_by_side(beginnings: Sequence[KeyValues]) -> KeyValues:
    """Beginnings of equal length as a batch."""
    if all(one is beginnings[0] for one in beginnings):
        return beginnings[0]
    return tuple(
        (torch.cat([key for key, _ in layer]), torch.cat([value for _, value in layer]))
        for layer in zip(*beginnings, strict=True)
    )


def probabilities_of(request: Request, scored: Scored) -> tuple[float, ...]:
    """Probability of each action of the request, from the scores along its trie.

    Raises:
        NumericsError: inf or NaN came out of the model.
    """
    trie, encoding = scored.row.trie, scored.row.encoding
    root = len(encoding.ids) - 1 - encoding.decision_from
    nodes = list(trie.branches)
    rows = [root + 1 + node for node in nodes for _ in trie.branches[node]]
    tokens = [token for node in nodes for token in trie.branches[node]]
    flat = iter(finite_logits(request, scored, rows, tokens))
    return probabilities(trie, {node: [next(flat) for _ in trie.branches[node]] for node in nodes})


def finite_logits(request: Request, scored: Scored, rows: list[int], tokens: list[int]) -> list[float]:
    """Logits at these (row, token) pairs.

    Raises:
        NumericsError: inf or NaN came out of the model.
    """
    if not rows:
        return []
    values = scored.readout.at(scored.states, rows, tokens)
    if not all(abs(value) < float("inf") for value in values):
        raise NumericsError(f"expected finite logits for agent `{request.agent}`, got inf or NaN")
    return values
