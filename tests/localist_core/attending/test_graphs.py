"""Replaying forwards: a stand-in for CUDA graphs runs the captured forward again, into the same tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from localist_core import Dial, DialError, RequestError, SharedCore
from localist_core.attending.graphs import Graphs, Run, form_of, tensors_of
from localist_core.attending.plan import Plan
from tests.localist_core import tiny

NEAR = frozenset({"R1", "R2"})


def rerun(forward: Callable[[], Run]) -> tuple[Run, Callable[[], None]]:
    """What a CUDA graph does: the same work on the same inputs, written to the same outputs."""
    given = forward()

    def replay() -> None:
        for kept, new in zip(tensors_of(given), tensors_of(forward()), strict=True):
            kept.copy_(new)

    return given, replay


def refuse(forward: Callable[[], Run]) -> tuple[Run, Callable[[], None]]:
    raise RuntimeError("operation not permitted when stream is capturing\nmore")


@pytest.fixture(scope="module", params=["llama", "gemma2", "localist"])
def core(request) -> SharedCore:
    """Prompts are read whole: so all those of one canonical shape have one form."""
    return SharedCore(tiny.model(request.param), tiny.tokenizer(), name=request.param, prefix_bytes=0)


def plan_at(core: SharedCore, *dials: float, gap: int = 1, **options) -> Plan:
    """Prompts of one canonical shape, though their observations have 3 to 6 words."""
    observations = [f"gap is {gap + n}" + " red" * ((gap + n) % 4) for n in range(len(dials))]
    requests = [
        tiny.request(Dial(value, NEAR), observation=text, **options)
        for value, text in zip(dials, observations, strict=True)
    ]
    ((_, plan),) = core._scorer.plans([core._row(request, request.dial) for request in requests])
    return plan


@torch.inference_mode()
def ran(core: SharedCore, run: Callable[[Plan], torch.Tensor], plan: Plan):
    """States and measurements of a fresh copy of a plan."""
    fresh = replace(plan, passed=[], sights={})
    return run(fresh), fresh.measured


def graphs_of(core: SharedCore, capture=rerun, **options) -> Graphs:
    return Graphs(core._scorer._readout.states, capture=capture, **options)


def test_replay_gives_what_the_forward_gives_for_other_prompts_and_dials(core) -> None:
    graphs, forward = graphs_of(core), core._scorer._readout.states
    for number, dials in enumerate([(0.2, 0.9), (0.3, 0.4), (0.7, 0.1), (0.5, 0.5)]):
        plan = plan_at(core, *dials, gap=3 * number + 1)
        states, measured = ran(core, graphs.run, plan)
        expected, exact = ran(core, forward, plan)
        assert torch.equal(states, expected)
        for ours, theirs in zip(tensors_of(measured), tensors_of(exact), strict=True):
            torch.testing.assert_close(ours, theirs, atol=0, rtol=0, equal_nan=True)
    assert graphs.replayed == 3


def test_results_of_a_replay_outlive_the_next_one(core) -> None:
    graphs = graphs_of(core)
    first, second, third = (ran(core, graphs.run, plan_at(core, 0.5, gap=gap))[0] for gap in (1, 4, 8))
    assert graphs.replayed == 2
    assert torch.equal(second, ran(core, core._scorer._readout.states, plan_at(core, 0.5, gap=4))[0])
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


def test_forward_behind_a_prefix_is_replayed() -> None:
    """With windows, so that the prefix is not attended to apart."""
    core = SharedCore(tiny.model("gemma2"), tiny.tokenizer(), name="gemma2")
    graphs, forward = graphs_of(core), core._scorer._readout.states
    plans = [plan_at(core, dial, schema=tiny.LONG_SCHEMA) for dial in (0.5, 0.5, 0.3, 0.9)]
    assert plans[-1].prefix
    results = [ran(core, graphs.run, plan)[0] for plan in plans]
    assert torch.equal(results[-1], ran(core, forward, plans[-1])[0])
    assert not torch.equal(results[-1], results[-2])
    assert graphs.replayed >= 2


def test_form_does_not_depend_on_words_and_dials_but_on_shape_and_on_whether_a_layer_is_steered(core) -> None:
    base = form_of(plan_at(core, 0.5))
    assert form_of(plan_at(core, 0.9, gap=7)) == base
    others = [plan_at(core, 0.0), plan_at(core, 1.0), plan_at(core, 0.5, 0.5), plan_at(core, 0.5, actions=8)]
    forms = {base, *(form_of(plan) for plan in others)}
    assert len(forms) == 5
    assert None not in forms


def test_dial_on_single_heads_is_run_as_it_is(core) -> None:
    request = tiny.request(Dial(0.5, NEAR, heads=frozenset({(0, 0)})))
    ((_, plan),) = core._scorer.plans([core._row(request, request.dial)])
    assert form_of(plan) is None


def test_no_more_forms_are_captured_than_was_said(core) -> None:
    graphs = graphs_of(core, most=1)
    for dials in ((0.5,), (0.5,), (0.5, 0.5), (0.5, 0.5), (0.6,)):
        ran(core, graphs.run, plan_at(core, *dials))
    assert graphs.replayed == 2


def test_failed_capture_is_told_and_forwards_run_as_they_are(core) -> None:
    graphs, plan = graphs_of(core, refuse), plan_at(core, 0.5)
    states = [ran(core, graphs.run, plan)[0] for _ in range(3)]
    assert torch.equal(states[0], states[2])
    assert graphs.failure == "operation not permitted when stream is capturing"
    assert graphs.replayed == 0


def test_target_out_of_sight_is_an_error_in_a_replay_too() -> None:
    core = SharedCore(tiny.model("gemma2"), tiny.tokenizer(), name="gemma2")
    graphs = graphs_of(core)
    for _ in range(2):
        ran(core, graphs.run, plan_at(core, 0.5))
    far = tiny.request(Dial(0.5, frozenset({"goal"})), observation="gap is 1")
    ((_, plan),) = core._scorer.plans([core._row(far, far.dial)])
    with pytest.raises(DialError, match="expected every decision row to see a token"):
        ran(core, graphs.run, plan)


def test_graphs_without_cuda_are_refused() -> None:
    with pytest.raises(RequestError, match="expected a CUDA device for graphs, got `cpu`; leave graphs out"):
        SharedCore.load(device="cpu", graphs=True)
