"""Policies that need no core, and the table that compares arms on the same seeds.

    table = evaluate(scenario.world, greedy_compliant(rules), seeds=range(200))

`greedy_compliant` is the best that the rules allow an agent that wants what its goal says: the teacher of a core, and
the bar that a core is measured against.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agents.messaging.claims import Claim, checked
from scenarios.metrics import Measures, measure
from scenarios.statistics import Bounds, binomial_bounds
from scenarios.world import Truths, World
from symbolic import Action, Facts, RuleSet


class Policy(Protocol):
    """Chooses the index of an action."""

    def __call__(self, facts: Facts, goal: tuple[int, ...], rng: random.Random) -> int:
        """Choose.

        Args:
            facts: what the agent perceives.
            goal: indices of all actions, most wanted first.
            rng: the agent's own stream, seeded by episode.
        """


def always(index: int) -> Policy:
    """The same action at every step, such as SLOWER or IDLE."""

    def policy(facts: Facts, goal: tuple[int, ...], rng: random.Random) -> int:
        return index

    return policy


def uniform(facts: Facts, goal: tuple[int, ...], rng: random.Random) -> int:
    """Any action, all equally likely."""
    return rng.choice(sorted(goal))


def shielded_uniform(rules: RuleSet[Any, Any], safe_stop: Action) -> Policy:
    """Any action that complies, all equally likely: what the rules alone are worth."""
    stop = rules.actions.index(safe_stop)

    def policy(facts: Facts, goal: tuple[int, ...], rng: random.Random) -> int:
        compliant = rules.compliant(facts)
        return rng.choice([index for index, is_safe in enumerate(compliant) if is_safe] or [stop])

    return policy


def greedy_compliant(rules: RuleSet[Any, Any], safe_stop: Action) -> Policy:
    """The most wanted action that complies."""
    stop = rules.actions.index(safe_stop)

    def policy(facts: Facts, goal: tuple[int, ...], rng: random.Random) -> int:
        compliant = rules.compliant(facts)
        return next((index for index in goal if compliant[index]), stop)

    return policy


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsTable:
    """One arm over many episodes."""

    seeds: tuple[int, ...]
    episodes: tuple[Measures, ...]
    """One per seed, in order."""

    @property
    def collided(self) -> tuple[bool, ...]:
        """Per episode, whether anything of ours collided."""
        return tuple(episode.collisions > 0 for episode in self.episodes)

    @property
    def caused(self) -> tuple[bool, ...]:
        """Per episode, whether we caused a collision."""
        return tuple(episode.caused > 0 for episode in self.episodes)

    @property
    def arrivals(self) -> int:
        """Arrived agents, all episodes together."""
        return sum(episode.arrivals for episode in self.episodes)

    @property
    def arrival_rate(self) -> float:
        """Arrived agents out of all, in [0, 1]."""
        return self.arrivals / sum(episode.agents for episode in self.episodes)

    def bounds(self, happened: Sequence[bool]) -> Bounds:
        """95 % Clopper-Pearson interval of a per-episode rate."""
        return binomial_bounds(sum(happened), len(happened))

    def to_json(self) -> dict[str, float | int]:
        """The totals, for tables and files; an infinite time to collision is left out."""
        times = sorted(episode.min_ttc_s for episode in self.episodes)
        steps = sum(episode.ticks for episode in self.episodes)
        record: dict[str, float | int] = {
            "episodes": len(self.episodes),
            "episodes_with_collision": sum(self.collided),
            "collisions": sum(episode.collisions for episode in self.episodes),
            "caused": sum(episode.caused for episode in self.episodes),
            "near_misses": sum(episode.near_misses for episode in self.episodes),
            "arrivals": self.arrivals,
            "arrival_rate": round(self.arrival_rate, 4),
            "mean_speed_mps": round(sum(e.mean_speed_mps * e.ticks for e in self.episodes) / max(steps, 1), 3),
        }
        if times[len(times) // 2] != float("inf"):
            record["median_min_ttc_s"] = round(times[len(times) // 2], 3)
        return record


def evaluate(
    world_factory: Callable[[], World], policy: Policy, seeds: Iterable[int], *, speaks: bool = True
) -> MetricsTable:
    """Run one episode per seed and measure it.

    Args:
        world_factory: makes the world; one is made and used for all episodes.
        policy: decides for every agent.
        seeds: of the episodes; the same seeds make two arms comparable pair by pair.
        speaks: whether agents announce their claims, each known to the others from the next tick on.
    """
    world, listed = world_factory(), tuple(seeds)
    try:
        episodes = tuple(measure(play(world, policy, seed, speaks=speaks)) for seed in listed)
    finally:
        world.close()
    return MetricsTable(seeds=listed, episodes=episodes)


def play(world: World, policy: Policy, seed: int, *, speaks: bool = True) -> list[Truths]:
    """One episode; the truths after reset and after every step."""
    world.reset(seed=seed)
    streams = {agent: random.Random(f"{seed}/{agent}") for agent in world.possible_agents}
    history, said = [world.truth()], dict[str, Claim]()
    while world.agents:
        heard, said = said, announcements(world, history[-1].tick) if speaks else {}
        for agent in world.agents:
            world.receive(agent, {sender: claim for sender, claim in heard.items() if sender != agent})
        actions = {
            agent: policy(world.symbols(agent), world.describe(agent).goal, streams[agent]) for agent in world.agents
        }
        world.step(actions)
        history.append(world.truth())
    return history


def announcements(world: World, tick: int) -> dict[str, Claim]:
    """What every agent announces now, by sender, checked as a receiver would."""
    kinds = {name: spec.kind for name, spec in world.claim_fields.items()}
    said: dict[str, Claim] = {}
    for agent in world.agents:
        fields: Mapping[str, Any] = world.claims(agent)
        for kind in sorted({kinds[name] for name in fields}):
            said[agent] = checked(Claim(kind=kind, sender=agent, fields=dict(fields), tick=tick), world.claim_fields)
    return said
