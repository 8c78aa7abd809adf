"""The one table after a run: safety beside progress, rules, ladder, locality, speed, device, trace."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.table import Table

from scenarios.report.summary import Locality, Summary

Row = tuple[str, str]


def print_rich(value: RenderableType) -> None:
    """Print to standard output, in colour where it is a terminal."""
    Console(soft_wrap=False).print(value)


def print_summary(summary: Summary) -> None:
    """Print the table of a run."""
    print_rich(table(summary))


def table(summary: Summary) -> Table:
    """The table of a run."""
    episodes = f"{summary.episodes} episode" + ("s" if summary.episodes != 1 else "")
    title = f"{summary.scenario}, seed {summary.seed}: {summary.agents} agents, {episodes}, {summary.status}"
    found = Table("", "figure", "value", title=title, title_justify="left", header_style="bold")
    for name, rows in sections(summary):
        for index, (figure, value) in enumerate(rows):
            found.add_row(name if index == 0 else "", figure, value, end_section=index == len(rows) - 1)
    return found


def sections(summary: Summary) -> Iterator[tuple[str, list[Row]]]:
    """The rows by section, as text."""
    yield "safety", [(_words(name), number(value)) for name, value in summary.safety.items()]
    yield "progress", [(_words(name), number(value)) for name, value in summary.progress.items()]
    yield "rules", _rules(summary)
    yield "ladder", _ladder(summary)
    yield "locality", _locality(summary)
    yield "second check", _rechecks(summary)
    if summary.speed is not None:
        yield "speed", _speed(summary)
    core = summary.core
    yield "core", [(core.name, f"{core.device}, {core.dtype}"), ("fingerprint", core.fingerprint)]
    yield "trace", [("file", summary.trace)]


def number(value: float | None) -> str:
    """A figure as text: whole numbers plain, others with three significant digits or two places, nothing as a dash."""
    if value is None:
        return "-"
    if value == int(value) and abs(value) < 1e9:
        return str(int(value))
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"


def share(part: int, whole: int) -> str:
    """A count and its share: `12 (8.0 %)`."""
    return f"{part} ({100 * part / whole:.1f} %)" if whole else str(part)


def _words(name: str) -> str:
    """A figure's name for people: `min_ttc_s` -> `min ttc, s`."""
    for suffix, unit in (("_m_s", "m/s"), ("_s", "s"), ("_m", "m")):
        if name.endswith(suffix):
            return f"{name.removesuffix(suffix).replace('_', ' ')}, {unit}"
    return name.replace("_", " ")


def _rules(summary: Summary) -> list[Row]:
    found, checks = summary.violations, summary.checks
    rows = [
        ("rules checked (verdicts)", f"{checks.rules} ({checks.verdicts})"),
        ("violations proposed", str(found.proposed)),
        ("violations executed, as perceived", str(found.executed)),
        ("violations executed, in truth", str(found.executed_true)),
        ("decisions undecided", share(checks.undecided, summary.decisions)),
    ]
    return rows + [(f"fault: {name}", str(count)) for name, count in summary.faults.items()]


def _ladder(summary: Summary) -> list[Row]:
    ladder, whole = summary.ladder, summary.decisions
    return [
        ("decisions", str(whole)),
        ("first try", share(ladder.proposed, whole)),
        ("after injection", share(ladder.injected, whole)),
        ("chosen", share(ladder.chosen, whole)),
        ("repaired", share(ladder.repaired, whole)),
        ("safe stop", share(ladder.safe_stop, whole)),
    ]


def _locality(summary: Summary) -> list[Row]:
    knocked = summary.knock_out
    effect = "-" if knocked.mean_nats is None else f"{knocked.mean_nats:+.2f} nats ({knocked.attempts} measured)"
    return [
        ("before injection", _fidelity(summary.before_injection)),
        ("after injection", _fidelity(summary.after_injection)),
        ("knock-out of the injected rule", effect),
    ]


def _fidelity(found: Locality) -> str:
    if not found.attempts:
        return "-"
    parts = (
        f"dial {number(found.dial)}",
        f"raw {number(found.raw_fidelity)}",
        f"steered {number(found.steered_fidelity)}",
    )
    return ", ".join(parts)


def _rechecks(summary: Summary) -> list[Row]:
    checked = summary.rechecks
    known = "-" if checked.verdicts is None else str(checked.verdicts)
    return [("verdicts decided again by Z3", known), ("mismatches", str(checked.mismatches))]


def _speed(summary: Summary) -> list[Row]:
    speed = summary.speed
    assert speed is not None
    shares = ", ".join(f"{name} {100 * part:.0f} %" for name, part in speed.shares.items())
    return [
        ("decisions per second", number(speed.decisions_per_s)),
        ("real-time factor", number(speed.real_time_factor)),
        ("wall time, s", number(speed.wall_s)),
        ("share of it", shares),
    ]
