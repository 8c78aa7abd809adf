"""The load-time report against brute force on a domain that can be enumerated, with and without a complete census."""

from __future__ import annotations

from typing import Any, Literal

import numpy
import pytest
from hypothesis import given, settings

from symbolic import Action, RuleSet, State, batch, codes_of, domain_of, fields, fixed, whole
from symbolic.proving.report import Answer, Level, Report, Sort
from symbolic.proving.verify import verify
from symbolic.solving.session import Budget
from symbolic.solving.smt import Solver
from tests.symbolic.strategies import ACTIONS, Operate, Plant, rule_sets
from tests.symbolic.test_batch import DONE, STATES, Far
from tests.symbolic.test_deontic import STOP, junction

SOLVER = Solver()


class Truth:
    """What holds of a rule set, by trying everything."""

    def __init__(self, rules: RuleSet[Plant, Operate]) -> None:
        broken = batch(rules)
        self.of = numpy.stack([broken(STATES, action) for action in DONE], axis=1)  # (state, action, rule)
        self.count = self.of.sum(2)
        self.consistent = bool((self.count == 0).any())
        self.total = bool((self.count == 0).any(1).all())
        self.idle = {rule for rule in range(self.of.shape[2]) if not self.of[..., rule].any()}
        alone = (self.of & (self.count == 1)[..., None]).any((0, 1))
        self.excess = {rule for rule in range(self.of.shape[2]) if not alone[rule]} - self.idle

    def clash(self, one: int, other: int) -> bool:
        """Whether both rules cannot be kept in some state where each can."""
        can = [~self.of[..., rule].all(1) for rule in (one, other)]
        return bool((can[0] & can[1] & (self.of[..., one] | self.of[..., other]).all(1)).any())


def told(report: Report, *sorts: Sort) -> set[str]:
    return {one.rules[0] for one in report.findings if one.sort in sorts}


def anchors(places: set[int]) -> set[str]:
    return {f"R{place + 1}" for place in places}


def agree(rules: RuleSet[Plant, Operate], report: Report) -> None:
    truth, size = Truth(rules), len(rules.rules)
    assert report.unknowns == ()
    assert [one for one in report.findings if one.sort is Sort.FAULT] == []
    assert (report.consistent is Answer.YES, report.total is Answer.YES) == (truth.consistent, truth.total)
    assert told(report, Sort.VACUOUS, Sort.NEVER_BINDING, Sort.DEAD) == anchors(truth.idle)
    assert told(report, Sort.SHADOWED, Sort.REDUNDANT) == anchors(truth.excess)
    clashes = {(f"R{i + 1}", f"R{j + 1}") for i in range(size) for j in range(i + 1, size) if truth.clash(i, j)}
    assert {one.rules for one in report.findings if one.sort in (Sort.TIE, Sort.CONFLICT)} == clashes


@settings(max_examples=25)
@given(rule_sets())
def test_the_report_says_what_trying_everything_says(rules: RuleSet[Plant, Operate]) -> None:
    report = verify(rules, solver=SOLVER)
    assert report.is_complete
    agree(rules, report)


@settings(max_examples=25)
@given(rule_sets())
def test_proofs_alone_say_the_same(rules: RuleSet[Plant, Operate]) -> None:
    report = verify(rules, solver=SOLVER, complete=0, sample=1)
    assert "enumerated" not in report.denials
    agree(rules, report)


@settings(max_examples=25)
@given(rule_sets(most=2))
def test_witnesses_cover_every_state_and_a_counterexample_is_stuck(rules: RuleSet[Plant, Operate]) -> None:
    report, truth = verify(rules, solver=SOLVER), Truth(rules)
    if report.total is Answer.YES:
        chosen = [
            place
            for place, action in enumerate(ACTIONS)
            if tuple((f.name, f.show(c)) for f, c in zip(domain_of(Operate).fields, codes_of(action), strict=True))
            in report.witnesses
        ]
        assert (truth.count[:, chosen] == 0).any(1).all()
        return
    gap = next(one for one in report.findings if one.sort is Sort.NOT_TOTAL)
    codes = [
        [field.show(code) for code in range(field.low, field.high + 1)].index(text) + field.low
        for field, (_, text) in zip(domain_of(Plant).fields, gap.state, strict=True)
    ]
    found = truth.of[(numpy.array(codes) == STATES).all(1)][0]
    blamed = [int(anchor[1:]) - 1 for anchor in gap.rules]
    assert found[:, blamed].any(1).all()
    for rule in blamed:  # none of them can be left out
        assert not found[:, [other for other in blamed if other != rule]].any(1).all()


