"""What every world keeps, whatever it simulates: run over all that we ship."""

from __future__ import annotations

import ast
import hashlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agents.messaging.claims import Claim, checked
from scenarios.baselines import announcements, greedy_compliant, play, uniform
from scenarios.corridor import CorridorWorld
from scenarios.corridor import scenario as corridor
from scenarios.scenario import Scenario
from scenarios.world import Truths, World, WorldError
from symbolic import Facts

WORLDS = ("corridor", "intersection")


def scenario_of(name: str) -> Scenario:
    if name == "corridor":
        return corridor
    pytest.importorskip("highway_env", reason="needs the extra `driving`")
    from scenarios.intersection import scenario

    return scenario


@pytest.fixture(params=WORLDS, scope="module")
def scenario(request: pytest.FixtureRequest) -> Scenario:
    return scenario_of(request.param)


@pytest.fixture(scope="module")
def world(scenario: Scenario) -> Iterator[World]:
    made = scenario.world()
    yield made
    made.close()


def waiting(world: World) -> dict[str, int]:
    """Nobody moves on."""
    return dict.fromkeys(world.agents, 0)


def trajectory(history: list[Truths]) -> str:
    digest = hashlib.sha256()
    for truths in history:
        digest.update(repr((truths.tick, truths.bodies, truths.contacts, truths.is_over)).encode())
    return digest.hexdigest()


def test_world_passes_the_parallel_api_test(world: World) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the check's own imports are deprecated ones
        from pettingzoo.test import parallel_api_test

        parallel_api_test(world, num_cycles=60)


def test_same_seed_gives_the_same_whole_episode(scenario: Scenario, world: World) -> None:
    """Also in a world that has seen other episodes before."""
    fresh = scenario.world()
    play(world, uniform, seed=9)
    assert trajectory(play(fresh, uniform, seed=4)) == trajectory(play(world, uniform, seed=4))


def test_another_seed_gives_another_episode(world: World) -> None:
    assert trajectory(play(world, uniform, seed=1)) != trajectory(play(world, uniform, seed=2))


def test_episode_of_waiting_agents_runs_to_its_time_limit(world: World) -> None:
    """A tuple of truths is always true: an adapter that reads it as one ends every episode after one step."""
    world.reset(seed=3)
    ticks = 0
    while world.agents:
        _, _, terminations, truncations, _ = world.step(waiting(world))
        assert {type(value) for value in (*terminations.values(), *truncations.values())} == {bool}
        ticks += 1
    assert ticks == world.truth().tick > 10
    assert world.truth().is_over
    assert not any(agent.has_arrived for agent in world.truth().agents.values())


def test_finished_agents_are_told_once_and_leave(world: World, scenario: Scenario) -> None:
    role = next(iter(scenario.roles.values()))
    policy = greedy_compliant(role.rules, role.safe_stop)
    world.reset(seed=0)
    told: list[str] = []
    while world.agents:
        actions = {a: policy(world.symbols(a), world.describe(a).goal, None) for a in world.agents}  # type: ignore[arg-type]
        before = set(world.agents)
        _, _, terminations, truncations, _ = world.step(actions)
        gone = {agent for agent in before if terminations[agent] or truncations[agent]}
        assert set(world.agents) == before - gone
        told += sorted(gone)
    assert sorted(told) == sorted(world.possible_agents)


def test_symbols_are_facts_of_the_roles_state_and_inside_its_bounds(world: World, scenario: Scenario) -> None:
    world.reset(seed=2)
    for agent in world.agents:
        facts = world.symbols(agent)
        assert facts.schema is scenario.role_of(agent).rules.state
        assert Facts.from_json(facts.to_json(), facts.schema) == facts


def test_goal_names_every_action_once(world: World, scenario: Scenario) -> None:
    world.reset(seed=2)
    for agent in world.agents:
        described = world.describe(agent)
        assert sorted(described.goal) == list(range(len(scenario.role_of(agent).rules.actions)))
        assert described.role in scenario.roles


def test_infos_carry_nothing_of_the_truth(world: World) -> None:
    _, infos = world.reset(seed=1)
    assert set(map(repr, infos.values())) == {"{}"}
    *_, infos = world.step(waiting(world))
    assert set(map(repr, infos.values())) == {"{}"}


