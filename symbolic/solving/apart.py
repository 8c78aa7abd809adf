"""A solver in a process of its own, for rules that are not linear: there a check may ignore interrupts, or crash.

The process (`served.py`) is started at the first question and again after it died. What travels is canonical JSON, both
ways: rules, facts, codes. It gives a sign of life ten times a second; silent for as long as the watchdog allows it is
killed, which no solver can ignore.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from symbolic.expression import Arithmetic, Compute, Expr, reads, walk
from symbolic.solving.session import Budget
from symbolic.solving.worker import SolverError

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

START_S: Final = 60.0
"""Silence allowed to a process that starts: it imports the solver, on a machine that may be busy."""

ROOT: Final = Path(__file__).parents[2]
"""Where the package `symbolic` lies."""


def is_nonlinear(expr: Expr) -> bool:
    """Whether fields are multiplied with, or divided by, fields somewhere in an expression."""
    return any(_multiplies(node) for node in walk(expr))


def _multiplies(node: Expr) -> bool:
    if not isinstance(node, Compute):
        return False
    if node.op is Arithmetic.MULTIPLY:
        return all(reads(arg) for arg in node.args)
    return node.op in (Arithmetic.FLOOR_DIVIDE, Arithmetic.MODULO) and bool(reads(node.args[1]))


_known: weakref.WeakKeyDictionary[RuleSet[Any, Any], bool] = weakref.WeakKeyDictionary()


def goes_apart(ruleset: RuleSet[Any, Any]) -> bool:
    """Whether some rule of a set is not linear, and the set is the same once it was rebuilt from its JSON."""
    if ruleset not in _known:
        _known[ruleset] = any(is_nonlinear(rule.violation) for rule in ruleset.rules) and _travels(ruleset)
    return _known[ruleset]


def _travels(ruleset: RuleSet[Any, Any]) -> bool:
    from symbolic.reloading.loading import load_rules  # here: it imports the rules, which import this

    try:
        return load_rules(ruleset.to_json()).sha256 == ruleset.sha256
    except ValueError:  # types that only Python declares: then the worker thread decides
        return False


class Apart:
    """The process; safe to call from any thread, one question at a time."""

    def __init__(self, command: tuple[str, ...] = (sys.executable, "-m", "symbolic.solving.served")) -> None:
        """`command` serves questions on its standard streams."""
        self._command = command
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self._left = b""

    def ask(self, ruleset: RuleSet[Any, Any], budget: Budget, kind: str, question: Mapping[str, object]) -> Any:
        """The answer to one question, plain as it came.

        Raises:
            SolverError: no answer: the process died, was killed, or says itself that it has none.
        """
        limits = [budget.rlimit, budget.watchdog_s, budget.recycle_after]
        asked = {"budget": limits, "kind": kind, "rules": ruleset.sha256, **question}
        with self._lock:
            reply = self._exchanged(asked, budget.watchdog_s)
            if "missing" in reply:
                reply = self._exchanged({**asked, "text": ruleset.to_json()}, budget.watchdog_s)
        if "answer" not in reply:
            raise SolverError(f"expected an answer, got `{reply.get('error', 'none')}`; decided without it")
        return reply["answer"]

    def close(self) -> None:
        """End the process; the next question starts another."""
        with self._lock:
            self._end()

    def _exchanged(self, asked: Mapping[str, object], watchdog_s: float) -> dict[str, Any]:
        if self._owner != os.getpid():  # INVARIANT: a forked child never speaks to the process of its parent
            self._owner, self._process, self._left = os.getpid(), None, b""
        is_new = self._process is None or self._process.poll() is not None
        process = self._started() if is_new else self._process
        assert process is not None, "started above"
        assert process.stdin is not None, "opened with pipes"
        assert process.stdout is not None, "opened with pipes"
        try:
            silence_s = START_S if is_new else watchdog_s
            _hand_over(process.stdin, json.dumps(asked, separators=(",", ":")).encode() + b"\n", silence_s)
            reply = json.loads(self._line(process.stdout, silence_s))
            if not isinstance(reply, dict):
                raise ValueError("no object")
        except (OSError, ValueError) as error:
            code = self._end()
            raise SolverError(
                f"expected an answer of the solver's process, got {error}; it ended with {code}"
            ) from None
        except BaseException:  # INVARIANT: an answer that nobody read must never be taken for the next one's
            self._end()
            raise
        return reply

    def _line(self, stream: IO[bytes], silence_s: float) -> bytes:
        """The next line that is not empty: empty ones are signs of life."""
        until_s = time.monotonic() + silence_s
        while True:
            line, found, rest = self._left.partition(b"\n")
            if found:
                self._left = rest
                if line:
                    return line
                continue
            ready, _, _ = select.select([stream], [], [], max(0.0, until_s - time.monotonic()))
            got = os.read(stream.fileno(), 1 << 16) if ready else b""
            if not got:
                raise OSError("nothing more" if ready else f"no sign of life for {silence_s} s")
            self._left += got
            until_s = time.monotonic() + silence_s

    def _started(self) -> subprocess.Popen[bytes]:
        self._end()
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
        try:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": paths},
                start_new_session=True,  # Ctrl-C is for the run, which then ends this in order
            )
        except OSError as error:
            raise SolverError(f"expected to start the solver's process, got {error}; decided without it") from None
        weakref.finalize(self, _killed_by, os.getpid(), process)  # also at exit
        self._process = process
        return process

    def _end(self) -> int | None:
        """Kill the process, if there is one; its exit code."""
        process, self._process, self._left = self._process, None, b""
        return None if process is None else _killed(process)


def _hand_over(stream: IO[bytes], question: bytes, silence_s: float) -> None:
    """Write a question; a process that takes nothing of it is as one that says nothing."""
    rest = memoryview(question)
    while rest:
        _, ready, _ = select.select([], [stream], [], silence_s)
        if not ready:
            raise OSError(f"none of a question taken for {silence_s} s")
        rest = rest[os.write(stream.fileno(), rest[: select.PIPE_BUF]) :]  # no more than fits, so that it never blocks


def _killed_by(owner: int, process: subprocess.Popen[bytes]) -> None:
    if owner == os.getpid():
        _killed(process)


def _killed(process: subprocess.Popen[bytes]) -> int:
    process.kill()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            try:
                stream.close()
            except OSError:
                continue  # unsent words to a process that died
    return process.wait()


_apart: dict[int, Apart] = {}
_apart_lock = threading.Lock()


def shared_apart() -> Apart:
    """The solver's process of this process (a forked child gets its own), started at its first question."""
    with _apart_lock:
        if os.getpid() not in _apart:
            _apart.clear()
            _apart[os.getpid()] = Apart()
        return _apart[os.getpid()]
