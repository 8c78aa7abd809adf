"""Trains a localist model: supervised tokens with several right answers, the dial drawn at random, exact resume.

The trainer knows tokens, not rules: a `LessonSource` makes lessons, pool by pool, each a pure function of its number.
Hidden matrices learn by Muon, everything else by AdamW; forward in bfloat16, loss in float32. A run is a function of
its `TrainConfig` and its source; wall-clock time decides only when a checkpoint is left and work pauses.
"""

from __future__ import annotations

import ctypes
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from localist_core.attention import LEAN
from localist_core.conditioning import PLAIN, Conditioning
from localist_core.errors import CoreError
from localist_core.examination import Examination, examination
from localist_core.lessons import Batch, Lesson, LessonSource, answer_loss, collate, grouped
from localist_core.model import LocalistForCausalLM, small_config

CHECKPOINT = "checkpoint.pt"
HISTORY = "history.jsonl"


class TrainingError(CoreError):
    """Training that cannot start or go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """All that a training run depends on, besides its lessons."""

    tokens: int = 40_000_000
    """Prompt tokens to learn from."""
    batch_tokens: int = 8192
    """Most tokens of one batch, padding included."""
    layers: int = 5
    width: int = 128
    heads: int = 8
    hidden: int = 384
    block_width: int = 4
    muon_lr: float = 0.02
    adam_lr: float = 0.003
    warm_up_tokens: int = 1_000_000
    cool_down: float = 0.35
    """Share of the tokens over which the learning rates fall linearly to 0."""
    language_weight: float = 0.1
    """Weight of predicting a sample of the other prompt tokens."""
    language_tokens: int = 7_530_000
    """Prompt tokens after which they are no longer predicted: slots are random, and what cannot be learned is noise
    that Muon, blind to the size of gradients, would follow to the end."""
    dialled: float = 0.5
    """Share of lessons trained under a random dial."""
    conditioning: Conditioning = PLAIN
    """Which dial that is, and losses on the attention itself."""
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a training run stands."""

    step: int
    tokens: int
    total_tokens: int
    seconds: float
    loss: float
    accuracy: dict[str, float]
    """Share of right answers by sort, over the steps since the last report."""
    held_out: dict[str, float]
    """The same on held-out lessons at dial 0; empty where none were examined at this step."""
    held_out_loss: float | None = None
    """Of those lessons; None likewise."""
    raw_fidelity: float | None = None
    """Of those lessons: mean over layers, heads and decision rows at dial 0; None likewise."""


def train(
    config: TrainConfig,
    source: LessonSource,
    tokenizer: PreTrainedTokenizerBase,
    out: Path,
    *,
    examine: Sequence[Lesson] = (),
    report: Callable[[Progress], None] = lambda progress: None,
    resume: bool = False,
    minutes: float = math.inf,
    device: str = "cpu",
    helper: Callable[[], Executor] | None = None,
) -> bool:
    """Train until the tokens are used up or the minutes are over; leaves the model, or a checkpoint, in `out`.

    `helper` opens what makes the next pool meanwhile; another process if None. A fresh run begins the history in `out`
    anew. Sets torch's number of threads for the whole process.

    Returns:
        Whether the run is complete. If not, the same call with `resume=True` goes on where it stopped.

    Raises:
        TrainingError: nothing to resume, or a checkpoint of another configuration.
    """
    torch.set_num_threads(config.threads)
    started = time.monotonic()
    run = _Run.load(config, tokenizer, out, device) if resume else _Run.fresh(config, tokenizer, device)
    out.mkdir(parents=True, exist_ok=True)
    if not resume:
        (out / HISTORY).unlink(missing_ok=True)
    recent = _Tally()
    for batch in _batches(config, source, run, helper or _other_process):
        recent.add(run.learn(batch))
        if run.step % 5 == 0:
            _give_memory_back()
        if run.step % 50 == 0:
            held_out = run.examine(examine) if examine and run.step % 500 == 0 else None
            progress = run.progress(recent, held_out)
            _note(out / HISTORY, progress)
            report(progress)
            recent = _Tally()
        if run.tokens >= config.tokens:
            break
        if time.monotonic() - started > 60 * minutes:
            run.save(out)
            return False
        if run.step % 1000 == 0:
            run.save(out)
    run.model.to(torch.float32).save_pretrained(out)  # type: ignore[arg-type] # the library wraps `to` for itself
    tokenizer.save_pretrained(out)
    (out / "training.json").write_text(json.dumps({"version": 1, **asdict(config)}, indent=1) + "\n")
    (out / CHECKPOINT).unlink(missing_ok=True)
    return True


