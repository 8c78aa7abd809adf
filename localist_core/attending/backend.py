"""Which code attends for the decision rows: one contract, three back ends, and the check that decides between them.

`packed` (packed.py) runs everywhere. On CUDA the Triton kernel comes first, then flash attention through
`varlen_attn`. Neither is taken on trust: at load each must give, on the device and in the model's number format, what
`packed` gives for a small batch. One that fails, for whatever reason, is left out, and the reason is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from localist_core.attending.packed import Sums, attended_of, packed, sums
from localist_core.attending.parts import Parts, Spans, merged, spans_of
from localist_core.attending.segments import Attended, Group, Layout, Segments, layout_of
from localist_core.attending.varlen import Varlen, fits, flash, sequences_of, varlen_parts
from localist_core.errors import RequestError, UnsupportedModelError

BackendName = Literal["packed", "triton", "varlen"]

SHARE_TOLERANCE = 1e-5
"""Largest error of a mass: log-sum-exps are float32 whatever the model's number format."""
OUTPUT_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 2e-3}
"""Largest error of an output of size 1: the number format's own."""


class Reader(Protocol):
    """Attention of the decision rows over keys of a known layout; same arguments as `packed`."""

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        segments: Segments,
        *,
        scale: float,
        softcap: float | None = None,
        sink: Tensor | None = None,
    ) -> Attended | Sums: ...


@dataclass(frozen=True, slots=True)
class Backend:
    """One way to attend."""

    name: BackendName
    reader: Callable[[Layout, Tensor], Reader]
    """From a layout and what is hidden from the rows, (batch, 1, row, key), to a reader; once for a kind of layer."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The back end that a core uses."""

    backend: Backend
    refused: tuple[tuple[BackendName, str], ...] = ()
    """Back ends that would have come first, and why they did not."""


PACKED = Backend("packed", lambda layout, hidden: sums)
"""Float32 by matrix products, on any device."""


def triton_backend() -> Backend:
    """The Triton kernel: on CUDA, or in Triton's interpreter.

    Raises:
        UnsupportedModelError: Triton is not installed.
    """
    try:
        from localist_core.attending.kernel import kernel_parts
    except ImportError as error:
        raise UnsupportedModelError(f"expected triton to be installed, got {error}; use the packed back end") from error

    def reader(layout: Layout, hidden: Tensor) -> Reader:
        return KernelReader(spans=spans_of(layout, (~hidden[:, 0]).any(1)), hidden=hidden, kernel=kernel_parts)

    return Backend("triton", reader)


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelReader:
    """The kernel over keys of a known layout; a value, so that its tables can be exchanged under a captured forward."""

    spans: Spans
    hidden: Tensor
    """(batch, 1, row, key) bool."""
    kernel: Callable[..., Parts]
    """`kernel_parts`."""

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        segments: Segments,
        *,
        scale: float,
        softcap: float | None = None,
        sink: Tensor | None = None,
    ) -> Attended:
        """See `Reader`."""
        parts = self.kernel(query, key, value, self.hidden, self.spans, scale=scale, softcap=softcap)
        return merged(parts, segments, sink=sink)


def varlen_backend(kernel: Varlen = flash) -> Backend:
    """Flash attention by span; layers that it cannot serve (float32, soft caps) go to `packed`."""

    def reader(layout: Layout, hidden: Tensor) -> Reader:
        sequences = sequences_of(layout, hidden)

        def read(
            query: Tensor,
            key: Tensor,
            value: Tensor,
            segments: Segments,
            *,
            scale: float,
            softcap: float | None = None,
            sink: Tensor | None = None,
        ) -> Attended:
            if softcap is not None or not fits(query):
                return packed(query, key, value, segments, scale=scale, softcap=softcap, sink=sink)
            return merged(varlen_parts(query, key, value, sequences, scale=scale, kernel=kernel), segments, sink=sink)

        return read

    return Backend("varlen", reader)


MAKERS: tuple[tuple[BackendName, Callable[[], Backend]], ...] = (("triton", triton_backend), ("varlen", varlen_backend))
"""Back ends for CUDA, best first."""


