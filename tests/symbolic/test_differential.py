"""Many drawn points through all readings, and mutants of the compiler that the same questions kill."""

from __future__ import annotations

import os
from random import Random

from symbolic.reading import compiled
from symbolic.solving.smt import Solver
from tests.symbolic.differential import READINGS, Tally, compare
from tests.symbolic.mutants import SOURCE, cases, is_killed, mutants

POINTS = 1_000_000 if os.environ.get("CI") else 40_000
"""The full run takes a minute."""


def test_all_readings_agree_at_many_points() -> None:
    tally, rng = Tally(), Random(len("readings"))
    with Solver() as solver:
        while tally.points < POINTS:
            compare(rng, tally, solver)
    assert tally.mismatches == dict.fromkeys(READINGS, 0)
    assert all(tally.compared.values())


def test_questions_kill_almost_every_mutant_of_the_compiler_and_spare_the_compiler() -> None:
    assert all(case.ask(compiled) == case.answer for case in cases())
    found = [is_killed(mutant) for mutant in mutants(SOURCE.read_text())]
    assert len(found) >= 140
    assert sum(found) >= 0.95 * len(found)
