"""Every sort of finding against trying everything, on random sets with planted defects (bench_verify: more)."""

from __future__ import annotations

import pytest

from symbolic import verify
from symbolic.solving.smt import Solver
from tests.symbolic.brute import DEFECTS, STOP, differences, planted

SOLVER = Solver()


@pytest.mark.parametrize("defect", range(len(DEFECTS)), ids=DEFECTS)
def test_a_planted_defect_is_told_and_nothing_else_is_wrong(defect: int) -> None:
    for seed in range(defect, 3 * len(DEFECTS), len(DEFECTS)):
        rules, _ = planted(seed)
        wrong, _ = differences(rules, verify(rules, safe_stop=STOP, solver=SOLVER))
        assert wrong == [], seed


def test_proofs_alone_tell_the_same() -> None:
    for seed in range(20):
        rules, _ = planted(seed)
        report = verify(rules, safe_stop=STOP, solver=SOLVER, complete=0, sample=1)
        assert (differences(rules, report)[0], report.unknowns) == ([], ()), seed


def test_each_defect_is_there_where_it_was_planted() -> None:
    for defect in range(len(DEFECTS)):
        seeds = range(defect, 4 * len(DEFECTS), len(DEFECTS))
        found = [differences(rules, verify(rules, safe_stop=STOP))[1] for rules, _ in map(planted, seeds)]
        assert any(DEFECTS[defect] in counts for counts in found), DEFECTS[defect]
