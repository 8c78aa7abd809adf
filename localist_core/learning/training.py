"""Trains a localist model, or an adapter of another: tokens with several right answers, a random dial, exact resume.

The trainer knows tokens, not rules: a `LessonSource` makes lessons, pool by pool, each a pure function of its number.
What is minimised stands in `objective.py`, how in `optimisers.py`, the groups under a penalty in `penalty.py`; forward
in bfloat16, loss in float32. A run is a function of its `TrainConfig` and its source; wall-clock time decides only when
a checkpoint is left and work pauses.
"""

from __future__ import annotations

import ctypes
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from localist_core.learning.examination import Examination, examination
from localist_core.learning.history import HISTORY, TABLE, Progress, Tally, csv_of, cut_back, note, rows_of
from localist_core.learning.learner import Learner, adapting, made_anew
from localist_core.learning.lessons import Lesson, LessonSource, grouped
from localist_core.learning.objective import accumulate, batch_of, marks, outcome
from localist_core.learning.optimisers import Optimisers
from localist_core.learning.sparsity import SPARSITY, count_groups, count_zero, sparsity_of
from localist_core.learning.train_config import SETTINGS, TrainConfig, TrainingError, json_of, schedule

__all__ = ["CHECKPOINT", "HISTORY", "Progress", "TrainConfig", "TrainingError", "checkpoint_in", "schedule", "train"]

CHECKPOINT = "checkpoint.pt"


def train(
    config: TrainConfig,
    source: LessonSource,
    tokenizer: PreTrainedTokenizerBase,
    out: Path,
    *,
    base: Path | None = None,
    examine: Sequence[Lesson] = (),
    check: Sequence[Lesson] = (),
    report: Callable[[Progress], None] = lambda progress: None,
    resume: bool = False,
    minutes: float = math.inf,
    device: str = "cpu",
    helper: Callable[[], Executor] | None = None,
) -> bool:
    """Train until the tokens are used up or the minutes are over; leaves the model, or a checkpoint, in `out`.

    A fresh run begins the history in `out` anew. Sets torch's number of threads for the whole process.

    Args:
        config: the run.
        source: its lessons.
        tokenizer: of the lessons; saved beside a model that is made anew.
        out: created where it is missing.
        base: a model that stays as it is while an adapter of it learns; None = a localist model is made anew.
        examine: held-out lessons, examined now and then (`examine_steps`) and at the end.
        check: under a penalty, the data whose full gradient judges zero groups; the first pool if empty.
        report: told now and then (`report_steps`) and at the end.
        resume: go on from the checkpoint in `out`.
        minutes: of wall-clock time in this call.
        device: `cpu` or `cuda:N`.
        helper: opens what makes the next pool meanwhile; another process if None.

    Returns:
        Whether the run is complete. If not, the same call with `resume=True` goes on where it stopped.

    Raises:
        TrainingError: nothing to resume, a checkpoint of another configuration, or a lesson too long for the base.
        PenaltyError: a penalty on a model without reserved and shared coordinates.
        CoreError: no base, or none that can be adapted.
    """
    torch.set_num_threads(config.threads)
    started = time.monotonic()
    if resume:
        checkpoint_in(out)
    learner = made_anew(config, tokenizer, device) if base is None else adapting(config, base, device)
    run = _Run(config, learner, device)
    if resume:
        run.load(out)
    out.mkdir(parents=True, exist_ok=True)
    if resume:
        cut_back(out / HISTORY, run.step)
    else:
        (out / HISTORY).unlink(missing_ok=True)
    judged = check if check or run.groups is None else source(0)
    recent = Tally()
    for batch in _batches(config, source, run, helper or _other_process):
        recent.add(*run.learn(batch))
        run.recheck(judged)
        if run.step % 5 == 0:
            _give_memory_back()
        is_last = run.tokens >= config.tokens
        if run.step % config.report_steps == 0 or is_last:
            is_due = bool(examine) and (run.step % config.examine_steps == 0 or is_last)
            progress = run.progress(recent, run.examine(examine) if is_due else None)
            note(out / HISTORY, progress)
            (out / TABLE).write_text(csv_of(rows_of(out / HISTORY)))
            report(progress)
            recent = Tally()
        if is_last:
            break
        if time.monotonic() - started > 60 * minutes:
            run.save(out)
            return False
        if run.step % 1000 == 0:
            run.save(out)
    run.finish(out, judged)
    return True


def checkpoint_in(out: Path) -> Path:
    """The checkpoint of a run that stopped before its end; `TrainingError` if there is none."""
    path = out / CHECKPOINT
    if not path.exists():
        raise TrainingError(f"expected a checkpoint at `{path}`, got none; train without --resume")
    return path


