"""Joint rules in a run: who commits after whom, what is recorded of the rules, and what the assessor sees broken."""

from __future__ import annotations

import math
from collections.abc import Mapping

from agents.deciding.committing import Commits
from agents.deciding.decide import Ladder, unreadable
from agents.deciding.decision import Decision
from scenarios.config import Part, RunConfig
from scenarios.desk import Desk
from scenarios.scenario import Role, Scenario
from scenarios.world import Truths
from symbolic import Commitment, Facts


def opened(scenario: Scenario, config: RunConfig, seen: Mapping[str, Facts | None], desk: Desk) -> Commits | None:
    """The commitments of a tick, still to be made; None where each agent decides for itself."""
    if scenario.joint is None or not config.has(Part.JOINT):
        return None
    known = {name: _known(scenario.role_of(name), name, facts) for name, facts in seen.items()}
    return Commits(
        scenario.joint,
        known,
        {name: _rank(scenario.role_of(name), one) for name, one in known.items()},
        silent=scenario.silent & known.keys(),
        aside=desk.aside,
    )


def _known(role: Role, name: str, facts: Facts | None) -> Commitment:
    """What is known of an agent; a stale observation says as little about it to others as to itself."""
    is_known = facts is not None and not unreadable(facts, role.rules) and facts.age_s <= Ladder().max_age_s
    return Commitment(name=name, rules=role.rules, facts=facts if is_known else None, action=None)


def _rank(role: Role, one: Commitment) -> float:
    """Whoever cannot look at the others does its safe stop whatever they do, so it commits first."""
    return math.inf if one.facts is None else role.rank


def rule_texts(scenario: Scenario, config: RunConfig) -> dict[str, str]:
    """Hash and canonical JSON of the rules that the header names."""
    texts = {role.rules.sha256: role.rules.to_json() for role in scenario.roles.values()}
    if scenario.joint is not None and config.has(Part.JOINT):
        texts.update({one.sha256: one.to_json() for one in scenario.joint.sets})
    return texts


def broken_together(
    scenario: Scenario, truths: Truths, decisions: Mapping[str, Decision]
) -> dict[str, tuple[str, ...]] | None:
    """For each agent the joint rules that its action broke, with whom, in the state as it was; None without any."""
    if scenario.joint is None:
        return None
    done = {}
    for name, decision in decisions.items():
        rules, facts = scenario.role_of(name).rules, truths.agents[name].facts
        done[name] = Commitment(name=name, rules=rules, facts=facts, action=rules.actions[decision.action])
    joint, peers = scenario.joint, scenario.joint.peers(done)
    return {name: joint.broken(one, [done[peer] for peer in sorted(peers[name])]) for name, one in done.items()}
