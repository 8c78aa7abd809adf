"""What margin and penalty strength do to a core, by short trainings: one setting changed at a time.

Small cores and few tokens: this tells the direction of an effect, not the figures of a core that is trained to its end.
The base is trained from a second seed as well: what lies within the difference of these two is noise.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

from transformers.utils import logging

from localist_core.learning.conditioning import Conditioning
from localist_core.learning.examination import examination
from localist_core.learning.lessons import Lesson
from localist_core.learning.penalty import LocalistGroups, Penalty
from localist_core.learning.sparsity import count_groups, count_zero
from localist_core.learning.train_config import TrainConfig
from localist_core.learning.training import CHECKPOINT, Progress, train
from localist_core.model import LocalistForCausalLM
from localist_core.tokenizer import build_tokenizer, load_tokenizer
from scenarios.curriculum import Curriculum, Difficulty, cases, encoder_of, lesson
from scenarios.names import TRAINED
from scenarios.teach import EXAMINED_SEED, MERGES

RESULT = "result.json"
NUM_EXAMINED = 256
"""Held-out lessons."""
DIFFICULTY = Difficulty(max_rules=3)
MARGINS = (0.5, 2.0, 4.0)
"""In nats, each with a weight of 0.1."""
STRENGTHS = (0.001, 0.003, 0.01)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One training."""

    name: str
    """Of its directory: letters, digits, `-` and `.`."""
    config: TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a training came to, on held-out lessons at dial 0."""

    recipe: str
    tokens: int
    loss: float
    """Mean over supervised rows, in nats."""
    accuracy: dict[str, float]
    """Share of right answers by sort: `act`, `cite`, `fires`."""
    raw_fidelity: float
    """Mean over layers, heads and decision rows that see targets and rest."""
    zero_groups: float
    """Share of the groups (layer, head, kind of block) whose query and key are exactly zero."""


def recipes(tokens: int, seed: int) -> tuple[Recipe, ...]:
    """The base from two seeds, each margin, each penalty strength.

    Args:
        tokens: prompt tokens of each training, 1 or more.
        seed: of all but the second base.
    """
    base = TrainConfig(
        tokens=tokens,
        layers=3,
        width=64,
        heads=4,
        hidden=192,
        block_width=2,
        warm_up_tokens=tokens // 10,
        language_tokens=tokens // 2,
        seed=seed,
    )
    found = [Recipe(name="base", config=base), Recipe(name="base-2", config=replace(base, seed=seed + 1))]
    for margin in MARGINS:
        asked = Conditioning(margin_weight=0.1, margin=margin)
        found.append(Recipe(name=f"margin-{margin:g}", config=replace(base, conditioning=asked)))
    for strength in STRENGTHS:
        penalty = Penalty(strength=strength, lr=1.0, recheck_tokens=max(1, tokens // 5))
        found.append(Recipe(name=f"penalty-{strength:g}", config=replace(base, penalty=penalty)))
    return tuple(found)


def trainings(
    out: Path,
    tokens: int,
    seed: int,
    *,
    resume: bool,
    report: Callable[[str, Progress], None] = lambda name, progress: None,
    helper: Callable[[], Executor] | None = None,
) -> Iterator[Trained]:
    """Train every recipe in a directory of its own, and examine it.

    Args:
        out: where the directories go.
        tokens: prompt tokens of each.
        seed: of them.
        resume: keep what is trained there already, and go on from checkpoints.
        report: told how the training of this name goes on.
        helper: makes lessons meanwhile, see `train`.

    Raises:
        TrainingError: a checkpoint of other settings.
    """
    logging.disable_progress_bar()  # type: ignore[no-untyped-call] # what is shown is ours to say
    out.mkdir(parents=True, exist_ok=True)
    build_tokenizer(TRAINED, merges=MERGES).save_pretrained(out)
    held_out = examined(out)
    for recipe in recipes(tokens, seed):
        folder = out / recipe.name
        result = folder / RESULT
        known = known_result(result, recipe) if resume else None
        if known is None:
            goes_on = resume and (folder / CHECKPOINT).exists()
            _train(recipe, out, folder, resume=goes_on, report=report, helper=helper)
            known = examine(recipe, folder, held_out)
            settings = {"version": 1, "config": asdict(recipe.config), "trained": asdict(known)}
            result.write_text(json.dumps(settings, indent=1) + "\n")
        yield known


def known_result(path: Path, recipe: Recipe) -> Trained | None:
    """The result of an earlier training of the same settings; None if there is none."""
    if not path.exists():
        return None
    values = json.loads(path.read_text())
    same = json.loads(json.dumps(asdict(recipe.config)))
    return Trained(**values["trained"]) if values["config"] == same else None


def examined(tokenizer: Path) -> list[Lesson]:
    """Held-out lessons, the same for every recipe."""
    stream = cases(EXAMINED_SEED, held_out=True, difficulty=DIFFICULTY)
    return [lesson(case, encoder_of(tokenizer)) for case in islice(stream, NUM_EXAMINED)]


def examine(recipe: Recipe, folder: Path, held_out: list[Lesson]) -> Trained:
    """A trained core on held-out lessons."""
    model = LocalistForCausalLM.from_pretrained(folder)
    model.train(False)
    found = examination(model, held_out)
    groups = LocalistGroups(model)
    return Trained(
        recipe=recipe.name,
        tokens=recipe.config.tokens,
        loss=round(found.loss, 6),
        accuracy={sort: round(share, 6) for sort, share in found.accuracy.items()},
        raw_fidelity=round(found.raw_fidelity, 6) if math.isfinite(found.raw_fidelity) else 0.0,
        zero_groups=round(count_zero(groups) / count_groups(groups), 6),
    )


def _train(
    recipe: Recipe,
    out: Path,
    folder: Path,
    *,
    resume: bool,
    report: Callable[[str, Progress], None],
    helper: Callable[[], Executor] | None,
) -> None:
    tokenizer = load_tokenizer(out)
    source = Curriculum(tokenizer=out, seed=recipe.config.seed, size=512, difficulty=DIFFICULTY)
    train(
        recipe.config,
        source,
        tokenizer,
        folder,
        report=lambda progress: report(recipe.name, progress),
        resume=resume,
        helper=helper,
    )
