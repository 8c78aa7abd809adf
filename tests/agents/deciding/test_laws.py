"""Laws of decisions and prompts over random domains, rule sets, states, messages and cores."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agents.deciding import (
    Attempt,
    Decision,
    Detail,
    Ladder,
    Lexicon,
    Message,
    Resting,
    Situation,
    Style,
    lexicon,
    render,
)
from agents.deciding.prompting import resting_on
from agents.recording.events import Rung
from localist_core import BlockKind, Choice, CoreError, Prompt, Request, Trust
from localist_core.blocks import DECISION_KINDS, NEUTRAL_KINDS
from localist_core.core import choice_of
from scenarios.curriculum import (
    Case,
    Difficulty,
    forbidden_by,
    random_case,
    random_facts,
    random_lexicon,
    random_messages,
    random_rules,
)
from scenarios.names import Names
from symbolic import violated
from tests.agents.deciding.junction import actions_named, rules_named, settle

SEEDS = st.integers(0, 2**32 - 1)
DIFFICULTY = Difficulty(max_rules=6, injected=0.6, messages=0.7)
DETAILS = st.sampled_from([Detail.SENTENCE, Detail.NUMBERS, Detail.RANGE, Detail.NEAREST])


@dataclass(frozen=True, slots=True)
class World:
    """A random domain with its names and its source of randomness."""

    rng: random.Random
    names: Names
    words: Lexicon

    def situation(self) -> Situation:
        """A random situation with messages, in the slots of a run."""
        words = lexicon(self.words.ruleset)
        goal = self.rng.sample(range(len(words.actions)), len(words.actions))
        return Situation(
            agent="car-1",
            role="car",
            words=words,
            facts=random_facts(self.rng, words.ruleset.state),
            goal=tuple(goal),
            safe_stop=self.rng.randrange(len(goal)),
            messages=random_messages(self.rng, self.names, words, DIFFICULTY),
        )

    def case(self) -> Case:
        """A random case of the curriculum, in permuted slots."""
        return random_case(self.rng, self.names, self.words, DIFFICULTY)


@lru_cache
def domain_of(seed: int) -> Lexicon:
    """A random domain with rules and permuted slots; kept, since building one takes longer than deciding in it."""
    rng = random.Random(seed)
    rules = random_rules(rng, Names(rng, held_out=False, is_short=True), DIFFICULTY.max_rules)
    return random_lexicon(rng, rules)


def world_of(domain: int, seed: int) -> World:
    rng = random.Random(seed)
    return World(rng, Names(rng, held_out=False, is_short=True), domain_of(domain))


WORLDS = st.builds(world_of, st.integers(0, 127), SEEDS)
LADDERS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "asks": st.integers(0, 3),
        "dials": st.booleans(),
        "chooses": st.booleans(),
        "style": st.builds(Style, detail=DETAILS, has_rulebook=st.booleans()),
    }
)


class Whim:
    """An `Ask` that answers at random, now and then not at all or with nonsense."""

    def __init__(self, rng: random.Random, failing: float = 0.15) -> None:
        self._rng = rng
        self._failing = failing
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> Choice:
        self.requests.append(request)
        if self._rng.random() < self._failing:
            raise CoreError("expected an answer, got none")
        if self._rng.random() < self._failing:
            return choice_of(request, [float("nan")] * len(request.actions))
        weights = [self._rng.random() ** 4 for _ in request.actions]
        return choice_of(request, [weight / sum(weights) for weight in weights])


def marks_of(line: str) -> list[str]:
    """The truth values in a line of a rule."""
    condition = line.partition(" : ")[0].removeprefix("if ")
    return [] if condition == "always" else [part.split()[-1] for part in condition.split(" and ")]


def forbidding_lines(text: str, action: str) -> list[str]:
    """The lines of a block that name an action and may apply."""
    rules = [line for line in text.split(" ; ") if " : " in line]
    return [line for line in rules if action in actions_named(line) and "no" not in marks_of(line)]


# Decisions


@given(WORLDS, LADDERS)
def test_executed_action_is_checked_safe_or_the_safe_stop_of_a_dead_end(world: World, ladder: dict[str, Any]) -> None:
    here = world.situation()
    decision = settle(here, Whim(world.rng), **ladder)
    rules, facts = here.rules, here.facts
    assert facts is not None
    assert rules.check(facts, rules.actions[decision.action]) == decision.verdict
    if decision.rung is Rung.SAFE_STOP:
        assert decision.action == here.safe_stop
        assert not any(rules.compliant(facts))
    else:
        assert decision.verdict.is_safe
        if facts.is_exact:
            state, action = facts.state(), rules.actions[decision.action]
            assert not any(violated(rule, state, action) for rule in rules.rules)


@given(WORLDS)
def test_unbound_decision_is_the_first_proposal_whatever_it_breaks(world: World) -> None:
    here = world.situation()
    decision = settle(here, Whim(world.rng, failing=0.0), binds=False)
    assert decision.rung is Rung.PROPOSED
    assert here.words.actions[decision.action] == decision.attempts[0].choice.chosen
    assert decision.verdict == decision.attempts[0].verdict


@given(WORLDS, LADDERS)
def test_rung_and_reason_tell_how_the_action_came_about(world: World, ladder: dict[str, Any]) -> None:
    here, ask = world.situation(), Whim(world.rng)
    decision = settle(here, ask, **ladder)
    attempts = decision.attempts
    assert len(attempts) <= ladder["asks"] + 1
    assert not any(attempt.verdict.is_safe for attempt in attempts[:-1])
    assert (decision.reason == "core failed") == (len(attempts) < len(ask.requests)) == bool(decision.faults)
    if decision.rung in (Rung.PROPOSED, Rung.INJECTED):
        assert (decision.reason, decision.verdict) == ("", attempts[-1].verdict)
        assert (decision.rung is Rung.PROPOSED) == (len(attempts) == 1)
    else:
        assert decision.reason
    if decision.rung is Rung.CHOSEN:
        assert ladder["chooses"]
        assert attempts


@given(WORLDS, LADDERS)
def test_dial_rises_with_violations_and_is_zero_without(world: World, ladder: dict[str, Any]) -> None:
    here, ask = world.situation(), Whim(world.rng)
    settle(here, ask, **ladder)
    schedule = here.schedule if ladder["dials"] else None
    expected = [schedule.at(number) if schedule else 0.0 for number in range(len(ask.requests))]
    assert [request.dial.value for request in ask.requests] == expected


@given(WORLDS, LADDERS)
def test_evidence_comes_only_after_injections(world: World, ladder: dict[str, Any]) -> None:
    ask = Whim(world.rng)
    settle(world.situation(), ask, lambda request, block: 0.0, **ladder)
    shown = [bool(request.prompt.names(BlockKind.INJECTION)) for request in ask.requests]
    assert [request.evidence for request in ask.requests] == shown
    assert shown == [number > 0 for number in range(len(shown))]


@given(WORLDS, LADDERS)
def test_targets_are_trusted_and_never_neutral(world: World, ladder: dict[str, Any]) -> None:
    ask = Whim(world.rng)
    settle(world.situation(), ask, **ladder)
    for request in ask.requests:
        for name in request.dial.targets:
            block = request.prompt[name]
            assert block.trust is Trust.TRUSTED
            assert block.kind not in NEUTRAL_KINDS | {BlockKind.MESSAGE, BlockKind.MEMORY}


@given(WORLDS, LADDERS)
def test_injections_only_add_up_and_tell_what_was_violated(world: World, ladder: dict[str, Any]) -> None:
    ask = Whim(world.rng)
    decision: Decision = settle(world.situation(), ask, **ladder)
    for before, after in zip(decision.attempts, ask.requests[1:], strict=False):
        old, new = told(before.request.prompt), told(after.prompt)
        assert new[: len(old)] == old
        assert len(new) > len(old)
        assert {anchor for line in new[len(old) :] for anchor in rules_named(line)} <= violated_anchors(before)


def told(prompt: Prompt) -> list[str]:
    """Texts of the injections."""
    return [prompt[name].text for name in prompt.names(BlockKind.INJECTION)]


def violated_anchors(attempt: Attempt) -> set[str]:
    return {violation.rule for violation in attempt.verdict.violations}


@given(WORLDS, LADDERS, SEEDS)
def test_same_situation_and_answers_give_the_same_decision(world: World, ladder: dict[str, Any], seed: int) -> None:
    here = world.situation()
    one, two = (settle(here, Whim(random.Random(seed)), **ladder) for _ in range(2))
    assert one == two


# Prompts


@given(WORLDS)
def test_prompt_forbids_exactly_what_the_rules_forbid(world: World) -> None:
    case = world.case()
    prompt = case.prompt(Style())
    rules = case.words.ruleset
    for slot, action in zip(case.words.actions, rules.actions, strict=True):
        named = {
            name
            for name in prompt.names(BlockKind.RULEBOOK)
            for line in forbidding_lines(prompt[name].text, slot)
            if line
        }
        verdict = rules.check(case.facts, action)
        if case.facts.is_exact:
            anchors = {violation.rule for violation in verdict.violations}
            assert named == {s for s, rule in zip(case.words.rules, rules.rules, strict=True) if rule.anchor in anchors}
        elif not named:
            assert verdict.is_safe


@given(WORLDS)
def test_messages_are_untrusted_and_stand_after_everything_trusted(world: World) -> None:
    case = world.case()
    prompt = case.prompt()
    body = [block for block in prompt.blocks if block.kind not in DECISION_KINDS]
    assert [block.trust is Trust.UNTRUSTED for block in body] == [block.kind is BlockKind.MESSAGE for block in body]
    assert [block.trust for block in body] == sorted((block.trust for block in body), reverse=True)
    assert len(prompt.names(BlockKind.MESSAGE)) == len(case.messages)


@given(WORLDS, st.lists(st.builds(Message, sender=st.text(max_size=9), text=st.text()), max_size=3))
def test_no_message_changes_any_other_block(world: World, messages: list[Message]) -> None:
    case = world.case()
    plain = render(case.words, case.facts, case.goal, role="car")
    said = render(case.words, case.facts, case.goal, role="car", messages=messages)
    assert said.without(said.names(BlockKind.MESSAGE)) == plain
    for resting in Resting:
        targets = [resting_on(prompt, case.words, case.facts, (), resting) for prompt in (plain, said)]
        assert targets[0] == targets[1]


@given(WORLDS, DETAILS)
def test_injection_restates_only_lines_of_its_rule_that_apply(world: World, detail: Detail) -> None:
    case = world.case()
    prompt = case.prompt(Style(detail=detail))
    for number, injection in enumerate(case.injections, 1):
        text = prompt[f"I{number}"].text
        lines = [part for part in text.split(" ; ") if part.startswith("if ")]
        action, rule = case.words.actions[injection.action], prompt[case.words.rules[injection.rule]]
        assert lines == forbidding_lines(text, action) == forbidding_lines(rule.text, action)
        is_told = detail is Detail.RANGE or (detail is Detail.NEAREST and bool(injection.allowed))
        assert (" ; allowed " in text) == is_told


@given(WORLDS)
def test_target_sets_are_what_they_say_and_each_lies_in_the_trusted_one(world: World) -> None:
    case = world.case()
    for style in (Style(), Style(has_rulebook=False)):
        prompt = case.prompt(style)
        book = set(prompt.names(BlockKind.RULEBOOK))
        restated = book & {case.words.rules[injection.rule] for injection in case.injections}
        firing = book & {case.words.rules[rule] for rules in forbidden_by(case.words, case.facts) for rule in rules}
        found = {one: resting_on(prompt, case.words, case.facts, case.injections, one) for one in Resting}
        common = {"role", "goal", "observation", *prompt.names(BlockKind.INJECTION)} & set(prompt.names())
        assert found[Resting.TRUSTED] == common | book
        assert found[Resting.APPLYING] == common | firing
        if case.injections:
            assert found[Resting.RESTATED] == {"observation", *restated, *prompt.names(BlockKind.INJECTION)}
        else:
            assert found[Resting.RESTATED] == found[Resting.TRUSTED]


@given(WORLDS)
def test_equal_inputs_render_equal_prompts(world: World) -> None:
    case = world.case()
    assert case.prompt().sha256 == case.prompt().sha256
    assert case.prompt() == case.prompt()


def test_default_ladder_asks_twice_dials_chooses_and_binds() -> None:
    assert Ladder() == Ladder(asks=2, dials=True, chooses=True, binds=True, max_age_s=1.0, style=Style())
