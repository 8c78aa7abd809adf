"""Judging in another process: the same judgement, and whatever happens to the process leaves the old rules live."""

from __future__ import annotations

import json
import sys

import pytest

from symbolic.reloading.apart import ApartJudge
from symbolic.reloading.judged import answer
from symbolic.reloading.judging import Cause, judge
from symbolic.reloading.store import RuleStore
from tests.symbolic.test_store import NOT_TOTAL, SHUT, gauge

ECHO = (sys.executable, "-c", "import sys; sys.stdout.write(sys.stdin.read())")
DIES = (sys.executable, "-c", "import os; os.kill(os.getpid(), 9)")
SLEEPS = (sys.executable, "-c", "import time; time.sleep(60)")


@pytest.mark.parametrize("text", [gauge(3).to_json(), NOT_TOTAL, "\ud800"])
def test_another_process_judges_as_this_one_does(text: str) -> None:
    live = gauge(6)
    assert ApartJudge()(text, live, SHUT, True) == judge(text, live, SHUT, True)


@pytest.mark.parametrize("command", [ECHO, DIES, SLEEPS, ("/nonexistent",)])
def test_a_process_without_a_judgement_refuses_and_the_old_rules_stay(command: tuple[str, ...]) -> None:
    with RuleStore(gauge(6), judge=ApartJudge(deadline_s=0.5, command=command)) as store:
        found = store.propose(gauge(3).to_json()).result()
        assert found.rejection is not None
        assert found.rejection.cause is Cause.WORKER_FAILED
        assert store.live.sha256 == gauge(6).sha256


def test_an_answer_about_other_rules_is_none() -> None:
    asked = {"text": "", "live": gauge(9).to_json(), "safe_stop": None, "is_strict": True}
    other = answer(json.dumps(asked))
    command = (sys.executable, "-c", f"import sys; sys.stdout.write({other.decode()!r})")
    with RuleStore(gauge(6), judge=ApartJudge(command=command)) as store:
        found = store.propose(gauge(3).to_json()).result()
        assert found.rejection is not None
        assert found.rejection.cause is Cause.WORKER_FAILED
