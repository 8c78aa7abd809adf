"""What a world is: a PettingZoo `ParallelEnv` that also says what each agent perceives, wants and may announce.

Agents and the run-time check read `symbols`, `describe` and `claims`; `truth` is for the assessor after the step alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import gymnasium
import numpy as np
from numpy.typing import NDArray

from agents.messaging.claims import Claim, ClaimField, ClaimValue
from symbolic.facts import Facts

Sight: TypeAlias = NDArray[np.float32]
"""Observation of one agent: its perceived fields in declaration order, each scaled to [0, 1]."""


class WorldError(ValueError):
    """A world used out of order, or an agent that takes no part: one line, with what to do."""


@dataclass(frozen=True, slots=True)
class Description:
    """What one agent is after, rendered from its own perceived state."""

    goal: tuple[int, ...]
    """Indices of all actions, most wanted first."""
    role: str
    """Name of the agent's role in the scenario."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """True pose of one thing that takes up room."""

    name: str
    """The agent's name, or the world's own name of a body that no agent drives."""
    is_ours: bool
    """True where an agent of the scenario drives it."""
    x_m: float
    y_m: float
    heading_rad: float
    """Direction in which its front points."""
    speed_mps: float
    """Along the heading; negative in reverse."""
    length_m: float
    width_m: float
    priority: int
    """Rank of its movement at the crossing: the higher has right of way."""
    entered_s: float | None = None
    """Time at which it entered the crossing; None while it has not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTruth:
    """What is true of one agent after a step."""

    has_crashed: bool
    has_arrived: bool
    speed_mps: float
    facts: Facts | None
    """Its state without error of sensing, for the assessor's own check; None once it has left the world."""


@dataclass(frozen=True, slots=True)
class Contact:
    """Two bodies that touched in the last step; the first is one of ours."""

    agent: str
    other: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Truths:
    """What is true after a step; for the assessor alone."""

    tick: int
    """Steps since reset."""
    time_s: float
    """Simulated time since reset."""
    agents: Mapping[str, AgentTruth]
    """Every agent that ever took part, by name."""
    bodies: tuple[Body, ...]
    """Everything in the world, bodies that touched in this step included."""
    contacts: tuple[Contact, ...]
    """First touches of this step."""
    is_over: bool


class World(Protocol):
    """A `ParallelEnv` by shape, plus what agents perceive and announce."""

    agents: list[str]
    """Those still taking part."""
    possible_agents: list[str]
    step_s: float
    """Simulated time of one step."""
    claim_fields: Mapping[str, ClaimField]
    """Fields that a claim may carry; anything else is refused before it gets here."""

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Sight], dict[str, dict[str, Any]]]:
        """Start an episode; the same seed gives the same episode for the same actions."""

    def step(
        self, actions: dict[str, int]
    ) -> tuple[dict[str, Sight], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Let every agent act by the index of its action; observations, rewards, terminations, truncations, infos."""

    def observation_space(self, agent: str) -> gymnasium.Space[Sight]:
        """Space of the observation."""

    def action_space(self, agent: str) -> gymnasium.Space[np.int64]:
        """One number per action, in declaration order."""

    def symbols(self, agent: str) -> Facts:
        """What the agent perceives now, what it was told included: all that may be checked before the step."""

    def describe(self, agent: str) -> Description:
        """What the agent wants now, from what it perceives."""

    def claims(self, agent: str) -> dict[str, ClaimValue]:
        """What the agent may announce now, by claim field."""

    def receive(self, agent: str, claims: Mapping[str, Claim]) -> None:
        """Hand an agent the claims that reached it, by sender; they hold until the next call."""

    def truth(self) -> Truths:
        """What is true now. For the assessor alone."""

    def close(self) -> None:
        """Give back what the world holds."""


def sight(facts: Facts) -> Sight:
    """The observation that belongs to exact facts: codes scaled to [0, 1] in declaration order."""
    spans = [(field, facts.span(field)) for field in facts.schema.__domain__.fields]
    return np.array([(low + high - 2 * f.low) / (2 * (f.high - f.low)) for f, (low, high) in spans], dtype=np.float32)
