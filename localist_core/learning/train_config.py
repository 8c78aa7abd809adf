"""What a training run depends on besides its lessons, as one frozen tree; as JSON it is a file `training.json`.

The file holds `version` 1 and any of the fields below by name, `conditioning` and `penalty` as objects of theirs; what
is missing keeps its default. A trained model has one beside its weights, which may serve as settings again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

from localist_core.errors import CoreError
from localist_core.learning.conditioning import PLAIN, Conditioning
from localist_core.learning.penalty import NONE, Penalty


class TrainingError(CoreError):
    """Training that cannot start or go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """All that a training run depends on, besides its lessons."""

    tokens: int = 40_000_000
    """Prompt tokens to learn from."""
    batch_tokens: int = 8192
    """Most tokens of one batch, padding included (without it, where lessons are packed)."""
    pack_tokens: int | None = None
    """Several lessons share a row of at most so many tokens, none seeing another; None = a row for each."""
    layers: int = 5
    width: int = 128
    heads: int = 8
    hidden: int = 384
    block_width: int = 4
    grouped_norm: bool = False
    """See `LocalistConfig.grouped_norm`."""
    rank: int = 4
    """Of the additions to queries and keys, where an adapter of an existing model is trained; the shape is then the
    base's."""
    muon_lr: float = 0.02
    adam_lr: float = 0.003
    warm_up_tokens: int = 1_000_000
    cool_down: float = 0.35
    """Share of the tokens over which the learning rates fall linearly to 0."""
    language_weight: float = 0.1
    """Weight of predicting a sample of the other prompt tokens."""
    language_tokens: int = 7_530_000
    """Prompt tokens after which they are no longer predicted: slots are random, and what cannot be learned is noise
    that Muon, blind to the size of gradients, would follow to the end."""
    dialled: float = 0.5
    """Share of lessons trained under a random dial."""
    conditioning: Conditioning = PLAIN
    """Which dial that is, and losses on the attention itself."""
    penalty: Penalty = NONE
    """Group sparsity of the localist subspaces."""
    report_steps: int = 50
    """Steps between reports, >= 1."""
    examine_steps: int = 500
    """Steps between examinations on held-out lessons, a multiple of `report_steps`."""
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        counts = {
            name: getattr(self, name)
            for name in (
                "tokens",
                "batch_tokens",
                "layers",
                "width",
                "heads",
                "hidden",
                "rank",
                "report_steps",
                "threads",
            )
        }
        wrong = next((name for name, value in counts.items() if value < 1), None)
        if wrong is not None:
            raise TrainingError(f"expected `{wrong}` of 1 or more, got `{counts[wrong]}`; correct the settings")
        if self.examine_steps < 1 or self.examine_steps % self.report_steps:
            raise TrainingError(
                f"expected `examine_steps` as a multiple of `report_steps`, got `{self.examine_steps}` and "
                f"`{self.report_steps}`; correct the settings"
            )
        if not (0.0 <= self.dialled <= 1.0 and 0.0 <= self.cool_down <= 1.0):
            raise TrainingError(
                f"expected shares `dialled` and `cool_down` in [0, 1], got `{self.dialled}` and `{self.cool_down}`"
            )

    def learns_language(self, tokens: int) -> bool:
        """Whether other prompt tokens are predicted after so many tokens."""
        return self.language_weight > 0 and tokens < self.language_tokens

    def freezes(self, tokens: int) -> bool:
        """Whether zero factors stay zero after so many tokens."""
        return self.penalty.freeze_from < 1.0 and tokens >= self.penalty.freeze_from * self.tokens


def schedule(tokens: int, config: TrainConfig) -> float:
    """Factor of the learning rates in [0, 1]: a warm-up, a plateau, a linear cool-down."""
    warm = min(1.0, (tokens + config.batch_tokens) / max(1, config.warm_up_tokens))
    cool = (config.tokens - tokens) / max(1.0, config.cool_down * config.tokens)
    return max(0.0, min(warm, cool, 1.0))


SETTINGS = "training.json"
"""Name of the file beside a trained model."""


def json_of(config: TrainConfig) -> str:
    """The settings as the text of their file."""
    return json.dumps({"version": 1, **asdict(config)}, indent=1) + "\n"


def config_in(path: Path, base: TrainConfig) -> TrainConfig:
    """The settings of a file on top of others.

    Raises:
        TrainingError: no such file, no JSON object, or settings that are unknown or of another type.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise TrainingError(f"expected settings in JSON at `{path}`, got {type(error).__name__}; correct it") from error
    if not isinstance(values, dict):
        raise TrainingError(f"expected a JSON object of settings at `{path}`, got `{values}`; correct it")
    version = values.pop("version", 1)
    if version != 1:
        raise TrainingError(f"expected settings of version 1 at `{path}`, got `{version}`; write them anew")
    return _filled(base, values, str(path))


_Tree = TypeVar("_Tree", TrainConfig, Conditioning, Penalty)


def _filled(base: _Tree, values: Mapping[str, object], place: str) -> _Tree:
    """A dataclass with some fields replaced by values of JSON."""
    known = {field.name for field in fields(base)}
    for name in values:
        if name not in known:
            close = get_close_matches(name, sorted(known), n=1)
            hint = f"did you mean `{close[0]}`" if close else f"known are {', '.join(sorted(known))}"
            raise TrainingError(f"expected known settings in `{place}`, got `{name}`; {hint}")
    hints = get_type_hints(type(base))
    given: dict[str, Any] = {}
    for name, value in values.items():
        given[name] = _value(hints[name], value, getattr(base, name), f"{place}: {name}")
    try:
        return replace(base, **given)
    except ValueError as error:
        raise TrainingError(f"{error}; correct `{place}`") from error


def _value(hint: object, value: object, before: Any, place: str) -> object:
    """A value of JSON as the type that a field declares."""
    if is_dataclass(before):
        if not isinstance(value, dict):
            raise TrainingError(f"expected an object at `{place}`, got `{value}`; correct it")
        return _filled(cast(Penalty, before), value, place)
    if _is(hint, value):
        return _tuples(value)
    raise TrainingError(f"expected {_described(hint)} at `{place}`, got `{json.dumps(value)}`; correct it")


def _is(hint: object, value: object) -> bool:
    """Whether a value of JSON can stand for a type; lists stand for tuples, whole numbers for floats."""
    arguments = get_args(hint)
    if isinstance(hint, UnionType):
        return any(_is(one, value) for one in arguments)
    if get_origin(hint) is Literal:
        return value in arguments
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            return False
        if arguments[-1] is Ellipsis:
            return all(_is(arguments[0], one) for one in value)
        return len(value) == len(arguments) and all(map(_is, arguments, value))
    if hint is NoneType:
        return value is None
    numbers = (int, float) if hint is float else (hint,)
    return type(value) in numbers


def _tuples(value: object) -> object:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _described(hint: object) -> str:
    if isinstance(hint, UnionType):
        return " or ".join(_described(one) for one in get_args(hint))
    if get_origin(hint) is Literal:
        return " or ".join(map(str, get_args(hint)))
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a word", NoneType: "null"}
    return names.get(cast(type, hint), "a list")
