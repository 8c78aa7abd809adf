"""The core of a decision: blocks and a locality dial in, a scored choice with an exact attention trace out.

It knows no rules and no agents. Importing the package does not load torch; touching `SharedCore` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from localist_core.blocks import Block, BlockKind, Prompt, PromptError, Trust
from localist_core.core import BlockTrace, Capabilities, Choice, Core, Request
from localist_core.dial import Dial, DialKind, DialSchedule, Scope, Status
from localist_core.errors import (
    BudgetError,
    ClosedError,
    CoreError,
    DeadlineError,
    DialError,
    EncodingError,
    MissingExtraError,
    ModelMissingError,
    NumericsError,
    OverloadError,
    RequestError,
    SchemaError,
    TextError,
    UnsupportedModelError,
)
from localist_core.scripted import ScriptedCore
from localist_core.serving.queue import Queue
from localist_core.writing.open_choice import OpenAnswer, OpenChoice, OpenFailure, OpenRequest, Sampling, Token

if TYPE_CHECKING:
    from localist_core.serving.shared import SharedCore

__all__ = [
    "Block",
    "BlockKind",
    "BlockTrace",
    "BudgetError",
    "Capabilities",
    "Choice",
    "ClosedError",
    "Core",
    "CoreError",
    "DeadlineError",
    "Dial",
    "DialError",
    "DialKind",
    "DialSchedule",
    "EncodingError",
    "MissingExtraError",
    "ModelMissingError",
    "NumericsError",
    "OpenAnswer",
    "OpenChoice",
    "OpenFailure",
    "OpenRequest",
    "OverloadError",
    "Prompt",
    "PromptError",
    "Queue",
    "Request",
    "RequestError",
    "Sampling",
    "SchemaError",
    "Scope",
    "ScriptedCore",
    "SharedCore",
    "Status",
    "TextError",
    "Token",
    "Trust",
    "UnsupportedModelError",
]


def __getattr__(name: str) -> type[SharedCore]:
    """Load torch only when the shared core is asked for."""
    if name == "SharedCore":
        from localist_core.serving.shared import SharedCore

        return SharedCore
    raise AttributeError(f"module `localist_core` has no attribute `{name}`")
