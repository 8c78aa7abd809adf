"""The study: one small architecture trained with and without localist training, on two corpora, with several seeds.

`localist study --out DIR` trains what is missing, examines it under every dial, and prints the tables; stopped, it goes
on where it was. What it leaves in DIR is described in `report/CURVE.md`.

**Plain** training knows no dial. **Localist** training draws a dial and a depth exponent for each lesson, and asks of
the attention of the decision rows that it puts little on the rest (raw leak loss), the targets above every other token
(anchor margin loss), and that few tokens are left where the rest is cut off (focus loss). All else is the same.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from localist_core.learning.conditioning import PLAIN, Conditioning
from localist_core.learning.lessons import LessonSource
from localist_core.learning.train_config import SETTINGS, TrainConfig, config_in
from localist_core.learning.training import CHECKPOINT, train
from localist_core.tokenizer import build_tokenizer, load_tokenizer
from scenarios import english, shares
from scenarios.comparison import CONTROL, MEASURES, QUINTIC, Compared, Pair, figures
from scenarios.config import ConfigError
from scenarios.curve import GAMMAS, dial_curve
from scenarios.curve_files import read_json, write_csv, write_json
from scenarios.data import Data, localist_model
from scenarios.names import TRAINED
from scenarios.teach import MERGES

Corpus = Literal["curriculum", "english"]
Arm = Literal["plain", "localist"]
Split = Literal["dev", "test"]
Watch = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""
CORPORA: tuple[Corpus, ...] = ("curriculum", "english")
ARMS: tuple[Arm, ...] = ("plain", "localist")

SHAPE = TrainConfig(layers=3, width=64, heads=4, hidden=192, block_width=2, batch_tokens=2048, warm_up_tokens=200_000)
"""Of all models of the study."""
LOCALIST: dict[Corpus, Conditioning] = {
    "curriculum": Conditioning(dial="odds", gammas=GAMMAS, leak_weight=0.002, focus_weight=0.003),
    "english": Conditioning(dial="odds", gammas=GAMMAS, leak_weight=0.02, focus_weight=0.01),
}
"""Settled on the development lessons with one seed; DESIGN.md, "Localist training, measured", says how."""
DIALLED = 0.5
"""Share of lessons under a dial in localist training."""
SEEDS = {"dev": 710_000_003, "test": 810_000_007}
"""Roots of the held-out lessons of the curriculum."""
VALUES = (0.0, 0.4, 0.8, 1.0)
"""Dials of a curve; `localist dial-curve` draws finer ones of single models."""
MAIN = ("0.5", "own")
"""Curves that are taken for every depth exponent; the others for the uniform and the quintic one."""
NUM_LESSONS = 256
"""Held-out lessons of one curve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Other weights of the losses on attention than the study's own; None = the study's."""

    leak: float | None = None
    focus: float | None = None
    margin: float | None = None

    def __post_init__(self) -> None:
        given = [weight for weight in (self.leak, self.focus, self.margin) if weight is not None]
        if not all(weight >= 0.0 for weight in given):
            raise ConfigError(f"expected weights of 0 or more, got `{min(given)}`")

    def of(self, corpus: Corpus) -> Conditioning:
        """Localist training on a corpus with these weights."""
        own = LOCALIST[corpus]
        return replace(
            own,
            leak_weight=own.leak_weight if self.leak is None else self.leak,
            focus_weight=own.focus_weight if self.focus is None else self.focus,
            margin_weight=own.margin_weight if self.margin is None else self.margin,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One model of the study."""

    corpus: Corpus
    arm: Arm
    seed: int
    weights: Weights = Weights()
    """Of localist training."""
    is_smoke: bool = False
    """A tiny model for some steps, and few lessons: shows that the path works."""

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.corpus}-{self.arm}-{self.seed}"

    @property
    def config(self) -> TrainConfig:
        """All that its training depends on, besides its lessons."""
        is_plain = self.arm == "plain"
        made = replace(
            SHAPE,
            seed=self.seed,
            dialled=0.0 if is_plain else DIALLED,
            conditioning=PLAIN if is_plain else self.weights.of(self.corpus),
        )
        if self.is_smoke:
            tiny = replace(made, tokens=6_000, layers=1, width=32, heads=2, hidden=32, block_width=1)
            return replace(tiny, language_weight=0.0, warm_up_tokens=1_000)
        if self.corpus == "english":  # every word before the paragraph is worth learning, to the end
            return replace(made, tokens=1_500_000, language_weight=1.0, language_tokens=1_500_000)
        return replace(made, tokens=2_400_000, language_weight=0.1, language_tokens=600_000)


def trials(
    corpora: Sequence[Corpus], seeds: Sequence[int], *, weights: Weights = Weights(), is_smoke: bool = False
) -> list[Trial]:
    """All models, seed by seed, so that a study that is stopped can compare what it has."""
    return [
        Trial(corpus=corpus, arm=arm, seed=seed, weights=weights, is_smoke=is_smoke)
        for seed, corpus, arm in itertools.product(seeds, corpora, ARMS)
    ]


