"""Live progress of a run, on the error stream: standard output belongs to the result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from scenarios.config import RunConfig
from scenarios.stage import Pulse


class LiveProgress:
    """Shows pulses; silent where the error stream is no terminal."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    @classmethod
    @contextmanager
    def open(cls, config: RunConfig) -> Iterator[Self]:
        """Show progress for as long as the block runs."""
        console = Console(stderr=True)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task(f"{config.scenario}, seed {config.seed}", total=config.episodes, state="loading")
            yield cls(progress, task)

    def show(self, pulse: Pulse) -> None:
        """Show how far the run is."""
        state = f"tick {pulse.tick}, {pulse.agents} agents, {pulse.decisions} decisions, {pulse.corrected} corrected"
        self._progress.update(self._task, completed=pulse.episode, state=state)


class Steps:
    """Shows how many steps of a task are done; silent where the error stream is no terminal."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    @classmethod
    @contextmanager
    def open(cls, name: str) -> Iterator[Self]:
        """Show progress for as long as the block runs."""
        console = Console(stderr=True)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            yield cls(progress, progress.add_task(name, total=None))

    def show(self, done: int, total: int) -> None:
        """Show how far the task is."""
        self._progress.update(self._task, completed=done, total=total)

    def tell(self, name: str, done: int, total: int) -> None:
        """Show how far a named part of the task is."""
        self._progress.update(self._task, description=name, completed=done, total=total)
