"""Many drawn points through all readings, and mutants of the compiler that the same questions kill."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from symbolic.solving.smt import Solver
from tests.symbolic.differential import READINGS, Tally, compare
from tests.symbolic.mutants import LEAST, is_killed, mutants, passes
from tests.symbolic.mutants import READINGS as MUTATED

POINTS = 1_000_000 if os.environ.get("CI") else 40_000
"""The full run takes a minute."""


def test_all_readings_agree_at_many_points() -> None:
    tally, rng = Tally(), Random(len("readings"))
    with Solver() as solver:
        while tally.points < POINTS:
            compare(rng, tally, solver)
    assert tally.mismatches == dict.fromkeys(READINGS, 0)
    assert all(tally.compared.values())


@pytest.mark.parametrize(("name", "most"), [("compiled", 140), ("measured", 60), ("masks", 90)])
@pytest.mark.filterwarnings("ignore::SyntaxWarning")  # mutants generate odd source
def test_questions_kill_almost_every_mutant_of_a_reading_and_spare_the_reading(name: str, most: int) -> None:
    assert passes(name)
    source = Path(MUTATED[name].__file__ or "").read_text()
    found = [is_killed(mutant, name) for mutant in mutants(source)]
    assert len(found) >= most
    assert sum(found) >= LEAST[name] * len(found)
