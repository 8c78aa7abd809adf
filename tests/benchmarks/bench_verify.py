"""What the load-time report costs: `python -m tests.benchmarks.bench_verify [--rules 10 100 ...]`.

Synthetic driving rules; CPU seconds of one thread for the whole report, and its shares: the census, totality, and the
rest (what each rule is good for). Baseline of the ratio: the census, which is what trying points alone would cost.
"""

from __future__ import annotations

import argparse
import platform
import time

from symbolic import verify
from tests.benchmarks.driving_rules import driving_rules


def measure(count: int) -> str:
    """One row of the table."""
    rules = driving_rules(count)
    began: list[tuple[str, float]] = []
    report = verify(rules, watch=lambda step: began.append((step, time.process_time())))
    ends = [*(start for _, start in began[1:]), time.process_time()]
    spent = {step: end - start for (step, start), end in zip(began, ends, strict=True)}
    whole = sum(spent.values())
    census, totality = spent["points"], spent["totality"]
    return (
        f"| {count} | {whole:.2f} | {census:.2f} | {totality:.2f} | {whole - census - totality:.2f} "
        f"| {whole / census:.1f} | {report.num_queries} | {report.total.value} | {len(report.unknowns)} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", type=int, nargs="+", default=[10, 100])
    arguments = parser.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}, CPU time\n")
    print("| rules | report, s | census, s | totality, s | rest, s | report / census | queries | total | unknown |")
    print("|---|---|---|---|---|---|---|---|---|")
    for count in arguments.rules:
        print(measure(count), flush=True)


if __name__ == "__main__":
    main()
