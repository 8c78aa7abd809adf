"""The largest safe invariant set against a game solved by trying everything, and where its shape is known."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from random import Random
from typing import Any, Literal

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symbolic import (
    ANY,
    UNKNOWN,
    Action,
    DomainError,
    Facts,
    Interval,
    InvariantError,
    Keeper,
    Level,
    Metric,
    RuleSet,
    Sort,
    State,
    Transition,
    TransitionError,
    actions_of,
    becomes,
    codes_of,
    domain_of,
    fields,
    fixed,
    ite,
    largest,
    maximum,
    remaining_s,
    verify,
    whole,
)
from symbolic.expression import Owner, Read
from symbolic.mending.fixpoint import IMPOSSIBLE, INSIDE
from symbolic.mending.invariant import Refuge, audit
from symbolic.reading.reference import NO, YES, Walk
from tests.symbolic.strategies import numbers, truths


class Cell(State):
    x: float = fixed(ge=-1, le=1, step=0.5)
    y: int = whole(ge=0, le=3)
    mode: Literal["a", "b"]
    on: bool


class Nudge(Action):
    by: int = whole(ge=-1, le=1)
    mode: Literal["a", "c"]
    flip: bool


NUDGES = actions_of(Nudge)
CELLS = list(itertools.product(*(range(one.low, one.high + 1) for one in domain_of(Cell).fields)))
READS = [
    Read(owner, one) for owner, kind in ((Owner.STATE, Cell), (Owner.ACTION, Nudge)) for one in domain_of(kind).fields
]
halves = st.sampled_from([-0.5, -0.3, 0, 0, 0, 0.3, 0.5])
moved = st.builds(
    lambda value, ends, is_held: becomes(value, least=min(ends), most=max(ends), is_held=is_held),
    numbers(READS, 1),
    st.tuples(halves, halves),
    st.booleans(),
)
models = st.fixed_dictionaries(
    {},
    optional={
        "x": st.one_of(st.just(ANY), moved, moved, moved),
        "y": st.one_of(st.just(ANY), moved),
        "mode": st.just(ANY),
        "on": st.one_of(st.just(ANY), truths(READS, 1).map(becomes)),
    },
).map(lambda changes: Transition.of(Cell, Nudge, **changes))


@st.composite
def cell_rules(draw: st.DrawFn) -> RuleSet[Cell, Nudge]:
    rules = RuleSet(Cell, Nudge)
    for place, expression in enumerate(draw(st.lists(truths(READS, 2), min_size=1, max_size=3))):
        rules.add(kind="forbid", name=f"rule_{place}", expression=(fields(Cell).y >= 0) & _term(expression))
    return rules


def _term(expression: Any) -> Any:
    from symbolic.terms import TruthTerm

    return TruthTerm(expression)


def after(model: Transition, state: tuple[int, ...], action: tuple[int, ...]) -> set[tuple[int, ...]] | None:
    """All states that may follow, by exact fractions; None where one would leave the domain."""
    walk, spans = Walk(Facts.from_codes(Cell, state), action), []
    for one in domain_of(Cell).fields:
        change = model.changes.get(one.name)
        if change is None:
            low = high = state[one.index]
        elif change.value is None:
            low, high = one.low, one.high
        elif one.name == "on":
            low = high = int(walk.truth(change.value) is YES)
        else:
            value = walk.number(change.value).low
            low, high = math.floor((value + change.least) / one.step), math.ceil((value + change.most) / one.step)
            if change.is_held:
                low, high = (min(max(end, one.low), one.high) for end in (low, high))
        if low < one.low or high > one.high:
            return None
        spans.append(range(low, high + 1))
    return set(itertools.product(*spans))


def solved(rules: RuleSet[Cell, Nudge], model: Transition) -> set[tuple[int, ...]]:
    """The largest set, by leaving out states until nothing changes."""
    ways = {
        state: [
            found
            for action in map(codes_of, NUDGES)
            if not rules.compiled(state, action) and (found := after(model, state, action)) is not None
        ]
        for state in CELLS
    }
    inside = set(CELLS)
    while True:
        left = {state for state in inside if any(found <= inside for found in ways[state])}
        if left == inside:
            return inside
        inside = left


@settings(max_examples=60)
@given(cell_rules(), models)
def test_the_set_is_what_trying_everything_leaves(rules: RuleSet[Cell, Nudge], model: Transition) -> None:
    refuge = largest(rules, model, tried=10**6)
    inside = solved(rules, model)
    assert {state for state in CELLS if refuge.is_inside(state)} == inside
    keeper = Keeper(refuge)
    for state in Random(0).sample(CELLS, 6):
        found = keeper.action(Facts.from_codes(Cell, state))
        assert (found is not None) is (state in inside)
        if found is not None:
            assert rules.compiled(state, codes_of(found)) == []
            assert (after(model, state, codes_of(found)) or {()}) <= inside
    steps = refuge.trap()
    for step, follower in itertools.pairwise(steps):
        assert step.action is not None
        assert rules.compiled(step.state, step.action) == []
        reached = after(model, step.state, step.action)
        assert reached is not None
        grid = {tuple(min(c, high) for c, (_, high) in zip(one, refuge.spans, strict=True)) for one in reached}
        assert follower.state in grid
    if steps:
        assert steps[-1].action is None
        ends = [
            after(model, steps[-1].state, codes_of(one))
            for one in NUDGES
            if not rules.compiled(steps[-1].state, codes_of(one))
        ]
        assert ends == [None] * len(ends)


class Car(State):
    gap: int = whole(ge=0, le=60)
    speed: int = whole(ge=0, le=12)
    light: Literal["red", "green"]
    radio: bool


class Pedal(Action):
    change: int = whole(ge=-2, le=1)


s: Any = fields(Car)
a: Any = fields(Pedal)


def road() -> RuleSet[Car, Pedal]:
    rules = RuleSet(Car, Pedal)
    rules.add(kind="forbid", name="hit", expression=s.gap < s.speed + a.change)
    return rules


def braking(noise: int = 0) -> Transition:
    speed = maximum(s.speed + a.change, 0)
    return Transition.of(
        Car,
        Pedal,
        speed=becomes(speed, is_held=True),
        gap=becomes(s.gap - speed, least=-noise, most=noise, is_held=False) if noise else s.gap - speed,
        light=ANY,
    )


def stopping(speed: int) -> int:
    """Distance covered while braking by 2 a step."""
    return sum(range(speed - 2, 0, -2))


def test_the_set_is_where_the_braking_distance_fits_into_the_gap() -> None:
    refuge = largest(road(), braking())
    assert refuge.spans[2:] == ((0, 0), (0, 0))  # neither light nor radio matters
    for gap, speed in itertools.product(range(61), range(13)):
        assert refuge.is_inside((gap, speed, 1, 0)) is (gap >= stopping(speed))
    calm = [(gap, speed) for gap, speed in itertools.product(range(61), range(13)) if gap >= speed - 2]
    assert refuge.num_doomed == sum(gap < stopping(speed) for gap, speed in calm)


def test_the_keeper_never_hits_whatever_the_model_allows() -> None:
    rules = RuleSet(Car, Pedal)
    rules.add(kind="forbid", name="hit", expression=(s.gap < s.speed + a.change) & (s.speed + a.change > 0))
    model = Transition.of(
        Car,
        Pedal,
        speed=becomes(maximum(s.speed + a.change, 0), is_held=True),
        gap=becomes(s.gap - maximum(s.speed + a.change, 0), least=-1, most=3, is_held=True),
    )
    refuge, rng = largest(rules, model), Random(1)
    keeper, speedy = Keeper(refuge), Pedal(change=1)
    inside = [tuple(state) for state in numpy.argwhere(refuge.rounds == INSIDE).tolist()]
    assert refuge.num_doomed > 0
    for state in rng.sample(inside, 20):
        for _ in range(30):
            facts = Facts.from_codes(Car, state)
            found = keeper.action(facts, speedy)
            assert found is not None
            assert rules.check(facts, found).is_safe
            state = tuple(rng.randint(*span) for span in model.box(facts, codes_of(found)))


def test_the_keeper_gives_the_nearest_action_that_stays_inside() -> None:
    keeper, full = Keeper(largest(road(), braking())), Pedal(change=1)
    at = lambda gap: Facts.of(Car, gap=gap, speed=6, light="red", radio=False)  # noqa: E731
    found = [keeper.action(at(gap), full) for gap in (30, 16, 15, 12, 11, 9, 8, 6)]
    assert found == [Pedal(change=change) for change in (1, 1, 0, 0, -1, -1, -2, -2)]
    assert keeper.action(at(5), full) is None
    assert keeper.action(at(9), full, Metric.of(Pedal, change=3)) == Pedal(change=-1)
    assert road().check(at(5), Pedal(change=-2)).is_safe
    with pytest.raises(TypeError, match=r"^expected an action of `Pedal`, got `str`"):
        keeper.action(at(9), "brake")  # type: ignore[arg-type]


def test_open_facts_get_an_action_only_if_it_stays_inside_from_all_their_states() -> None:
    keeper = Keeper(largest(road(), braking()))
    seen = lambda gap, speed: Facts.of(Car, gap=gap, speed=speed, light=UNKNOWN, radio=UNKNOWN)  # noqa: E731
    assert keeper.action(seen(Interval(30, 40), 4), Pedal(change=1)) == Pedal(change=1)
    assert keeper.action(seen(Interval(6, 40), 6), Pedal(change=1)) == Pedal(change=-2)
    assert keeper.action(seen(Interval(5, 40), 6), Pedal(change=1)) is None
    assert keeper.action(Facts.from_codes(Car, (99, 0, 0, 0))) is None


class Due(State):
    due: int = whole(ge=0, le=5)
    speed: int = whole(ge=0, le=15)


def deadline() -> tuple[RuleSet[Due, Pedal], Transition]:
    """Stand still once the counter has run down; the counter counts down in each step."""
    d: Any = fields(Due)
    rules = RuleSet(Due, Pedal)
    rules.add(kind="forbid", name="late", expression=(d.due == 0) & (d.speed + a.change > 0))
    speed = becomes(maximum(d.speed + a.change, 0), is_held=True)
    return rules, Transition.of(Due, Pedal, due=becomes(d.due - 1, is_held=True), speed=speed)


def test_a_deadline_that_cannot_be_met_any_more_is_shown_with_the_way_into_the_trap() -> None:
    refuge = largest(*deadline())
    for due, speed in itertools.product(range(6), range(16)):
        assert refuge.is_inside((due, speed)) is (speed <= 2 * (due + 1))
    assert [int(refuge.rounds[due, 15]) for due in range(6)] == [0, 1, 2, 3, 4, 5]
    steps = refuge.trap()
    assert [step.state[0] for step in steps] == [5, 4, 3, 2, 1, 0]
    assert [step.action is None for step in steps] == [False] * 5 + [True]
    (finding,) = refuge.report()
    assert finding.level is Level.WARNING
    assert finding.state == (("due", "5"), ("speed", "13"))
    assert finding.text.startswith(
        f"{refuge.num_doomed} of 96 states are safe now and lost whatever is done: here after"
    )
    rules, model = deadline()
    assert [one for one in verify(rules, transition=model).findings if one.sort is Sort.TRAP] == [finding]
    assert largest(road(), Transition.of(Car, Pedal, gap=60)).report() == ()


class Alarm(State):
    alarm: bool
    speed: int = whole(ge=0, le=15)


def test_a_deadline_that_the_rules_remember_is_a_field_of_the_model_like_the_others() -> None:
    here: Any = fields(Alarm)
    left = remaining_s(here.alarm, here.speed == 0, within_s=5, step_s=1)
    rules = RuleSet(Alarm, Pedal)
    rules.add(kind="forbid", name="late", expression=(left <= 0) & (here.speed + a.change > 0))
    name = domain_of(rules.state).fields[-1].name
    speed = maximum(here.speed + a.change, 0)
    count = ite(speed == 0, 5, maximum(getattr(fields(rules.state), name) - 1, -1))
    model = Transition.of(rules.state, Pedal, **{"speed": becomes(speed, is_held=True), "alarm": ANY, name: count})
    refuge = largest(rules, model, tried=10**6)
    for number, seconds in itertools.product(range(1, 16), range(-1, 6)):
        assert refuge.is_inside((1, number, seconds)) is (number <= 2 * (max(seconds, 0) + 1))
    assert refuge.rounds[0, 0, 2] == IMPOSSIBLE  # who stands still has nothing due
    assert refuge.trap()[0].state[2] == 5
    (finding,) = [one for one in verify(rules, transition=model).findings if one.sort is Sort.TRAP]
    assert finding.level is Level.WARNING
    with pytest.raises(
        InvariantError, match=r"^expected a model over `AlarmRemembering`, got another; declare it over"
    ):
        largest(rules, Transition.of(Alarm, Pedal))


def test_a_model_that_leads_to_impossible_states_alone_keeps_nothing() -> None:
    here: Any = fields(Alarm)
    rules = RuleSet(Alarm, Pedal)
    missed = remaining_s(here.alarm, here.speed == 0, within_s=5, step_s=1) < 0
    rules.add(kind="forbid", name="late", expression=missed & (a.change > 0))
    name = domain_of(rules.state).fields[-1].name
    refuge = largest(rules, Transition.of(rules.state, Pedal, **{"speed": 0, name: 2}), tried=10**6)
    assert refuge.num_inside == 0


def test_a_model_that_always_leaves_the_ranges_leaves_nothing() -> None:
    refuge = largest(road(), Transition.of(Car, Pedal, gap=s.gap + 61))
    (finding,) = refuge.report()
    assert (refuge.num_inside, finding.level) == (0, Level.ERROR)
    assert "every safe action leaves the ranges" in finding.text


def test_a_function_over_codes_is_the_same_model() -> None:
    def function(states: Any, action: Any) -> Any:
        after = states.copy()
        after[:, 1] = numpy.clip(states[:, 1] + action[0], 0, 12)
        after[:, 0] = states[:, 0] - numpy.maximum(states[:, 1] + action[0], 0)
        return after, after.copy()

    given = largest(road(), Transition(state=Car, action=Pedal, function=function))
    assert (given.rounds[:, :, 0, 0] == largest(road(), braking()).rounds[:, :, 0, 0]).all()
    keeper = Keeper(given)
    assert keeper.action(Facts.of(Car, gap=30, speed=6, light="red", radio=False)) == Pedal(change=-2)
    assert keeper.action(Facts.of(Car, gap=30, speed=6, light=UNKNOWN, radio=False)) is None
    wrong = Transition(state=Car, action=Pedal, function=lambda states, action: (states, states[:, :1]))
    with pytest.raises(TransitionError, match=r"^expected lowest and highest codes of the shape of the states"):
        largest(road(), wrong)


def test_a_set_that_was_tampered_with_does_not_survive_the_audit() -> None:
    refuge = largest(road(), braking())
    assert audit(refuge, tried=10**6) == []
    for state, number in (((5, 6, 0, 0), INSIDE), ((60, 0, 0, 0), 0), ((5, 6, 0, 0), 9), ((6, 6, 0, 0), 3)):
        rounds = refuge.rounds.copy()
        rounds[state] = number
        assert audit(replace(refuge, rounds=rounds), tried=10**6) != []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"gap": s.radio}, "expected a number for a number, a condition for a flag or ANY for `gap`"),
        ({"light": s.gap}, "expected a number for a number, a condition for a flag or ANY for `light`"),
        ({"radio": s.gap}, "expected a number for a number, a condition for a flag or ANY for `radio`"),
        ({"gap": "far"}, "expected an expression over state and action, got `'far'`"),
        ({"gap": becomes(s.gap, least=1)}, "expected least <= most for `gap`, got `1` and `0`"),
        ({"radio": becomes(s.radio, most=1)}, "expected a range of outcomes for numbers alone, got one for `radio`"),
        ({"gap": s.gap * 10**9 * 10**9}, "expected numbers below 2"),
    ],
)
def test_a_model_that_does_not_fit_its_fields_is_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}"):
        Transition.of(Car, Pedal, **changes)


def test_models_of_other_fields_types_or_sizes_are_refused() -> None:
    with pytest.raises(DomainError, match=r"^expected a field of `Car`"):
        Transition.of(Car, Pedal, height=1)
    with pytest.raises(TransitionError, match=r"^expected expressions or a function, got both"):
        replace(braking(), function=lambda states, action: (states, states))
    with pytest.raises(InvariantError, match=r"^expected a model over `Car`"):
        largest(road(), deadline()[1])

    class Vast(State):
        x: int = whole(ge=0, le=3_000_000)

    rules = RuleSet(Vast, Pedal)
    rules.add(kind="forbid", name="far", expression=fields(Vast).x > 5)
    with pytest.raises(InvariantError, match=r"^expected at most 10000000 states times actions, got 12000004; coarsen"):
        largest(rules, Transition.of(Vast, Pedal))
    (finding,) = [one for one in verify(rules, transition=Transition.of(Vast, Pedal)).findings if one.sort is Sort.TRAP]
    assert finding.level is Level.UNKNOWN


def test_a_state_outside_its_fields_has_no_place() -> None:
    refuge: Refuge[Due, Pedal] = largest(*deadline())
    for state in ((6, 0), (0,), (0, -1)):
        with pytest.raises(InvariantError, match=r"^expected codes within their fields"):
            refuge.is_inside(state)


def test_truths_that_are_open_lead_both_ways() -> None:
    model = Transition.of(Car, Pedal, radio=s.light == "red")
    facts = Facts.of(Car, gap=1, speed=1, light=UNKNOWN, radio=False)
    assert model.box(facts, (0,))[3] == (0, 1)
    assert Walk(facts, (0,)).truth(s.light.isin("red", "green").expr) is not NO