def checkpoint_in(out: Path) -> Path:
    """The checkpoint of a run that stopped before its end; `TrainingError` if there is none."""
    path = out / CHECKPOINT
    if not path.exists():
        raise TrainingError(f"expected a checkpoint at `{path}`, got none; train without --resume")
    return path


@dataclass(slots=True)
class _Tally:
    """Sums of right answers by sort, and of the loss."""

    right: dict[str, int]
    asked: dict[str, int]
    loss: float
    steps: int

    def __init__(self) -> None:
        self.right, self.asked, self.loss, self.steps = {}, {}, 0.0, 0

    def add(self, outcome: tuple[float, list[tuple[str, bool]]]) -> None:
        loss, marks = outcome
        self.loss += loss
        self.steps += 1
        for sort, is_right in marks:
            self.asked[sort] = self.asked.get(sort, 0) + 1
            self.right[sort] = self.right.get(sort, 0) + is_right

    def accuracy(self) -> dict[str, float]:
        return {sort: self.right[sort] / count for sort, count in sorted(self.asked.items())}


class _Run:
    """Model, optimisers and place in the lessons."""

    def __init__(self, config: TrainConfig, model: LocalistForCausalLM, device: str) -> None:
        self.config, self.device = config, device
        self.model = model
        self.model.to(torch.device(device))  # type: ignore[arg-type] # the library wraps `to` for itself
        self.model.set_attn_implementation(LEAN)
        hidden = [p for name, p in model.named_parameters() if p.ndim == 2 and ".layers." in name]
        ids = {id(p) for p in hidden}
        others = [p for p in model.parameters() if id(p) not in ids]
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(hidden, lr=config.muon_lr, weight_decay=0.01),
            torch.optim.AdamW(others, lr=config.adam_lr, weight_decay=0.0, betas=(0.9, 0.95)),
        ]
        self.rates = [config.muon_lr, config.adam_lr]
        self.step = self.tokens = self.pool = self.taken = 0
        self.seconds = 0.0

    @classmethod
    def fresh(cls, config: TrainConfig, tokenizer: PreTrainedTokenizerBase, device: str) -> _Run:
        torch.manual_seed(config.seed)
        shape = small_config(
            len(tokenizer),
            layers=config.layers,
            width=config.width,
            heads=config.heads,
            hidden=config.hidden,
            block_width=config.block_width,
        )
        return cls(config, LocalistForCausalLM(shape), device)

    @classmethod
    def load(cls, config: TrainConfig, tokenizer: PreTrainedTokenizerBase, out: Path, device: str) -> _Run:
        path = checkpoint_in(out)
        state: dict[str, Any] = torch.load(path, weights_only=True)
        if state["config"] != asdict(config):
            raise TrainingError(
                f"expected a checkpoint of this configuration at `{path}`; use the settings it was made with"
            )
        run = cls.fresh(config, tokenizer, device)
        run.model.load_state_dict(state["model"])
        for optimiser, saved in zip(run.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        run.step, run.tokens, run.pool, run.taken = (state[key] for key in ("step", "tokens", "pool", "taken"))
        run.seconds = state["seconds"]
        return run

    def save(self, out: Path) -> None:
        state = {
            "config": asdict(self.config),
            "model": self.model.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            **{key: getattr(self, key) for key in ("step", "tokens", "pool", "taken", "seconds")},
        }
        spare = out / (CHECKPOINT + ".new")
        torch.save(state, spare)
        spare.replace(out / CHECKPOINT)

    def learn(self, lessons: Sequence[Lesson]) -> tuple[float, list[tuple[str, bool]]]:
        """One step; gives the loss and for each row its sort and whether the answer was right."""
        began = time.monotonic()
        rng = Random(f"{self.config.seed}/{self.step}")
        batch = collate(lessons, rng, self.config.dialled, self.device, conditioning=self.config.conditioning)
        language = _other_rows(batch, rng) if self._learns_language() else batch.rows[:0]
        scores = _scores(self.model, batch, torch.cat([batch.rows, language]))
        count = len(batch.rows)
        loss = (answer_loss(scores[:count], batch.answers) * batch.weights).mean()
        if len(language):
            following = batch.ids.flatten()[language + 1]
            loss = loss + self.config.language_weight * nn.functional.nll_loss(scores[count:], following)
        of_attention = None if batch.steering is None else batch.steering.loss()
        if of_attention is not None:
            loss = loss + of_attention
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        scale = schedule(self.tokens, self.config)
        for optimiser, rate in zip(self.optimisers, self.rates, strict=True):
            optimiser.param_groups[0]["lr"] = rate * scale
            optimiser.step()
            optimiser.zero_grad()
        self.step += 1
        self.tokens += sum(len(lesson.ids) for lesson in lessons)
        self.seconds += time.monotonic() - began
        return float(loss.detach()), _marks(scores[:count], batch, lessons)

    def _learns_language(self) -> bool:
        return self.config.language_weight > 0 and self.tokens < self.config.language_tokens

    def examine(self, lessons: Sequence[Lesson]) -> Examination:
        """Accuracy and raw fidelity at dial 0."""
        return examination(self.model, lessons, batch_tokens=self.config.batch_tokens)

    def progress(self, recent: _Tally, held_out: Examination | None) -> Progress:
        return Progress(
            step=self.step,
            tokens=self.tokens,
            total_tokens=self.config.tokens,
            seconds=self.seconds,
            loss=recent.loss / max(1, recent.steps),
            accuracy=recent.accuracy(),
            held_out=held_out.accuracy if held_out else {},
            held_out_loss=held_out.loss if held_out else None,
            raw_fidelity=held_out.raw_fidelity if held_out else None,
        )


def schedule(tokens: int, config: TrainConfig) -> float:
    """Factor of the learning rates in [0, 1]: a warm-up, a plateau, a linear cool-down."""
    warm = min(1.0, (tokens + config.batch_tokens) / max(1, config.warm_up_tokens))
    cool = (config.tokens - tokens) / max(1.0, config.cool_down * config.tokens)
    return max(0.0, min(warm, cool, 1.0))


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
            groups = grouped(lessons, config.batch_tokens)
            Random(f"{config.seed}/pool/{run.pool}").shuffle(groups)
            while run.taken < len(groups):
                run.taken += 1
                yield groups[run.taken - 1]
            run.pool, run.taken = run.pool + 1, 0


def _other_process() -> Executor:
    return ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn"))


def _scores(model: LocalistForCausalLM, batch: Batch, rows: Tensor) -> Tensor:
    """Log-probabilities at some rows, (row, token) in float32."""
    with torch.autocast(batch.ids.device.type, dtype=torch.bfloat16):
        logits = model(
            batch.ids,
            attention_mask=batch.mask,
            position_ids=batch.positions,
            block_kinds=batch.kinds,
            rows=rows,
            steering=batch.steering,
        ).logits
    return cast(Tensor, logits).float().log_softmax(-1)


def _other_rows(batch: Batch, rng: Random) -> Tensor:
    """A quarter of the rows that are not supervised and have a next token."""
    usable = torch.zeros_like(batch.ids, dtype=torch.bool)
    usable[:, :-1] = batch.ids[:, 1:] != 0
    usable.view(-1)[batch.rows] = False
    places = usable.flatten().nonzero().flatten()
    generator = torch.Generator().manual_seed(rng.getrandbits(62))
    chosen = torch.randperm(len(places), generator=generator)[: len(places) // 4]
    return places[chosen.to(places.device)]


def _marks(scores: Tensor, batch: Batch, lessons: Sequence[Lesson]) -> list[tuple[str, bool]]:
    said = scores.argmax(1).tolist()
    sorts = [sort for lesson in lessons for sort in lesson.sorts]
    return [(sort, word in right) for sort, word, right in zip(sorts, said, batch.answers, strict=True)]


def _note(path: Path, progress: Progress) -> None:
    """Append one line of JSON to the history."""
    row = {"step": progress.step, "tokens": progress.tokens, "seconds": round(progress.seconds, 1)}
    values = {"loss": progress.loss, **progress.accuracy, **{f"held_out_{k}": v for k, v in progress.held_out.items()}}
    values |= {} if progress.held_out_loss is None else {"held_out_loss": progress.held_out_loss}
    values |= {} if progress.raw_fidelity is None else {"held_out_raw_fidelity": progress.raw_fidelity}
    with path.open("a") as file:
        file.write(json.dumps({**row, **{name: round(value, 4) for name, value in values.items()}}) + "\n")


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
