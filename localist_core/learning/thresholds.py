"""At which penalty strength each factor of a group vanishes: predicted from a gradient, and found on a path.

Three strengths, of one factor W = W_Q[h,g] or W_K[h,g] (framework, section 4), everything else at trained values:
- **block threshold**: ||gradient at W = 0||_F / w_g. Above it zero is a strict local minimum, below it is not one.
- **path threshold**: the smallest strength of a rising grid, each solved from the last one's solution, at which W is
  zero with its KKT residual met. Never below the block threshold; above it where the loss is not convex in W, because
  the solution that is not zero then lives on until it jumps.
- **re-entry strength**: coming down the grid from zero, the largest strength at which W is not zero any more.
Where everything is free to move (`free_path`), nothing fixes how they relate: they are reported as found.

The loss is bilinear in W_Q and W_K. At a head that is zero in either as a whole, gradients vanish, or are those of an
epsilon: a saddle, where a threshold would read 0. It is never evaluated there.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from localist_core.blocks import PROMPT_ORDER
from localist_core.learning.penalty import Groups, Penalised, PenaltyError, kkt_residuals
from localist_core.learning.sparsity import pairs_of
from localist_core.proving.theory import block_threshold

Evaluate = Callable[[], float]
"""The loss over all data at the present weights; adds its gradient to the parameters that want one."""

MET = 1e-3
"""A solution is accepted when its KKT residual is at most this share of strength * w_g."""


class SaddleError(PenaltyError):
    """A factor of a head whose queries or keys would all be zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """W_Q[h,g] or W_K[h,g]."""

    matrix: Penalised
    partner: Penalised
    """The other side's matrix of the layer."""
    head: int
    """Of this side."""
    kind: int
    """Index into `PROMPT_ORDER`."""
    weight: float
    """w_g."""

    @property
    def name(self) -> str:
        """Such as `layer 2, head 7, rulebook, query`."""
        return f"layer {self.matrix.layer}, head {self.head}, {PROMPT_ORDER[self.kind].value}, {self.matrix.side.value}"

    def block(self, of: Tensor) -> Tensor:
        """A tensor shaped like the parameter, at this factor: (1, width, 1, coordinate); shares its memory."""
        whole = self.matrix.blocks(of)
        return whole[self.head : self.head + 1, :, self.kind : self.kind + 1]

    @property
    def values(self) -> Tensor:
        """The factor itself, (1, width, 1, coordinate); writing to it changes the model."""
        return self.block(self.matrix.parameter.data)

    @property
    def gradient(self) -> Tensor:
        """A copy of its gradient, likewise."""
        assert self.matrix.parameter.grad is not None
        return self.block(self.matrix.parameter.grad).clone()


