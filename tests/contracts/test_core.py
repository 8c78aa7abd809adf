"""What every core must do, whoever made it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from localist_core import Core, CoreError, Dial, RequestError, ScriptedCore, SharedCore
from localist_core.loading import SHIPPED
from tests.localist_core import tiny

MAKERS = {
    "scripted": lambda _: ScriptedCore(lambda request: {action: n + 1.0 for n, action in enumerate(request.actions)}),
    "localist": lambda path: SharedCore.load(tiny.save("localist", path), device="cpu"),
    "shipped": lambda _: SharedCore.load(device="cpu"),
    "llama": lambda path: SharedCore.load(tiny.save("llama", path), device="cpu"),
}


@pytest.fixture(scope="module", params=sorted(MAKERS))
def core(request, tmp_path_factory) -> Core:
    if request.param == "shipped" and not (SHIPPED / "config.json").is_file():
        pytest.skip("the core that ships is not in this checkout")
    return MAKERS[request.param](tmp_path_factory.mktemp(request.param))


REQUESTS = [
    tiny.request(0.0, actions=3),
    tiny.request(0.5, actions=8, evidence=True),
    tiny.request(1.0, actions=1, message=""),
    tiny.request(Dial.off(), actions=2, rules=5),
]


def test_answers_come_in_the_order_of_the_requests(core) -> None:
    choices = core.decide(REQUESTS)
    assert [choice.actions for choice in choices] == [request.actions for request in REQUESTS]
    assert [choice.dial for choice in choices] == [request.dial.value for request in REQUESTS]


def test_probabilities_are_a_distribution_over_the_actions(core) -> None:
    for choice in core.decide(REQUESTS):
        assert len(choice.probabilities) == len(choice.actions)
        assert all(0.0 <= p <= 1.0 for p in choice.probabilities)
        assert math.isclose(math.fsum(choice.probabilities), 1.0, abs_tol=1e-6)


def test_most_probable_action_is_chosen_with_its_margin(core) -> None:
    for choice in core.decide(REQUESTS):
        ranked = sorted(choice.probabilities, reverse=True)
        assert choice.probabilities[choice.actions.index(choice.chosen)] == ranked[0]
        assert choice.margin == (ranked[0] - ranked[1] if len(ranked) > 1 else 1.0)


def test_same_requests_get_the_same_answers(core) -> None:
    assert core.decide(REQUESTS) == core.decide(REQUESTS)


def test_who_asks_does_not_matter(core) -> None:
    mine, theirs = (core.decide([replace(REQUESTS[1], agent=agent)]) for agent in ("car-1", "car-2"))
    assert mine == theirs


def test_capabilities_are_kept(core) -> None:
    for request, choice in zip(REQUESTS, core.decide(REQUESTS), strict=True):
        assert (choice.trace is not None) == core.capabilities.traces
        assert (choice.citations is not None) == core.capabilities.cites
        if choice.citations is not None:
            assert len(choice.citations) == len(request.actions)


def test_trace_adds_up(core) -> None:
    for request, choice in zip(REQUESTS, core.decide(REQUESTS), strict=True):
        trace = choice.trace
        if trace is None:
            continue
        assert trace.blocks == request.prompt.names()
        assert sum(trace.raw) == pytest.approx(1.0, abs=1e-4)
        assert sum(trace.steered) == pytest.approx(1.0, abs=1e-4)
        assert 0.0 <= trace.target_mass <= 1.0
        assert 0.0 <= trace.entropy_bits <= math.log2(len(trace.blocks))
        assert (trace.steered_fidelity is None) == (not request.dial.targets)
        if request.dial.value > 0.0:
            assert trace.steered_fidelity >= request.dial.value - 1e-5


def test_knock_out_is_a_finite_number_of_nats(core) -> None:
    assert math.isfinite(core.knock_out(REQUESTS[0], "goal"))


def test_knock_out_of_an_unknown_block_is_an_error(core) -> None:
    with pytest.raises(RequestError, match="got `nowhere`") as raised:
        core.knock_out(REQUESTS[0], "nowhere")
    assert isinstance(raised.value, CoreError)
