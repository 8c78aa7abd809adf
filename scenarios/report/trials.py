"""Trials as rows of a table and as JSON; what profiles and tunings have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

from pydantic import JsonValue
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from scenarios.asked import PromptKind, Steering
from scenarios.trials import Trial

COLUMNS = ("ok %", "best % (95 %)", "log p", "gain (95 %)", "here/there (p)")


def cells(trial: Trial, base: Trial) -> tuple[str, ...]:
    """One row under `COLUMNS`: compliant and goal-best answers, mean log-probability of the right action and its gain
    over the base in nats, questions that are best only here and only there, with McNemar's p.
    """
    count, bounds = len(trial.marks), trial.bounds
    shares = f"{100 * trial.compliant / count:.1f}", f"{100 * trial.best / count:.1f}"
    best = f"{shares[1]} ({100 * bounds.low:.1f}-{100 * bounds.high:.1f})"
    if trial is base:
        return shares[0], best, f"{trial.nats:.3f}", "", ""
    gain, (here, there, chance) = trial.gain_bounds(base), trial.against(base)
    gained = f"{trial.nats - base.nats:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
    return shares[0], best, f"{trial.nats:.3f}", gained, f"{here}/{there} ({chance:.2g})"


def compact(*columns: str, title: str) -> Table:
    """A table without vertical lines."""
    return Table(*columns, title=title, title_justify="left", box=SIMPLE, show_edge=False, pad_edge=False)


def figures(trial: Trial, base: Trial) -> dict[str, JsonValue]:
    """The same as JSON."""
    bounds, gain, (here, there, chance) = trial.bounds, trial.gain_bounds(base), trial.against(base)
    return {
        "n": len(trial.marks),
        "compliant": trial.compliant,
        "best": trial.best,
        "best_bounds": [round(bounds.low, 6), round(bounds.high, 6)],
        "nats": round(trial.nats, 6),
        "gain_nats": round(trial.nats - base.nats, 6),
        "gain_bounds": [round(gain.low, 6), round(gain.high, 6)],
        "only_here": here,
        "only_base": there,
        "mcnemar_p": chance,
    }


def kinds_of(trial: Trial) -> tuple[PromptKind | None, ...]:
    """All questions, then each kind among them; the kind alone where there is but one."""
    kinds = tuple(dict.fromkeys(trial.kinds))
    return kinds if len(kinds) == 1 else (None, *kinds)


def steering_json(steering: Steering) -> dict[str, JsonValue]:
    """A setting as JSON, its heads left out."""
    schedule = asdict(steering.schedule)
    del schedule["heads"]
    return {**schedule, "targets": steering.resting.value}


def titled(kind: PromptKind | None, counts: Sequence[object]) -> str:
    """Headline of the table of one kind."""
    return f"{'all prompts' if kind is None else f'prompts of the kind {kind}'}, n = {len(counts)}"


class TrialProgress:
    """Shows how many trials are made; silent where the error stream is no terminal."""

    def __init__(self, progress: Progress, what: str, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=total)

    @classmethod
    @contextmanager
    def open(cls, what: str, total: int | None) -> Iterator[TrialProgress]:
        """Show progress for as long as the block runs."""
        console = Console(stderr=True)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            yield cls(progress, what, total)

    def show(self, what: str) -> None:
        """One trial more, and what it is on."""
        self._progress.update(self._task, advance=1, description=what)

    def say(self, what: str) -> None:
        """What goes on."""
        self._progress.update(self._task, description=what)
