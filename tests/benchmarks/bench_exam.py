"""The held-out figures of a core by arms: python -m tests.benchmarks.bench_exam --cases 2000 [--model DIR] [--json].

First try, after injections, without a part, with raw facts, against a baseline without a model and against a rule mask;
then what each detail of an injection is worth; then what the dial recovers under long distractors (exact McNemar).
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

from rich.console import Console
from rich.table import Table

from localist_core import Core, SharedCore
from scenarios.exam import Arm, Exam, examine


def main() -> None:
    """Examine and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    core: Core = SharedCore.load(arguments.model)
    with console.status("examining") as status:
        exam = examine(core, arguments.cases, progress=lambda arm: status.update(f"examining: {arm}"))
    if arguments.json:
        print(json.dumps(record(exam), indent=1))
        return
    out = Console(width=140)
    out.print(f"core {core.capabilities.name}, {core.capabilities.dtype} on {core.capabilities.device}, {machine()}")
    out.print(table("Held-out domains", exam.plain, exam.plain[0]))
    out.print(table("Most wanted action forbidden", exam.after_injection, exam.after_injection[0]))
    out.print(table("Distractors four times longer than in training", exam.distracted, exam.distracted[0]))


def machine() -> str:
    """What this ran on."""
    return f"{platform.machine()} {platform.system()}, Python {platform.python_version()}"


def table(title: str, arms: tuple[Arm, ...], base: Arm) -> Table:
    """One line for each arm, the last columns against the first arm."""
    made = Table(title=f"{title}, n = {len(base.answered)}", title_justify="left")
    made.add_column("arm")
    for column in ("compliant %", "compliant and best % [95 %]", "cited %", "forbidden cited %"):
        made.add_column(column, justify="right")
    made.add_column("best here only / there only (McNemar p)", justify="right")
    for arm in arms:
        best, bounds = arm.rate(lambda one: one.is_best)
        here, there, chance = arm.against(base)
        made.add_row(
            arm.name,
            f"{100 * arm.compliant:.2f}",
            f"{100 * best:.2f} [{100 * bounds.low:.2f}, {100 * bounds.high:.2f}]",
            percent(arm.cited()),
            percent(arm.cited(forbidden=True)),
            "" if arm is base else f"{here} / {there} ({chance:.2g})",
        )
    return made


def percent(share: float | None) -> str:
    """A share in percent, or a dash."""
    return "-" if share is None else f"{100 * share:.2f}"


def record(exam: Exam) -> dict[str, object]:
    """The figures of all arms."""
    groups = {"plain": exam.plain, "after_injection": exam.after_injection, "distracted": exam.distracted}
    return {
        "version": 1,
        "machine": machine(),
        "groups": {name: [_arm(a, arms[0]) for a in arms] for name, arms in groups.items()},
    }


def _arm(arm: Arm, base: Arm) -> dict[str, object]:
    best, bounds = arm.rate(lambda one: one.is_best)
    here, there, chance = arm.against(base)
    return {
        "arm": arm.name,
        "n": len(arm.answered),
        "compliant": arm.compliant,
        "best": best,
        "best_bounds": [bounds.low, bounds.high],
        "cited": arm.cited(),
        "cited_forbidden": arm.cited(forbidden=True),
        "cited_allowed": arm.cited(forbidden=False),
        "only_here": here,
        "only_base": there,
        "mcnemar_p": chance,
    }


if __name__ == "__main__":
    main()
