"""The comparison of two devices finds what differs: tried on one device."""

from __future__ import annotations

from localist_core import Dial, Request, ScriptedCore
from scenarios.config import RunConfig
from scenarios.run import run
from tests.gpu.pair import Pair
from tests.localist_core import tiny


def scripted(weight: float) -> ScriptedCore:
    return ScriptedCore(lambda request: dict(zip(request.actions, (weight, 1.0, 1.0), strict=False)))


def asked(first: float, second: float, agent: str = "car-3", dial: Dial | float = 0.5) -> Pair:
    pair = Pair(scripted(first), scripted(second))
    request = tiny.request(dial)
    pair.decide([Request(agent=agent, prompt=request.prompt, actions=request.actions, dial=request.dial)])
    return pair


def test_choices_that_differ_count_only_where_the_first_was_sure() -> None:
    assert len(asked(2.0, 0.5).differing()) == 1
    assert asked(2.0, 3.0).differing() == []
    assert asked(1.001, 0.5).differing() == []


def test_agent_has_a_dial_of_its_own() -> None:
    assert asked(1.0, 1.0).dials() == {0.3}
    assert asked(1.0, 1.0, dial=Dial.off()).dials() == {0.0}


def test_eight_agents_ask_under_eight_dials(tmp_path) -> None:
    pair = Pair(scripted(2.0), scripted(2.0))
    run(RunConfig(scenario="tests/benchmarks/fleet.py:fleet_8", seed=7), out=tmp_path / "run", core=pair)
    assert pair.dials() == {n / 10 for n in range(1, 9)}
