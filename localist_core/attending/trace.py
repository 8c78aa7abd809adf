"""What one forward lets us see: from the measurements of all layers to the trace of one decision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from localist_core.attending.measuring import Measured
from localist_core.attending.row import Row
from localist_core.core import BlockTrace
from localist_core.dial import Status
from localist_core.errors import NumericsError

DIGITS = 6
"""Digits kept behind the point: what float32 carries, and compact to store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The measurements of one pass of one batch entry as numbers, layers in order."""

    raw: list[float]
    """Mean over layers, for each block of the padded shape."""
    steered: list[float]
    fidelities: list[tuple[float, float]]
    """(raw, steered) of each layer; NaN where undefined."""
    entropy_bits: float
    token_entropy_bits: float
    """NaN where the back end cannot give it exactly."""
    inner_entropy_bits: list[float]
    """Of each layer; NaN where undefined."""
    statuses: list[list[int]]
    """[layer][head] index into `Status`."""


def seen_of(measured: Measured) -> list[tuple[Seen, Seen]]:
    """Take the measurements of a forward off the device: for each batch entry the decision and its twin, which is all
    zeros where there is none.

    Raises:
        NumericsError: a mass is inf or NaN.
    """
    blocks, means = measured.num_blocks, measured.means.double()
    over_layers, of_layers = means[..., :-3].mean(0).tolist(), means[..., -3:].transpose(0, 1).tolist()
    statuses = measured.statuses.transpose(0, 1).tolist()
    if not all(math.isfinite(mass) for entry in over_layers for one in entry for mass in one[: 2 * blocks]):
        raise NumericsError("expected finite attention, got inf or NaN in the masses of a decision row")

    def seen(entry: int, which: int) -> Seen:
        whole, each = over_layers[entry][which], [layer[which] for layer in of_layers[entry]]
        return Seen(
            raw=whole[:blocks],
            steered=whole[blocks : 2 * blocks],
            entropy_bits=whole[-2],
            token_entropy_bits=whole[-1],
            fidelities=[(raw, steered) for raw, steered, _ in each],
            inner_entropy_bits=[inner for _, _, inner in each],
            statuses=statuses[entry],
        )

    return [(seen(entry, 0), seen(entry, 1)) for entry in range(len(over_layers))]


def trace_of(row: Row, seen: Seen, *, evidence: tuple[Row, Seen] | None, blocks: tuple[str, ...]) -> BlockTrace:
    """The trace of one decision.

    Args:
        row: the row that decided.
        seen: what was measured of it.
        evidence: the same request at dial 0, if that was run.
        blocks: names of all blocks of the prompt as asked; `row` may lack some that a hard cut kept out.
    """
    raw_row, raw_seen = evidence if evidence is not None else (row, seen)
    raw = _by_name(raw_row, raw_seen.raw, blocks)
    steered = _by_name(row, seen.steered, blocks)
    before = [f for f, _ in raw_seen.fidelities]
    after = [f for _, f in seen.fidelities]
    has_targets = bool(row.dial.targets)
    is_gathered = len(row.prompt.blocks) < len(blocks)
    is_whole = len(raw_row.prompt.blocks) == len(blocks)
    if not is_whole:
        before = [math.nan] * len(before)
    names = blocks if len(raw) == len(blocks) else (*blocks, "(sink)")
    return BlockTrace(
        blocks=names,
        raw=raw,
        steered=steered,
        raw_fidelity=_defined_mean(before) if has_targets else None,
        steered_fidelity=_defined_mean(after) if has_targets else None,
        target_mass=round(sum(m for name, m in zip(names, raw, strict=True) if name in row.dial.targets), DIGITS),
        entropy_bits=_rounded(max(seen.entropy_bits, 0.0)),
        token_entropy_bits=_known(seen.token_entropy_bits),
        inner_entropy_bits=_defined_mean(seen.inner_entropy_bits),
        statuses=tuple(tuple(_status(one, is_gathered) for one in heads) for heads in seen.statuses),
        layers=tuple((_known(b), _known(a)) for b, a in zip(before, after, strict=True)) if has_targets else (),
        is_raw_from_dial_zero=evidence is not None or row.dial.value == 0.0,
    )


def _status(index: int, is_gathered: bool) -> Status:
    """Blocks that a hard cut kept out of the model are cut in every head, though no row shows it."""
    return Status.APPLIED if is_gathered else tuple(Status)[index]


def _by_name(row: Row, masses: Sequence[float], blocks: tuple[str, ...]) -> tuple[float, ...]:
    """Masses in the order of `blocks`, then that of the sink where the model has one (behind the padded blocks)."""
    known = dict(zip(row.prompt.names(), masses, strict=False))
    sink = masses[row.shape[2] :]
    return tuple(_rounded(mass) for mass in [*(known.get(name, 0.0) for name in blocks), *sink])


def _defined_mean(values: Sequence[float]) -> float | None:
    defined = [value for value in values if not math.isnan(value)]
    return _rounded(math.fsum(defined) / len(defined)) if defined else None


def _known(value: float) -> float | None:
    return None if math.isnan(value) else _rounded(value)


def _rounded(value: float) -> float:
    return round(value, DIGITS)
