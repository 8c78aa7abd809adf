"""Trying a model for the conditions of non-interference that no prompt shows: (a), (e) and (f).

Each trial is a few short forwards through our attention on arbitrary tokens. On the CPU logits are compared bit for bit
wherever the shapes are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from localist_core.attending.family import Family
from localist_core.attending.plan import plan_of
from localist_core.attending.probe import Probed, run
from localist_core.attending.row import Row
from localist_core.blocks import Block, BlockKind, Prompt, Trust
from localist_core.dial import Dial
from localist_core.errors import DialError
from localist_core.guarding.conditions import Condition, Finding
from localist_core.prompting.encoding import Encoding

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SWITCHING = frozenset({"dynamic", "longrope"})
"""Rotary positions whose frequencies follow the longest text of a forward."""

KINDS = (BlockKind.SCHEMA, BlockKind.OBSERVATION, BlockKind.MESSAGE, BlockKind.DECISION)
SCHEMA, OBSERVATION, MESSAGE, DECISION = 3, 5, 4, 4
"""Tokens of each block: few, because short batches take other ways through some models."""

ROWS = 8
"""Rows of a batch."""

LONG = 1100
"""Most tokens of the message that shows how a window is cut."""


@torch.inference_mode()
def of_model(model: PreTrainedModel, probed: Probed) -> list[Finding]:
    """Which of the conditions (a), (e), (f) a model breaks.

    Args:
        model: set to our attention.
        probed: what the load-time probe saw of it.
    """
    trial = _Trial(model, probed)
    mixing = [*trial.sees_later(), *trial.sees_neighbours(), *trial.sees_cut_text()]
    # Where other text leaks at equal length, length shows nothing more.
    return mixing or [*trial.sees_far_neighbours(), *trial.sees_cut_length()]


class _Trial:
    """The trials of one model."""

    def __init__(self, model: PreTrainedModel, probed: Probed) -> None:
        self._model = model
        self._probed = probed
        self._family: Family = probed.family
        self._tolerance = 1e-4 if model.dtype == torch.float32 else 3e-2

    def sees_later(self) -> list[Finding]:
        """Do the logits of earlier tokens change with later ones?"""
        rows = [_every_row(self._row(Dial.off(), seed=seed)) for seed in (1, 2)]
        one, other = (self._logits([row])[0, : SCHEMA + OBSERVATION] for row in rows)
        return self._moved(one, other, "earlier tokens see later ones", is_exact=True)

    def sees_neighbours(self) -> list[Finding]:
        """Do the logits of a row change with the other rows of its batch?"""
        rows = [self._row(Dial.off(), seed=seed) for seed in range(1, ROWS + 1)]
        alone, beside = torch.cat([self._logits([row]) for row in rows]), self._logits(rows)
        return self._moved(alone, beside, "other rows of the batch move it", is_exact=True)

    def sees_cut_text(self) -> list[Finding]:
        """Do the logits of a decision change with a text that attention is cut off from?"""
        try:
            one, other = (self._logits([self._row(_CUT, seed=seed)])[0] for seed in (1, 2))
        except DialError:
            return []  # the targets are out of a window: that is for the trial of its length to say
        return self._moved(one, other, "a text that attention is cut off from still moves the decision")

    def sees_far_neighbours(self) -> list[Finding]:
        """Do the logits of one row change with the positions of another row, or of an earlier batch?"""
        switching = sorted(SWITCHING & set(self._family.rope_types))
        own = self._row(Dial.off(), seed=1)
        alone = self._logits([own])[0]
        near, far = (self._logits([own, self._row(Dial.off(), seed=2, far=far)])[0] for far in (0, self._farthest()))
        later = self._logits([own])[0]
        moved = max(_difference(near, far), _difference(alone, later))
        if switching:
            reason = f"rotary positions of type `{switching[0]}` switch with the longest text of a batch"
            return [Finding(Condition.POSITIONS, f"{reason} (moved here by {moved:.1e})")]
        if self._family.has_alibi:
            return [Finding(Condition.POSITIONS, "a bias counts the tokens between two, untrusted ones too")]
        text = "positions of another row of the batch move it"
        return self._moved(near, far, text, Condition.POSITIONS, is_exact=True)

    def sees_cut_length(self) -> list[Finding]:
        """Do the logits of a decision change with the length of a text that attention is cut off from?"""
        windows = [window for window in self._family.windows if window is not None]
        length = min(max(windows, default=0) + MESSAGE, LONG) + MESSAGE
        try:
            one, other = (self._logits([self._row(_CUT, seed=1, length=size)])[0] for size in (MESSAGE, length))
        except DialError:
            return [Finding(Condition.WINDOWS, "a longer text pushes the targets out of a window")]
        if windows:
            return self._moved(one, other, "a longer text moves what a window shows", Condition.WINDOWS)
        return self._moved(one, other, "a longer text moves positions", Condition.POSITIONS)

    def _moved(
        self, one: Tensor, other: Tensor, what: str, condition: Condition = Condition.CAUSAL, *, is_exact: bool = False
    ) -> list[Finding]:
        on_cpu = self._model.device.type == "cpu"
        allowed = 0.0 if is_exact and on_cpu else self._tolerance * float(one.abs().max())
        difference = _difference(one, other)
        return [] if difference <= allowed else [Finding(condition, f"{what} (by {difference:.1e})")]

    def _farthest(self) -> int:
        """A position beyond all others; tables of learned positions end at the longest prompt."""
        longest = self._family.longest or 1 << 15
        return 2 * longest if self._family.rope_types else longest - DECISION

    def _logits(self, rows: Sequence[Row]) -> Tensor:
        plan = plan_of(
            rows,
            stock=self._probed.stock,
            num_layers=self._family.num_layers,
            pad_id=0,
            device=self._model.device,
        )
        return run(self._model, plan).float()

    def _row(self, dial: Dial, *, seed: int, length: int = MESSAGE, far: int = 0) -> Row:
        """A prompt whose message and decision follow from the seed; positions of the decision do not count the message.

        The decision itself is the same unless the dial is off: then it may be what another row must not see.
        """
        sizes = (SCHEMA, OBSERVATION, length, DECISION)
        block_ids = tuple(block for block, size in enumerate(sizes) for _ in range(size))
        vocabulary = int(self._model.config.get_text_config().vocab_size)
        seeds = (1, 1, seed, seed if dial.value == 0.0 else 1)
        ids = [token for block, size in enumerate(sizes) for token in _tokens(seeds[block], block, size, vocabulary)]
        trusted = SCHEMA + OBSERVATION
        start = far or trusted
        positions = (*range(trusted + length), *range(start, start + DECISION))
        blocks = tuple(
            Block(kind=kind, name=kind, text="", trust=Trust(int(kind is not BlockKind.MESSAGE))) for kind in KINDS
        )
        encoding = Encoding(ids=tuple(ids), block_ids=block_ids, positions=positions, decision_from=sum(sizes[:3]))
        return Row(prompt=Prompt(blocks), encoding=encoding, dial=dial)


_CUT = Dial(1.0, frozenset({BlockKind.OBSERVATION.value}))


def _tokens(seed: int, block: int, size: int, vocabulary: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed * len(KINDS) + block)
    return [int(token) for token in torch.randint(vocabulary, (size,), generator=generator)]


def _every_row(row: Row) -> Row:
    """The same tokens, all of them counted as decision rows: so all their logits are seen, under the family's mask."""
    positions = tuple(range(len(row.encoding.ids)))
    return replace(row, encoding=replace(row.encoding, decision_from=0, positions=positions))


def _difference(one: Tensor, other: Tensor) -> float:
    """Largest change of a logit; inf where one is NaN and differs."""
    if torch.equal(one, other):
        return 0.0
    change = (one - other).abs().nan_to_num(nan=torch.inf, posinf=torch.inf)
    return float(change.max())
