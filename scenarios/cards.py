"""The header of a trace: what a run depends on, written down before the first tick."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from agents.deciding.decision import label, rule_cards
from agents.recording.events import CoreCard, Header, JointCard, RoleCard, run_id
from localist_core import Capabilities
from scenarios.config import Part, RunConfig
from scenarios.scenario import Role, Scenario
from symbolic import JointRules

VERSIONED = ("localist-agents", "highway-env", "numpy", "pydantic", "torch", "transformers", "z3-solver")
"""Packages whose versions a trace names."""


def header_of(config: RunConfig, scenario: Scenario, core: Capabilities, agents: Sequence[str]) -> Header:
    """The header of a run.

    Args:
        config: its settings.
        scenario: what is run.
        core: what proposes.
        agents: all agents that may ever act.
    """
    settings = config.to_json()
    card = CoreCard(name=core.name, device=core.device, dtype=core.dtype, fingerprint=core.fingerprint)
    return Header(
        run=run_id(seed=config.seed, scenario=scenario.name, config=settings, core=card),
        seed=config.seed,
        scenario=scenario.name,
        config=settings,
        versions=versions(),
        core=card,
        agents=tuple(sorted(agents)),
        roles={name: role_card(role) for name, role in sorted(scenario.roles.items())},
        joint=tuple(map(joint_card, scenario.joint.sets)) if scenario.joint and config.has(Part.JOINT) else (),
    )


def joint_card(joint: JointRules[Any, Any, Any, Any]) -> JointCard:
    """A set of joint rules as the header holds it."""
    return JointCard(sha256=joint.sha256, rules=rule_cards(joint.pair) + rule_cards(joint.counted))


def role_card(role: Role) -> RoleCard:
    """A role as the header holds it."""
    actions = {label(index): action.model_dump() for index, action in enumerate(role.rules.actions)}
    return RoleCard(
        goal=role.goal,
        ruleset_sha256=role.rules.sha256,
        rules=rule_cards(role.rules),
        actions=actions,
        safe_stop=label(role.rules.actions.index(role.safe_stop)),
    )


def versions() -> dict[str, str]:
    """Versions of the packages that decisions depend on; what is not installed is left out."""
    found = {}
    for name in VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
