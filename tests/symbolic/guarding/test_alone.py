"""The guard needs none of our other packages, and no solver for exact facts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import asyncio, sys
from importlib.abc import MetaPathFinder

class Blocker(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"agents", "localist_core", "scenarios", "tests", "z3", "torch", "transformers"}:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocker())
from typing import Literal
from symbolic import Action, Guard, Ladder, RuleSet, State, fixed

class Car(State):
    gap_m: float = fixed(ge=0, le=200, step=0.5)
    light: Literal["red", "amber", "green"]

class Drive(Action):
    manoeuvre: Literal["stop", "slow", "go"]

rules = RuleSet(Car, Drive)

@rules.forbid()
def enter_on_red(s, a):
    return (s.light == "red") & (a.manoeuvre == "go")

async def propose(facts, feedback):
    return {"manoeuvre": "go"}

guard = Guard(rules, Ladder(safe_stop=Drive(manoeuvre="stop")), 5.0)
done = asyncio.run(guard.act({"gap_m": 12.5, "light": "red"}, propose))
print(done.action.manoeuvre, done.rung)
"""


def test_guard_works_without_our_other_packages_and_without_a_solver(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("slow repaired\n", "")
