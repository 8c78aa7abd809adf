"""Makes the core that ships: tokenizer, curriculum and trainer put together.

`localist train --out DIR` is the full run (an hour on one CPU core), resumable; with `--smoke` a tiny model learns for
some steps, which shows that the path works; with `--size` a larger one learns, for which a GPU is wanted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

from localist_core import BlockKind, Dial, Request, SharedCore
from localist_core.learning.lessons import Lesson
from localist_core.learning.train_config import TrainConfig, config_in
from localist_core.learning.training import Progress, checkpoint_in, train
from localist_core.serving.pointer import Examined, PointerProfile, name_pointer, profile
from localist_core.tokenizer import build_tokenizer, load_tokenizer
from scenarios.curriculum import Case, Curriculum, Difficulty, cases, encoder_of, lesson
from scenarios.names import TRAINED

MERGES = 200
"""Sub-words beyond bytes."""
NUM_EXAMINED = 512
"""Held-out cases that are examined while training."""
EXAMINED_SEED = 900_000_001
NUM_PROFILED = 400
"""Cases by which the pointer head is found."""
PROFILED_SEED = 700_000_001

SHIPPED = TrainConfig(tokens=13_000_000)
"""The run that made the shipped core."""
SIZES: dict[str, TrainConfig] = {
    "small": SHIPPED,
    "medium": TrainConfig(
        tokens=120_000_000, layers=6, width=256, heads=16, hidden=768, block_width=8, batch_tokens=65_536
    ),
    "large": TrainConfig(
        tokens=400_000_000, layers=9, width=384, heads=24, hidden=1152, block_width=12, batch_tokens=65_536
    ),
    "huge": TrainConfig(
        tokens=600_000_000, layers=8, width=512, heads=32, hidden=1536, block_width=16, batch_tokens=65_536
    ),
}
"""Shapes by name: 1.2, 5.3, 17.5 and 27.6 million parameters, the larger ones with about 20 tokens for each. Only
`small` was ever trained to its end; the rates of the others are those of `small`."""
SMOKE = TrainConfig(tokens=60_000, layers=2, width=32, heads=4, hidden=64, block_width=1, batch_tokens=4096)
"""A tiny run for tests."""


def teach(
    out: Path,
    *,
    is_smoke: bool = False,
    size: str = "small",
    settings: Path | None = None,
    resume: bool = False,
    minutes: float = math.inf,
    seed: int = 0,
    device: str = "cpu",
    report: Callable[[Progress], None] = lambda progress: None,
) -> bool:
    """Train a core into a directory; gives whether the run is complete (else it can be resumed).

    Args:
        out: where the model goes.
        is_smoke: train a tiny model for some steps.
        size: one of `SIZES`; not with `is_smoke`.
        settings: a file of settings that differ from that run's (see `train_config.py`); its seed is not used.
        resume: go on from the checkpoint in `out`, of the same size and seed.
        minutes: stop after these many of wall-clock time.
        seed: of the run.
        device: `cpu` or `cuda:N`.
        report: called as the run goes on.

    Raises:
        TrainingError: settings that cannot be read, nothing to resume, or a checkpoint of another configuration.
    """
    config = SMOKE if is_smoke else SIZES[size]
    if settings is not None:
        config = config_in(settings, config)
    config = replace(config, seed=seed)
    if resume:
        checkpoint_in(out)
    else:
        out.mkdir(parents=True, exist_ok=True)
        build_tokenizer(TRAINED, merges=MERGES).save_pretrained(out)
    tokenizer = load_tokenizer(out)
    difficulty = Difficulty(max_rules=3) if is_smoke else Difficulty()
    pool = 128 if is_smoke else config.batch_tokens // 8  # lessons: some batches' worth
    source = Curriculum(tokenizer=out, seed=seed, size=pool, difficulty=difficulty)
    is_complete = train(
        config,
        source,
        tokenizer,
        out,
        examine=[] if is_smoke else examined(out),
        report=report,
        resume=resume,
        minutes=minutes,
        device=device,
    )
    if is_complete:
        point(out, 40 if is_smoke else NUM_PROFILED)
    return is_complete


def point(out: Path, num_cases: int = NUM_PROFILED) -> PointerProfile:
    """Find the pointer head of a trained core on cases with training names, and name it in the core's configuration."""
    stream = cases(PROFILED_SEED, held_out=False, difficulty=Difficulty(), states_per_domain=1)
    core = SharedCore.load(out)
    found = profile(core, (pointed(case) for case in islice(stream, num_cases)))
    name_pointer(out, found)
    return found


def pointed(case: Case) -> Examined:
    """A case as a request with its right pointers."""
    prompt = case.prompt()
    places = {name: place for place, name in enumerate(prompt.names(BlockKind.RULEBOOK))}
    forbidding = tuple(frozenset(places[case.words.rules[rule]] for rule in rules) for rules in case.forbidding)
    request = Request(agent="profiled", prompt=prompt, actions=case.words.actions, dial=Dial.off())
    return Examined(request=request, forbidding=forbidding)


def examined(tokenizer: Path) -> list[Lesson]:
    """Held-out lessons to watch a run by; no seed of the curriculum makes them."""
    stream = cases(EXAMINED_SEED, held_out=True, difficulty=Difficulty())
    return [lesson(case, encoder_of(tokenizer)) for case in islice(stream, NUM_EXAMINED)]
