"""The solver's own process: it says what the thread says; killed, crashed, silent or mad it approves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from symbolic import NO, YES, Facts, Outcome, fields
from symbolic.solving.apart import Apart, goes_apart, is_nonlinear
from symbolic.solving.served import serve
from symbolic.solving.session import Atom, Budget
from symbolic.solving.smt import Solver
from symbolic.solving.worker import SolverError
from tests.symbolic.strategies import ACTIONS, Plant
from tests.symbolic.test_smt import FOG, HERE, STAY, calm_rules, plant_rules

RULES = plant_rules()


@pytest.fixture(scope="module")
def apart() -> Iterator[Apart]:
    opened = Apart()
    yield opened
    opened.close()


def python(source: str) -> Apart:
    """A process that runs something else."""
    return Apart((sys.executable, "-c", source))


def test_products_and_divisions_of_fields_are_not_linear() -> None:
    s: Any = fields(Plant)
    linear = [s.level * 2 > s.rate, s.count // 2 == 1, s.count % 2 == 0, (s.level + s.rate) * -1 < 0]
    others = [s.level * s.rate > 1, s.count // (s.count + 5) == 0, 3 % (s.count + 5) == 0]
    assert [is_nonlinear(one.expr) for one in linear + others] == [False] * 4 + [True] * 3
    assert goes_apart(RULES)


def test_process_says_what_the_thread_says(apart: Apart) -> None:
    there, here = Solver(apart=apart), Solver(apart=None)
    for facts in (HERE, FOG):
        for action in ACTIONS[::5]:
            found = there.decide(RULES, facts, action)
            assert found == here.decide(RULES, facts, action)
            assert there.confirms(RULES, facts, action, found) == here.confirms(RULES, facts, action, found)
    never = [(Atom(rule=0, action=(2, 1, 1), is_broken=is_broken),) for is_broken in (True, False)]
    assert there.find(RULES, never) is here.find(RULES, never)
    sometimes = [(Atom(rule=1),)]
    point = there.find(RULES, sometimes)
    assert point
    assert 1 in RULES.compiled(point.state, point.action)
    example = there.example(RULES, FOG, (1, 0, 1), 1)
    assert example is not None
    assert 1 in RULES.compiled(example, (1, 0, 1))


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSEGV])
def test_process_that_dies_is_replaced_at_the_next_question(apart: Apart, sign: signal.Signals) -> None:
    solver = Solver(apart=apart)
    solver.decide(RULES, HERE, STAY)
    assert apart._process is not None
    os.kill(apart._process.pid, sign)
    apart._process.wait(timeout=10)
    assert solver.decide(RULES, HERE, STAY) == (YES, NO, NO)


def test_forked_child_does_not_speak_to_the_process_of_its_parent(apart: Apart) -> None:
    solver = Solver(apart=apart)
    solver.decide(RULES, HERE, STAY)
    assert apart._process is not None
    before = apart._process.pid
    apart._owner += 1  # as a child sees it
    assert solver.decide(RULES, HERE, STAY) == (YES, NO, NO)
    assert apart._process.pid != before
    os.kill(before, signal.SIGKILL)


FAULTS = {
    "crashes": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "crashes when asked": "import os, sys; sys.stdin.readline(); os.abort()",
    "says nonsense": "import sys, time; sys.stdin.readline(); print('safe', flush=True); time.sleep(60)",
    "says a list": "import sys, time; sys.stdin.readline(); print('[]', flush=True); time.sleep(60)",
    "never knows the rules": "import sys\nfor _ in sys.stdin: print('{\"missing\":true}', flush=True)",
    "fails": 'import sys\nfor _ in sys.stdin: print(\'{"error":"MemoryError"}\', flush=True)',
}


@pytest.mark.parametrize("source", FAULTS.values(), ids=FAULTS)
def test_faulty_process_is_no_answer_and_no_approval(source: str) -> None:
    process = python(source)
    with pytest.raises(SolverError):
        Solver(apart=process).decide(RULES, FOG, STAY)
    verdict = calm_rules(Solver(apart=process).decide).check(FOG, STAY)
    assert (verdict.outcome, verdict.undecided) == (Outcome.UNDECIDED, ("R1",))
    process.close()


def test_process_that_is_not_there_is_no_answer() -> None:
    with pytest.raises(SolverError, match="expected to start the solver's process"):
        Solver(apart=Apart(("/no/such/program",))).decide(RULES, FOG, STAY)


def test_stopped_process_is_killed_after_the_watchdog(apart: Apart) -> None:
    solver = Solver(Budget(watchdog_s=0.5), apart=apart)
    solver.decide(RULES, HERE, STAY)
    assert apart._process is not None
    stopped = apart._process
    stopped.send_signal(signal.SIGSTOP)
    start = time.monotonic()
    with pytest.raises(SolverError, match=r"no sign of life for 0.5 s; it ended with -9"):
        solver.decide(RULES, HERE, STAY)
    assert time.monotonic() - start < 10
    assert stopped.poll() == -signal.SIGKILL
    assert solver.decide(RULES, HERE, STAY) == (YES, NO, NO)


def test_process_that_takes_no_question_is_killed_after_the_watchdog() -> None:
    process = python("import sys, time; sys.stdin.readline(); print('{\"answer\":1}', flush=True); time.sleep(60)")
    assert process.ask(RULES, Budget(), "decide", {}) == 1
    start = time.monotonic()
    with pytest.raises(SolverError, match=r"none of a question taken for 0.3 s; it ended with -9"):
        process.ask(RULES, Budget(watchdog_s=0.3), "decide", {"facts": "x" * 300_000})
    assert time.monotonic() - start < 30


def test_process_that_nobody_hears_ends_itself() -> None:
    command = [sys.executable, "-m", "symbolic.solving.served"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=60) == 1


def test_question_without_an_answer_ends_the_process() -> None:
    said: list[str] = []
    asked = {"budget": [1000, 1.0, 10], "kind": "guess", "rules": RULES.sha256, "text": RULES.to_json()}
    serve([json.dumps(asked), json.dumps(asked)], said.append)
    assert [json.loads(line) for line in said] == [
        {"error": "ValueError: expected a known question, got `guess`"},
    ]


def test_other_rules_than_the_named_ones_are_no_answer() -> None:
    said: list[str] = []
    asked = {"budget": [1000, 1.0, 10], "kind": "decide", "rules": "0" * 64, "text": RULES.to_json()}
    serve([json.dumps(asked)], said.append)
    assert "expected the rules that were named, got others" in said[0]


def test_contradictory_facts_never_reach_the_process() -> None:
    empty = Facts.from_codes(Plant, ((2, 1), *HERE.codes[1:]))
    with pytest.raises(SolverError, match="facts contradict"):
        Solver(apart=python("")).decide(RULES, empty, STAY)
