"""highway-env's four-way intersection with a fleet of our cars in default traffic, as a world.

The simulator is `intersection-multi-agent-v2` with its default traffic, simulation frequency and time limit. What is
ours: decisions at 3 Hz (five simulated frames each, without remainder), a drawn exit for every fleet car (the default
sends all of them to one arm, one of them to its own), and cars that have arrived leave the road.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import gymnasium
import highway_env  # noqa: F401  (registers the environment)
import numpy as np
from pettingzoo import ParallelEnv

from agents.messaging.claims import Claim, ClaimField, ClaimValue
from scenarios.intersection.geometry import CAR_LENGTH_M, CAR_WIDTH_M, STOP_LINE_M, Geometry, Path, discs_of
from scenarios.intersection.perception import MISSED_M, Percept, Seen, braking, facts_of, perceive
from scenarios.intersection.rules import Car
from scenarios.world import AgentTruth, Body, Contact, Description, Sight, Truths, WorldError, sight
from symbolic import Facts, domain_of

DECISIONS_HZ: Final = 3
DURATION_S: Final = 13.0
"""highway-env's default time limit."""
SLOW, KEEP, FAST = range(3)
"""Indices of our actions, and of highway-env's SLOWER, IDLE, FASTER."""
BRISK_MPS: Final = 8.0
"""Below this speed a car wants to go faster."""
EXITS_STREAM: Final = 7
"""Key of the random stream from which exits are drawn."""

CLAIM_FIELDS: Final[Mapping[str, ClaimField]] = MappingProxyType(
    {
        "intent": ClaimField(kind="intent", type="str", words=("go", "yield")),
        "right_of_way": ClaimField(kind="intent", type="bool"),
    }
)


@dataclass(slots=True, kw_only=True)
class _Episode:
    """What changes while an episode runs."""

    exits: tuple[int, ...]
    tick: int = 0
    paths: dict[Any, Path] = field(default_factory=dict)
    """Simulator's vehicle -> its movement."""
    names: dict[Any, str] = field(default_factory=dict)
    """Simulator's vehicle -> its name in the truth."""
    entered_s: dict[str, float] = field(default_factory=dict)
    arrived: set[str] = field(default_factory=set)
    crashed: dict[str, str] = field(default_factory=dict)
    """Fleet car -> the body that it touched."""
    last: dict[str, int] = field(default_factory=dict)
    """Last action of each fleet car."""
    claims: dict[str, Mapping[str, Claim]] = field(default_factory=dict)
    scene: tuple[Seen, ...] = ()
    percepts: dict[str, Percept] = field(default_factory=dict)
    facts: dict[str, Facts] = field(default_factory=dict)
    contacts: tuple[Contact, ...] = ()
    is_over: bool = False


