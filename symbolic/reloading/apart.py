"""Proposals judged in a process of their own: proving takes no time from checks, and its crash is not theirs.

    RuleStore(rules, judge=ApartJudge())

What travels is JSON, both ways. The process is new for each proposal (about a second), and killed at the deadline.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter

from symbolic.domain import Action
from symbolic.reloading.judging import Judgement

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

ROOT: Final = Path(__file__).resolve().parents[2]
"""Where the process finds this package."""

COMMAND: Final = (sys.executable, "-m", "symbolic.reloading.judged")


class JudgeError(RuntimeError):
    """The process gave no judgement: died, too slow, or unable to read the rules."""


class ApartJudge:
    """Judges as `judge` does, elsewhere."""

    def __init__(self, *, deadline_s: float = 600.0, command: tuple[str, ...] = COMMAND) -> None:
        """`deadline_s` is wall-clock time for one proposal; `command` judges one on its standard streams."""
        self._deadline_s, self._command = deadline_s, command

    def __call__(self, text: str, live: RuleSet[Any, Any], safe_stop: Action | None, is_strict: bool) -> Judgement:
        """See `judge`.

        Raises:
            JudgeError: no judgement came.
        """
        stop = None if safe_stop is None else safe_stop.model_dump_json()
        asked = json.dumps({"text": text, "live": live.to_json(), "safe_stop": stop, "is_strict": is_strict})
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
        try:
            done = subprocess.run(  # noqa: S603 - our own interpreter and module
                self._command,
                input=asked.encode(),
                capture_output=True,
                timeout=self._deadline_s,
                env={**os.environ, "PYTHONPATH": paths},
                start_new_session=True,  # Ctrl-C is for whoever checks, who then ends this in order
                check=False,
            )
            if done.returncode != 0:
                said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
                raise JudgeError(f"expected a judgement, got exit code {done.returncode}: {said:.200}")
            found = TypeAdapter(Judgement).validate_json(done.stdout)
        except subprocess.TimeoutExpired:
            raise JudgeError(
                f"expected a judgement within {self._deadline_s:g} s, got none; propose it again"
            ) from None
        except (OSError, ValueError):
            raise JudgeError("expected a judgement, got none: its process failed; propose it again") from None
        if found.base != live.sha256:
            raise JudgeError(
                "expected a judgement beside the live rules, got one beside others; judge them in this process"
            )
        return found
