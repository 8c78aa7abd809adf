"""Replays whole forwards as CUDA graphs: with few rows a GPU waits for launches, not for arithmetic.

A batch of one form (shapes, and which layers are steered at all) is run as it is the first time, captured the second
time, and replayed from then on: its tensors, and what its kinds of layer see, are copied to where the captured forward
reads them. Whatever cannot be replayed is run as it is: caches of transformers, dials on single heads or on all rows, a
prefix that is attended to apart (on a CPU only), and a batch whose masks do not have the captured form.

Opt-in, because it could not be run on a GPU yet. Everything but `capture` itself is tested on the CPU with a stand-in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from localist_core.attending.measuring import Passed
from localist_core.attending.plan import Plan, Sight
from localist_core.attending.seeing import sight_of
from localist_core.errors import CoreError

One = TypeVar("One")

Run = tuple[Tensor, tuple[Passed, ...]]
"""What a forward gives: last states of the decision rows, and what each layer noted."""

Capture = Callable[[Callable[[], Run]], tuple[Run, Callable[[], None]]]
"""Runs a forward and gives what it gave, and what replays it: the same work, into the same tensors."""

UNCOPIED = ("backend", "dials", "pattern", "passed", "sights", "kept", "held")
"""Fields of plans and sights that hold no input of a forward."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """A captured forward."""

    plan: Plan
    """Whose tensors it reads."""
    given: Run
    """Into which it writes."""
    replay: Callable[[], None]


class Graphs:
    """Captured forwards of one model, by the form of the batch."""

    def __init__(self, forward: Callable[[Plan], Tensor], *, capture: Capture, most: int = 32) -> None:
        """Take a forward.

        Args:
            forward: last states of the decision rows; it leaves what the layers note in `Plan.passed`.
            capture: `capture` on CUDA.
            most: forms that are captured; each holds the memory of a forward. Further ones run as they are.
        """
        self._forward, self._capture, self._most = forward, capture, most
        self._known: dict[tuple[object, ...], Captured] = {}
        self._met: set[tuple[object, ...]] = set()
        self.replayed = 0
        """Forwards that were replayed."""
        self.failure = ""
        """Why a capture failed; after the first failure nothing more is captured."""

    def run(self, plan: Plan) -> Tensor:
        """The forward of a plan, replayed where that is possible."""
        form = form_of(plan)
        if form is None:
            return self._forward(plan)
        if form not in self._met:
            self._met.add(form)
            return self._forward(plan)
        plan = replace(plan, steered=_filled(plan), passed=plan.passed)
        captured = self._known.get(form)
        if captured is None:
            captured = self._captured(plan) if len(self._known) < self._most and not self.failure else None
            if captured is None:
                return self._forward(plan)
            self._known[form] = captured
        elif not _loaded(captured.plan, plan):
            return self._forward(plan)
        captured.replay()
        self.replayed += 1
        states, passed = _rebuilt(captured.given, Tensor.clone)
        plan.passed[:] = passed
        return states

    def _captured(self, plan: Plan) -> Captured | None:
        """Run the plan once to learn what its layers see, and capture it on tensors of its own; None if that fails."""
        self._forward(plan)
        sights = tuple(plan.sights.values())
        own = _rebuilt(replace(plan, held=()), _own)
        own = replace(own, held=tuple(_rebuilt(sight, _own) for sight in sights), passed=[], sights={}, kept={})

        def forward() -> Run:
            own.sights.clear()
            states = self._forward(own)
            return states, tuple(own.passed)

        try:
            given, replay = self._capture(forward)
        except CoreError:
            raise
        except RuntimeError as error:  # torch has no type of its own for what cannot be captured
            self.failure = str(error).strip().partition("\n")[0][:200]
            return None
        return Captured(plan=own, given=given, replay=replay)


def form_of(plan: Plan) -> tuple[object, ...] | None:
    """What two batches must have in common for one graph; None where there can be none."""
    if plan.keeps or plan.cached or plan.bodies or any(dial.heads is not None for dial in plan.dials):
        return None
    switches = (plan.stock, plan.is_plain, plan.is_even, plan.is_all_steered, len(plan.steered) > 0, plan.backend.name)
    steered = tuple((top > 0.0, top == 1.0) for top in plan.top_floors)
    return (*switches, steered, tuple((one.shape, one.dtype) for one in tensors_of(replace(plan, steered=plan.rows))))


def tensors_of(value: object) -> Iterator[Tensor]:
    """All tensors in a value made of dataclasses and tuples, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from tensors_of(one)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            if field.name not in UNCOPIED:
                yield from tensors_of(getattr(value, field.name))


def capture(forward: Callable[[], Run]) -> tuple[Run, Callable[[], None]]:
    """Capture a forward on CUDA, after two that warm up what is made at first use."""
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(2):
            forward()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        given = forward()
    return given, graph.replay


def _loaded(own: Plan, plan: Plan) -> bool:
    """Copy a plan, and what its layers see, to where a captured forward reads; False if the forms differ."""
    fresh = replace(plan, passed=[], sights={})
    sights = tuple(sight_of(fresh, _pattern_for(held, plan), is_apart=False) for held in own.held)
    pairs = [(own, plan), *zip(own.held, sights, strict=True)]
    there, here = ([one for pair in pairs for one in tensors_of(pair[side])] for side in (0, 1))
    if [(one.shape, one.dtype) for one in there] != [(one.shape, one.dtype) for one in here]:
        return False
    for target, source in zip(there, here, strict=True):
        target.copy_(source)
    return True


def _pattern_for(sight: Sight, plan: Plan) -> Any:
    """The pattern of a captured kind of layer, for the padding of another batch."""
    pattern: Any = sight.pattern
    return pattern.padded(plan.padding)


def _filled(plan: Plan) -> Tensor:
    """The steered rows, the last one repeated until there are as many as rows: so their number is part of no form."""
    size = plan.rows.numel()
    return plan.steered if not len(plan.steered) else plan.steered[torch.arange(size).clamp(max=len(plan.steered) - 1)]


def _own(tensor: Tensor) -> Tensor:
    return tensor.clone(memory_format=torch.contiguous_format)


def _rebuilt(value: One, leaf: Callable[[Tensor], Tensor]) -> One:
    """The same value with every tensor in it replaced."""
    rebuilt: Any = value
    if isinstance(value, Tensor):
        rebuilt = leaf(value)
    elif isinstance(value, tuple):
        rebuilt = tuple(_rebuilt(one, leaf) for one in value)
    elif is_dataclass(value) and not isinstance(value, type):
        kept = {field.name for field in fields(value) if field.init and field.name not in UNCOPIED}
        rebuilt = replace(value, **{name: _rebuilt(getattr(value, name), leaf) for name in kept})
    return rebuilt  # type: ignore[no-any-return]
