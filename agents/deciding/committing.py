"""Deciding in turn: within one tick each agent commits to its action knowing what those before it have committed to.

All agents may ask the core at once; the check of what it proposes waits for the agent's turn. Peers that are still to
come will have to comply with us; only what binds us whatever they do is kept beside them at once. A silent peer never
comes, so it may do anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from agents.deciding.lexicon import Lexicon, lexicon
from agents.recording.events import PeerCommitment, Record
from symbolic import Action, Bound, Commitment, Facts, Joint, RuleSet, in_order


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a decision is held to, and the records that say so."""

    bound: Bound
    peers: tuple[PeerCommitment, ...]
    """The peers in the order of `bound.peers`, each with its decision."""
    lamport: int
    """Latest Lamport time of those decisions; 0 where there is none."""


@dataclass(slots=True, kw_only=True)
class _Place:
    """One agent in the order of its tick."""

    known: Commitment
    before: tuple[str, ...]
    """The peers that are silent or commit before it."""
    after: tuple[str, ...]
    """The peers that commit after it."""
    is_over: asyncio.Event = field(default_factory=asyncio.Event)
    """It has committed, or never will."""
    record: Record | None = None


class Commits:
    """The commitments of one tick."""

    def __init__(
        self,
        joint: Joint,
        seen: Mapping[str, Commitment],
        ranks: Mapping[str, float],
        *,
        silent: Iterable[str] = (),
        aside: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        """Open a tick.

        Args:
            joint: the joint rules.
            seen: every agent with what it perceives; nobody has committed yet.
            ranks: the higher commits first; equal ones by name.
            silent: agents that are known to say nothing.
            aside: entered by an agent while it waits for its turn.
        """
        self._joint, self._aside, self._silent = joint, aside, frozenset(silent)
        order = [name for name in in_order(ranks) if name not in self._silent]
        heard = {name: replace(one, facts=None) if name in self._silent else one for name, one in seen.items()}
        peers = joint.peers(heard)
        places = {name: place for place, name in enumerate(order)}
        self._places = {
            name: _Place(
                known=one,
                before=tuple(sorted(peers[name] & self._silent))
                + tuple(other for other in order[: places.get(name, 0)] if other in peers[name]),
                after=tuple(other for other in order[places.get(name, 0) + 1 :] if other in peers[name]),
            )
            for name, one in heard.items()
        }
        for name in self._silent:
            self.close(name)

    async def turn(self, agent: str, facts: Facts) -> Held:
        """Wait until all peers before an agent have committed; what it is held to then."""
        place = self._places[agent]
        if agent in self._silent:  # it hears nobody either
            return Held(bound=self._joint.bind(place.known.rules, facts, []), peers=(), lamport=0)
        with self._aside(agent):
            for name in place.before:
                await self._places[name].is_over.wait()
        before, after = ([self._places[name].known for name in names] for names in (place.before, place.after))
        bound = self._joint.bind(place.known.rules, facts, before, after)
        made = {name: record for name in bound.peers if (record := self._places[name].record) is not None}
        peers = tuple(_told(name, made.get(name), is_silent=name in place.before) for name in bound.peers)
        return Held(bound=bound, peers=peers, lamport=max((one.lamport for one in made.values()), default=0))

    def commit(self, agent: str, action: Action, record: Record) -> None:
        """Let those after an agent know what it does; of a silent agent nobody hears."""
        place = self._places[agent]
        if agent not in self._silent:
            place.known, place.record = replace(place.known, action=action), record
            place.is_over.set()

    def close(self, agent: str) -> None:
        """An agent says nothing more: who waits for it takes the worst for granted, unless it has committed."""
        self._places[agent].is_over.set()


def _told(name: str, record: Record | None, *, is_silent: bool) -> PeerCommitment:
    """What is recorded of a peer: its decision, or that it has none and why."""
    if record is None:
        return PeerCommitment(agent=name, decision_seq=None, decision_sha256=None, is_silent=is_silent)
    return PeerCommitment(agent=name, decision_seq=record.seq, decision_sha256=record.hash)


@lru_cache(maxsize=256)
def words_of(rules: RuleSet[Any, Any]) -> Lexicon:
    """The lexicon of a bound rule set, made once."""
    return lexicon(rules)
