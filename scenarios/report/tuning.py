"""The answer of `localist tune`: the best setting, what each factor does, and one step away from the best."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue
from rich.console import Group, RenderableType
from rich.text import Text

from localist_core import Capabilities
from scenarios.calibration import Calibration
from scenarios.config import ConfigError
from scenarios.report.trials import COLUMNS, cells, compact, figures, kinds_of, titled
from scenarios.trials import Trial
from scenarios.tuning import FACTORS, Point, Tuning

PAIRS = 3
"""Interactions that people are shown; JSON holds all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """All that one call of the command found."""

    tuning: Tuning
    heated: Mapping[float, Trial]
    """Temperature of attention -> the winner at it, on all questions for choosing."""
    calibration: Calibration


def tuned_json(found: Tuned) -> dict[str, JsonValue]:
    """The figures as data."""
    tuning, base = found.tuning, found.tuning.reported["dial 0"]
    return {
        "winner": _point_json(tuning.winner),
        "rounds": [{"points": points, "questions": seen} for points, seen in tuning.rounds],
        "effects": [{"factors": list(e.factors), "share": round(e.share, 6)} for e in tuning.effects],
        "together": {
            "factors": list(pair_of(tuning)),
            "means": [[text_of(one), text_of(two), round(mean, 6)] for (one, two), mean in tuning.together.items()],
        },
        "sensitivity": [
            {"factor": row.factor, "level": text_of(row.level), **figures(row.trial, tuning.chosen_by)}
            for row in tuning.sensitivity
        ],
        "attention_temperature": [
            {"tau": tau, **figures(trial, tuning.chosen_by)} for tau, trial in found.heated.items()
        ],
        "choice_temperature": {
            "temperature": round(found.calibration.temperature, 6),
            "nats_before": round(found.calibration.nats_before, 6),
            "nats_after": round(found.calibration.nats_after, 6),
        },
        "reported": {name: figures(trial, base) for name, trial in tuning.reported.items()},
        "kinds": {
            kind.value: {name: figures(t.of(kind), base.of(kind)) for name, t in tuning.reported.items()}
            for kind in dict.fromkeys(base.kinds)
        },
    }


def tuned_report(core: Capabilities, source: str, found: Tuned) -> RenderableType:
    """The figures for people."""
    return Group(Text(f"{core.name} on {source}", "bold"), *_parts(found))


def _parts(found: Tuned) -> Iterator[RenderableType]:
    tuning = found.tuning
    rounds = ", ".join(f"{points} settings on {seen} questions" for points, seen in tuning.rounds)
    yield Text(f"successive halving: {rounds}")
    yield Text(f"best: {_told(tuning.winner)}")
    base = tuning.reported["dial 0"]
    for kind in kinds_of(base):
        part = base.of(kind)
        table = compact("setting", *COLUMNS, title=f"reported: {titled(kind, part.marks)}")
        for name, trial in tuning.reported.items():
            table.add_row(name, *cells(part if trial is base else trial.of(kind), part))
        yield table
    yield _sensitivity(found)
    yield _effects(tuning)
    yield _together(tuning)
    choice = found.calibration
    yield Text(
        f"temperature of the choice: {choice.temperature:.2f} gives {choice.nats_after:.4f} nats instead of "
        f"{choice.nats_before:.4f} at 1, on other questions; it changes no choice"
    )


def _sensitivity(found: Tuned) -> RenderableType:
    chosen = found.tuning.chosen_by
    title = f"one step away from the best, on the split for choosing, n = {len(chosen.marks)}"
    table = compact("factor", "level", *COLUMNS, title=title)
    table.add_row("the best", "", *cells(chosen, chosen))
    for row in found.tuning.sensitivity:
        table.add_row(row.factor, text_of(row.level), *cells(row.trial, chosen))
    for tau, trial in found.heated.items():
        table.add_row("attention tau", f"{tau:g}", *cells(trial, chosen))
    return table


def _effects(tuning: Tuning) -> RenderableType:
    asked = tuning.rounds[0][1]
    table = compact("factors", "share of variance", title=f"over the whole grid, {asked} questions")
    singles = [effect for effect in tuning.effects if len(effect.factors) == 1]
    pairs = [effect for effect in tuning.effects if len(effect.factors) == 2]
    for effect in (*singles, *pairs[:PAIRS]):
        table.add_row(" x ".join(effect.factors), f"{100 * effect.share:.1f} %")
    rest = 1.0 - sum(effect.share for effect in tuning.effects)
    table.add_row("all else", f"{100 * max(0.0, rest):.1f} %")
    return table


def pair_of(tuning: Tuning) -> tuple[str, str]:
    """The two factors with the largest share together."""
    one, two = next(effect.factors for effect in tuning.effects if len(effect.factors) == 2)
    return one, two


def _together(tuning: Tuning) -> RenderableType:
    """The two-way table of that pair."""
    one, two = pair_of(tuning)
    rows, columns = (list(dict.fromkeys(levels[place] for levels in tuning.together)) for place in (0, 1))
    title = f"{one} (rows) x {two} (columns): mean log p over the whole grid"
    table = compact("", *map(text_of, columns), title=title)
    for row in rows:
        table.add_row(text_of(row), *(f"{tuning.together[row, column]:.3f}" for column in columns))
    return table


def save_csv(found: Tuned, path: Path) -> None:
    """Every point of the grid on the first questions, and the steps away from the best, as rows.

    Raises:
        ConfigError: the file cannot be written.
    """
    rows = [("grid", point, trial) for point, trial in found.tuning.first_round]
    rows += [("best", found.tuning.winner, found.tuning.chosen_by)]
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("part", *FACTORS, "n", "compliant", "best", "nats"))
            for part, point, trial in rows:
                levels = [text_of(getattr(point, factor)) for factor in FACTORS]
                writer.writerow((part, *levels, *_counts(trial)))
            for row in found.tuning.sensitivity:
                levels = [text_of(row.level) if factor == row.factor else "" for factor in FACTORS]
                writer.writerow(("step", *levels, *_counts(row.trial)))
    except OSError as error:
        raise ConfigError(f"expected a file that can be written, got `{path}`; correct --csv") from error


def text_of(level: object) -> str:
    """A level of a factor as text; a rise as `start+step<=top`."""
    if isinstance(level, tuple):
        start, step, top = level
        return f"{start:g}+{step:g}<={top:g}"
    return f"{level:g}" if isinstance(level, float) else str(level)


def _counts(trial: Trial) -> tuple[int, int, int, float]:
    return len(trial.marks), trial.compliant, trial.best, round(trial.nats, 6)


def _point_json(point: Point) -> dict[str, JsonValue]:
    start, step, top = point.rise
    return {
        "start": start,
        "step": step,
        "top": top,
        "kind": point.kind,
        "gamma": point.gamma,
        "targets": point.targets.value,
    }


def _told(point: Point) -> str:
    return ", ".join(f"{factor} {text_of(getattr(point, factor))}" for factor in FACTORS)
