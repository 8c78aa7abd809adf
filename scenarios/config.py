"""What one run depends on, as one frozen tree: read once at the edge, written into every trace."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import JsonValue

from scenarios.setting import Setting, setting_of_json

Dtype = Literal["auto", "float32", "bfloat16"]
DTYPES: tuple[Dtype, ...] = get_args(Dtype)


class ConfigError(ValueError):
    """A setting that no run can have: one line, with what to do."""


class Part(StrEnum):
    """Parts that `--without` switches off, so that the worth of each shows in one command."""

    INJECTION = "injection"
    """No asking again with the violated rule in the prompt."""
    DIAL = "dial"
    """The dial stays at 0."""
    CHOOSE = "choose"
    """No fall back on the most probable compliant action."""
    SHIELD = "shield"
    """Verdicts are recorded but bind nothing: the first proposal is executed."""
    RULES = "rules"
    """No rulebook in the prompt; the check stays."""
    JOINT = "joint"
    """No joint rules: each agent decides for itself, and the assessor counts what they break together."""
    MESSAGES = "messages"
    """Agents neither send nor receive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreConfig:
    """Which core proposes, and where it runs."""

    model: Path | None = None
    """A model directory; None = the core that ships."""
    device: str = "auto"
    """`auto` (CUDA where torch sees it), `cpu` or `cuda:N`."""
    dtype: Dtype = "auto"
    """`auto` (float32 on a CPU, else what the model was saved in), `float32` or `bfloat16`."""
    threads: int = 1
    """CPU threads of the core, 1 or more; sums keep their order with 1."""

    def __post_init__(self) -> None:
        is_cuda = self.device == "cuda" or (self.device.startswith("cuda:") and self.device[5:].isdigit())
        if not (self.device in ("auto", "cpu") or is_cuda):
            raise ConfigError(f"expected a device auto, cpu or cuda:N, got `{self.device}`; correct --device")
        if self.dtype not in DTYPES:
            raise ConfigError(f"expected a dtype among {', '.join(DTYPES)}, got `{self.dtype}`; correct --dtype")
        if self.threads < 1:
            raise ConfigError(f"expected 1 thread or more, got `{self.threads}`; correct --threads")


@dataclass(frozen=True, slots=True, kw_only=True)
class BusConfig:
    """How agents reach each other."""

    kind: Literal["local", "mqtt"] = "local"
    """`local` = in this process; `mqtt` = over a broker on loopback, started for the run."""
    broker: str | None = None
    """`mqtt://host:port` of a broker that runs already; only with `mqtt`."""

    def __post_init__(self) -> None:
        if self.broker is not None and self.kind != "mqtt":
            raise ConfigError("expected --bus mqtt beside --broker, got --bus local; add --bus mqtt or drop --broker")

    def to_json(self) -> dict[str, JsonValue]:
        """The settings as JSON; user and password of a broker stay out of every trace."""
        shown = re.sub(r"//[^@/]*@", "//...@", self.broker) if self.broker else None
        return {"kind": self.kind, "broker": shown}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """Other rules for a role from a tick on, proposed by the operator one tick before."""

    tick: int
    """First tick that they decide, 1 or more."""
    role: str
    sha256: str
    """Hash of the canonical JSON."""
    text: str = field(default="", repr=False)
    """Canonical JSON; empty where the record of a run holds it."""

    def __post_init__(self) -> None:
        if type(self.tick) is not int or self.tick < 1:
            raise ConfigError(f"expected a reload in tick 1 or later, got `{self.tick}`; correct --reload")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """All settings of a run; equal settings and an equal core give equal decisions."""

    scenario: str
    """Name of a shipped scenario, or path of a scenario file."""
    seed: int = 0
    """Root of all randomness, 0 or more; episode k starts from seed + k."""
    episodes: int = 1
    """Episodes, 1 or more."""
    core: CoreConfig = field(default_factory=CoreConfig)
    bus: BusConfig = field(default_factory=BusConfig)
    without: frozenset[Part] = frozenset()
    """Parts switched off."""
    setting: Setting | None = None
    """Heads, dials and targets that were measured for the core; None = as the roles say, in all heads."""
    reloads: tuple[Reload, ...] = ()
    """Rules that change in the middle of the run."""
    operator: str = ""
    """Public key that proposals of rules must be signed with; empty where no rules change."""

    def __post_init__(self) -> None:
        if self.setting is not None and Part.DIAL in self.without:
            raise ConfigError("expected --profile or --without dial, got both; a profile says how the dial is set")
        if bool(self.reloads) is not bool(self.operator):
            raise ConfigError("expected an operator's key where rules change, and only there; correct --reload")
        if self.reloads and Part.MESSAGES in self.without:
            raise ConfigError("expected messages where rules change, got --without messages; proposals are messages")
        if not 0 <= self.seed < 2**31:
            raise ConfigError(f"expected a seed from 0 to 2147483647, got `{self.seed}`; correct --seed")
        if self.episodes < 1:
            raise ConfigError(f"expected 1 episode or more, got `{self.episodes}`; correct --episodes")

    def has(self, part: Part) -> bool:
        """Whether a part is switched on."""
        return part not in self.without

    def to_json(self) -> dict[str, JsonValue]:
        """The tree as JSON, for the header of a trace; reloads stand there where there are some."""
        changes: dict[str, JsonValue] = {
            "reloads": [{"tick": one.tick, "role": one.role, "sha256": one.sha256} for one in self.reloads],
            "operator": self.operator,
        }
        return {
            **(changes if self.reloads else {}),
            "scenario": self.scenario,
            "seed": self.seed,
            "episodes": self.episodes,
            "core": {**asdict(self.core), "model": str(self.core.model) if self.core.model else None},
            "bus": self.bus.to_json(),
            "without": [part.value for part in sorted(self.without)],
            "setting": None if self.setting is None else self.setting.settings(),
        }

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> RunConfig:
        """The tree that `to_json` wrote.

        Raises:
            ConfigError: something else.
        """
        try:
            core, bus, setting = dict(values["core"]), dict(values["bus"]), values["setting"]
            model = Path(core.pop("model")) if core["model"] else core.pop("model")
            return RunConfig(
                scenario=values["scenario"],
                seed=values["seed"],
                episodes=values["episodes"],
                core=CoreConfig(model=model, **core),
                bus=BusConfig(**bus),
                without=parts_of(values["without"]),
                setting=None if setting is None else setting_of_json(setting, "the recorded settings"),
                reloads=tuple(Reload(**one) for one in values.get("reloads", ())),
                operator=values.get("operator", ""),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"expected the settings of a run, got some without {error}; record the run again"
            ) from error


def parts_of(words: Iterable[str]) -> frozenset[Part]:
    """Parts by name; several may stand in one word, with commas between.

    Raises:
        ConfigError: a word that names no part.
    """
    names = [name for word in words for name in word.split(",") if name]
    for name in names:
        if name not in set(Part):
            close = get_close_matches(name, list(Part), n=1)
            hint = f"did you mean `{close[0]}`" if close else "correct --without"
            raise ConfigError(f"expected a part among {', '.join(Part)}, got `{name}`; {hint}")
    return frozenset(map(Part, names))
