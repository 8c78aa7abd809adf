"""Prompt layouts with their untrusted places left open: the first decision of a scenario, or a prompt file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from agents.deciding.decide import Ladder, Situation, question
from agents.deciding.lexicon import lexicon
from agents.deciding.prompting import Message
from localist_core import Block, BlockKind, CoreError, Dial, DialKind, Prompt, PromptError, Request, Trust
from localist_core.dial import Scope
from localist_core.guarding.conditions import Frame
from scenarios.config import ConfigError
from scenarios.scenario import load


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A frame, and where it comes from."""

    name: str
    frame: Frame
    """At dial 1, unless a prompt file says otherwise."""
    dials: tuple[float, ...]
    """The dials at which such a prompt is asked in a run, rising; () = not known."""


class BlockPart(BaseModel):
    """A block of a prompt file; untrusted ones are where hostile texts are put."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: BlockKind
    name: str
    text: str = ""
    trust: Literal["trusted", "untrusted"] = "trusted"

    def block(self) -> Block:
        """The block."""
        return Block(kind=self.kind, name=self.name, text=self.text, trust=Trust[self.trust.upper()])


class DialPart(BaseModel):
    """The dial of a prompt file; see `Dial`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    targets: frozenset[str]
    value: float = 1.0
    gamma: float = 0.0
    kind: DialKind = "floor"
    heads: frozenset[tuple[int, int]] | None = None
    scope: Scope = "decision"

    def dial(self) -> Dial:
        """The dial."""
        return Dial(self.value, self.targets, self.gamma, kind=self.kind, heads=self.heads, scope=self.scope)


class PromptFile(BaseModel):
    """A prompt with its dial, as JSON; see docs/prompt-file.md."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["localist-prompt"]
    schema_version: Literal[1]
    blocks: tuple[BlockPart, ...]
    actions: tuple[str, ...]
    dial: DialPart
    earlier_dials: tuple[float, ...] = ()
    """Dials of earlier attempts, on the same targets, of which the prompt tells."""

    def request(self, texts: tuple[str, ...]) -> Request:
        """The request with these texts in its untrusted blocks, in order; the last takes all that are left."""
        places = [part.name for part in self.blocks if part.trust == "untrusted"]
        said = {name: texts[n : n + 1] for n, name in enumerate(places[:-1])} | {places[-1]: texts[len(places) - 1 :]}
        blocks = tuple(
            replace(part.block(), text="\n".join(said[part.name])) if part.name in said else part.block()
            for part in self.blocks
        )
        return Request(agent="agent-1", prompt=Prompt(blocks), actions=self.actions, dial=self.dial.dial())


def layout_of(reference: str, *, seed: int = 0) -> Layout:
    """The layout of a reference.

    Args:
        reference: a shipped scenario, the path of a scenario file, or that of a prompt file, which ends in `.json`.
        seed: of the scenario's first episode.

    Raises:
        ConfigError, ScenarioError: nothing there that can be read.
    """
    return _of_file(Path(reference)) if reference.endswith(".json") else _of_scenario(reference, seed)


def _of_scenario(reference: str, seed: int) -> Layout:
    """What the first agent is asked first, with the texts as messages of the others."""
    scenario = load(reference)
    world = scenario.world()
    try:
        world.reset(seed=seed)
        agent, *others = sorted(world.agents)
        role, facts, wish = scenario.role_of(agent), world.symbols(agent), world.describe(agent)
    finally:
        world.close()
    senders = others or ["agent-2"]
    here = Situation(
        agent=agent,
        role=wish.role,
        words=lexicon(role.rules),
        facts=facts,
        goal=wish.goal,
        safe_stop=role.rules.actions.index(role.safe_stop),
        schedule=role.dial,
    )

    def ask(texts: tuple[str, ...]) -> Request:
        messages = tuple(Message(sender=senders[n % len(senders)], text=text) for n, text in enumerate(texts))
        request = question(replace(here, messages=messages), facts, (), 0, Ladder())
        return replace(request, dial=replace(request.dial, value=1.0))

    dials = sorted({role.dial.at(violations) for violations in range(role.asks + 1)})
    return Layout(name=f"{scenario.name}, first decision of {agent}, seed {seed}", frame=Frame(ask), dials=tuple(dials))


def _of_file(path: Path) -> Layout:
    try:
        found = PromptFile.model_validate_json(path.read_text(encoding="utf-8"))
        if all(part.trust == "trusted" for part in found.blocks):
            raise ConfigError(
                f"expected an untrusted block in `{path}`, got none; say where untrusted text would stand"
            )
        found.request(("",))
        earlier = tuple(Dial(value, found.dial.targets) for value in found.earlier_dials)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"expected a prompt file at `{path}`, got {type(error).__name__}; correct --layout"
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "its content"
        raise ConfigError(
            f"expected a prompt of format localist-prompt, version 1, in `{path}`, got another at `{where}`: "
            f"{first['msg']}; see docs/prompt-file.md"
        ) from error
    except (CoreError, PromptError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return Layout(name=path.name, frame=Frame(found.request, earlier), dials=())