class Tank(State):
    level: int = whole(ge=0, le=100)
    spare: bool


class Valve(Action):
    turn: Literal["open", "shut"]


t: Any = fields(Tank)
v: Any = fields(Valve)


def tank(**rules: tuple[int, Any]) -> RuleSet[Tank, Valve]:
    made = RuleSet(Tank, Valve)
    for name, (priority, expression) in rules.items():
        made.add(kind="forbid", name=name, priority=priority, expression=expression)
    return made


def texts(report: Report, sort: Sort) -> list[tuple[Level, str]]:
    return [(one.level, one.text) for one in report.findings if one.sort is sort]


def test_two_rules_of_equal_rank_that_clash_are_an_error_with_the_state() -> None:
    report = verify(tank(a=(50, (t.level > 90) & (v.turn == "shut")), b=(50, (t.level > 95) & (v.turn == "open"))))
    tie = next(one for one in report.findings if one.sort is Sort.TIE)
    assert (tie.level, tie.text) == (Level.ERROR, "R1 and R2 cannot both be kept here, and neither ranks higher")
    assert int(dict(tie.state)["level"]) > 95
    ranked = verify(tank(a=(60, (t.level > 90) & (v.turn == "shut")), b=(50, (t.level > 95) & (v.turn == "open"))))
    assert texts(ranked, Sort.CONFLICT) == [(Level.WARNING, "R1 and R2 cannot both be kept here, and R1 ranks higher")]


def test_the_counterexample_is_small_and_names_the_rules_in_conflict() -> None:
    rules = tank(
        a=(60, (t.level > 90) & (v.turn == "shut")),
        b=(50, (t.level > 95) & (v.turn == "open")),
        c=(40, t.spare & (v.turn == "open")),
    )
    report = verify(rules, complete=0, sample=1)
    gap = next(one for one in report.findings if one.sort is Sort.NOT_TOTAL)
    assert gap.text == "no action keeps R1 and R3 here"
    assert dict(gap.state) == {"level": "91", "spare": "true"}


def test_rules_and_fields_that_do_nothing_are_told() -> None:
    report = verify(
        tank(
            wide=(50, (t.level > 50) & (v.turn == "open")),
            narrow=(40, (t.level > 60) & (v.turn == "open")),
            never=(30, (t.level > 60) & (t.level < 50) & (v.turn == "shut")),
            edge=(20, (t.level >= 100) & (v.turn == "shut")),
        )
    )
    assert texts(report, Sort.SHADOWED) == [(Level.WARNING, "whatever R2 forbids, so does R1")]
    assert texts(report, Sort.VACUOUS) == [(Level.WARNING, "R3 applies in no state")]
    edge = "R4 is broken only where a field has the lowest or highest value of its range"
    assert texts(report, Sort.EDGE_ONLY) == [(Level.WARNING, edge)]
    assert texts(report, Sort.UNUSED_FIELD) == [(Level.WARNING, "no rule reads `spare`")]


def test_a_rule_that_others_imply_together_names_them() -> None:
    report = verify(
        tank(
            low=(50, (t.level <= 50) & (v.turn == "open")),
            high=(50, (t.level >= 40) & (v.turn == "open")),
            middle=(10, (t.level > 45) & (t.level < 60) & (v.turn == "open")),
            both=(10, (t.level > 10) & (t.level < 60) & (v.turn == "open")),
        ),
        complete=0, sample=1,
    )  # fmt: skip
    assert ("whatever R3 forbids, so do R1 and R2") in [text for _, text in texts(report, Sort.REDUNDANT)]


