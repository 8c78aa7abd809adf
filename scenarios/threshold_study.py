"""Thresholds of a trained core on cases of the curriculum: predicted from gradients, found on paths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from random import Random
from statistics import median

import torch

from localist_core.attending.attention import LEAN
from localist_core.learning.lessons import Lesson
from localist_core.learning.objective import accumulate
from localist_core.learning.optimisers import Optimisers
from localist_core.learning.penalty import LocalistGroups
from localist_core.learning.sparsity import count_groups, count_zero, sparsity_of
from localist_core.learning.thresholds import (
    Evaluate,
    Factor,
    FreePath,
    SaddleError,
    Thresholds,
    factors_of,
    free_path,
    predicted_threshold,
    thresholds,
)
from localist_core.learning.train_config import SETTINGS, TrainConfig, TrainingError, config_in
from localist_core.model import LocalistForCausalLM
from localist_core.serving.loading import load
from scenarios.curriculum import Difficulty, cases, encoder_of, lesson

DATA_SEED = 800_000_001
FREE_STEPS = 40
"""Steps along the gradient of all data at each strength when every weight is free."""
FREE_SHARE = 0.1
"""Of the rates of training, in those steps."""
FREE_RANGE = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Strengths of the free path, as multiples of the median block threshold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdStudy:
    """What `localist thresholds` reports; its fields are those of `--json`."""

    model: str
    cases: int
    """The loss is the mean over so many cases of the curriculum, with training names."""
    loss: float
    strength: float
    """Of the penalty that the model was trained under; 0 = none, and the scale was fixed afterwards."""
    num_groups: int
    num_zero: int
    """Groups that are exactly zero in the model."""
    worst_zero_residual: float | None
    """Greatest KKT residual of a zero factor on these cases, as a share of strength * w_g; None without a penalty. Few
    cases have noisy gradients: what a run was judged by stands in its `sparsity.json`."""
    frozen: tuple[Thresholds, ...]
    """Each with everything else frozen."""
    free: tuple[FreePath, ...] | None
    """The same factors with every weight free; None = not asked."""


def study(directory: Path, *, num_cases: int, num_factors: int, is_free: bool = False, seed: int = 0) -> ThresholdStudy:
    """Predict and find the thresholds of some factors of a trained core, in float64.

    Args:
        directory: what `localist train` made.
        num_cases: of the data, 1 or more.
        num_factors: how many are followed, drawn at random among those with a gradient; 1 or more.
        is_free: also with every weight free.
        seed: of the draw.

    Raises:
        TrainingError: no localist model, or none with its settings beside it.
        PenaltyError: a model without localist subspaces.
    """
    config = replace(config_in(directory / SETTINGS, TrainConfig()), dialled=0.0)
    model = _model(directory)
    groups = LocalistGroups(model)
    if config.penalty.strength == 0.0:
        groups.fix_scale()
    data = _data(directory, num_cases)
    evaluate = _evaluate(model, data, config)
    loss = evaluate()
    is_penalised = config.penalty.strength > 0.0
    state = sparsity_of(groups, config.penalty, num_cases) if is_penalised else None
    model.zero_grad()
    factors = factors_of(groups, config.penalty.weight_of)
    chosen = list(islice(_drawn(factors, evaluate, model, Random(seed)), num_factors))
    frozen = tuple(thresholds(factor, evaluate, model) for factor in chosen)
    return ThresholdStudy(
        model=str(directory),
        cases=num_cases,
        loss=loss,
        strength=config.penalty.strength,
        num_groups=count_groups(groups),
        num_zero=count_zero(groups),
        worst_zero_residual=state.worst_zero_residual if state else None,
        frozen=frozen,
        free=free_paths(model, chosen, data, config, [one.block for one in frozen]) if is_free else None,
    )


def _model(directory: Path) -> LocalistForCausalLM:
    model, _ = load(directory, torch.float64)
    if not isinstance(model, LocalistForCausalLM):
        raise TrainingError(f"expected a localist model in `{directory}`, got `{model.config.model_type}`")
    model.set_attn_implementation(LEAN)
    return model


def _data(directory: Path, num_cases: int) -> list[Lesson]:
    stream = cases(DATA_SEED, held_out=False, difficulty=Difficulty(), states_per_domain=1)
    encoder = encoder_of(directory)
    return [lesson(case, encoder) for case in islice(stream, num_cases)]


def _evaluate(model: LocalistForCausalLM, data: Sequence[Lesson], config: TrainConfig) -> Evaluate:
    return lambda: accumulate(model, data, config, learns_language=False, device="cpu")


def _drawn(factors: Sequence[Factor], evaluate: Evaluate, model: LocalistForCausalLM, rng: Random) -> Iterator[Factor]:
    """Factors in random order, without saddles and those that no token of the data reaches."""
    for factor in rng.sample(factors, len(factors)):
        try:
            if predicted_threshold(factor, evaluate, model) > 0.0:
                yield factor
        except SaddleError:
            continue


def free_paths(
    model: LocalistForCausalLM,
    chosen: Sequence[Factor],
    data: Sequence[Lesson],
    config: TrainConfig,
    blocks: Sequence[float],
) -> tuple[FreePath, ...]:
    """Follow the same factors in a copy of the model whose weights all move."""
    copy = deepcopy(model)
    copy.set_attn_implementation(LEAN)
    groups = LocalistGroups(copy)
    evaluate = _evaluate(copy, data, config)
    of_name = {factor.name: factor for factor in factors_of(groups, config.penalty.weight_of)}

    def settle(strength: float) -> None:
        optimisers = Optimisers(
            copy,
            muon_lr=config.muon_lr,
            adam_lr=config.adam_lr,
            penalty=replace(config.penalty, strength=strength),
            groups=groups,
        )
        for step in range(FREE_STEPS):
            evaluate()
            optimisers.step(FREE_SHARE * (1.0 - step / FREE_STEPS))

    middle = median(blocks)
    return free_path(
        [of_name[factor.name] for factor in chosen],
        evaluate,
        copy,
        settle,
        [middle * multiple for multiple in FREE_RANGE],
        tolerance=config.penalty.tolerance,
    )
