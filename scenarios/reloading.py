"""Rules that change in the middle of a run: signed proposals over the bus, proved on a worker, live between ticks.

The operator proposes in tick t - 1, agents hear it in tick t, and the tick waits for the proof: so a seed gives one
run, however long proving takes.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from agents.deciding.decision import rule_cards
from agents.messaging import (
    Envelope,
    EnvelopeError,
    Gate,
    Identity,
    Proposal,
    ProposalError,
    SignatureError,
    Trust,
    compose,
    propose,
)
from agents.recording.events import OPERATOR_OWNER, MessageSent, RulesChanged
from agents.recording.log import Chain
from agents.recording.trace import Trace
from scenarios.config import ConfigError, RunConfig
from scenarios.scenario import Scenario, ScenarioError
from symbolic import Judgement, ReloadError, RuleError, RuleSet, RuleStore

MAX_CHARS: Final = 30_000
"""Canonical JSON that a message can hold in any case, its quotes escaped."""

Source = Callable[[int, Mapping[str, str]], Sequence[Proposal]]
"""Proposals that the operator sends in a tick, given the live version of every role."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A swap that has been made in the store of a role."""

    role: str
    after: RuleSet[Any, Any]
    scenario: Scenario
    """The scenario with these rules in the place of those before."""
    event: RulesChanged


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    """An admitted proposal, and the judgement that is being made on it."""

    message: str
    proposal: Proposal
    judgement: Future[Judgement]


class Reloads:
    """The changes of rules of one run."""

    def __init__(self, scenario: Scenario, gate: Gate, source: Source) -> None:
        """`gate` lets proposals in, `source` gives those that the operator sends."""
        self._scenario, self._gate, self._source = scenario, gate, source
        self._stores: dict[str, RuleStore[Any, Any]] = {
            name: RuleStore(role.rules, safe_stop=role.safe_stop) for name, role in scenario.roles.items()
        }
        self._waiting: list[_Waiting] = []
        self._num_sent = 0

    @classmethod
    def of(
        cls, config: RunConfig, scenario: Scenario, run: str, source: Source | None, identity: Identity | None
    ) -> Self:
        """Those that the settings ask for; `source` replaces the operator that signs with `identity`, see `run`.

        Raises:
            ConfigError: a role that the scenario has not, or rules that fit into no message.
        """
        for reload in config.reloads:
            if len(reload.text) > MAX_CHARS:
                raise ConfigError(
                    f"expected rules of at most {MAX_CHARS} characters, got {len(reload.text)}; no message holds more"
                )
            if reload.role not in scenario.roles:
                raise ConfigError(
                    f"expected a role among {', '.join(scenario.roles)}, got `{reload.role}`; correct --reload"
                )
        gate = Gate(run, Trust({OPERATOR_OWNER: config.operator}))
        return cls(scenario, gate, source or signing(config, run, identity or identity_of(config.seed)))

    @property
    def live(self) -> dict[str, str]:
        """Role -> hash of its live version."""
        return {name: store.live.sha256 for name, store in self._stores.items()}

    def announce(self, tick: int, t_sim: float, valid_s: float, chain: Chain) -> list[Envelope]:
        """What the operator sends in a tick, recorded as sent.

        Raises:
            ConfigError: rules that fit into no message.
        """
        sent = []
        for proposal in self._source(tick, self.live):
            try:
                envelope = compose(
                    run=proposal.run,
                    src=OPERATOR_OWNER,
                    seq=self._num_sent,
                    tick=tick,
                    t_sim=t_sim,
                    valid_until=t_sim + valid_s,
                    lamport=chain.lamport + 1,
                    prev=chain.head,
                    body=proposal,
                )
                content = envelope.model_dump(mode="json")
                chain.append(tick, MessageSent(id=envelope.id, sha256=envelope.sha256, envelope=content))
            except EnvelopeError as error:
                raise ConfigError(f"expected rules that fit into a message, got: {error}") from error
            self._num_sent += 1
            sent.append(envelope)
        return sent

    def hear(self, tick: int, envelopes: Iterable[Envelope]) -> list[str]:
        """Let proposals in, and have them judged from now on; why others are refused."""
        refused = []
        for envelope in envelopes:
            try:
                proposal = envelope.proposal()
                self._gate.admit(proposal, tick=tick, live=self.live)
            except (SignatureError, ProposalError) as error:
                refused.append(f"{envelope.id}: {error}")
                continue
            judgement = self._stores[proposal.role].propose(proposal.rules, by=proposal.signer)
            self._waiting.append(_Waiting(message=envelope.id, proposal=proposal, judgement=judgement))
        return refused

    async def due(self, tick: int) -> AsyncIterator[Change | str]:
        """Make the swaps of a tick, each once its judgement is there; a text says why one is not made."""
        now = [one for one in self._waiting if one.proposal.activate_at <= tick]
        self._waiting = [one for one in self._waiting if one.proposal.activate_at > tick]
        for one in now:
            yield self._swapped(one, await asyncio.wrap_future(one.judgement))

    def close(self) -> None:
        """End the workers."""
        for store in self._stores.values():
            store.close()

    def _swapped(self, one: _Waiting, judgement: Judgement) -> Change | str:
        if judgement.rejection is not None or judgement.difference is None:
            rejection = judgement.rejection
            return (
                f"{one.message}: {rejection.cause}: {rejection.text}" if rejection else f"{one.message}: not compared"
            )
        role, store = one.proposal.role, self._stores[one.proposal.role]
        before = store.live
        after = RuleSet.from_json(one.proposal.rules, before.declared_state, before.action)
        try:
            roles = {**self._scenario.roles, role: replace(self._scenario.roles[role], rules=after)}
            scenario = replace(self._scenario, roles=roles)  # refuses what no prompt can show, or no joint rules fit
            store.activate(judgement.sha256, by=one.proposal.signer)
        except (ScenarioError, RuleError, ReloadError) as error:
            return f"{one.message}: {error}"
        self._scenario = scenario
        event = RulesChanged(
            role=role,
            previous_sha256=before.sha256,
            ruleset_sha256=after.sha256,
            rules=rule_cards(after),
            proposal=one.message,
            relation=judgement.difference.relation.value,
        )
        return Change(role=role, after=after, scenario=scenario, event=event)


def identity_of(seed: int) -> Identity:
    """The operator's key of a run without one of its own: no secret, since anyone who knows the seed can make it."""
    return Identity.of_seed(hashlib.sha256(f"localist operator {seed}".encode()).digest())


def signing(config: RunConfig, run: str, identity: Identity) -> Source:
    """The operator that signs what the settings ask for, each one tick before it is due."""
    planned = sorted(config.reloads, key=lambda one: (one.tick, one.role))

    def source(tick: int, live: Mapping[str, str]) -> list[Proposal]:
        return [
            propose(
                identity,
                run=run,
                role=one.role,
                base=live[one.role],
                activate_at=one.tick,
                seq=number,
                signer=OPERATOR_OWNER,
                rules=one.text,
            )
            for number, one in enumerate(planned)
            if one.tick == tick + 1
        ]

    return source


def recorded_proposals(trace: Trace) -> Source:
    """What the operator sent in a recorded run, with the signatures that it had."""
    sent = [(record.tick, record.event) for record in trace.records if record.agent == OPERATOR_OWNER]
    bodies = [(tick, event.envelope["body"]) for tick, event in sent if isinstance(event, MessageSent)]
    proposals = [(tick, Proposal.from_body(body)) for tick, body in bodies if isinstance(body, dict)]
    return lambda tick, live: [proposal for at, proposal in proposals if at == tick]
