"""A setting: which heads the dial steers, how it rises, what it rests on; measured for one model, and named by a run.

`localist profile` and `localist tune` write it as a file (docs/setting.md), `localist run --profile FILE` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from localist_core import Capabilities, CoreError, DialKind, DialSchedule

TargetSet = Literal["trusted", "applying", "restated"]
"""Names of `agents.deciding.Resting`; that package is not loaded before the command line has found it to be ours."""


class SettingError(ValueError):
    """A setting that cannot be read, written or used with a core: one line, with what to do."""


class DialPart(BaseModel):
    """How the dial rises, without the heads; see `DialSchedule`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: float
    step: float
    top: float
    gamma: float
    kind: DialKind

    def schedule(self, heads: frozenset[tuple[int, int]] | None) -> DialSchedule:
        """The schedule on these heads.

        Raises:
            DialError: no dial can be so.
        """
        return DialSchedule(**self.model_dump(), heads=heads)

    @staticmethod
    def of(schedule: DialSchedule) -> DialPart:
        """What a schedule says besides its heads."""
        return DialPart(
            start=schedule.start, step=schedule.step, top=schedule.top, gamma=schedule.gamma, kind=schedule.kind
        )


class Setting(BaseModel):
    """How a run steers its core."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["localist-setting"] = "localist-setting"
    schema_version: Literal[1] = 1
    core: str
    """Name of the core that it was measured with, for people."""
    model: str = Field(pattern="^[0-9a-f]{16}$")
    """Hash of that model: the first part of a core's fingerprint. Device and versions, the second part, may differ."""
    heads: tuple[tuple[int, int], ...] | None = None
    """(layer, head) pairs that are steered, from 0, in order; None = all."""
    dial: DialPart | None = None
    """How the dial rises; None = as each role says."""
    targets: TargetSet = "trusted"
    """What a decision rests on."""
    made: dict[str, JsonValue] = {}
    """How it was found: command, prompts, figures. Nothing reads it."""

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        try:
            (self.dial or DialPart.of(DialSchedule())).schedule(self._heads)
        except CoreError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def _heads(self) -> frozenset[tuple[int, int]] | None:
        return None if self.heads is None else frozenset(self.heads)

    def schedule_for(self, own: DialSchedule) -> DialSchedule:
        """The schedule of a role whose own one is given."""
        return replace(own, heads=self._heads) if self.dial is None else self.dial.schedule(self._heads)

    def check(self, core: Capabilities) -> None:
        """Refuse a core that it was not measured with.

        Raises:
            SettingError: another model.
        """
        if model_of(core) != self.model:
            raise SettingError(
                f"expected the model `{self.model}` ({self.core}) that the profile was made with, got "
                f"`{model_of(core)}` ({core.name}); profile this core, or correct --model"
            )

    def settings(self) -> dict[str, JsonValue]:
        """All that a run depends on, as JSON: everything but how it was found."""
        return self.model_dump(mode="json", exclude={"made"})

    def save(self, path: Path) -> None:
        """Write the file.

        Raises:
            SettingError: it cannot be written.
        """
        try:
            path.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise SettingError(
                f"expected a file that can be written, got `{path}`: {error.strerror}; correct --out"
            ) from error

    @staticmethod
    def load(path: Path) -> Setting:
        """Read a file.

        Raises:
            SettingError: no such file, or another format.
        """
        try:
            return setting_of_json(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise SettingError(
                f"expected a profile at `{path}`, got {type(error).__name__}; correct --profile"
            ) from error


def setting_of_json(text: str | Mapping[str, Any], place: str) -> Setting:
    """A setting from JSON, as text or as values.

    Raises:
        SettingError: anything else; `place` says where it stood.
    """
    try:
        return Setting.model_validate_json(text if isinstance(text, str) else json.dumps(text), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "its content"
        raise SettingError(
            f"expected a profile of format localist-setting, version 1, in `{place}`, got another at `{where}`: "
            f"{first['msg']}; make it with `localist profile` or `localist tune`"
        ) from error


def model_of(core: Capabilities) -> str:
    """The model's part of a core's fingerprint."""
    return core.fingerprint.partition("-")[0]
