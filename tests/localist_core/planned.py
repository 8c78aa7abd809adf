"""Cases of attention whose layout is that of real prompts: blocks in a row, a trie, a twin, padding, a window."""

from __future__ import annotations

from functools import cache

import torch

from localist_core.attending.plan import plan_of
from localist_core.attending.row import Row
from localist_core.attending.segments import Segments
from localist_core.choice import trie_of
from localist_core.dial import Dial
from localist_core.prompting.encoding import Encoder
from tests.localist_core import tiny
from tests.localist_core.attending.test_segments import Case

WORDS = [(3, 4), (3, 5, 6), (7,), (3, 5, 9)]


@cache
def encoder() -> Encoder:
    return Encoder(tiny.tokenizer())


def row(dial: float, *, message: str, rules: int, twin: bool) -> Row:
    prompt = tiny.prompt(message=message, rules=rules)
    return Row(
        prompt=prompt,
        encoding=encoder().encode(prompt),
        dial=Dial(dial, tiny.TARGETS),
        trie=trie_of(WORDS, end_id=None),
        has_twin=twin,
    )


def prompt_case(seed: int, *, spread: float = 1.0, twin: bool = False, window: int | None = None) -> Case:
    """Two prompts of different lengths, dials 0.9 and 0.3; 4 heads in 2 groups, of width 8."""
    rows = [row(0.9, message="go", rules=2, twin=twin), row(0.3, message="stop stop", rules=1, twin=twin)]
    plan = plan_of(rows, stock="sdpa", num_layers=1, pad_id=0, device=torch.device("cpu"))
    seen = plan.seen.gather(2, plan.rows[:, None, :, None].expand(-1, -1, -1, plan.seen.shape[-1]))
    if window is not None:
        ages = plan.positions.gather(1, plan.rows)[:, None, :, None] - plan.key_positions[:, None, None]
        # A row under a dial must see a target: the last one of each prompt stays in sight.
        seen = seen & ((ages < window) | (plan.layout.groups == 1)[:, None, None])
    g = torch.Generator().manual_seed(seed)
    keys = seen.shape[-1]
    return Case(
        query=torch.randn(2, 4, plan.rows.shape[1], 8, generator=g) * spread,
        key=torch.randn(2, 2, keys, 8, generator=g),
        value=torch.randn(2, 2, keys, 8, generator=g),
        segments=Segments(
            layout=plan.layout, hidden=~seen, floor=plan.floors[0][:, None], has_floor=True, has_cut=False
        ),
        sink=None,
    )