class _Run:
    """A learner, its optimisers, and its place in the lessons."""

    def __init__(self, config: TrainConfig, learner: Learner, device: str) -> None:
        self.config, self.device, self.learner = config, device, learner
        self.model, self.groups = learner.model, learner.groups
        self.optimisers = Optimisers(
            learner.trained,
            muon_lr=config.muon_lr,
            adam_lr=config.adam_lr,
            penalty=config.penalty,
            groups=learner.groups,
        )
        self.step = self.tokens = self.pool = self.taken = self.looks = 0
        self.seconds = 0.0

    def load(self, out: Path) -> None:
        """Go on where the checkpoint stands."""
        path = checkpoint_in(out)
        state: dict[str, Any] = torch.load(path, weights_only=True)
        if (state["config"], state["identity"]) != (asdict(self.config), self.learner.identity):
            raise TrainingError(
                f"expected a checkpoint of this configuration at `{path}`; use the settings it was made with"
            )
        self.learner.trained.load_state_dict(state["trained"])
        self.optimisers.load_state_dict(state["optimisers"])
        for name in _PLACE:
            setattr(self, name, state[name])

    def save(self, out: Path) -> None:
        state = {
            "config": asdict(self.config),
            "identity": self.learner.identity,
            "trained": self.learner.trained.state_dict(),
            "optimisers": self.optimisers.state_dict(),
            **{name: getattr(self, name) for name in _PLACE},
        }
        spare = out / (CHECKPOINT + ".new")
        torch.save(state, spare)
        spare.replace(out / CHECKPOINT)

    def learn(self, lessons: Sequence[Lesson]) -> tuple[float, list[tuple[str, bool]]]:
        """One step; gives the loss and for each row its sort and whether the answer was right."""
        began = time.monotonic()
        config = self.config
        self._refuse_longer(lessons)
        rng = Random(f"{config.seed}/{self.step}")
        batch = batch_of(lessons, config, rng, self.device)
        found = outcome(self.model, batch, config, rng, learns_language=config.learns_language(self.tokens))
        found.loss.backward()  # type: ignore[no-untyped-call]
        self.optimisers.step(schedule(self.tokens, config), freezes=config.freezes(self.tokens))
        self.step += 1
        self.tokens += sum(len(lesson.ids) for lesson in lessons)
        self.seconds += time.monotonic() - began
        return float(found.loss.detach()), marks(found.scores, batch, lessons)

    def _refuse_longer(self, lessons: Sequence[Lesson]) -> None:
        longest, bound = max(len(lesson.ids) for lesson in lessons), self.learner.longest
        if bound is not None and longest > bound:
            raise TrainingError(
                f"expected lessons of at most {bound} tokens, the base's window or longest prompt, got {longest}; "
                "use another base or shorter lessons"
            )

    def recheck(self, lessons: Sequence[Lesson]) -> None:
        """Where zeros are frozen, look now and then whether they should be, by the gradient over all these lessons."""
        if self.optimisers.descent is None or not self.config.freezes(self.tokens):
            return
        since = self.tokens - self.config.penalty.freeze_from * self.config.tokens
        if since >= self.looks * self.config.penalty.recheck_tokens:
            self.looks += 1
            self._accumulate(lessons)
            self.optimisers.descent.thaw()
            self.learner.trained.zero_grad()

    def _accumulate(self, lessons: Sequence[Lesson]) -> None:
        learns = self.config.learns_language(self.tokens)
        accumulate(self.model, lessons, self.config, learns_language=learns, device=self.device)

    def examine(self, lessons: Sequence[Lesson]) -> Examination:
        """Accuracy and raw fidelity at dial 0."""
        return examination(self.model, lessons, batch_tokens=self.config.batch_tokens)

    def progress(self, recent: Tally, held_out: Examination | None) -> Progress:
        return Progress(
            step=self.step,
            tokens=self.tokens,
            total_tokens=self.config.tokens,
            seconds=self.seconds,
            loss=recent.loss,
            accuracy=recent.accuracy,
            held_out=held_out.accuracy if held_out else {},
            held_out_loss=held_out.loss if held_out else None,
            raw_fidelity=held_out.raw_fidelity if held_out else None,
            zero_groups=count_zero(self.groups) if self.groups else None,
            groups=count_groups(self.groups) if self.groups else None,
        )

    def finish(self, out: Path, lessons: Sequence[Lesson]) -> None:
        """Leave the model and what is known of the run; drop the checkpoint."""
        if self.groups:
            self._accumulate(lessons)
            sparsity_of(self.groups, self.config.penalty, len(lessons)).write(out / SPARSITY)
            self.learner.trained.zero_grad()
        self.learner.save(out)
        (out / SETTINGS).write_text(json_of(self.config))
        (out / CHECKPOINT).unlink(missing_ok=True)


_PLACE = ("step", "tokens", "pool", "taken", "looks", "seconds")
"""Where a run stands, in a checkpoint."""


# Batches


def _batches(
    config: TrainConfig, source: LessonSource, run: _Run, helper: Callable[[], Executor]
) -> Iterator[list[Lesson]]:
    """Batches from the run's place in the lessons on; the next pool is made by the helper meanwhile."""
    with helper() as workers:
        coming = workers.submit(source, run.pool)
        while True:
            lessons = coming.result()
            coming = workers.submit(source, run.pool + 1)
            groups = grouped(lessons, config.batch_tokens, pack_tokens=config.pack_tokens)
            Random(f"{config.seed}/pool/{run.pool}").shuffle(groups)
            while run.taken < len(groups):
                run.taken += 1
                yield groups[run.taken - 1]
            run.pool, run.taken = run.pool + 1, 0


def _other_process() -> Executor:
    return ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn"))


def _give_memory_back() -> None:
    """Return what the allocator holds and nobody uses, where it can be asked to.

    Batches differ in shape, and the matrix library keeps up to 1,024 compiled shapes, half a megabyte each, between the
    large buffers of the steps: glibc's heap then only grows, to 7 GB in a run of 1,250 steps. Trimmed every 20 steps it
    fell back to 1.4 GB each time and rose by 0.15 GB a step in between.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
        if trim is not None:
            trim(0)
