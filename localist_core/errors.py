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
