"""What is proved of joint rules when they are loaded: values, and their JSON. `proof.py` fills them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from symbolic.proving.report import Answer, Finding, Level


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupAnswer:
    """What is known of one group."""

    roles: tuple[str, ...]
    """Role of each agent, in the order in which they decide."""
    exists: Answer
    """Whether some joint action keeps every rule in every joint state."""
    in_turn: Answer
    """Whether the last agent always finds an action, whatever those before it chose."""
    num_points: int
    """Points (joint state, joint action) at which the answers were tried."""
    is_complete: bool
    """Whether these are all points there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JointReport:
    """All that was found about joint rules."""

    groups: tuple[GroupAnswer, ...]
    any_size: Answer
    """Whether agents that decide in turn never get stuck in groups of any size."""
    beside_silent: Answer
    """Whether every agent always has an action that no peers can break, whatever they perceive and do."""
    symmetric: tuple[str, ...]
    """Rules that are proved to say the same both ways round."""
    findings: tuple[Finding, ...]
    num_queries: int
    """Questions to the solver."""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that forbid to run the rules."""
        return tuple(one for one in self.findings if one.level is Level.ERROR)

    @property
    def unknowns(self) -> tuple[Finding, ...]:
        """What could not be shown."""
        return tuple(one for one in self.findings if one.level is Level.UNKNOWN)

    def record(self) -> dict[str, Any]:
        """The report as plain data, format `localist-joint-verification` version 1."""
        return {"format": "localist-joint-verification", "schema_version": 1, **asdict(self)}
