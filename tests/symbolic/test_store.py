"""Versions of rules while checks go on: swaps, refusals, trials, roll-backs; no verdict is of two versions."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from symbolic import Action, Facts, Outcome, RuleSet, State, fields, whole
from symbolic.proving.report import Sort
from symbolic.reloading.journal import Happening
from symbolic.reloading.judging import Cause, Judgement, judge, sha256_of
from symbolic.reloading.store import ReloadError, RuleStore


class Gauge(State):
    level: int = whole(ge=0, le=9)


class Valve(Action):
    is_open: bool


OPEN, SHUT = Valve(is_open=True), Valve(is_open=False)


def gauge(limit: int, *, is_total: bool = True) -> RuleSet[Gauge, Valve]:
    """The valve stays shut above a limit; not total: at level 9 it may not be shut either."""
    s, a = fields(Gauge), fields(Valve)
    rules = RuleSet(Gauge, Valve)
    rules.add(kind="forbid", name="high", expression=(s.level > limit) & a.is_open, priority=80)
    if not is_total:
        rules.add(kind="forbid", name="shut", expression=(s.level == 9) & ~a.is_open, priority=70)
    return rules


def at(level: int) -> Facts:
    return Facts.exact(Gauge(level=level))


@pytest.fixture
def store() -> Iterator[RuleStore[Gauge, Valve]]:
    with RuleStore(gauge(6)) as found:
        yield found


def accepted(store: RuleStore[Gauge, Valve], rules: RuleSet[Gauge, Valve]) -> str:
    found = store.propose(rules.to_json()).result()
    assert found.is_accepted, found.rejection
    return found.sha256


def test_an_accepted_version_decides_after_the_swap_and_names_itself(store: RuleStore[Gauge, Valve]) -> None:
    sha256 = accepted(store, gauge(3))
    before = store.check(at(5), OPEN)
    assert store.activate(sha256).sha256 == before.ruleset_sha256
    after = store.check(at(5), OPEN)
    assert (before.outcome, after.outcome) == (Outcome.SAFE, Outcome.UNSAFE)
    assert after.ruleset_sha256 == sha256 == gauge(3).sha256


def test_roll_back_makes_the_version_before_live_again(store: RuleStore[Gauge, Valve]) -> None:
    for limit in (3, 2):
        store.activate(accepted(store, gauge(limit)))
    assert store.roll_back().sha256 == gauge(2).sha256
    assert store.roll_back().sha256 == gauge(3).sha256
    assert store.live.sha256 == gauge(6).sha256
    with pytest.raises(ReloadError, match="a version before the live one"):
        store.roll_back()
    kinds = [entry.happening for entry in store.history.entries]
    assert kinds[-2:] == [Happening.ROLLED_BACK] * 2


def test_an_older_version_is_activated_by_its_name(store: RuleStore[Gauge, Valve]) -> None:
    for limit in (3, 2):
        store.activate(accepted(store, gauge(limit)))
    store.activate(gauge(6).sha256)
    assert store.history.lives == (gauge(6).sha256,)


NOT_TOTAL = gauge(6, is_total=False).to_json()


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", Cause.UNREADABLE),
        ("{" * 200_000, Cause.UNREADABLE),
        (" " * 5_000_000, Cause.TOO_LARGE),
        ("\ud800", Cause.UNREADABLE),
        (gauge(3).to_json() + " ", Cause.UNREADABLE),
        (gauge(3).to_json().replace('"le"', '"exec"').replace("Gauge", "Other"), Cause.UNREADABLE),
        (RuleSet(Gauge, Valve).to_json(), Cause.UNREADABLE),
        (NOT_TOTAL, Cause.REFUTED),
        (gauge(6).to_json(), Cause.UNCHANGED),
    ],
)
def test_what_is_no_better_set_is_refused_and_the_old_one_stays(
    store: RuleStore[Gauge, Valve], text: str, cause: Cause
) -> None:
    found = store.propose(text, by="mallory").result()
    assert found.rejection is not None
    assert found.rejection.cause is cause
    assert store.live.sha256 == gauge(6).sha256
    assert store.history.entries[-1].cause == cause
    assert store.history.entries[-1].by == "mallory"
    with pytest.raises(ReloadError):
        store.activate(sha256_of("nothing"))


def test_a_tie_is_refused_with_its_sort() -> None:
    s, a = fields(Gauge), fields(Valve)
    tied = RuleSet(Gauge, Valve)
    tied.add(kind="forbid", name="high", expression=(s.level > 6) & a.is_open)
    tied.add(kind="forbid", name="shut", expression=(s.level > 8) & ~a.is_open)
    found = judge(tied.to_json(), gauge(6), None, True)
    assert found.rejection is not None
    assert found.rejection.sort in (Sort.TIE, Sort.NOT_TOTAL)


def test_a_version_judged_beside_another_one_is_stale(store: RuleStore[Gauge, Valve]) -> None:
    first, second = accepted(store, gauge(3)), accepted(store, gauge(2))
    store.activate(first)
    with pytest.raises(ReloadError) as caught:
        store.activate(second)
    assert caught.value.rejection.cause is Cause.STALE
    assert store.live.sha256 == first


def test_a_judge_that_dies_refuses_and_the_next_proposal_is_judged() -> None:
    calls: list[str] = []

    def dying(text: str, live: RuleSet[Any, Any], stop: Action | None, is_strict: bool) -> Judgement:
        calls.append(text)
        if len(calls) == 1:
            raise OSError("worker killed")
        return judge(text, live, stop, is_strict)

    with RuleStore(gauge(6), judge=dying) as store:
        found = store.propose(gauge(3).to_json()).result()
        assert found.rejection is not None
        assert found.rejection.cause is Cause.WORKER_FAILED
        store.activate(accepted(store, gauge(3)))


def test_a_judgement_on_other_rules_than_the_proposed_ones_is_none() -> None:
    def mistaken(text: str, live: RuleSet[Any, Any], stop: Action | None, is_strict: bool) -> Judgement:
        return Judgement(sha256="../elsewhere", base=live.sha256, rejection=None)

    with RuleStore(gauge(6), judge=mistaken) as store:
        found = store.propose(gauge(3).to_json()).result()
        assert found.rejection is not None
        assert (found.sha256, found.rejection.cause) == (gauge(3).sha256, Cause.WORKER_FAILED)


# Trials


def test_a_trial_without_differences_ends_in_a_swap(store: RuleStore[Gauge, Valve]) -> None:
    sha256 = accepted(store, gauge(3))
    store.try_out(sha256, steps=3)
    for level in (1, 2, 8):
        assert store.settle() is None
        assert store.check(at(level), OPEN).ruleset_sha256 == gauge(6).sha256
    ended = store.settle()
    assert ended is not None
    assert (ended.num_steps, ended.num_differences) == (3, 0)
    assert store.live.sha256 == sha256


def test_a_trial_beyond_its_limit_withdraws_the_version_and_keeps_examples(store: RuleStore[Gauge, Valve]) -> None:
    sha256 = accepted(store, gauge(3))
    trial = store.try_out(sha256, steps=100, most=1)
    for level in (5, 6):
        assert store.check(at(level), OPEN).is_safe
    assert store.settle() is trial
    assert [(one.facts, one.live, one.candidate) for one in trial.examples] == [
        (at(level).to_json(), Outcome.SAFE, Outcome.UNSAFE) for level in (5, 6)
    ]
    assert trial.examples[0].rules == ("high",)
    assert store.live.sha256 == gauge(6).sha256
    with pytest.raises(ReloadError) as caught:
        store.activate(sha256)
    assert caught.value.rejection.cause is Cause.STALE


# Many at once


def test_no_verdict_of_many_threads_is_of_two_versions(store: RuleStore[Gauge, Valve]) -> None:
    """Version 6 calls level 5 safe, version 3 unsafe: whoever names one must have judged by it."""
    strict, lax = accepted(store, gauge(3)), gauge(6).sha256
    expected = {strict: Outcome.UNSAFE, lax: Outcome.SAFE}
    seen: list[set[tuple[str, Outcome]]] = []

    def check() -> None:
        mine = set()
        for _ in range(3000):
            verdict = store.check(at(5), OPEN)
            mine.add((verdict.ruleset_sha256, verdict.outcome))
        seen.append(mine)

    threads = [threading.Thread(target=check) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        store.activate(strict)
        store.roll_back()
        strict = accepted(store, gauge(3))
    assert set().union(*seen) <= set(expected.items())
    assert len(seen) == 4


def test_checks_of_an_event_loop_go_on_while_a_proposal_is_judged() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def slow(text: str, live: RuleSet[Any, Any], stop: Action | None, is_strict: bool) -> Judgement:
        begun.set()
        may_end.wait(10)
        return judge(text, live, stop, is_strict)

    async def run() -> int:
        with RuleStore(gauge(6), judge=slow) as store:
            waiting = asyncio.wrap_future(store.propose(gauge(3).to_json()))
            num_checks = 0
            while not begun.is_set() or num_checks < 100:
                assert store.check(at(5), OPEN).ruleset_sha256 == gauge(6).sha256
                num_checks += 1
                await asyncio.sleep(0)
            may_end.set()
            store.activate((await waiting).sha256)
            assert not store.check(at(5), OPEN).is_safe
            return num_checks

    start = time.monotonic()
    assert asyncio.run(run()) >= 100
    assert time.monotonic() - start < 8
