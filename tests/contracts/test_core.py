"""What every core must do, whoever made it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from localist_core import Core, CoreError, Dial, DialError, RequestError, ScriptedCore, SharedCore
from localist_core.serving.loading import SHIPPED
from tests.localist_core import tiny


def mute(dials: bool = True) -> ScriptedCore:
    return ScriptedCore(lambda request: {action: n + 1.0 for n, action in enumerate(request.actions)}, dials=dials)


MAKERS = {
    "scripted": lambda _: mute(),
    "undialled": lambda _: mute(dials=False),
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


def able(core: Core) -> list:
    """The requests as the core can answer them."""
    can = core.capabilities
    return [
        replace(
            request,
            dial=request.dial if can.dials else Dial.off(),
            evidence=request.evidence and can.traces,
        )
        for request in REQUESTS
    ]


def test_dial_of_a_core_that_cannot_dial_is_an_error(core) -> None:
    if core.capabilities.dials:
        assert core.decide([able(core)[2]])[0].dial == 1.0
        return
    with pytest.raises(DialError, match=r"which cannot dial, got `1\.0`"):
        core.decide([tiny.request(1.0)])


def test_evidence_of_a_core_that_cannot_trace_is_an_error(core) -> None:
    request = tiny.request(Dial.off(), evidence=True)
    if core.capabilities.traces:
        assert core.decide([request])[0].trace.is_raw_from_dial_zero
        return
    with pytest.raises(RequestError, match="which cannot trace"):
        core.decide([request])


def test_knock_out_of_a_core_that_cannot_trace_is_an_error(core) -> None:
    if core.capabilities.traces:
        assert math.isfinite(core.knock_out(able(core)[0], "goal"))
        return
    with pytest.raises(RequestError, match="which cannot trace, got one of `goal`"):
        core.knock_out(able(core)[0], "goal")


def test_core_says_whether_a_request_gets_the_same_bits_in_a_batch(core) -> None:
    assert core.capabilities.is_batch_invariant
    assert core.capabilities.batch_difference == ""
    assert core.decide(able(core)) == tuple(core.decide([one])[0] for one in able(core))


def test_answers_come_in_the_order_of_the_requests(core) -> None:
    choices = core.decide(able(core))
    assert [choice.actions for choice in choices] == [request.actions for request in able(core)]
    assert [choice.dial for choice in choices] == [request.dial.value for request in able(core)]


def test_probabilities_are_a_distribution_over_the_actions(core) -> None:
    for choice in core.decide(able(core)):
        assert len(choice.probabilities) == len(choice.actions)
        assert all(0.0 <= p <= 1.0 for p in choice.probabilities)
        assert math.isclose(math.fsum(choice.probabilities), 1.0, abs_tol=1e-6)


def test_most_probable_action_is_chosen_with_its_margin(core) -> None:
    for choice in core.decide(able(core)):
        ranked = sorted(choice.probabilities, reverse=True)
        assert choice.probabilities[choice.actions.index(choice.chosen)] == ranked[0]
        assert choice.margin == (ranked[0] - ranked[1] if len(ranked) > 1 else 1.0)


def test_same_requests_get_the_same_answers(core) -> None:
    assert core.decide(able(core)) == core.decide(able(core))


def test_who_asks_does_not_matter(core) -> None:
    mine, theirs = (core.decide([replace(able(core)[1], agent=agent)]) for agent in ("car-1", "car-2"))
    assert mine == theirs


def test_capabilities_are_kept(core) -> None:
    for request, choice in zip(able(core), core.decide(able(core)), strict=True):
        assert (choice.trace is not None) == core.capabilities.traces
        assert (choice.citations is not None) == core.capabilities.cites
        if choice.citations is not None:
            assert len(choice.citations) == len(request.actions)


def test_trace_adds_up(core) -> None:
    for request, choice in zip(able(core), core.decide(able(core)), strict=True):
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


def test_knock_out_of_an_unknown_block_is_an_error(core) -> None:
    said = "got `nowhere`" if core.capabilities.traces else "cannot trace"
    with pytest.raises(RequestError, match=said) as raised:
        core.knock_out(able(core)[0], "nowhere")
    assert isinstance(raised.value, CoreError)