def run_trials(
    wanted: Sequence[Trial],
    out: Path,
    split: Split,
    *,
    documents: Path = english.FOLDER,
    minutes: float = math.inf,
    watch: Watch = lambda name, done, total: None,
) -> bool:
    """Train and examine these models, as far as that is not done yet; gives whether all of it is done now.

    Raises:
        ConfigError: no documents there.
    """
    until = time.monotonic() + 60.0 * minutes
    for trial in wanted:
        left = (until - time.monotonic()) / 60.0
        if left <= 0.0 or not trained(trial, out, documents, left, watch):
            return False
        for name in curves_of(trial.corpus):
            if time.monotonic() > until:
                return False
            if not curve_path(trial, name, out, split).exists():
                examine(trial, name, out, split, documents, watch)
    return True


def trained(trial: Trial, out: Path, documents: Path, minutes: float, watch: Watch) -> bool:
    """Train a model if it is not there yet; gives whether it is there now.

    Raises:
        ConfigError: the one that is there was trained with other settings.
    """
    folder = out / trial.name
    if (folder / SETTINGS).exists():
        if config_in(folder / SETTINGS, TrainConfig()) != trial.config:
            raise ConfigError(f"expected a model of these settings in `{folder}`, got one of others; use another --out")
        return True
    tokenizer = tokenizer_of(trial.corpus, out, documents)
    return train(
        trial.config,
        source_of(trial, tokenizer, documents),
        load_tokenizer(tokenizer),
        folder,
        report=lambda progress: watch(f"train {trial.name}", progress.tokens, progress.total_tokens),
        resume=(folder / CHECKPOINT).exists(),
        minutes=minutes,
    )


def examine(trial: Trial, name: str, out: Path, split: Split, documents: Path, watch: Watch) -> None:
    """Leave one curve of a trained model."""
    data = data_of(trial, name, split, documents)
    folder = out / trial.name
    curve = dial_curve(
        localist_model(folder).model,
        data.lessons(folder),
        name=trial.name,
        data=data.name,
        seed=data.seed,
        values=VALUES,
        gammas=GAMMAS if name in MAIN else (0.0, QUINTIC),
        watch=partial(watch, f"examine {trial.name} {name}"),
    )
    path = curve_path(trial, name, out, split)
    write_csv(curve, path.with_suffix(".csv"))
    write_json(curve, path)


def curve_path(trial: Trial, name: str, out: Path, split: Split) -> Path:
    """Where a curve lies."""
    return out / trial.name / f"{split}-{name}.json"


def compared(wanted: Sequence[Trial], out: Path, split: Split) -> tuple[Compared, ...]:
    """The figures of all kinds of lessons for which some seed has both models examined."""
    found = []
    for corpus in dict.fromkeys(trial.corpus for trial in wanted):
        for name in curves_of(corpus):
            seeds = sorted({trial.seed for trial in wanted})
            pairs = [pair for seed in seeds if (pair := pair_of(corpus, seed, name, out, split)) is not None]
            if pairs:
                found.append(
                    Compared(
                        name=pairs[0].plain.data,
                        target_share=pairs[0].plain.target_share,
                        seeds=tuple(pair.seed for pair in pairs),
                        figures=figures(pairs, CONTROL if name == "control" else MEASURES),
                    )
                )
    return tuple(found)


def pair_of(corpus: Corpus, seed: int, name: str, out: Path, split: Split) -> Pair | None:
    """The curves of both models of a seed; None if one is missing."""
    plain, localist = (curve_path(Trial(corpus=corpus, arm=arm, seed=seed), name, out, split) for arm in ARMS)
    if not (plain.exists() and localist.exists()):
        return None
    return Pair(seed=seed, plain=read_json(plain), localist=read_json(localist))


def tokenizer_of(corpus: Corpus, out: Path, documents: Path) -> Path:
    """The folder of a corpus's tokenizer, made if it is not there."""
    folder = out / f"{corpus}-tokenizer"
    if not (folder / "tokenizer.json").exists():
        made = english.build_english(documents) if corpus == "english" else build_tokenizer(TRAINED, merges=MERGES)
        made.save_pretrained(folder)
    return folder


def source_of(trial: Trial, tokenizer: Path, documents: Path) -> LessonSource:
    """What a model learns from."""
    if trial.corpus == "english":
        return english.English(
            tokenizer=tokenizer, seed=trial.seed, folder=documents, size=32 if trial.is_smoke else 512
        )
    return shares.SharedLessons(tokenizer=tokenizer, seed=trial.seed, size=32 if trial.is_smoke else 1024)


def curves_of(corpus: Corpus) -> tuple[str, ...]:
    """Names of a model's curves."""
    return ("own", "control") if corpus == "english" else tuple(f"{share:g}" for share in shares.SHARES)


def data_of(trial: Trial, name: str, split: Split, documents: Path) -> Data:
    """The held-out lessons of a curve."""
    count, seed = 4 if trial.is_smoke else NUM_LESSONS, SEEDS[split]
    if trial.corpus == "english":
        is_control = name == "control"
        return Data(kind="english", split=split, count=count, seed=seed, documents=documents, is_control=is_control)
    return Data(share=float(name), count=count, seed=seed)
