"""Thresholds of every factor of a tiny core: predicted, and observed with all else frozen and with every weight free.

    python -m tests.benchmarks.bench_thresholds

One layer, two heads of ten, trained for 4,000 tokens of random recital lessons under a penalty; the data are eight of
them, in float64. Prints the table, and the KKT residual of the zero groups at the end of the training. No target is
asserted here; about a minute of one core.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from transformers import AutoModelForCausalLM

from localist_core.attending.attention import LEAN
from localist_core.learning.objective import accumulate
from localist_core.learning.penalty import LocalistGroups, Penalty
from localist_core.learning.thresholds import Factor, factors_of, predicted_threshold, thresholds
from localist_core.learning.training import train
from scenarios.report.thresholds import rendered
from scenarios.threshold_study import ThresholdStudy, free_paths
from tests.localist_core.learning.test_training import thread
from tests.localist_core.lessons import TINY, Recital, tokenizer

CONFIG = replace(TINY, tokens=4_000, dialled=0.0, penalty=Penalty(strength=0.005, lr=1.0))
LEAST = 1e-4
"""Factors that the data hardly reach are left out."""


def study() -> ThresholdStudy:
    """Train, predict, find."""
    out = Path(tempfile.mkdtemp())
    train(CONFIG, Recital(), tokenizer(), out, helper=thread)
    told = json.loads((out / "sparsity.json").read_text())
    model = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float64)
    model.set_attn_implementation(LEAN)
    data = Recital()(0)[:8]

    def evaluate() -> float:
        return accumulate(model, data, CONFIG, learns_language=False, device="cpu")

    factors: list[Factor] = factors_of(LocalistGroups(model), CONFIG.penalty.weight_of)
    alive = [one for one in factors if predicted_threshold(one, evaluate, model) > LEAST]
    frozen = tuple(thresholds(one, evaluate, model) for one in alive)
    zero = [(g[f"{side}_norm"], g[f"{side}_residual"]) for g in told["groups"] for side in ("query", "key")]
    return ThresholdStudy(
        model="tiny core",
        cases=len(data),
        loss=evaluate(),
        strength=told["strength"],
        num_groups=told["num_groups"],
        num_zero=told["num_zero"],
        worst_zero_residual=max((residual for norm, residual in zero if norm == 0.0), default=0.0) / told["strength"],
        frozen=frozen,
        free=free_paths(model, alive, data, CONFIG, [one.block for one in frozen]),
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    Console(width=120).print(rendered(study()))