def choose(device: torch.device, dtype: torch.dtype, name: str = "auto") -> Chosen:
    """The back end for a device and number format.

    Args:
        device: of the model.
        dtype: of the model.
        name: `auto` = packed on the CPU, on CUDA the first that passes its check. Else this one and no other.

    Raises:
        RequestError: no such name.
        UnsupportedModelError: the named back end fails its check.
    """
    if name not in ("auto", *get_args(BackendName)):
        raise RequestError(f"expected the back end auto, {', '.join(get_args(BackendName))}, got `{name}`")
    if name == "packed" or (name == "auto" and device.type == "cpu"):
        return Chosen(PACKED)
    chosen = first_that_works([maker for maker in MAKERS if name in ("auto", maker[0])], device, dtype)
    if name not in ("auto", chosen.backend.name):
        reasons = "; ".join(reason for _, reason in chosen.refused)
        raise UnsupportedModelError(f"expected the {name} back end to work on `{device}`, got: {reasons}")
    return chosen


def first_that_works(
    makers: Sequence[tuple[BackendName, Callable[[], Backend]]], device: torch.device, dtype: torch.dtype
) -> Chosen:
    """The first of these back ends that passes its check, else `packed`, which needs none."""
    refused: list[tuple[BackendName, str]] = []
    for name, make in makers:
        try:
            backend = make()
            check(backend, device, dtype)
            return Chosen(backend, tuple(refused))
        except (RuntimeError, ValueError) as error:
            refused.append((name, str(error).strip().partition("\n")[0][:200]))
    return Chosen(PACKED, tuple(refused))


@torch.inference_mode()
def check(backend: Backend, device: torch.device, dtype: torch.dtype) -> None:
    """Compare a back end with `packed` on a small batch: two layouts, two dials, rows of their own sight.

    Raises:
        UnsupportedModelError: masses or outputs differ; or another number format than it is made for.
    """
    if dtype not in OUTPUT_TOLERANCE:
        raise UnsupportedModelError(f"expected a model in float32, bfloat16 or float16, got `{dtype}`; use packed")
    segments = _probe_segments(device)
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(2, heads, length, 64, generator=generator).to(device, dtype)
        for heads, length in ((4, 3), (2, 48), (2, 48))
    )
    assert segments.hidden is not None
    read = backend.reader(segments.layout, segments.hidden)
    ours, exact = (attended_of(one(query, key, value, segments, scale=0.125)) for one in (read, packed))
    assert ours.output is not None
    assert exact.output is not None
    masses = float((ours.steered - exact.steered).abs().max())
    outputs = float((ours.output - exact.output).abs().max())
    if not (masses <= SHARE_TOLERANCE and outputs <= OUTPUT_TOLERANCE[dtype]):
        raise UnsupportedModelError(
            f"expected the {backend.name} back end to agree with packed, got masses that differ by {masses:.1e} and "
            f"outputs that differ by {outputs:.1e}"
        )


def _probe_segments(device: torch.device) -> Segments:
    """Blocks of 16, 20 and 8 tokens and 4 of padding, then of 7, 5 and 36; the last block is causal."""
    hidden = torch.zeros(2, 1, 3, 48, dtype=torch.bool)
    block = torch.zeros(2, 48, dtype=torch.long)
    for entry, sizes in enumerate(((16, 20, 8), (7, 5, 36))):
        block[entry, : sum(sizes)] = torch.arange(3).repeat_interleave(torch.tensor(sizes))
        for row in range(3):
            hidden[entry, :, row, sum(sizes) - 2 + row :] = True
    membership = torch.nn.functional.one_hot(block, 3).float()
    membership[0, 44:] = 0.0
    groups = torch.tensor([Group.REST, Group.TARGET, Group.NEUTRAL])[block]
    return Segments(
        layout=layout_of(membership.to(device), groups.to(device)),
        hidden=hidden.to(device),
        floor=torch.tensor([[0.9], [0.3]], device=device),
        has_floor=True,
        has_cut=False,
    )