class IntersectionWorld(ParallelEnv[str, Sight, int]):  # type: ignore[misc]  # pettingzoo is untyped
    """The crossing; `car-1` comes from the south, `car-2` from the west, `car-3` from the north, `car-4` from the east.

    An episode ends with the first collision of a fleet car, when all have arrived, or at the time limit.
    """

    metadata: dict[str, Any] = {"name": "intersection", "render_modes": [], "is_parallelizable": True}  # noqa: RUF012
    render_mode: str | None = None
    step_s: float = 1 / DECISIONS_HZ
    claim_fields: Mapping[str, ClaimField] = CLAIM_FIELDS

    def __init__(self, cars: int = 4, duration_s: float = DURATION_S) -> None:
        """Set up the simulator.

        Args:
            cars: fleet cars, 1 to 4, one on each arm.
            duration_s: time limit of an episode in seconds, > 0.

        Raises:
            WorldError: a number outside its range.
        """
        if not 1 <= cars <= 4:
            raise WorldError(f"expected 1 to 4 cars, one on each arm, got `{cars}`; give a number in that range")
        if not (math.isfinite(duration_s) and duration_s > 0):
            raise WorldError(f"expected a duration above 0 s, got `{duration_s}`; give seconds")
        self.possible_agents = [f"car-{number}" for number in range(1, cars + 1)]
        self.agents: list[str] = []
        self._num_ticks = math.ceil(duration_s * DECISIONS_HZ - 1e-9)
        self._simulator = _simulator(cars)
        self._geometry = Geometry.of(self._simulator.unwrapped.road.network)
        self._exits: np.random.Generator | None = None
        self._episode: _Episode | None = None
        observation = gymnasium.spaces.Box(0.0, 1.0, (len(domain_of(Car).fields),), np.float32)
        self.observation_spaces = dict.fromkeys(self.possible_agents, observation)
        self.action_spaces = {name: gymnasium.spaces.Discrete(3) for name in self.possible_agents}

    # The episode

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Sight], dict[str, dict[str, Any]]]:
        """Start an episode; without a seed the random streams go on."""
        self._simulator.reset(seed=seed)
        if seed is not None or self._exits is None:
            self._exits = np.random.default_rng(None if seed is None else [seed, EXITS_STREAM])
        draws = [int(draw) for draw in self._exits.integers(1, 4, size=len(self.possible_agents))]
        exits = tuple((arm + draw) % 4 for arm, draw in enumerate(draws))
        self._episode = _Episode(exits=exits)
        self.agents = list(self.possible_agents)
        for arm, (name, vehicle) in enumerate(zip(self.possible_agents, self._cars(), strict=True)):
            vehicle.plan_route_to(f"o{exits[arm]}")
            self._episode.names[vehicle] = name
            self._episode.paths[vehicle] = self._geometry.paths[arm, exits[arm]]
        self._look()
        return {name: sight(self.symbols(name)) for name in self.agents}, {name: {} for name in self.agents}

    def step(
        self, actions: dict[str, int]
    ) -> tuple[dict[str, Sight], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Advance by one decision; every car still taking part needs an action."""
        episode = self._running()
        missing = [name for name in self.agents if name not in actions]
        if missing:
            raise WorldError(f"expected an action for every car, got none for `{missing[0]}`; give slow where in doubt")
        stepping, before = list(self.agents), set(episode.crashed)
        episode.last = {name: int(actions[name]) for name in stepping}
        # The simulator moves all its cars, those that left the road without effect. Its `terminated` is a tuple, one
        # truth per car, and so always true as a whole: the end of the episode is told from the cars themselves.
        self._simulator.step(tuple(episode.last.get(name, KEEP) for name in self.possible_agents))
        episode.tick += 1
        episode.claims = {}
        self._look()
        self._note_crashes(stepping)
        self._note_arrivals(stepping)
        is_late = episode.tick >= self._num_ticks
        episode.is_over = bool(episode.crashed) or is_late or len(episode.arrived) == len(self.possible_agents)
        done = episode.arrived | set(episode.crashed)
        terminations = {name: name in done for name in stepping}
        truncations = {name: episode.is_over and name not in done for name in stepping}
        rewards = {
            name: float((name in episode.arrived) - (name in episode.crashed and name not in before))
            for name in stepping
        }
        observations = {name: sight(self._facts_of(name)) for name in stepping}
        self.agents = [name for name in stepping if not (terminations[name] or truncations[name])]
        self._clear_arrived()
        return observations, rewards, terminations, truncations, {name: {} for name in stepping}

    def close(self) -> None:
        """Close the simulator; nothing was ever drawn."""
        self._simulator.close()

    def observation_space(self, agent: str) -> gymnasium.Space[Sight]:
        """Space of the observation."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gymnasium.Space[np.int64]:
        """0 slow, 1 keep, 2 fast."""
        return self.action_spaces[agent]

    def render(self) -> None:
        """Nothing to draw: the report is made from the trace."""

    # What agents perceive, want and announce

    def symbols(self, agent: str) -> Facts:
        """What the car perceives now; what it was told in this step is in the two `other_` fields."""
        self._demand_part(agent)
        return self._facts_of(agent)

    def describe(self, agent: str) -> Description:
        """Go faster while slow, otherwise keep the pace; slowing down is wanted least."""
        self._demand_part(agent)
        is_slow = self._percept(agent).speed_mps < BRISK_MPS
        return Description(goal=(FAST, KEEP, SLOW) if is_slow else (KEEP, FAST, SLOW), role="car")

    def claims(self, agent: str) -> dict[str, ClaimValue]:
        """Go or yield, and whether the car is in the junction and on its way."""
        self._demand_part(agent)
        me, episode = self._seen(agent), self._running()
        is_past = me.s_m + braking(me.speed_mps, self.step_s) > STOP_LINE_M + MISSED_M
        is_going = is_past and episode.last.get(agent, KEEP) != SLOW
        return {"intent": "go" if is_going else "yield", "right_of_way": is_going and self._percept(agent).in_box}

    def receive(self, agent: str, claims: Mapping[str, Claim]) -> None:
        """Take in claims by sender; they hold until the next call or step."""
        self._demand_part(agent)
        episode = self._running()
        episode.claims[agent] = dict(claims)
        episode.facts.pop(agent, None)

    # What is true

    def truth(self) -> Truths:
        """What is true now. For the assessor alone."""
        episode = self._started()
        return Truths(
            tick=episode.tick,
            time_s=episode.tick * self.step_s,
            agents={name: self._agent_truth(name) for name in self.possible_agents},
            bodies=tuple(self._body(vehicle, name) for vehicle, name in self._present()),
            contacts=episode.contacts,
            is_over=episode.is_over,
        )

    def _agent_truth(self, agent: str) -> AgentTruth:
        episode = self._started()
        vehicle = self._cars()[self.possible_agents.index(agent)]
        is_there = any(seen.agent == agent for seen in episode.scene)
        return AgentTruth(
            has_crashed=agent in episode.crashed,
            has_arrived=agent in episode.arrived,
            speed_mps=float(vehicle.speed),
            facts=self._facts_of(agent) if is_there else None,
        )

    def _body(self, vehicle: Any, name: str) -> Body:
        episode = self._started()
        return Body(
            name=name,
            is_ours=name in self.possible_agents,
            x_m=float(vehicle.position[0]),
            y_m=float(vehicle.position[1]),
            heading_rad=float(vehicle.heading),
            speed_mps=float(vehicle.speed),
            length_m=CAR_LENGTH_M,
            width_m=CAR_WIDTH_M,
            priority=episode.paths[vehicle].priority,
            entered_s=episode.entered_s.get(name),
        )

    # Reading the simulator

    def _cars(self) -> list[Any]:
        return list(self._simulator.unwrapped.controlled_vehicles)

    def _present(self) -> list[tuple[Any, str]]:
        episode = self._started()
        return [(vehicle, episode.names[vehicle]) for vehicle in self._simulator.unwrapped.road.vehicles]

    def _look(self) -> None:
        """Take in the poses after a step."""
        episode = self._started()
        episode.scene = tuple(self._see(vehicle) for vehicle in self._simulator.unwrapped.road.vehicles)
        episode.percepts, episode.facts, episode.contacts = {}, {}, ()

    def _see(self, vehicle: Any) -> Seen:
        episode = self._started()
        if vehicle not in episode.paths:
            episode.paths[vehicle] = self._path_of(vehicle)
            episode.names[vehicle] = f"traffic-{len(episode.names) - len(self.possible_agents) + 1}"
        path, name = episode.paths[vehicle], episode.names[vehicle]
        x_m, y_m, heading = float(vehicle.position[0]), float(vehicle.position[1]), float(vehicle.heading)
        is_ours = name in self.possible_agents
        seen = Seen(
            agent=name if is_ours else None,
            number=self.possible_agents.index(name) + 1 if is_ours else 0,
            path=path,
            sample=path.nearest(x_m, y_m),
            x_m=x_m,
            y_m=y_m,
            heading_rad=heading,
            speed_mps=float(vehicle.speed),
            discs=discs_of(x_m, y_m, heading),
            has_crashed=bool(vehicle.crashed),
        )
        if seen.s_m > STOP_LINE_M:
            episode.entered_s.setdefault(name, episode.tick * self.step_s)
        return seen

    def _path_of(self, vehicle: Any) -> Path:
        """Movement of other traffic: the approach where it is first seen, and its turn signal."""
        start, end = (int(node[-1]) for node in vehicle.lane_index[:2])
        arm, exit_arm = (end + 2) % 4 if vehicle.lane_index[1].startswith("o") else start, end
        if vehicle.route:
            exit_arm = int(vehicle.route[-1][1][-1])
        return self._geometry.paths[arm, exit_arm if exit_arm != arm else (arm + 2) % 4]

    def _note_crashes(self, stepping: list[str]) -> None:
        episode = self._started()
        crashed = [seen for seen in episode.scene if seen.has_crashed]
        for name in stepping:
            me = self._seen(name)
            if me.has_crashed and name not in episode.crashed:
                others = [seen for seen in crashed if seen is not me]
                nearest = min(others, key=lambda o: math.hypot(o.x_m - me.x_m, o.y_m - me.y_m))
                episode.crashed[name] = episode.names[self._vehicle(nearest)]
        episode.contacts = tuple(Contact(name, other) for name, other in episode.crashed.items())

    def _vehicle(self, seen: Seen) -> Any:
        return self._simulator.unwrapped.road.vehicles[self._started().scene.index(seen)]

    def _note_arrivals(self, stepping: list[str]) -> None:
        episode, simulator = self._started(), self._simulator.unwrapped
        for name in stepping:
            vehicle = self._cars()[self.possible_agents.index(name)]
            if name not in episode.crashed and simulator.has_arrived(vehicle):
                episode.arrived.add(name)

    def _clear_arrived(self) -> None:
        episode, road = self._started(), self._simulator.unwrapped.road
        stay = [vehicle for vehicle in road.vehicles if episode.names[vehicle] not in episode.arrived]
        if len(stay) < len(road.vehicles):
            road.vehicles = stay
            contacts = episode.contacts
            self._look()
            episode.contacts = contacts

    def _seen(self, agent: str) -> Seen:
        return next(seen for seen in self._started().scene if seen.agent == agent)

    def _percept(self, agent: str) -> Percept:
        episode = self._started()
        if agent not in episode.percepts:
            me = self._seen(agent)
            others = [seen for seen in episode.scene if seen is not me]
            episode.percepts[agent] = perceive(me, others, self._geometry, self.step_s)
        return episode.percepts[agent]

    def _facts_of(self, agent: str) -> Facts:
        episode = self._started()
        if agent not in episode.facts:
            percept = self._percept(agent)
            told = episode.claims.get(agent, {}).get(percept.crossing_agent or "")
            # What was said in one step is received in the next.
            episode.facts[agent] = facts_of(percept, told, self.step_s)
        return episode.facts[agent]

    def _started(self) -> _Episode:
        if self._episode is None:
            raise WorldError("expected a started episode, got none; call reset first")
        return self._episode

    def _running(self) -> _Episode:
        episode = self._started()
        if episode.is_over:
            raise WorldError("expected a running episode, got one that is over; call reset")
        return episode

    def _demand_part(self, agent: str) -> None:
        self._started()
        if agent not in self.agents:
            raise WorldError(
                f"expected one of {', '.join(self.agents) or 'no agents'}, got `{agent}`; ask those taking part"
            )


def _simulator(cars: int) -> Any:
    """Default traffic; an empty observation, because symbols are read from the road itself (a quarter of the time)."""
    config = {
        "controlled_vehicles": cars,
        "policy_frequency": DECISIONS_HZ,
        "observation": {"type": "AttributesObservation", "attributes": []},
    }
    return gymnasium.make("intersection-multi-agent-v2", render_mode=None, disable_env_checker=True, config=config)
