"""The pointer head: the attention head that, at an option, rests on the rule that forbids it.

A core that has learned to read rules holds such a head: it finds the lines that name the option's action and fire.
What the model *says* next about the rule blurs where several rules fire; where this head *rests* does not. Which head
it is, is found by measuring on training cases, and stands in the model's configuration (`pointer_head`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from localist_core.core import Request
from localist_core.serving.shared import SharedCore


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """One request and its right pointers."""

    request: Request
    forbidding: tuple[frozenset[int], ...]
    """For each action the places, in the prompt's rulebook, of the rules that forbid it; empty = none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointerProfile:
    """How often each head rests most on a rule that forbids the option."""

    share: tuple[tuple[float, ...], ...]
    """[layer][head], in [0, 1]."""
    num_options: int
    """Forbidden options looked at."""

    @property
    def best(self) -> tuple[int, int]:
        """Layer and head of the highest share; of equals the first."""
        places = [(layer, head) for layer, heads in enumerate(self.share) for head in range(len(heads))]
        return max(places, key=lambda place: self.share[place[0]][place[1]])


def profile(core: SharedCore, examined: Iterable[Examined]) -> PointerProfile:
    """Measure all heads.

    Raises:
        CoreError: of a request.
        ValueError: no option of any request is forbidden.
    """
    hits: torch.Tensor | None = None
    count = 0
    for one in examined:
        if not any(one.forbidding):
            continue
        masses = core.pointers(one.request)
        rests_on = masses.argmax(-1)
        for action, rules in enumerate(one.forbidding):
            if rules:
                right = torch.isin(rests_on[:, :, action], torch.tensor(sorted(rules)))
                hits = right.double() if hits is None else hits + right
                count += 1
    if hits is None:
        raise ValueError("expected requests with forbidden options, got none; examine more")
    share = tuple(tuple(round(value, 6) for value in heads) for heads in (hits / count).tolist())
    return PointerProfile(share=share, num_options=count)


def name_pointer(directory: Path, found: PointerProfile) -> None:
    """Write the best head into the configuration of a saved model."""
    path = directory / "config.json"
    config = json.loads(path.read_text())
    config["pointer_head"] = list(found.best)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
