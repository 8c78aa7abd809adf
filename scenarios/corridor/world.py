"""Two one-way corridors that share one cell: the main one runs east, the other north.

A cart stands at a place on its corridor, counted from the crossing cell: below 0 before it, 0 on it, above 0 beyond it.
All carts move at once, one cell or none; two in one cell have collided.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import gymnasium
import numpy as np
from pettingzoo import ParallelEnv

from agents.messaging.claims import Claim, ClaimField, ClaimValue, heard_of
from scenarios.corridor.rules import Cart
from scenarios.world import AgentTruth, Body, Contact, Description, Sight, Truths, WorldError, sight
from symbolic import Facts, Interval, admit, domain_of, perceived

WAIT, GO = range(2)
FAR: Final = 9
"""Top of every count: this many or more."""
START_CELLS: Final = (2, 8)
"""Nearest and farthest start before the crossing."""
EXIT_CELLS: Final = 3
"""A cart that far beyond the crossing has arrived."""
CART_M: Final = 0.5

CLAIM_FIELDS: Final[Mapping[str, ClaimField]] = MappingProxyType(
    {"intent": ClaimField(kind="intent", type="str", words=("go", "yield"))}
)


@dataclass(slots=True, kw_only=True)
class _Episode:
    """What changes while an episode runs."""

    places: dict[str, int]
    """Place of each cart in the world."""
    tick: int = 0
    moved: dict[str, bool] = field(default_factory=dict)
    entered_s: dict[str, float] = field(default_factory=dict)
    arrived: set[str] = field(default_factory=set)
    crashed: set[str] = field(default_factory=set)
    contacts: tuple[Contact, ...] = ()
    claims: dict[str, Mapping[str, Claim]] = field(default_factory=dict)
    is_over: bool = False


class CorridorWorld(ParallelEnv[str, Sight, int]):  # type: ignore[misc]  # pettingzoo is untyped
    """The crossing cell; odd carts run east on the main corridor, even ones north.

    An episode ends with the first collision, when all carts have arrived, or at the time limit.
    """

    metadata: dict[str, Any] = {"name": "corridor", "render_modes": [], "is_parallelizable": True}  # noqa: RUF012
    render_mode: str | None = None
    step_s: float = 1.0
    claim_fields: Mapping[str, ClaimField] = CLAIM_FIELDS

    def __init__(self, carts: int = 4, num_ticks: int = 30, blur_cells: int = 0) -> None:
        """Set up the corridors.

        Args:
            carts: 1 to 8 carts, half of them on each corridor.
            num_ticks: time limit of an episode in steps, >= 1.
            blur_cells: error of sensing the rival's distance, 0 to 9: above 0 it is perceived as an interval.

        Raises:
            WorldError: a number outside its range.
        """
        if not 1 <= carts <= 8:
            raise WorldError(f"expected 1 to 8 carts, got `{carts}`; give a number in that range")
        if num_ticks < 1 or not 0 <= blur_cells <= FAR:
            raise WorldError(
                f"expected at least 1 tick and a blur of 0 to 9, got `{num_ticks}`, `{blur_cells}`; change them"
            )
        self.possible_agents = [f"cart-{number}" for number in range(1, carts + 1)]
        self.agents: list[str] = []
        self._num_ticks = num_ticks
        self._blur = blur_cells
        self._starts: np.random.Generator | None = None
        self._episode: _Episode | None = None
        observation = gymnasium.spaces.Box(0.0, 1.0, (len(domain_of(Cart).fields),), np.float32)
        self.observation_spaces = dict.fromkeys(self.possible_agents, observation)
        self.action_spaces = {name: gymnasium.spaces.Discrete(2) for name in self.possible_agents}

    # The episode

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Sight], dict[str, dict[str, Any]]]:
        """Start an episode; without a seed the random stream goes on."""
        if seed is not None or self._starts is None:
            self._starts = np.random.default_rng(seed)
        near, far = START_CELLS
        places: dict[str, int] = {}
        for parity in (0, 1):
            names = self.possible_agents[parity::2]
            cells = sorted(self._starts.choice(np.arange(near, far + 1), size=len(names), replace=False).tolist())
            places.update(zip(names, (-cell for cell in cells), strict=True))
        self._episode = _Episode(places={name: places[name] for name in self.possible_agents})
        self.agents = list(self.possible_agents)
        return {name: sight(self.symbols(name)) for name in self.agents}, {name: {} for name in self.agents}

    def step(
        self, actions: dict[str, int]
    ) -> tuple[dict[str, Sight], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Move every cart that goes; each cart still taking part needs an action."""
        episode, stepping = self._running(), list(self.agents)
        missing = [name for name in stepping if name not in actions]
        if missing:
            raise WorldError(
                f"expected an action for every cart, got none for `{missing[0]}`; give wait where in doubt"
            )
        episode.tick += 1
        episode.claims = {}
        episode.moved = {name: int(actions[name]) == GO for name in stepping}
        for name in stepping:
            episode.places[name] += episode.moved[name]
            if episode.places[name] >= 0:
                episode.entered_s.setdefault(name, episode.tick * self.step_s)
        episode.contacts = self._touching(stepping)
        episode.crashed = {contact.agent for contact in episode.contacts}
        episode.arrived |= {n for n in stepping if episode.places[n] >= EXIT_CELLS and n not in episode.crashed}
        is_late = episode.tick >= self._num_ticks
        episode.is_over = bool(episode.crashed) or is_late or len(episode.arrived) == len(self.possible_agents)
        done = episode.arrived | episode.crashed
        terminations = {name: name in done for name in stepping}
        truncations = {name: episode.is_over and name not in done for name in stepping}
        rewards = {name: float((name in episode.arrived) - (name in episode.crashed)) for name in stepping}
        observations = {name: sight(self._facts_of(name, self._blur)) for name in stepping}
        self.agents = [name for name in stepping if not (terminations[name] or truncations[name])]
        for name in episode.arrived & set(episode.places):
            del episode.places[name]
        return observations, rewards, terminations, truncations, {name: {} for name in stepping}

    def close(self) -> None:
        """Nothing is held."""

    def observation_space(self, agent: str) -> gymnasium.Space[Sight]:
        """Space of the observation."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gymnasium.Space[np.int64]:
        """0 wait, 1 go."""
        return self.action_spaces[agent]

    def render(self) -> None:
        """Nothing to draw: the report is made from the trace."""

    # What agents perceive, want and announce

    def symbols(self, agent: str) -> Facts:
        """What the cart perceives now; what it was told in this step is in `rival_intent`."""
        self._demand_part(agent)
        return self._facts_of(agent, self._blur)

    def describe(self, agent: str) -> Description:
        """Going is always wanted more than waiting."""
        self._demand_part(agent)
        return Description(goal=(GO, WAIT), role="cart")

    def claims(self, agent: str) -> dict[str, ClaimValue]:
        """Go on the crossing or with right of way in front of it, otherwise yield."""
        self._demand_part(agent)
        place = self._started().places[agent]
        return {"intent": "go" if place == 0 or (place == -1 and not self._must_yield(agent)) else "yield"}

    def receive(self, agent: str, claims: Mapping[str, Claim]) -> None:
        """Take in claims by sender; they hold until the next call or step."""
        self._demand_part(agent)
        self._running().claims[agent] = dict(claims)

    # What is true

    def truth(self) -> Truths:
        """What is true now. For the assessor alone."""
        episode = self._started()
        return Truths(
            tick=episode.tick,
            time_s=episode.tick * self.step_s,
            agents={name: self._agent_truth(name) for name in self.possible_agents},
            bodies=tuple(self._body(name) for name in episode.places),
            contacts=episode.contacts,
            is_over=episode.is_over,
        )

    def _agent_truth(self, agent: str) -> AgentTruth:
        episode = self._started()
        return AgentTruth(
            has_crashed=agent in episode.crashed,
            has_arrived=agent in episode.arrived,
            speed_mps=float(episode.moved.get(agent, False)) / self.step_s,
            facts=self._facts_of(agent, 0) if agent in episode.places else None,
        )

    def _body(self, name: str) -> Body:
        episode, is_east = self._started(), self._is_east(name)
        place = float(episode.places[name])
        return Body(
            name=name,
            is_ours=True,
            x_m=place if is_east else 0.0,
            y_m=0.0 if is_east else place,
            heading_rad=0.0 if is_east else math.pi / 2,
            speed_mps=float(episode.moved.get(name, False)) / self.step_s,
            length_m=CART_M,
            width_m=CART_M,
            priority=2 if is_east else 1,
            entered_s=episode.entered_s.get(name),
        )

    def _touching(self, stepping: list[str]) -> tuple[Contact, ...]:
        cells = {name: self._cell(name) for name in stepping}
        pairs = ((one, other) for one in stepping for other in stepping if one != other)
        return tuple(Contact(one, other) for one, other in pairs if cells[one] == cells[other])

    def _cell(self, name: str) -> tuple[bool, int]:
        place = self._started().places[name]
        return place == 0 or self._is_east(name), place

    # Perception

    def _facts_of(self, agent: str, blur: int) -> Facts:
        episode = self._started()
        place, is_east = episode.places[agent], self._is_east(agent)
        others = {name: at for name, at in episode.places.items() if name != agent}
        ahead = [at - place for name, at in others.items() if self._is_east(name) == is_east and at > place]
        ahead += [-place for name, at in others.items() if self._is_east(name) != is_east and at == 0 and place < 0]
        rivals = {name: -at for name, at in others.items() if self._is_east(name) != is_east and at <= 0}
        rival = min(rivals, key=lambda name: (rivals[name], name), default=None)
        told = episode.claims.get(agent, {}).get(rival or "")
        rival_in = min(rivals[rival], FAR) if rival else FAR
        low, high = max(rival_in - blur, 0), min(rival_in + blur, FAR)
        seen = perceived(
            Cart,
            free_cells=min(min(ahead, default=FAR + 1) - 1, FAR),
            crossing_in=min(max(-place, 0), FAR),
            is_on_crossing=place == 0,
            rival_in=rival_in if low == high else Interval(low, high),
            must_yield=rival is not None and self._must_yield(agent),
        )
        # What was said in one step is received in the next.
        return admit(seen, heard_of(told, {"rival_intent": "intent"}, role="cart", age_s=self.step_s)).facts

    def _is_east(self, name: str) -> bool:
        return self.possible_agents.index(name) % 2 == 0

    def _must_yield(self, name: str) -> bool:
        return not self._is_east(name)

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
