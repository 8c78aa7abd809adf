"""The one stateful shell: an agent with a name, a role and a log, which hears, decides and speaks once a tick.

envelope = agent.announce(tick, t_sim, claim)          # recorded, then published by whoever owns the bus
decision = await agent.act(tick, t_sim, facts, goal, inbox, ask)
agent.applied(tick)                                    # after the world took the action
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from agents.deciding.committing import Commits, Held, words_of
from agents.deciding.decide import Ask, KnockOut, Ladder, Situation, decide, unreadable
from agents.deciding.decision import Decision, label, record_of, rule_cards
from agents.deciding.lexicon import Lexicon, lexicon
from agents.deciding.prompting import Message
from agents.messaging import Anchor, Claim, Envelope, compose
from agents.recording.events import Applied, BoundRules, BoundTo, MessageReceived, MessageSent, Observation
from agents.recording.log import Chain
from localist_core import DialSchedule
from symbolic import Action, Facts, RuleSet, Shield

MAX_MESSAGES = 6
"""Messages in one prompt at most: the newest, of one tick the last in the inbox; all are recorded."""


class Agent:
    """One agent of a run."""

    def __init__(
        self,
        name: str,
        *,
        run: str,
        role: str,
        rules: RuleSet[Any, Any],
        safe_stop: Action,
        schedule: DialSchedule,
        ladder: Ladder,
        chain: Chain,
        valid_s: float,
        shield: Shield[Any, Any] | None = None,
    ) -> None:
        """Make an agent.

        Args:
            name: its name on the bus and in the trace.
            run: identity of the run, 32 hex digits.
            role: name of its role.
            rules: the rule set of the role.
            safe_stop: the declared safe stop.
            schedule: how its dial rises.
            ladder: which rungs it may use.
            chain: its own log.
            valid_s: for how long, in simulated seconds, what it announces may be acted on.
            shield: the witnesses of the proof that the rules always leave an action; None leaves that rung out.
        """
        self.name, self.role, self.chain = name, role, chain
        self._run, self._valid_s = run, valid_s
        self._words: Lexicon = lexicon(rules)
        self._safe_stop = rules.actions.index(safe_stop)
        self._schedule, self._ladder, self._shield = schedule, ladder, shield
        self._num_sent = 0
        self._last: tuple[Decision, int] | None = None
        self._anchor: Anchor | None = None
        self._bound: set[str] = set()
        """Hashes of the rule sets beside peers that are recorded already."""

    @property
    def rules(self) -> RuleSet[Any, Any]:
        """The rules that it decides by."""
        return self._words.ruleset

    def adopt(self, rules: RuleSet[Any, Any]) -> None:
        """Decide by other rules, over the same types, from the next decision on."""
        safe_stop = self.rules.actions[self._safe_stop]
        self._words, self._safe_stop = lexicon(rules), rules.actions.index(safe_stop)

    def announce(self, tick: int, t_sim: float, body: Claim | str) -> Envelope:
        """A message of this agent, recorded as sent; its parents are what its last decision rested on."""
        envelope = compose(
            run=self._run,
            src=self.name,
            seq=self._num_sent,
            tick=tick,
            t_sim=t_sim,
            valid_until=t_sim + self._valid_s,
            lamport=self.chain.lamport + 1,
            prev=self.chain.head,
            body=body,
            parents=self._last[0].parents if self._last else (),
            anchors=(self._anchor,) if self._anchor else (),
        )
        self._num_sent += 1
        content: dict[str, Any] = envelope.model_dump(mode="json")
        self.chain.append(tick, MessageSent(id=envelope.id, sha256=envelope.sha256, envelope=content))
        return envelope

    async def act(
        self,
        tick: int,
        t_sim: float,
        facts: Facts | None,
        goal: tuple[int, ...],
        inbox: Sequence[Envelope],
        ask: Ask,
        knock_out: KnockOut | None = None,
        commits: Commits | None = None,
    ) -> Decision:
        """Decide, and record what was heard, perceived and decided, and what failed on the way.

        Args:
            tick: the tick.
            t_sim: simulated time in seconds; messages that are no longer valid are heard but not read.
            facts: what the agent perceives, claims included; None if there is no observation.
            goal: indices of all actions, most wanted first.
            inbox: messages that arrived, in order.
            ask: the shared core.
            knock_out: measures what an injected block did; None leaves that out.
            commits: the commitments of this tick, where joint rules bind the agent; None where it decides for itself.
        """
        for envelope in inbox:
            self.chain.observe(envelope.lamport)
            received = MessageReceived(id=envelope.id, sha256=envelope.sha256, src=envelope.src, type=envelope.type)
            self.chain.append(tick, received)
        valid = sorted((one for one in inbox if one.is_valid_at(t_sim)), key=lambda envelope: envelope.tick)
        observed = self._observe(tick, facts)
        here = Situation(
            agent=self.name,
            role=self.role,
            words=self._words,
            facts=facts,
            goal=goal,
            safe_stop=self._safe_stop,
            messages=tuple(message_of(one) for one in [one for one in valid if one.type != "rules"][-MAX_MESSAGES:]),
            claims=tuple(envelope.id for envelope in valid if envelope.type == "claim"),
            schedule=self._schedule,
            shield=self._shield,
        )
        held: list[int] = []

        async def turn(here: Situation) -> Situation:
            if commits is None or here.facts is None:
                return here
            found = await commits.turn(self.name, here.facts)
            if not found.peers:
                return here
            held.append(self._bind(tick, found))
            # The shield's proof is about the role alone; beside peers the rungs above it search all actions.
            return replace(here, words=words_of(found.bound.rules), facts=found.bound.facts, shield=None)

        decision = await decide(here, ask, self._ladder, knock_out, turn)
        for fault in decision.faults:
            self.chain.append(tick, fault)
        actions = self._words.ruleset.actions
        event = record_of(
            decision,
            actions=actions,
            observation_seq=held[-1] if held else observed,
            text=lambda text: self.chain.text(tick, text),
        )
        record = self.chain.append(tick, event)
        self._anchor = Anchor(owner=self.name, kind="decision", seq=record.seq, sha256=record.hash)
        self._last = (decision, record.seq)
        if commits is not None:
            commits.commit(self.name, actions[decision.action], record)
        return decision

    def applied(self, tick: int) -> None:
        """Record that the world was given the action of the last decision.

        Raises:
            ValueError: nothing was decided yet.
        """
        if self._last is None:
            raise ValueError(f"expected a decision of `{self.name}` before it is applied, got none; let it act first")
        decision, seq = self._last
        fields = self._words.ruleset.actions[decision.action].model_dump()
        self.chain.append(tick, Applied(action=label(decision.action), fields=fields, decision_seq=seq))

    def _bind(self, tick: int, held: Held) -> int:
        """Record what a decision is held to; index of the observation that holds what is known of the peers."""
        self.chain.observe(held.lamport)
        rules = held.bound.rules
        if rules.sha256 not in self._bound:
            self._bound.add(rules.sha256)
            self.chain.append(tick, BoundRules(ruleset_sha256=rules.sha256, rules=rule_cards(rules)))
        seen = self._record(tick, held.bound.facts)
        self.chain.append(tick, BoundTo(ruleset_sha256=rules.sha256, observation_seq=seen, peers=held.peers))
        return seen

    def _observe(self, tick: int, facts: Facts | None) -> int | None:
        """Index of the recorded observation; None if there is none that can be written down."""
        if facts is None or unreadable(facts, self._words.ruleset):
            return None
        return self._record(tick, facts)

    def _record(self, tick: int, facts: Facts) -> int:
        """Index of the recorded observation."""
        content = json.loads(facts.to_json())
        event = Observation(facts=content, facts_sha256=facts.sha256, age_s=facts.age_s)
        return self.chain.append(tick, event).seq


def message_of(envelope: Envelope) -> Message:
    """A message as a prompt shows it: a claim's fields, or a note's text."""
    if envelope.type == "claim":
        claim = envelope.claim()
        said = " ".join(f"{name} {_plain(value)}" for name, value in sorted(claim.fields.items()))
        return Message(sender=envelope.src, text=f"{claim.kind} {said}", envelope=envelope.id)
    return Message(sender=envelope.src, text=str(envelope.body["text"]), envelope=envelope.id)


def _plain(value: bool | int | float | str) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
