"""A whole core on CUDA beside the same core on the CPU."""

from __future__ import annotations

import pytest
import torch

from localist_core import Dial, SharedCore
from scenarios.config import RunConfig
from scenarios.run import run
from tests.gpu.pair import Pair
from tests.localist_core import tiny

pytestmark = pytest.mark.gpu
DEVICE = "cuda"


@pytest.fixture(scope="module")
def pair() -> Pair:
    return Pair(SharedCore.load(device="cpu"), SharedCore.load(device=DEVICE))


@pytest.mark.parametrize("scenario", ["tests/benchmarks/fleet.py:fleet_8", "intersection"])
def test_agents_with_dials_of_their_own_act_as_on_the_cpu(pair, scenario, tmp_path) -> None:
    """Eight agents under the junction's rules, and the junction itself, which has four cars, to its end."""
    if scenario == "intersection":
        pytest.importorskip("highway_env", reason="needs the extra `driving`")
    pair.asked.clear()
    run(RunConfig(scenario=scenario, seed=7), out=tmp_path / "run", core=pair)
    assert len(pair.dials()) == (8 if scenario != "intersection" else 4)
    assert len(pair.asked) > 100
    assert pair.differing() == []


@pytest.mark.parametrize("family", ["localist", "llama", "gemma2", "gpt_oss", "gpt2"])
def test_family_agrees_with_the_cpu(family, tmp_path) -> None:
    directory = tiny.save(family, tmp_path)
    near = frozenset({"R1", "R2"})
    requests = [tiny.request(Dial(value, near), evidence=True) for value in (0.0, 0.5, 1.0)]
    ours, theirs = (SharedCore.load(directory, device=device).decide(requests) for device in (DEVICE, "cpu"))
    for gpu, cpu in zip(ours, theirs, strict=True):
        assert gpu.probabilities == pytest.approx(cpu.probabilities, abs=1e-3)
        assert gpu.trace.raw == pytest.approx(cpu.trace.raw, abs=1e-3)
        assert gpu.trace.statuses == cpu.trace.statuses


def test_dial_zero_is_the_stock_model(tmp_path) -> None:
    core = SharedCore.load(tiny.save("llama", tmp_path), device=DEVICE)
    assert core.chosen.backend.name == "triton"
    assert core.probed.logit_difference <= 1e-4


def test_bfloat16_core_keeps_its_fidelity_floor(tmp_path) -> None:
    core = SharedCore.load(tiny.save("llama", tmp_path), device=DEVICE, dtype="bfloat16")
    (choice,) = core.decide([tiny.request(0.8)])
    assert min(after for _, after in choice.trace.layers) >= 0.8 - 1e-5


def test_row_of_a_batch_chooses_as_the_row_alone(tmp_path) -> None:
    core = SharedCore.load(tiny.save("llama", tmp_path), device=DEVICE)
    requests = [tiny.request(0.1 * n, observation=f"gap is {n}") for n in range(1, 9)]
    together = core.decide(requests)
    for request, choice in zip(requests, together, strict=True):
        (alone,) = core.decide([request])
        assert alone.probabilities == pytest.approx(choice.probabilities, abs=1e-4)


def test_memory_does_not_grow_from_batch_to_batch(tmp_path) -> None:
    core = SharedCore.load(tiny.save("llama", tmp_path), device=DEVICE)
    requests = [tiny.request(0.1 * n) for n in range(1, 9)]
    for _ in range(3):
        core.decide(requests)
    before = torch.cuda.memory_allocated()
    for _ in range(20):
        core.decide(requests)
    assert torch.cuda.memory_allocated() <= before


def test_replayed_forwards_decide_as_those_that_run(tmp_path) -> None:
    directory = tiny.save("llama", tmp_path)
    replayed, running = (SharedCore.load(directory, device=DEVICE, graphs=graphs) for graphs in (True, False))
    for number in range(6):
        requests = [tiny.request(0.1 * (n + 1), observation=f"gap is {number + n}") for n in range(4)]
        for ours, theirs in zip(replayed.decide(requests), running.decide(requests), strict=True):
            assert ours.probabilities == pytest.approx(theirs.probabilities, abs=1e-6)
            assert ours.trace == theirs.trace
    graphs = replayed._scorer.graphs
    assert graphs.failure == ""
    assert graphs.replayed >= 4
