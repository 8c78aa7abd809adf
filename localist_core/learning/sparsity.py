"""Which groups of a model are zero, and whether they should be: norms and KKT residuals of every group, as JSON.

`localist train` with a penalty leaves it as `sparsity.json`: `version` 1, `strength`, `tolerance`, `lessons` (how many
the gradient is the mean of), and for each group its layer, head, kind of block, weight, norms and residuals.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from localist_core.blocks import PROMPT_ORDER
from localist_core.learning.penalty import Groups, Penalised, Penalty, Side, kkt_residuals

SPARSITY = "sparsity.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupState:
    """One group at the end of a run."""

    layer: int
    head: int
    """Of the queries; where several of them share a head of keys, each shows that one."""
    kind: str
    weight: float
    """w_g."""
    query_norm: float
    """||W_Q[h,g]||_F."""
    key_norm: float
    query_residual: float
    """KKT residual in units of the gradient's norm, 0 at a solution: max(0, ||gradient||_F - strength * w_g) of a zero
    factor; of another, ||gradient + strength * w_g * W / ||W||_F||_F."""
    key_residual: float

    @property
    def is_zero(self) -> bool:
        """Whether the head's scores read nothing of the kind's subspace."""
        return self.query_norm == 0.0 and self.key_norm == 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparsity:
    """All groups of a model."""

    strength: float
    tolerance: float
    """See `Penalty.tolerance`."""
    lessons: int
    """The gradient is that of the mean loss over so many lessons."""
    groups: tuple[GroupState, ...]

    @property
    def num_zero(self) -> int:
        """Groups whose factors are both zero."""
        return sum(group.is_zero for group in self.groups)

    @property
    def worst_zero_residual(self) -> float:
        """Greatest KKT residual of a zero factor as a share of strength * w_g; 0 if none is zero."""
        return max(self._zero_residuals(), default=0.0)

    @property
    def num_wrong(self) -> int:
        """Zero factors whose residual is beyond the tolerance."""
        return sum(share > self.tolerance for share in self._zero_residuals())

    def _zero_residuals(self) -> list[float]:
        return [
            residual / (self.strength * group.weight)
            for group in self.groups
            for norm, residual in (
                (group.query_norm, group.query_residual),
                (group.key_norm, group.key_residual),
            )
            if norm == 0.0
        ]

    def write(self, path: Path) -> None:
        """Write the JSON that the file's first lines describe."""
        rows = [asdict(group) for group in self.groups]
        head = {"version": 1, "strength": self.strength, "tolerance": self.tolerance, "lessons": self.lessons}
        counts = {"num_groups": len(rows), "num_zero": self.num_zero, "num_wrong": self.num_wrong}
        path.write_text(json.dumps({**head, **counts, "groups": rows}, indent=1) + "\n")


def sparsity_of(groups: Groups, penalty: Penalty, lessons: int) -> Sparsity:
    """The state of all groups; their parameters hold the gradient of the mean loss over so many lessons."""
    weights = penalty.weight_of
    states: list[GroupState] = []
    for query, key in pairs_of(groups.penalised):
        values = [part.tolist() for one in (query, key) for part in (one.norms, _residuals(one, penalty))]
        share = query.num_heads // key.num_heads
        for head in range(query.num_heads):
            for index, kind in enumerate(PROMPT_ORDER[: query.num_kinds]):
                query_norms, query_residuals, key_norms, key_residuals = values
                states.append(
                    GroupState(
                        layer=query.layer,
                        head=head,
                        kind=kind.value,
                        weight=float(weights[index]),
                        query_norm=query_norms[head][index],
                        key_norm=key_norms[head // share][index],
                        query_residual=query_residuals[head][index],
                        key_residual=key_residuals[head // share][index],
                    )
                )
    return Sparsity(strength=penalty.strength, tolerance=penalty.tolerance, lessons=lessons, groups=tuple(states))


def count_zero(groups: Groups) -> int:
    """Groups whose factors are both exactly zero."""
    total = 0
    for query, key in pairs_of(groups.penalised):
        of_key = key.norms.repeat_interleave(query.num_heads // key.num_heads, 0)
        total += int(((query.norms == 0.0) & (of_key == 0.0)).sum())
    return total


def count_groups(groups: Groups) -> int:
    """All groups (layer, head, kind)."""
    return sum(query.num_heads * query.num_kinds for query, _ in pairs_of(groups.penalised))


def pairs_of(penalised: Sequence[Penalised]) -> list[tuple[Penalised, Penalised]]:
    """Queries and keys of each layer."""
    found: dict[int, dict[Side, Penalised]] = {}
    for one in penalised:
        found.setdefault(one.layer, {})[one.side] = one
    return [(sides[Side.QUERY], sides[Side.KEY]) for _, sides in sorted(found.items())]


def _residuals(one: Penalised, penalty: Penalty) -> Tensor:
    forces = penalty.strength * penalty.weight_of.to(one.parameter)
    return kkt_residuals(one.blocks(one.parameter.detach()), one.gradient, forces)
