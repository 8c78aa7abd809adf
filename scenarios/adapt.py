"""Trains a localist adapter of an existing model: `localist train --adapt BASE [--text FILE] --out DIR`.

The base's own tokenizer (and chat template, if it has one) reads the prompts. Slots such as `A2` may then be several
tokens, so no token inside a prompt is supervised: the adapter learns to write the right action's label behind it, which
is how `SharedCore` scores actions. With `--text` it learns to write the paragraphs of files (`passages.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path

from localist_core.blocks import NEUTRAL_KINDS, PROMPT_ORDER
from localist_core.learning.lessons import Lesson
from localist_core.learning.penalty import Penalty
from localist_core.learning.train_config import TrainConfig, config_in
from localist_core.learning.training import Progress, checkpoint_in, train
from localist_core.prompting.chat import ChatEncoder, encoder_of
from localist_core.prompting.encoding import Encoder
from localist_core.serving.loading import tokenizer_in
from scenarios.curriculum import Case, Difficulty, cases
from scenarios.passages import Passages
from scenarios.teach import EXAMINED_SEED

ADAPTED = TrainConfig(
    tokens=2_000_000,
    batch_tokens=4096,
    warm_up_tokens=50_000,
    language_weight=0.0,
    report_steps=10,
    examine_steps=100,
    penalty=Penalty(strength=1e-3, lr=1.0, recheck_tokens=200_000),
)
"""Settings that a file may change; tried on tiny models alone."""
NUM_EXAMINED = 32
"""Held-out cases that are examined while training."""
POOL = 64
"""Cases of one pool."""


def adapt(
    base: Path,
    out: Path,
    *,
    text: Sequence[Path] = (),
    settings: Path | None = None,
    resume: bool = False,
    minutes: float = math.inf,
    seed: int = 0,
    device: str = "cpu",
    report: Callable[[Progress], None] = lambda progress: None,
) -> bool:
    """Train an adapter into a directory; gives whether the run is complete (else it can be resumed).

    Args:
        base: a model directory, which is only read.
        out: where the adapter goes; it names the base, which must stay where it is.
        text: files to learn from in place of the curriculum.
        settings: a file of settings that differ from `ADAPTED`; its seed is not used.
        resume: go on from the checkpoint in `out`.
        minutes: stop after these many of wall-clock time.
        seed: of the run.
        device: `cpu` or `cuda:N`.
        report: called as the run goes on.

    Raises:
        TrainingError: settings that cannot be read, nothing to resume, a checkpoint of another configuration or base,
            or cases too long for the base.
        CoreError: no complete model in `base`, or none that can be adapted.
        ConfigError: text that cannot be read, or too little of it.
    """
    config = ADAPTED if settings is None else config_in(settings, ADAPTED)
    if resume:
        checkpoint_in(out)
    tokenizer = tokenizer_in(base)
    curriculum, files = AdaptingCurriculum(base=base, seed=seed), tuple(text)
    source = Passages(base=base, files=files, seed=seed) if files else curriculum
    return train(
        replace(config, seed=seed),
        source,
        tokenizer,
        out,
        base=base,
        examine=source.held_out(NUM_EXAMINED),
        report=report,
        resume=resume,
        minutes=minutes,
        device=device,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptingCurriculum:
    """Pools of cases as the base reads them; cases in which every action is forbidden are left out."""

    base: Path
    seed: int
    size: int = POOL
    difficulty: Difficulty = field(default_factory=Difficulty)

    def __call__(self, pool: int) -> list[Lesson]:
        """The lessons of one pool."""
        return self._lessons(self.seed * 1_000_003 + pool, self.size, held_out=False)

    def held_out(self, count: int) -> list[Lesson]:
        """Lessons with names that training never sees."""
        return self._lessons(EXAMINED_SEED, count, held_out=True)

    def _lessons(self, seed: int, count: int, *, held_out: bool) -> list[Lesson]:
        encoder = _encoder(self.base)
        stream = cases(seed, held_out=held_out, difficulty=self.difficulty)
        return list(islice((spoken(case, encoder) for case in stream if case.best is not None), count))


def spoken(case: Case, encoder: Encoder | ChatEncoder) -> Lesson:
    """A case as a prompt and, behind it, the label of the best action; `act` is asked of each token of the label.

    Raises:
        ValueError: a case without a best action.
    """
    if case.best is None:
        raise ValueError("expected a case with an action that no rule forbids, got none")
    plain = case.prompt()
    prompt = encoder.arranged(plain)
    encoding = encoder.encode(prompt)
    label = encoder.label(case.words.actions[case.best])
    targets = case.targets(plain)
    ranks = {kind: rank for rank, kind in enumerate(PROMPT_ORDER)}
    kinds = [ranks.get(block.kind, 0) for block in prompt.blocks]
    pushed = [block.name not in targets and block.kind not in NEUTRAL_KINDS for block in prompt.blocks]
    written, size = label[:-1], len(encoding.ids)
    return Lesson(
        ids=(*encoding.ids, *written),
        kinds=(*(kinds[index] for index in encoding.block_ids), *(kinds[-1] for _ in written)),
        positions=(*encoding.positions, *(encoding.positions[-1] + 1 + place for place in range(len(written)))),
        is_rest=(*(pushed[index] for index in encoding.block_ids), *(False for _ in written)),
        rows=tuple(range(size - 1, size + len(written))),
        answers=tuple((token,) for token in label),
        sorts=tuple("act" for _ in label),
        weights=tuple(1.0 for _ in label),
        decision_from=encoding.decision_from,
    )


@lru_cache(maxsize=2)
def _encoder(base: Path) -> Encoder | ChatEncoder:
    return encoder_of(tokenizer_in(base))
