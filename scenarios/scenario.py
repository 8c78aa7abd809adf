"""What a scenario is, and how one is found: a shipped name, or `path/to/file.py[:name]`.

scenario = Scenario(
    name="junction",
    world=IntersectionWorld,
    roles={"car": Role(goal="cross safely and soon", rules=rules, safe_stop=Drive(pace="slow"))},
)
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

from agents.deciding import lexicon
from localist_core.dial import DialSchedule
from scenarios.world import World
from symbolic import Action, Joint, RuleSet, Shield

SHIPPED: Final = ("corridor", "doorway", "intersection")
"""Names of the scenarios that come with the package; each is a folder here."""
NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")


class ScenarioError(ValueError):
    """A scenario that cannot be found, read or assembled: one line, with what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What all agents of one kind share."""

    goal: str
    """What they are after, in words."""
    rules: RuleSet[Any, Any]
    safe_stop: Action
    """What is done where nothing else is known to comply."""
    dial: DialSchedule = field(default_factory=DialSchedule)
    """How hard a decision is tied to its target blocks, by violations so far."""
    begins_empty: bool = False
    """Declares for rules about the past that there was nothing before an episode; else all of that is unknown."""
    asks: int = 2
    """How often a decision is asked again after a violation, >= 0."""
    concedes: bool = False
    """Whether, where no action complies, the least bad one is executed instead of the safe stop; recorded as unsafe."""
    shield: Shield[Any, Any] | None = None
    """Witnesses of the proof that some action is always safe: `Shield.of(rules, verify(rules))`."""
    rank: int = 0
    """Under joint rules the higher commits first; agents of equal rank by name."""

    def __post_init__(self) -> None:
        """Refuse a role that could not decide."""
        if not self.goal.strip():
            raise ScenarioError("expected a goal in words, got an empty one; say what the role is after")
        if not self.rules.rules:
            raise ScenarioError("expected at least one rule, got an empty rule set; declare what must hold")
        if self.safe_stop not in self.rules.actions:
            raise ScenarioError(
                f"expected a safe stop among the actions of `{self.rules.action.__name__}`, got `{self.safe_stop!r}`; "
                "use one of them"
            )
        if self.shield is not None and self.shield.ruleset.sha256 != self.rules.sha256:
            raise ScenarioError("expected the shield of the role's own rules, got that of others; verify these rules")
        lexicon(self.rules)  # a rule set with more names than a prompt has slots is refused here
        if type(self.asks) is not int or self.asks < 0:
            raise ScenarioError(f"expected a number of asks of 0 or more, got `{self.asks!r}`; give a whole number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A world, and the roles of those who act in it."""

    name: str
    """Lower-case letters, digits, `-` and `_`."""
    world: Callable[[], World]
    """Makes a fresh world."""
    roles: Mapping[str, Role]
    """Role by name; agent `car-1` has the role `car`."""
    joint: Joint | None = None
    """Rules over several agents; None where each decides for itself."""
    silent: frozenset[str] = frozenset()
    """Agents that never say what they do: the others take the worst of them for granted."""

    def __post_init__(self) -> None:
        """Refuse a scenario without name, world or roles."""
        if not NAME.fullmatch(self.name):
            raise ScenarioError(
                f"expected a name of lower-case letters, digits, `-` and `_`, got `{self.name}`; rename the scenario"
            )
        if not callable(self.world):
            raise ScenarioError(f"expected a function that makes a world, got `{self.world!r}`; pass the class itself")
        if not self.roles:
            raise ScenarioError(f"expected at least one role in `{self.name}`, got none; say who acts")
        if self.joint is not None:
            for role, peer in product(self.roles.values(), repeat=2):
                self.joint.circle(role.rules, [peer.rules])  # rules that do not fit together are refused here

    def demand_words(self, agents: Sequence[str]) -> None:
        """Refuse joint rules that no prompt could show an agent among all the others.

        Raises:
            LexiconError: more fields, rules or values than a prompt has slots.
        """
        if self.joint is None:
            return
        for agent in agents:
            others = [self.role_of(other).rules for other in agents if other != agent]
            lexicon(self.joint.circle(self.role_of(agent).rules, others).rules)

    def role_of(self, agent: str) -> Role:
        """The role of an agent, by the part of its name before the last `-`.

        Raises:
            ScenarioError: no role of that name.
        """
        name = agent.rpartition("-")[0] or agent
        role = self.roles.get(name)
        if role is None:
            raise ScenarioError(f"expected a role for `{agent}` ({_list(self.roles)}), got none; name it `{name}`")
        return role


