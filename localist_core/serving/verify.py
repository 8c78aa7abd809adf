"""Verify mode: a decision that was recorded is computed again, alone, and compared; no torch.

Where the bits are the same there is nothing to discuss. Where they are not, the largest difference of a probability
stands against the margin: could what differs have made another action win? And a margin so small that rounding alone
may turn it is named whatever came out now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace

from localist_core.core import BlockTrace, Choice, Core, Request
from localist_core.dial import Dial

SAFE_MARGIN: Mapping[str, float] = {"float32": 1e-4, "bfloat16": 5e-2}
"""By number format: the margin below which another machine may well choose another action. That of bfloat16 is a
guess, to be measured; other formats count as float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recomputed:
    """One recorded decision beside the same one computed anew."""

    differs: tuple[str, ...]
    """What is not equal, among `probabilities`, `chosen`, `citations`, `trace` and `knock-out`; () = nothing."""
    difference: float
    """Largest difference of an action's probability, in [0, 1]."""
    margin: float
    """As recorded, in [0, 1]."""
    is_unsafe: bool
    """Whether the margin is below `SAFE_MARGIN`."""

    @property
    def is_equal(self) -> bool:
        """Whether every number is the same."""
        return not self.differs

    @property
    def is_open(self) -> bool:
        """Whether what differs could have made another action win: the best may lose it, and the second gain it."""
        return self.difference > 0.0 and self.margin <= 2.0 * self.difference


def recompute(
    core: Core,
    request: Request,
    recorded: Choice,
    *,
    digits: int | None = None,
    knock_outs: Mapping[str, float] | None = None,
) -> Recomputed:
    """Ask a core the same question again, alone, and compare.

    Args:
        core: of the fingerprint that answered then (the caller checks).
        request: the question, as it was asked.
        recorded: the answer then. Of its trace only the fields that are set are compared.
        digits: decimal places of the recorded probabilities and knock-outs; None = all bits.
        knock_outs: block -> nats, as recorded at dial 0; None = none.

    Raises:
        CoreError: no answer now.
    """
    (answer,) = core.decide([request])
    probabilities = _rounded(answer.probabilities, digits)
    plain = replace(request, dial=Dial.off(), evidence=False)
    cut = {block: core.knock_out(plain, block) for block in knock_outs or {}}
    pairs = {
        "probabilities": (probabilities, recorded.probabilities),
        "chosen": (answer.chosen, recorded.chosen),
        "citations": (answer.citations, recorded.citations),
        "trace": (_shown(answer.trace, recorded.trace), _shown(recorded.trace, recorded.trace)),
        "knock-out": (_rounded(cut.values(), digits), tuple((knock_outs or {}).values())),
    }
    return Recomputed(
        differs=tuple(name for name, (now, then) in pairs.items() if now != then),
        difference=max(abs(now - then) for now, then in zip(probabilities, recorded.probabilities, strict=True)),
        margin=recorded.margin,
        is_unsafe=recorded.margin < SAFE_MARGIN.get(core.capabilities.dtype, SAFE_MARGIN["float32"]),
    )


def _rounded(values: Iterable[float], digits: int | None) -> tuple[float, ...]:
    return tuple(values if digits is None else (round(value, digits) + 0.0 for value in values))


def _shown(trace: BlockTrace | None, recorded: BlockTrace | None) -> tuple[object, ...] | None:
    """The fields of a trace that the recorded one holds."""
    if trace is None or recorded is None:
        return None
    empty = {field.name: field.default for field in fields(BlockTrace)}
    held = [name for name, default in empty.items() if getattr(recorded, name) != default]
    return tuple(getattr(trace, name) for name in held)
