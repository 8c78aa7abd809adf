"""One text as it grows: what its grammar allows next, what it forces, and how a token is chosen."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from localist_core.attending.row import Row
from localist_core.errors import BudgetError, CoreError, NumericsError, RequestError, TextError
from localist_core.writing.grammar import Matcher
from localist_core.writing.open_choice import OpenRequest, Sampling
from localist_core.writing.schema import Schema


@dataclass(slots=True, kw_only=True)
class Draft:
    """The text of one request as it grows."""

    request: OpenRequest
    row: Row
    """The prompt alone."""
    schema: Schema
    matcher: Matcher
    drawn: Iterator[float]
    """Uniform numbers; none where tokens are greedy."""
    ids: list[int] = field(default_factory=list)
    allowed: list[Tensor] = field(default_factory=list)
    """For each token the ids that the grammar allowed there."""
    numbers: list[float | None] = field(default_factory=list)
    possible: Tensor | None = None
    """Ids of the tokens that may come next, where there are several."""
    fed: int = 0
    """How many of the tokens the model has read."""
    error: CoreError | None = None

    @property
    def is_open(self) -> bool:
        """Whether the text goes on."""
        return self.error is None and not self.matcher.is_done

    @property
    def waits(self) -> bool:
        """Whether the next token is for the model to choose: it has read all others."""
        return self.is_open and self.fed == len(self.ids)

    def force(self) -> None:
        """Append what is possible alone, up to a choice, the end, or a failure."""
        while self.is_open:
            if len(self.ids) == self.request.budget:
                self.error = BudgetError(
                    f"expected a text within {self.request.budget} tokens for agent `{self.request.agent}`, got none; "
                    f"allow more tokens, or bound the schema"
                )
                return
            allowed = self.matcher.allowed()
            if len(allowed) > 1:
                self.possible = allowed
                return
            if len(allowed) == 1:
                self._append(int(allowed[0]), allowed, None)
            else:
                self.error = TextError(f"expected a token that goes on for agent `{self.request.agent}`, got none")

    def choose(self, logits: Tensor) -> None:
        """Append the possible token that the model and the sampling choose, and what is forced behind it.

        Args:
            logits: (vocabulary,) float32 on the CPU.
        """
        allowed = self.possible
        assert allowed is not None
        try:
            scores = finite(logits[allowed].double(), self.request.agent)
            number = self._number()
        except CoreError as error:
            self.error = error
            return
        sampling = self.request.sampling
        if number is None or sampling is None:
            index = int((scores == scores.max()).nonzero()[0, 0])
        else:
            total = torch.softmax(scores / sampling.temperature, 0).cumsum(0)
            index = min(int((total <= number * total[-1]).sum()), len(total) - 1)
        self._append(int(allowed[index]), allowed, number)
        self.force()

    def _append(self, token: int, allowed: Tensor, number: float | None) -> None:
        self.matcher.accept(token)
        self.ids.append(token)
        self.allowed.append(allowed)
        self.numbers.append(number)

    def _number(self) -> float | None:
        if self.request.sampling is None:
            return None
        number = next(self.drawn, None)
        if number is None:
            raise RequestError(f"expected a recorded number for every drawn token, got none behind {len(self.ids)}")
        return number


def numbers_of(sampling: Sampling | None) -> Iterator[float]:
    """The uniform numbers of a sampling; none where tokens are greedy."""
    if sampling is None:
        return iter(())
    if sampling.numbers is not None:
        return iter(sampling.numbers)
    return iter(random.Random(sampling.seed).random, 1.0)  # without end: 1 is never drawn


def finite(values: Tensor, agent: str) -> Tensor:
    """The values, if they are finite.

    Raises:
        NumericsError: they are not.
    """
    if not bool(values.isfinite().all()):
        raise NumericsError(f"expected finite logits for agent `{agent}`, got inf or NaN")
    return values
