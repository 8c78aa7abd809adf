"""Fleets of 1, 8 and 64 cars that perceive random states of the junction's rule set: a load without a simulator.

localist run tests/benchmarks/fleet.py:fleet_8 --seed 7
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import partial
from typing import Any

import gymnasium

from agents.messaging import Claim, ClaimField
from scenarios.intersection.roles import car
from scenarios.intersection.rules import Car
from scenarios.scenario import Scenario
from scenarios.world import AgentTruth, Description, Truths, sight
from symbolic import Facts, domain_of

TICKS = 30
"""Decisions of each car in an episode."""


class Fleet:
    """Cars that stand nowhere: every tick each perceives a state drawn from its name, the tick and the seed."""

    step_s = 1.0
    claim_fields: Mapping[str, ClaimField] = {"going": ClaimField(kind="intent", type="bool")}

    def __init__(self, cars: int) -> None:
        """Args: cars, 1 or more."""
        self.possible_agents = [f"car-{number}" for number in range(1, cars + 1)]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.agents, self.tick, self.seed = list(self.possible_agents), 0, seed
        return {agent: sight(self.symbols(agent)) for agent in self.agents}, {agent: {} for agent in self.agents}

    def step(self, actions: dict[str, int]) -> Any:
        acting, self.tick = self.agents, self.tick + 1
        self.agents = [] if self.tick == TICKS else acting
        ended = dict.fromkeys(acting, not self.agents)
        sights = {agent: sight(self.symbols(agent)) for agent in acting}
        return sights, dict.fromkeys(acting, 0.0), ended, dict.fromkeys(acting, False), {agent: {} for agent in acting}

    def symbols(self, agent: str) -> Facts:
        rng = random.Random(f"{self.seed}/{self.tick}/{agent}")
        return Facts.from_codes(Car, tuple(rng.randint(spec.low, spec.high) for spec in domain_of(Car).fields))

    def describe(self, agent: str) -> Description:
        return Description(goal=(2, 1, 0), role="car")

    def claims(self, agent: str) -> dict[str, Any]:
        return {"going": True}

    def receive(self, agent: str, claims: Mapping[str, Claim]) -> None: ...

    def truth(self) -> Truths:
        states = {
            agent: AgentTruth(has_crashed=False, has_arrived=False, speed_mps=0.0, facts=None)
            for agent in self.possible_agents
        }
        return Truths(
            tick=self.tick, time_s=self.tick, agents=states, bodies=(), contacts=(), is_over=self.tick == TICKS
        )

    def observation_space(self, agent: str) -> Any:
        return gymnasium.spaces.Box(0.0, 1.0, (len(domain_of(Car).fields),))

    def action_space(self, agent: str) -> Any:
        return gymnasium.spaces.Discrete(3)

    def close(self) -> None: ...


def fleet(cars: int) -> Scenario:
    """The scenario of that many cars."""
    return Scenario(name=f"fleet-{cars}", world=partial(Fleet, cars), roles={"car": car})


fleet_1, fleet_8, fleet_64 = fleet(1), fleet(8), fleet(64)
