"""Questions whose answers are too many to list, and their answers: values of a schema, token by token; no torch.

The counterpart of `Request` and `Choice` (core.py). An answer is a value that the schema allows, or a failure: budget
spent, dead end, refused by pydantic, inf or NaN. There is no third.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from pydantic import BaseModel, JsonValue

from localist_core.blocks import Prompt
from localist_core.core import BlockTrace, check_targets
from localist_core.dial import Dial
from localist_core.errors import CoreError, RequestError

BUDGET: Final = 256
"""Tokens of a text, unless another number is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are drawn: by numbers from a seed, or by recorded ones. Exactly one of the two is given."""

    seed: int | None = None
    numbers: tuple[float, ...] | None = None
    """Uniform numbers in [0, 1), one for each token where more than one was possible: `OpenChoice.numbers` draws the
    same text again."""
    temperature: float = 1.0
    """Divides the logits, > 0."""

    def __post_init__(self) -> None:
        if (self.seed is None) == (self.numbers is None):
            raise RequestError("expected either a seed or recorded numbers, got both or none")
        if not (0.0 < self.temperature < math.inf):
            raise RequestError(f"expected a temperature above 0, got `{self.temperature}`")
        wrong = [number for number in self.numbers or () if not 0.0 <= number < 1.0]
        if wrong:
            raise RequestError(f"expected numbers in [0, 1), got `{wrong[0]}`")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRequest:
    """One agent asks for one value of a schema."""

    agent: str
    """Who asks; not shown to the model."""
    prompt: Prompt
    schema: type[BaseModel] | Mapping[str, JsonValue] = field(hash=False)
    """A pydantic model class, or a JSON Schema. It never comes from the prompt."""
    dial: Dial
    budget: int = BUDGET
    """Most tokens of the text, 1 or more."""
    sampling: Sampling | None = None
    """None = greedy: at each place the most probable token, of equals the first. That is not the most probable text."""
    evidence: bool = False
    """Also run a pass at dial 0 over prompt and text, from which the raw masses and fidelities are then taken."""

    def __post_init__(self) -> None:
        if self.budget < 1:
            raise RequestError(f"expected a budget of 1 token or more for agent `{self.agent}`, got `{self.budget}`")
        check_targets(self.prompt, self.dial)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token of a text, and how it was constrained. Probabilities are those of the reading pass (generation.py)."""

    id: int
    num_allowed: int
    """Tokens that the grammar allowed here, >= 1; at 1 the model was not asked."""
    allowed_mass: float
    """Probability that the model, left alone, gives to the allowed tokens together, in [0, 1]: what the grammar cut off
    is the rest."""
    log_probability: float
    """Of this token among the allowed ones, renormalised over them at temperature 1; <= 0, in nats."""
    margin: float
    """Probability of the best allowed token minus that of the second, in [0, 1]; 1 if there is one."""
    number: float | None
    """The uniform number that drew it; None where it was greedy or the only one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenChoice:
    """A value that the schema allows."""

    value: BaseModel | JsonValue
    """Validated: by pydantic where the schema is a model class, else by the schema's shapes."""
    text: str
    """Its JSON, on one line."""
    tokens: tuple[Token, ...]
    """Of the text, in order."""
    trace: BlockTrace
    """Of the decision rows: options, decision, and every token of the text but the last, which nothing follows."""
    dial: float
    """The dial used."""

    @property
    def log_probability(self) -> float:
        """Of the tokens, in nats: the sum over them. The text may also be spelled by other tokens."""
        return math.fsum(token.log_probability for token in self.tokens)

    @property
    def margin(self) -> float:
        """That of the weakest choice, in [0, 1]; 1 if nothing was open."""
        return min(token.margin for token in self.tokens)

    @property
    def numbers(self) -> tuple[float, ...]:
        """The uniform numbers drawn, in order; `Sampling(numbers=...)` draws the same text again."""
        return tuple(token.number for token in self.tokens if token.number is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFailure:
    """No value: the caller falls back to a compliant action."""

    error: CoreError
    """Why; a `BudgetError` if the budget ended it."""
    text: str
    """What there was, for the record; never to be read as a value."""
    num_tokens: int
    """Of that text."""


OpenAnswer: TypeAlias = OpenChoice | OpenFailure
