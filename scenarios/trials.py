"""Trials: what the questions of a split got under a setting; kept in a file, so that interrupted work goes on."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import JsonValue

from localist_core import Core
from scenarios.asked import PromptKind, Split, Steering
from scenarios.config import ConfigError
from scenarios.exam import ask_all, judged
from scenarios.statistics import Bounds, binomial_bounds, bootstrap_difference, mcnemar

LEAST_NATS = -20.0
"""Log-probabilities below count as this: one hopeless case must not outweigh all others."""


class LedgerError(ConfigError):
    """A file of trials that cannot be gone on with: one line, with what to do."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What one question got."""

    is_best: bool
    """The chosen action is the most wanted compliant one."""
    is_compliant: bool
    nats: float
    """Log-probability of the most wanted compliant action, at least `LEAST_NATS`."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What the questions of one split got under one setting, in their order."""

    kinds: tuple[PromptKind, ...]
    marks: tuple[Mark, ...]

    def of(self, kind: PromptKind | None) -> Trial:
        """The part of one kind; None = all."""
        kept = [index for index, own in enumerate(self.kinds) if kind in (None, own)]
        return Trial(tuple(self.kinds[index] for index in kept), tuple(self.marks[index] for index in kept))

    def __add__(self, other: Trial) -> Trial:
        """Two disjoint splits as one."""
        return Trial(self.kinds + other.kinds, self.marks + other.marks)

    @property
    def nats(self) -> float:
        """Mean log-probability of the right action."""
        return sum(mark.nats for mark in self.marks) / len(self.marks)

    @property
    def best(self) -> int:
        """Answers that are compliant and goal-best."""
        return sum(mark.is_best for mark in self.marks)

    @property
    def compliant(self) -> int:
        """Answers that break no rule."""
        return sum(mark.is_compliant for mark in self.marks)

    @property
    def bounds(self) -> Bounds:
        """Exact 95 % interval of the share of goal-best answers."""
        return binomial_bounds(self.best, len(self.marks))

    def gain_bounds(self, base: Trial) -> Bounds:
        """95 % interval of the mean gain in nats over another setting on the same questions (paired bootstrap)."""
        return bootstrap_difference([m.nats for m in self.marks], [m.nats for m in base.marks], seed=0, draws=2000)

    def against(self, base: Trial) -> tuple[int, int, float]:
        """Questions best only here, only there, and the exact McNemar probability of so uneven a split by chance."""
        pairs = list(zip(self.marks, base.marks, strict=True))
        here = sum(one.is_best and not two.is_best for one, two in pairs)
        there = sum(two.is_best and not one.is_best for one, two in pairs)
        return here, there, mcnemar(here, there)


def trial(core: Core, asked: Split, steering: Steering) -> Trial:
    """Put all questions under one setting.

    Raises:
        CoreError: of any question.
    """
    choices = ask_all(core, [one.request(steering) for one in asked.questions])
    marks = []
    for one, choice in zip(asked.questions, choices, strict=True):
        answered = judged(one.question, choice.actions.index(choice.chosen))
        right = choice.probabilities[one.question.best]
        nats = max(LEAST_NATS, math.log(right)) if right > 0.0 else LEAST_NATS
        marks.append(Mark(answered.is_best, answered.is_compliant, round(nats, 6)))
    return Trial(tuple(one.kind for one in asked.questions), tuple(marks))


@dataclass(slots=True, kw_only=True)
class Ledger:
    """Trials of one piece of work, each made once."""

    path: Path | None = None
    """JSON lines: what the work is, then one line for each trial; None = nothing is kept."""
    known: dict[str, tuple[Mark, ...]] = field(default_factory=dict)
    watch: Callable[[str], None] = lambda what: None
    """Hears of each trial before it is made or found."""

    @staticmethod
    def open(path: Path, work: Mapping[str, JsonValue], *, resume: bool) -> Ledger:
        """The ledger of a piece of work: begun anew, or gone on with.

        Raises:
            LedgerError: nothing to go on with, or the ledger of other work; or the file cannot be written.
        """
        first = json.dumps({"format": "localist-ledger", "schema_version": 1, "work": dict(work)}, sort_keys=True)
        try:
            if not resume:
                path.write_text(first + "\n")
                return Ledger(path=path)
            # A last line without its end was cut off when the work was: it does not count.
            lines = path.read_text().split("\n")[:-1]
        except OSError as error:
            wish = "correct the path, or work without --resume" if resume else "correct the path"
            raise LedgerError(f"expected a ledger at `{path}`, got {error.strerror}; {wish}") from error
        if not lines or lines[0] != first:
            raise LedgerError(f"expected the ledger of this work at `{path}`, got another; work without --resume")
        rows = map(json.loads, lines[1:])
        known = {row["trial"]: tuple(Mark(*mark) for mark in row["marks"]) for row in rows}
        path.write_text("\n".join(lines) + "\n")
        return Ledger(path=path, known=known)

    def trial(self, core: Core, asked: Split, steering: Steering) -> Trial:
        """The trial, from the file if it was made before.

        Raises:
            CoreError: of any question.
        """
        key = f"{core.capabilities.fingerprint} {asked.name} {_text_of(steering)}"
        self.watch(asked.name)
        if key not in self.known:
            self.known[key] = trial(core, asked, steering).marks
            self._keep(key)
        return Trial(tuple(one.kind for one in asked.questions), self.known[key])

    def _keep(self, key: str) -> None:
        if self.path is None:
            return
        marks = [[mark.is_best, mark.is_compliant, mark.nats] for mark in self.known[key]]
        with self.path.open("a") as file:
            file.write(json.dumps({"trial": key, "marks": marks}) + "\n")


def _text_of(steering: Steering) -> str:
    """All that a setting says, the same text for equal settings."""
    schedule = asdict(steering.schedule)
    heads = steering.schedule.heads
    schedule["heads"] = None if heads is None else sorted(map(list, heads))
    return json.dumps({**schedule, "resting": steering.resting.value}, sort_keys=True)
