"""A second opinion on exported questions: `python -m tests.benchmarks.bench_smtlib [--sets N]`.

Synthetic driving and fine sets: each question of the report is written as SMT-LIB 2 and answered from the text alone by
Z3 and, where it is installed (`pip install cvc5`, BSD), by cvc5; both are held against the answer in the script.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
from collections import Counter
from collections.abc import Iterator
from typing import Any

import z3

from symbolic import RuleSet, to_smtlib
from tests.benchmarks.driving_rules import driving_rules
from tests.benchmarks.fine_rules import fine_rules


def questions(rules: RuleSet[Any, Any]) -> Iterator[str]:
    """Names of questions about a set."""
    yield from ("consistency", "totality")
    for rule in rules.rules:
        yield f"rule:{rule.anchor}"
        yield f"alone:{rule.anchor}"
    yield "together:R1,R2"


def by_z3(text: str) -> str:
    """What Z3 says of a script."""
    solver = z3.Solver(ctx=z3.Context())
    solver.set("timeout", 20_000)
    solver.from_string(text)
    return str(solver.check())


def by_cvc5(text: str) -> str:
    """What cvc5 says of a script."""
    cvc5: Any = importlib.import_module("cvc5")
    solver = cvc5.Solver()
    solver.setOption("tlimit-per", "20000")
    parser = cvc5.InputParser(solver)
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, text, "rules")
    symbols = parser.getSymbolManager()
    said = ""
    while not (command := parser.nextCommand()).isNull():
        said += str(command.invoke(solver, symbols))
    return said.strip()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=10, help="sets of each of the two sorts")
    arguments = parser.parse_args()
    solvers = {"Z3 from text": by_z3}
    if importlib.util.find_spec("cvc5"):
        solvers["cvc5"] = by_cvc5
    counts: dict[str, Counter[str]] = {name: Counter() for name in solvers}
    for seed in range(arguments.sets):
        for rules in (driving_rules(8, seed), fine_rules(6, seed)):
            for question in questions(rules):
                text = to_smtlib(rules, question)
                status = next(line for line in text.splitlines() if ":status" in line).split()[-1].rstrip(")")
                for name, solve in solvers.items():
                    answer = solve(text)
                    counts[name]["same" if answer == status else "open" if answer == "unknown" else "other"] += 1
    print("| solver | scripts | same answer | undecided | other answer |\n|---|---|---|---|---|")
    for name, count in counts.items():
        print(f"| {name} | {count.total()} | {count['same']} | {count['open']} | {count['other']} |")


if __name__ == "__main__":
    main()
