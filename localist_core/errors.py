"""What can go wrong in the core, one type for each different reaction; no torch.

CoreError                    any failure of the core: the caller falls back to a compliant action
  ModelMissingError          the directory holds no complete model: give another directory
  UnsupportedModelError      the family cannot be steered or traced: use another model
  EncodingError              a prompt or an action that the tokenizer cannot carry: change the prompt
  DialError                  a dial that the prompt or the core cannot honour: change the dial
  RequestError               a request that contradicts itself: fix the caller
  OverloadError              more requests than the stated capacity: send fewer at once
  DeadlineError              no answer in time: fall back, or allow more time
  ClosedError                a question to a queue that is closed: ask another
  NumericsError              inf or NaN came out of the model: do not use the decision
  SchemaError                a schema that no grammar holds exactly: change the schema
  BudgetError                no end within the token budget: allow more tokens, or bound the schema
  TextError                  a text that the schema's own model refuses, or that cannot go on: fall back
  MissingExtraError          an optional library is not installed: install the extra
"""

from __future__ import annotations


class CoreError(RuntimeError):
    """Any failure of the core; never read as an approval."""


class ModelMissingError(CoreError):
    """A directory without a complete model."""


class UnsupportedModelError(CoreError):
    """A model whose attention cannot be steered and measured by block."""


class EncodingError(CoreError):
    """A prompt or an action label that the tokenizer or the model cannot carry."""


class DialError(CoreError):
    """A dial out of range, without a visible target, or beyond what the core can do."""


class RequestError(CoreError):
    """A request that contradicts itself."""


class OverloadError(CoreError):
    """More requests at once than the stated capacity."""


class DeadlineError(CoreError):
    """No answer before the deadline."""


class ClosedError(CoreError):
    """A question to a closed queue."""


class NumericsError(CoreError):
    """The model produced inf or NaN where a number was needed."""


class SchemaError(CoreError):
    """A schema, or a part of one, that the grammar cannot hold exactly, by name."""


class BudgetError(CoreError):
    """The token budget was spent before the text was complete."""


class TextError(CoreError):
    """A generated text that is no value: refused by its model, or in a dead end of the grammar."""


class MissingExtraError(CoreError):
    """An optional library that is not installed."""