def load(reference: str) -> Scenario:
    """The scenario of a reference.

    Args:
        reference: a shipped name, or the path of a Python file, with `:name` where the file holds several scenarios.

    Raises:
        ScenarioError: nothing there, a file that fails to run, no or more than one scenario in it.
    """
    path, _, name = reference.partition(":") if ".py" in reference else (reference, "", "")
    if not path.endswith(".py") and "/" not in path:
        return _shipped(path)
    return _pick(_module(path), name, path)


def _shipped(name: str) -> Scenario:
    if name not in SHIPPED:
        close = difflib.get_close_matches(name, SHIPPED, n=1)
        hint = f"did you mean `{close[0]}`" if close else "give one of them, or the path of a .py file"
        raise ScenarioError(f"expected a scenario ({_list(SHIPPED)}), got `{name}`; {hint}")
    try:
        module = importlib.import_module(f"scenarios.{name}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in {"scenarios", "symbolic", "agents", "localist_core"}:
            raise
        raise ScenarioError(
            f"expected `{error.name}` for scenario `{name}`, got no such package; "
            "install it with `pip install 'localist-agents[driving]'`"
        ) from error
    return cast(Scenario, module.scenario)


def _module(path: str) -> ModuleType:
    file = Path(path)
    if not path.endswith(".py"):
        raise ScenarioError(f"expected a file that ends in .py, got `{path}`; give the path of a scenario file")
    if not file.is_file():
        near = difflib.get_close_matches(file.name, [p.name for p in _beside(file)], n=1)
        hint = f"did you mean `{file.with_name(near[0])}`" if near else "check the path"
        raise ScenarioError(f"expected a scenario file, got no file `{path}`; {hint}")
    spec = importlib.util.spec_from_file_location(f"scenario_file_{file.stem}", file)
    assert spec is not None, "a file that ends in .py has a loader"
    assert spec.loader is not None, "a file that ends in .py has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise ScenarioError(f"{path}:{error.lineno}: expected Python, got {error.msg}; correct the line") from error
    except (Exception, SystemExit) as error:  # the file is the user's: whatever it raises is told in one line
        place = _line_in(error, file)
        raise ScenarioError(f"{path}{place}: {type(error).__name__}: {_one_line(error)}") from error
    finally:
        sys.modules.pop(spec.name, None)
    return module


def _beside(file: Path) -> list[Path]:
    return sorted(file.parent.glob("*.py")) if file.parent.is_dir() else []


def _line_in(error: BaseException, file: Path) -> str:
    """`:line` of the innermost frame inside the user's file, empty where there is none."""
    line, trace = "", error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == file:
            line = f":{trace.tb_lineno}"
        trace = trace.tb_next
    return line


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:197] + "..."


def _pick(module: ModuleType, name: str, path: str) -> Scenario:
    found = {key: value for key, value in vars(module).items() if isinstance(value, Scenario)}
    if name:
        if name in found:
            return found[name]
        close = difflib.get_close_matches(name, found, n=1)
        hint = f"did you mean `{close[0]}`" if close else f"it holds {_list(found) or 'none'}"
        raise ScenarioError(f"expected a scenario `{name}` in `{path}`, got none; {hint}")
    if not found:
        raise ScenarioError(f"expected a Scenario in `{path}`, got none; assign one, as in `scenario = Scenario(...)`")
    distinct = {id(value): key for key, value in found.items()}
    if len(distinct) > 1 and "scenario" not in found:
        raise ScenarioError(
            f"expected one scenario in `{path}`, got {len(distinct)} ({_list(found)}); "
            f"name one, as in `{path}:{next(iter(found))}`"
        )
    return found.get("scenario", next(iter(found.values())))


def _list(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names)