def factors_of(groups: Groups, weights: Tensor) -> list[Factor]:
    """All factors of a model, layer by layer; weights (kind,)."""
    return [
        Factor(matrix=one, partner=other, head=head, kind=kind, weight=float(weights[kind]))
        for query, key in pairs_of(groups.penalised)
        for one, other in ((query, key), (key, query))
        for head in range(one.num_heads)
        for kind in range(one.num_kinds)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The three strengths of one factor, with all else frozen."""

    factor: str
    block: float
    """Predicted: the block threshold."""
    path: float | None
    """None = not zero at the largest strength tried."""
    reentry: float | None
    """None = still zero at the smallest strength tried."""
    residual: float
    """KKT residual at the path threshold as a share of the block threshold's force; 0 at a solution."""
    evaluations: int
    """Of loss and gradient."""

    @property
    def deviation(self) -> float:
        """(path - block) / block; NaN where the path does not end in zero, or the factor has no gradient at all."""
        return math.nan if self.path is None or self.block == 0.0 else self.path / self.block - 1.0


def thresholds(
    factor: Factor, evaluate: Evaluate, model: nn.Module, *, start: float = 0.8, ratio: float = 1.02, reach: float = 2.0
) -> Thresholds:
    """Predict and find the thresholds of one factor, everything else frozen; the factor is put back afterwards.

    Args:
        factor: of the model.
        evaluate: loss and gradient over all data.
        model: in float64 or float32; all its other weights stand still.
        start: the grid begins at this multiple of the block threshold, in (0, 1).
        ratio: between neighbours of the grid, above 1: how finely thresholds are found.
        reach: it ends at this multiple, above 1.

    Raises:
        SaddleError: the head would have no query or key at all.
    """
    with frozen_but(factor, model) as kept:
        count = [0]

        def counted() -> float:
            count[0] += 1
            factor.matrix.parameter.grad = None
            return evaluate()

        predicted = _predicted(factor, counted)
        factor.values.copy_(kept)
        grid = _grid(predicted, start, ratio, reach)
        path, residual = None, math.nan
        for strength in grid:
            residual = solve(factor, counted, strength)
            if not factor.values.any() and residual <= MET:
                path = strength
                break
        factor.values.zero_()  # where the path did not end there, re-entry is asked all the same
        reentry = None
        for strength in reversed([each for each in grid if path is None or each <= path]):
            solve(factor, counted, strength)
            if factor.values.any():
                reentry = strength
                break
        return Thresholds(
            factor=factor.name,
            block=predicted,
            path=path,
            reentry=reentry,
            residual=residual,
            evaluations=count[0],
        )


def predicted_threshold(factor: Factor, evaluate: Evaluate, model: nn.Module) -> float:
    """The block threshold of one factor; it is put back afterwards.

    Raises:
        SaddleError: the head would have no query or key at all.
    """
    with frozen_but(factor, model):
        return _predicted(factor, evaluate)


def solve(factor: Factor, evaluate: Evaluate, strength: float, *, most: int = 500) -> float:
    """Minimise loss + strength * w_g ||W||_F over the factor alone, from where it stands.

    Proximal gradient with steps after Barzilai and Borwein (SpaRSA; Wright, Nowak and Figueiredo 2009): a step is taken
    if the objective falls below the greatest of the last five, else it is halved.

    Returns:
        The KKT residual reached, as a share of strength * w_g; above `MET` after `most` evaluations.
    """
    force = strength * factor.weight
    forces = torch.tensor([[force]]).to(factor.values)
    values = factor.values.clone()
    loss, gradient = evaluate(), factor.gradient
    recent = deque([loss + force * float(values.norm())], maxlen=5)
    step = 1.0
    residual = _share(values, gradient, forces)
    for _ in range(most):
        if residual <= MET:
            break
        moved = _prox(values - step * gradient, step * force)
        factor.values.copy_(moved)
        loss, seen = evaluate(), factor.gradient
        objective = loss + force * float(moved.norm())
        change = moved - values
        if objective > max(recent) - 1e-4 / (2 * step) * float(change.square().sum()) + 1e-7 * abs(loss):
            step /= 2
            if step < 1e-12:
                break
            continue
        bend = float((change * (seen - gradient)).sum())
        step = min(1e6, float(change.square().sum()) / bend) if bend > 0.0 else min(1e6, 2 * step)
        values, gradient = moved, seen
        recent.append(objective)
        residual = _share(values, gradient, forces)
    factor.values.copy_(values)
    return residual


# With everything free


@dataclass(frozen=True, slots=True, kw_only=True)
class FreePath:
    """One factor on a path on which every weight moves."""

    factor: str
    block: float | None
    """The block threshold at the first point of the path; None at a saddle."""
    path: float | None
    """The smallest strength at which it is zero with the KKT residual met; None = at none."""
    reentry: float | None
    """Coming back, the largest strength at which it is not zero; None = it stays zero."""


def free_path(
    factors: Sequence[Factor],
    evaluate: Evaluate,
    model: nn.Module,
    settle: Callable[[float], None],
    strengths: Sequence[float],
    *,
    tolerance: float,
) -> tuple[FreePath, ...]:
    """Follow all factors up a grid of strengths and down again while every weight is free; as found.

    Args:
        factors: whom to report.
        evaluate: loss and gradient over all data.
        model: whose they are.
        settle: train at a strength from the present weights; it leaves the model there.
        strengths: rising.
        tolerance: a zero is accepted where its gradient exceeds strength * w_g by at most this share of it.
    """
    settle(strengths[0])
    blocks = [_threshold_or_none(factor, evaluate, model) for factor in factors]
    path: dict[int, float] = {}
    reentry: dict[int, float] = {}
    for strength in strengths:
        settle(strength)
        for index, holds in enumerate(_zeros(factors, evaluate, strength, tolerance)):
            if holds:
                path.setdefault(index, strength)
    for strength in reversed(strengths[:-1]):
        settle(strength)
        for index, factor in enumerate(factors):
            if index in path and factor.values.any():
                reentry.setdefault(index, strength)
    return tuple(
        FreePath(factor=factor.name, block=blocks[index], path=path.get(index), reentry=reentry.get(index))
        for index, factor in enumerate(factors)
    )


def _zeros(factors: Sequence[Factor], evaluate: Evaluate, strength: float, tolerance: float) -> list[bool]:
    """Which factors are zero with the KKT residual met."""
    for factor in factors:
        factor.matrix.parameter.grad = None
    evaluate()
    return [
        not factor.values.any() and float(factor.gradient.norm()) <= strength * factor.weight * (1.0 + tolerance)
        for factor in factors
    ]


def _threshold_or_none(factor: Factor, evaluate: Evaluate, model: nn.Module) -> float | None:
    try:
        return predicted_threshold(factor, evaluate, model)
    except SaddleError:
        return None


# Parts


@contextmanager
def frozen_but(factor: Factor, model: nn.Module) -> Iterator[Tensor]:
    """Only the factor's matrix wants a gradient; yields a copy of the factor, to which it is set back."""
    parameter = factor.matrix.parameter
    kept = factor.values.clone()
    wanted: list[nn.Parameter] = [one for one in model.parameters() if one.requires_grad]
    for one in wanted:
        one.requires_grad_(one is parameter)
    try:
        yield kept
    finally:
        factor.values.copy_(kept)
        parameter.grad = None
        for one in wanted:
            one.requires_grad_()


def _predicted(factor: Factor, evaluate: Evaluate) -> float:
    _refuse_saddle(factor)
    factor.values.zero_()
    factor.matrix.parameter.grad = None
    evaluate()
    return block_threshold(float(factor.gradient.norm()), factor.weight)


def _refuse_saddle(factor: Factor) -> None:
    """Neither the head's own matrix without the factor nor its partner may be zero as a whole."""
    one, other = factor.matrix, factor.partner
    if one.parameter.ndim == 4:
        return  # added to the weights of a base, which are not zero
    own, partners = (each.parameter.detach().view(each.num_heads, -1, each.parameter.shape[1]) for each in (one, other))
    rest = own[factor.head].clone()
    rest[:, factor.kind * one.width : (factor.kind + 1) * one.width] = 0.0
    first = factor.head * other.num_heads // one.num_heads
    met = partners[first : first + max(1, other.num_heads // one.num_heads)]
    if not (rest.any() and met.any()):
        raise SaddleError(f"expected a head that reads something else too, got none at {factor.name}; it is a saddle")


def _grid(predicted: float, start: float, ratio: float, reach: float) -> list[float]:
    count = math.ceil(math.log(reach / start) / math.log(ratio))
    return [predicted * start * ratio**index for index in range(count + 1)] if predicted > 0.0 else []


def _prox(values: Tensor, threshold: float) -> Tensor:
    size = float(values.norm())
    return values * (1.0 - threshold / size) if size > threshold else torch.zeros_like(values)


def _share(values: Tensor, gradient: Tensor, forces: Tensor) -> float:
    return float(kkt_residuals(values, gradient, forces) / forces)
