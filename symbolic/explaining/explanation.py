"""What an explanation is: values, and their JSON (format `localist-explanation`, version 1)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction

from symbolic.domain import Action
from symbolic.explaining.conflict import Conflict
from symbolic.facts import Facts
from symbolic.field import shortest
from symbolic.mending.concession import Concession
from symbolic.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One field that would have to be other."""

    field: str
    now: str
    """As people read it: `12.5`, `3 to 4`, `red`, `unknown`."""
    then: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionFix:
    """The nearest action that complies: proved, since every action was looked at."""

    action: Action
    changes: tuple[Change, ...]
    """From the action that was asked about."""
    distance: Fraction
    """By the metric of actions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateFix:
    """A change of what is perceived with which the action would comply."""

    facts: Facts | None
    """What would have to be perceived; None where no state was found."""
    changes: tuple[Change, ...]
    """From what is perceived; empty where no state was found, or the facts allow it as they are."""
    distance: Fraction
    """By the metric of states."""
    is_smallest: bool
    """Whether it is proved that nothing smaller would do, or, without a state, that nothing would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why an action is judged as it is, and what would have to differ for it to comply."""

    verdict: Verdict
    """With the violated rules, their numbers and margins."""
    nearest: ActionFix | None = None
    """The smallest change of the action; None where it complies, or none does."""
    by_field: tuple[StateFix, ...] = ()
    """Smallest changes of one field of the state, the smallest first; empty where they were not asked for."""
    state: StateFix | None = None
    """The smallest change of the state, of whatever fields; None where it was not asked for."""
    conflict: Conflict | None = None
    """Where no action complies: the rules that leave none."""
    concession: Concession | None = None
    """Where no action complies: what would be given up, if the role concedes."""

    def to_json(self) -> str:
        """Canonical JSON, format `localist-explanation` version 1."""
        record: dict[str, object] = {
            "by_field": [_state_record(one) for one in self.by_field],
            "concession": None if self.concession is None else _concession_record(self.concession),
            "conflict": None if self.conflict is None else _conflict_record(self.conflict),
            "format": "localist-explanation",
            "nearest": None if self.nearest is None else _action_record(self.nearest),
            "schema_version": 1,
            "state": None if self.state is None else _state_record(self.state),
            "verdict": json.loads(self.verdict.to_json()),
        }
        return json.dumps(record, sort_keys=True, separators=(",", ":"))


def _changes(changes: tuple[Change, ...]) -> list[list[str]]:
    return [[one.field, one.now, one.then] for one in changes]


def _action_record(fix: ActionFix) -> dict[str, object]:
    return {
        "action": fix.action.model_dump(),
        "changes": _changes(fix.changes),
        "distance": shortest(fix.distance),
    }


def _state_record(fix: StateFix) -> dict[str, object]:
    return {
        "changes": _changes(fix.changes),
        "distance": shortest(fix.distance),
        "facts": None if fix.facts is None else json.loads(fix.facts.to_json()),
        "is_smallest": fix.is_smallest,
    }


def _conflict_record(found: Conflict) -> dict[str, object]:
    return {
        "forbidden": [{"action": action.model_dump(), "rule": rule} for action, rule in found.forbidden],
        "rules": list(found.rules),
    }


def _concession_record(found: Concession) -> dict[str, object]:
    return {
        "actions": [action.model_dump() for action in found.actions],
        "given_up": [one.rule for one in found.verdicts[0].violations],
        "reason": found.reason,
    }