def test_a_rule_that_is_always_defeated_is_dead() -> None:
    rules = RuleSet(Tank, Valve)
    rules.add(kind="permit", name="p", priority=90, expression=t.level >= 0)
    rules.add(kind="forbid", name="r", expression=t.spare & (v.turn == "open"), unless=["p"])
    assert texts(verify(rules), Sort.DEAD) == [(Level.WARNING, "R1 is out of force wherever it applies")]


def test_the_safe_stop_is_looked_at_too() -> None:
    rules = tank(a=(60, (t.level > 90) & (v.turn == "shut")))
    assert texts(verify(rules, safe_stop=Valve(turn="shut")), Sort.SAFE_STOP) == [
        (Level.WARNING, "the safe stop breaks R1 wherever level > 90")
    ]
    assert texts(verify(rules, safe_stop=Valve(turn="open")), Sort.SAFE_STOP) == []
    critical = RuleSet(Tank, Valve)
    critical.add(kind="forbid", name="a", expression=t.spare & (v.turn == "shut"), is_critical=True)
    (stop,) = [one for one in verify(critical, safe_stop=Valve(turn="shut")).findings if one.sort is Sort.SAFE_STOP]
    assert (stop.level, dict(stop.state)["spare"]) == (Level.ERROR, "true")


def test_a_title_that_speaks_of_something_else_is_told() -> None:
    rules = RuleSet(Tank, Valve)
    rules.add(kind="forbid", name="a", title="Shut above 80 %.", expression=(t.level > 90) & (v.turn == "open"))
    rules.add(kind="forbid", name="b", title="Open no spare.", expression=(t.level > 10) & (v.turn == "open"))
    rules.add(kind="forbid", name="c", title="Shut above 70.", expression=(t.level > 70) & (v.turn == "open"))
    assert [text for _, text in texts(verify(rules), Sort.TITLE)] == [
        "the title or source of R1 speaks of `80`, its condition does not",
        "the title or source of R2 speaks of `spare`, its condition does not",
    ]


@pytest.mark.parametrize("solver", [Solver(load=lambda: __import__("no_such_module")), Solver(Budget(rlimit=1))])
def test_without_a_solver_that_answers_nothing_is_shown(solver: Solver) -> None:
    class Wide(State):
        x: float = fixed(ge=0, le=1000, step=0.001)
        y: float = fixed(ge=0, le=1000, step=0.001)

    w: Any = fields(Wide)
    rules = RuleSet(Wide, Valve)
    rules.add(kind="forbid", name="a", expression=(w.x * w.y > 999_999) & (v.turn == "open"))
    rules.add(kind="forbid", name="b", expression=(w.x * w.y < 0) & (v.turn == "shut"))
    with solver:
        report = verify(rules, solver=solver)
    assert report.total is Answer.UNKNOWN
    assert {Sort.NOT_TOTAL, Sort.VACUOUS} <= {one.sort for one in report.unknowns}


def test_the_junction_is_told_not_to_be_total() -> None:
    report = verify(junction(), safe_stop=STOP)
    assert report.total is Answer.NO
    (gap,) = [one for one in report.errors if one.sort is Sort.NOT_TOTAL]
    assert (gap.text, dict(gap.state)) == (
        "no action keeps R1 and R3 here",
        {"light": "red", "siren": "false", "is_blocked": "false"},
    )


def test_a_report_is_plain_data() -> None:
    record = verify(junction()).record()
    assert (record["format"], record["schema_version"], record["total"]) == ("localist-verification", 2, "no")


def test_numbers_beyond_64_bits_leave_the_census_out_and_the_proofs_in() -> None:
    far = fields(Far)
    rules = RuleSet(Far, Valve)
    rules.add(kind="forbid", name="a", expression=(far.x * far.x * far.x > 8) & (v.turn == "open"))
    rules.add(kind="forbid", name="b", expression=(far.x * far.x * far.x > 8) & (far.x < 0) & (v.turn == "open"))
    report = verify(rules)
    assert (report.num_points, report.denials) == (0, {"proved": 2})
    assert (report.consistent, report.total, report.errors) == (Answer.YES, Answer.YES, ())
