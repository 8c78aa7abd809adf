"""The one table after a run: safety beside progress, rules, ladder, locality, speed, device, trace."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.table import Table

from scenarios.report.summary import Locality, RuleChange, Summary

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
    found = Table(title=title, title_justify="left", header_style="bold")
    found.add_column("")
    found.add_column("figure", overflow="fold")
    found.add_column("value", overflow="fold")
    for name, rows in sections(summary):
        for index, (figure, value) in enumerate(rows):
            found.add_row(name if index == 0 else "", figure, value, end_section=index == len(rows) - 1)
    return found


def sections(summary: Summary) -> Iterator[tuple[str, list[Row]]]:
    """The rows by section, as text."""
    yield "safety", _safety(summary)
    yield "progress", _progress(summary)
    yield "rules", [*_rules(summary), *map(_rule_change, summary.rule_changes)]
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


def _safety(summary: Summary) -> list[Row]:
    safety = summary.safety
    return [
        ("collisions", str(safety.collisions)),
        ("caused by our agents", str(safety.caused)),
        ("near misses", str(safety.near_misses)),
        ("min time to collision, s", number(safety.min_ttc_s)),
    ]


def _progress(summary: Summary) -> list[Row]:
    progress = summary.progress
    return [
        ("arrivals", f"{progress.arrivals} of {progress.could_arrive}"),
        ("mean speed, m/s", number(progress.mean_speed_mps)),
        ("simulated time, s", number(progress.simulated_s)),
    ]


def _rules(summary: Summary) -> list[Row]:
    found, checks = summary.violations, summary.checks
    rows = [
        ("rules checked", f"{checks.rules} in {checks.verdicts} verdicts"),
        ("violations proposed", str(found.proposed)),
        ("executed, as perceived", str(found.executed)),
        ("executed, in truth", str(found.executed_true)),
        *([] if found.together_true is None else [("of them joint rules", str(found.together_true))]),
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
        ("witness", share(ladder.witness, whole)),
        ("conceded", share(ladder.conceded, whole)),
        ("safe stop", share(ladder.safe_stop, whole)),
        ("the core's own", share(ladder.proposed + ladder.injected, whole)),
    ]


def _locality(summary: Summary) -> list[Row]:
    knocked = summary.knock_out
    effect = "-" if knocked.mean_nats is None else f"{knocked.mean_nats:+.2f} nats ({knocked.attempts} measured)"
    return [
        ("before injection", _fidelity(summary.before_injection)),
        ("after injection", _fidelity(summary.after_injection)),
        ("knock-out of injected rule", effect),
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


def _rule_change(change: RuleChange) -> Row:
    names = f"{change.previous_sha256[:8]} -> {change.ruleset_sha256[:8]}"
    return f"changed in tick {change.tick}", f"{change.role}: {names}, {change.relation}"


def _rechecks(summary: Summary) -> list[Row]:
    checked = summary.rechecks
    if checked.verdicts is None or checked.inconclusive is None:
        return [("re-decided by Z3", "-"), ("mismatches", str(checked.mismatches))]
    return [
        ("re-decided by Z3", str(checked.verdicts - checked.inconclusive)),
        ("mismatches", str(checked.mismatches)),
        ("inconclusive", str(checked.inconclusive)),
    ]


def _speed(summary: Summary) -> list[Row]:
    speed = summary.speed
    assert speed is not None
    shares = "\n".join(f"{name} {100 * part:.0f} %" for name, part in speed.shares.items())
    return [
        ("decisions per second", number(speed.decisions_per_s)),
        ("real-time factor", number(speed.real_time_factor)),
        ("wall time, s", number(speed.wall_s)),
        ("share of it", shares),
    ]
