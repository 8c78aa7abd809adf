"""A recorded decision computed again: equal to the bit, or by how much not, and whether that could matter."""

from __future__ import annotations

from dataclasses import replace

import pytest

from localist_core import Choice, Dial, ScriptedCore
from localist_core.serving.shared import SharedCore
from localist_core.serving.verify import recompute
from tests.localist_core import tiny

REQUEST = tiny.request(0.5, actions=2)


def scripted(*weights: float) -> ScriptedCore:
    return ScriptedCore(lambda request: dict(zip(request.actions, weights, strict=True)))


def recorded(*weights: float) -> Choice:
    return scripted(*weights).decide([REQUEST])[0]


@pytest.fixture(scope="module")
def core() -> SharedCore:
    return SharedCore(tiny.model("localist"), tiny.tokenizer(), name="localist")


def test_decision_of_a_batch_is_equal_when_computed_again_alone(core) -> None:
    requests = [tiny.request(value, evidence=True, schema=tiny.LONG_SCHEMA) for value in (0.0, 0.5, 1.0)]
    for request, choice in zip(requests, core.decide(requests), strict=True):
        nats = core.knock_out(replace(request, dial=Dial.off(), evidence=False), "R1")
        found = recompute(core, request, choice, knock_outs={"R1": nats})
        assert (found.differs, found.difference, found.margin) == ((), 0.0, choice.margin)


def test_each_number_that_is_not_the_same_is_named(core) -> None:
    request = tiny.request(0.5)
    (choice,) = core.decide([request])
    changed = replace(
        choice,
        citations=("R8",) * 3,
        trace=replace(choice.trace, entropy_bits=9.0),
        chosen=next(action for action in choice.actions if action != choice.chosen),
        probabilities=(1.0, 0.0, 0.0),
    )
    found = recompute(core, request, changed, knock_outs={"R1": 9.0})
    assert found.differs == ("probabilities", "chosen", "citations", "trace", "knock-out")


def test_fields_that_an_older_record_does_not_hold_are_not_compared(core) -> None:
    request = tiny.request(0.5)
    (choice,) = core.decide([request])
    older = replace(choice, trace=replace(choice.trace, statuses=(), token_entropy_bits=None))
    assert recompute(core, request, older).is_equal


def test_difference_that_could_turn_the_choice_is_open() -> None:
    near, far = recorded(0.52, 0.48), recorded(0.9, 0.1)
    assert recompute(scripted(0.495, 0.505), REQUEST, near).is_open
    found = recompute(scripted(0.89, 0.11), REQUEST, far)
    assert (found.is_equal, found.is_open, found.is_unsafe) == (False, False, False)
    assert found.difference == pytest.approx(0.01)


def test_recorded_digits_are_compared_and_no_others() -> None:
    choice = recorded(2.0, 1.0)
    rounded = replace(choice, probabilities=tuple(round(p, 6) for p in choice.probabilities))
    assert recompute(scripted(2.0, 1.0), REQUEST, rounded, digits=6).is_equal
    assert recompute(scripted(2.0, 1.0), REQUEST, rounded).differs == ("probabilities",)


def test_margin_that_rounding_may_turn_is_unsafe_even_where_all_is_equal() -> None:
    choice = recorded(0.50001, 0.49999)
    found = recompute(scripted(0.50001, 0.49999), REQUEST, choice)
    assert (found.is_equal, found.is_unsafe) == (True, True)


def test_bfloat16_needs_a_larger_margin() -> None:
    core = scripted(0.51, 0.49)
    assert not recompute(core, REQUEST, recorded(0.51, 0.49)).is_unsafe
    core.capabilities = replace(core.capabilities, dtype="bfloat16")
    assert recompute(core, REQUEST, recorded(0.51, 0.49)).is_unsafe
