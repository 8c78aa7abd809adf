"""Bodies: what stands before the decision rows of a prompt, where a dial of scope `all` steers it too."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from localist_core.attending.call import Call
from localist_core.attending.one_pass import dense, one_pass
from localist_core.attending.plan import Body, Plan
from localist_core.attending.segments import Segments


def is_replaced(plan: Plan, call: Call) -> bool:
    """Whether the dial makes all of the output, padding aside: no head keeps the family's own for any row."""
    is_whole = all(plan.dials[body.entry].heads is None for body in plan.bodies)
    return 0 < len(plan.bodies) == len(plan.dials) and is_whole and _has_one_pass(call)


def steer_bodies(output: Tensor, plan: Plan, call: Call, visible: Callable[[Body], Tensor]) -> None:
    """Put the steered rows of every body into the output, (batch, token, head, width).

    Heads that are not steered keep theirs. Where one pass serves, the rows before the first target come from it as
    well, at a dial of 0: the same but for rounding.

    Args:
        output: of the family's own attention, or zeros if `is_replaced`.
        plan: the batch.
        call: of the attention function.
        visible: which keys the steered rows of a body see, (1, 1, row, key) bool.
    """
    for number, body in enumerate(plan.bodies):
        if _has_one_pass(call):
            own, start = _in_one_pass(number, body, plan, call), body.first
        else:
            own, start = _by_scores(body, plan, call, visible(body)), body.steered
        rows = output[body.entry, start : body.stop]
        new = own.transpose(0, 1).to(rows.dtype)
        if plan.dials[body.entry].heads is not None:
            new = torch.where((call.floor[body.entry] > 0.0)[:, None], new, rows)
        rows.copy_(new)


def _has_one_pass(call: Call) -> bool:
    is_even = call.query.shape[-1] == call.value.shape[-1]  # torch's kernel asks for it
    return is_even and call.sight.runs is not None and call.softcap is None


def _in_one_pass(number: int, body: Body, plan: Plan, call: Call) -> Tensor:
    """The output of all rows of a body, (head, row, width)."""
    assert call.sight.runs is not None
    return one_pass(
        call.query[body.entry, :, body.first : body.stop],
        call.key[body.entry],
        call.value[body.entry],
        call.sight.runs[number],
        first=plan.key_positions.shape[1] - plan.ids.shape[1] + body.first,
        steered=body.steered - body.first,
        floor=call.floor[body.entry],
        is_odds=plan.dials[body.entry].kind == "odds",
        scale=call.scale,
        sink=call.sink,
    )


def _by_scores(body: Body, plan: Plan, call: Call, visible: Tensor) -> Tensor:
    """The output of the steered rows of a body, (head, row, width)."""
    entry = slice(body.entry, body.entry + 1)
    floor = call.floor[entry]
    return dense(
        call.query[entry, :, body.steered : body.stop],
        call.key[entry],
        call.value[entry],
        Segments(
            layout=call.sight.layout.of(body.entry),
            hidden=~visible,
            floor=floor,
            has_floor=True,
            has_cut=bool((floor == 1.0).any()),
            is_odds=None if plan.is_odds is None else plan.is_odds[entry],
        ),
        scale=call.scale,
        softcap=call.softcap,
        sink=call.sink,
    )