def test_announced_claims_pass_the_receivers_check(world: World) -> None:
    world.reset(seed=5)
    for agent, claim in announcements(world, tick=0).items():
        assert claim.sender == agent
        assert checked(claim, world.claim_fields) == claim


def test_claims_hold_for_one_step(world: World) -> None:
    world.reset(seed=5)
    said = announcements(world, tick=0)
    quiet = {agent: world.symbols(agent) for agent in world.agents}
    for agent in world.agents:
        world.receive(agent, {sender: claim for sender, claim in said.items() if sender != agent})
    for agent in world.agents:
        world.receive(agent, {})
    assert {agent: world.symbols(agent) for agent in world.agents} == quiet


def test_symbols_of_a_stranger_is_an_error_in_one_line(world: World) -> None:
    world.reset(seed=0)
    with pytest.raises(WorldError, match=r"expected one of .*, got `nobody-1`; ask those taking part"):
        world.symbols("nobody-1")


def test_step_without_an_action_for_everyone_is_an_error(world: World) -> None:
    world.reset(seed=0)
    with pytest.raises(WorldError, match="expected an action for every"):
        world.step({})


def test_world_before_reset_is_an_error(scenario: Scenario) -> None:
    with pytest.raises(WorldError, match="call reset first"):
        scenario.world().truth()


@pytest.mark.parametrize("name", WORLDS)
def test_truth_cannot_be_reached_from_perception_rules_or_roles(name: str) -> None:
    """No file that makes facts or rules mentions the truth, and `symbols` never calls it."""
    folder = Path(__file__).parents[2] / "scenarios" / name
    for path in folder.glob("*.py"):
        tree = ast.parse(path.read_text())
        spots = [node for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute)]
        names = {node.id if isinstance(node, ast.Name) else node.attr for node in spots}
        if path.name != "world.py":
            assert names.isdisjoint({"truth", "Truths", "AgentTruth", "Body"}), path.name
        else:
            assert "truth" not in names, "a world defines truth and never calls it"


def test_facts_hold_only_their_declared_fields(world: World) -> None:
    """Facts are schema, codes and age: no way leads from them back to the world."""
    world.reset(seed=0)
    facts = world.symbols(world.agents[0])
    assert set(type(facts).__slots__) == {"schema", "codes", "age_s", "is_exact"}
    assert all(code is None or isinstance(code, int | tuple) for code in facts.codes)


def policy_of(scenario: Scenario) -> Callable[..., int]:
    role = next(iter(scenario.roles.values()))
    return greedy_compliant(role.rules, role.safe_stop)


@pytest.mark.parametrize("name", WORLDS)
def test_claim_that_cannot_hold_changes_no_other_field(name: str) -> None:
    """A message enters the state as a claim and nowhere else, and never allows what was forbidden without it."""
    scenario = scenario_of(name)
    role = next(iter(scenario.roles.values()))
    world = scenario.world()
    claimed = {f"other_{field}" for field in ("intent", "has_way")} | {"rival_intent"}
    for seed in range(2):
        world.reset(seed=seed)
        while world.agents:
            for agent in world.agents:
                quiet = world.symbols(agent)
                allowed = role.rules.compliant(quiet)
                for words in ({"intent": "go"}, {"intent": "yield"}):
                    said = {a: Claim(kind="intent", sender=a, fields=words, tick=0) for a in world.agents if a != agent}
                    world.receive(agent, said)
                    loud = world.symbols(agent)
                    changed = {k for k, v in loud.items() if v != quiet.value(k)}
                    assert changed <= claimed
                    stricter = role.rules.compliant(loud)
                    assert all(was or not now for was, now in zip(allowed, stricter, strict=True))
                world.receive(agent, {})
            goal_first = {a: policy_of(scenario)(world.symbols(a), world.describe(a).goal, None) for a in world.agents}
            world.step(goal_first)
            if world.truth().tick > 14:
                break
    world.close()


def test_blurred_distance_is_perceived_as_an_interval() -> None:
    world = CorridorWorld(blur_cells=2)
    world.reset(seed=0)
    assert not all(world.symbols(agent).is_exact for agent in world.agents)
    truths = world.truth().agents.values()
    assert all(agent.facts is not None and agent.facts.is_exact for agent in truths)
