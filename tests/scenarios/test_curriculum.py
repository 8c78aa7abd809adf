"""The curriculum: answers agree with the symbolic layer, held-out names stay unseen, equal seeds give equal cases."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from itertools import islice

import pytest

from agents.deciding.prompting import Grounding
from localist_core.prompting.encoding import Encoder
from localist_core.tokenizer import NO_RULE, SLOTS, build_tokenizer
from scenarios.curriculum import MAX_ACTIONS, MAX_RULES, Case, Curriculum, Difficulty, cases, lesson
from scenarios.names import HELD_OUT, TRAINED
from symbolic import Truth, ground

BUSY = Difficulty(raw=0.3, injected=0.7, messages=0.7)


def some(count: int, seed: int = 11, *, held_out: bool = False) -> list[Case]:
    return list(islice(cases(seed, held_out=held_out, difficulty=BUSY, states_per_domain=2), count))


CASES = some(150)
UNSEEN = some(60, held_out=True)
TOKENIZER = build_tokenizer(TRAINED, merges=40)
ENCODER = Encoder(TOKENIZER)
LESSONS = [(case, lesson(case, ENCODER)) for case in CASES]


def said(case: Case, sort: str) -> list[tuple[str, ...]]:
    """The right answers of one sort, as words."""
    made = lesson(case, ENCODER)
    kept = [right for right, name in zip(made.answers, made.sorts, strict=True) if name.removeprefix("raw_") == sort]
    return [tuple(TOKENIZER.convert_ids_to_tokens(list(right))) for right in kept]


def test_exact_facts_forbid_what_the_symbolic_layer_finds_not_compliant() -> None:
    exact = [case for case in (*CASES, *UNSEEN) if case.facts.is_exact]
    assert len(exact) > 100
    for case in exact:
        allowed = tuple(not rules for rules in case.forbidding)
        assert allowed == case.words.ruleset.compliant(case.facts)


def test_vague_facts_never_allow_what_the_symbolic_layer_does_not() -> None:
    vague = [case for case in (*CASES, *UNSEEN) if not case.facts.is_exact]
    assert len(vague) > 10
    for case in vague:
        compliant = case.words.ruleset.compliant(case.facts)
        assert all(compliant[action] for action in case.allowed())


def test_forbidding_names_exactly_the_rules_of_the_verdict() -> None:
    for case in (case for case in CASES if case.facts.is_exact):
        for action, rules in enumerate(case.forbidding):
            verdict = case.words.ruleset.check(case.facts, case.words.ruleset.actions[action])
            anchors = [rule.anchor for rule in case.words.ruleset.rules]
            assert {anchors[rule] for rule in rules} == {violation.rule for violation in verdict.violations}


def test_best_is_the_first_wish_that_no_rule_forbids() -> None:
    for case in CASES:
        wanted = [action for action in case.goal if action in case.allowed()]
        assert case.best == (wanted[0] if wanted else None)
        expected = [] if case.best is None else [(case.words.actions[case.best],)]
        assert said(case, "act") == expected


def test_citations_name_every_forbidding_rule_or_none() -> None:
    for case in CASES:
        expected = [tuple(case.words.rules[rule] for rule in case.forbidding[a]) or (NO_RULE,) for a in case.goal]
        assert said(case, "cite") == expected


def test_raw_prompts_ask_for_every_truth_value_and_others_for_none() -> None:
    words = {Truth.YES: "yes", Truth.NO: "no", Truth.MAYBE: "maybe"}
    assert {case.style.grounding for case in CASES} == set(Grounding)
    for case in (case for case in CASES if not case.injections):
        marks = [(words[t],) for ps in case.words.line_texts for p in ps for t in ground(p.line, case.facts)]
        assert said(case, "truth") == (marks if case.style.grounding is Grounding.RAW else [])


def test_supervised_tokens_are_in_trusted_blocks_and_answers_are_special() -> None:
    special = set(TOKENIZER.get_added_vocab().values())
    messages = {index for index, kind in enumerate(_kinds()) if kind == "message"}
    for _, made in LESSONS:
        assert not {made.kinds[row] for row in made.rows} & messages
        assert all(set(right) <= special and len(set(right)) == len(right) for right in made.answers)


def test_lesson_is_in_step_and_messages_are_always_rest() -> None:
    message = _kinds().index("message")
    for _, made in LESSONS:
        assert len(made.ids) == len(made.kinds) == len(made.positions) == len(made.is_rest)
        assert len(made.rows) == len(made.answers) == len(made.sorts) == len(made.weights)
        assert all(rest for rest, kind in zip(made.is_rest, made.kinds, strict=True) if kind == message)
        assert not all(made.is_rest)


def _kinds() -> list[str]:
    from localist_core.blocks import PROMPT_ORDER

    return [str(kind) for kind in PROMPT_ORDER]


def test_domains_stay_within_the_slots_and_the_stated_sizes() -> None:
    for case in (*CASES, *UNSEEN):
        words = case.words
        for letter, slots in {
            "A": words.actions, "R": words.rules, "F": words.fields.values(), "V": words.values.values()
        }.items():  # fmt: skip
            known = {f"{letter}{index}" for index in range(1, SLOTS[letter] + 1)}
            assert len(set(slots)) == len(list(slots))
            assert set(slots) <= known
        assert 1 <= len(words.rules) <= MAX_RULES
        assert 2 <= len(words.actions) <= MAX_ACTIONS


def test_name_lists_share_no_word() -> None:
    assert set(TRAINED).isdisjoint(HELD_OUT)
    assert len(set(TRAINED)) == len(TRAINED)
    assert len(set(HELD_OUT)) == len(HELD_OUT)


def test_held_out_names_are_made_of_held_out_words_alone() -> None:
    for case in UNSEEN:
        slots = {*case.words.actions, *case.words.fields.values(), *case.words.values.values()}
        names = [word for word in case.words.schema.split()[1:] if word not in slots]
        parts = {part for name in names for piece in name.split("-") for part in piece.split("_")}
        assert parts <= set(HELD_OUT)


def test_cases_of_one_domain_have_slots_of_their_own() -> None:
    stream = cases(4, held_out=False, difficulty=BUSY, states_per_domain=4)
    one, two, *_ = islice(stream, 4)
    assert one.words.ruleset is two.words.ruleset
    assert one.words.fields != two.words.fields


DIGEST = """
import hashlib
from itertools import islice
from scenarios.curriculum import Difficulty, cases
digest = hashlib.sha256()
stream = cases(11, held_out=False, difficulty=Difficulty(raw=0.3, injected=0.7, messages=0.7), states_per_domain=2)
for case in islice(stream, 40):
    digest.update(repr((case.prompt().sha256, case.goal, case.forbidding, case.best)).encode())
print(digest.hexdigest())
"""


@pytest.mark.slow
def test_same_seed_gives_the_same_cases_in_another_process_with_other_hashes() -> None:
    digest = hashlib.sha256()
    for case in CASES[:40]:
        digest.update(repr((case.prompt().sha256, case.goal, case.forbidding, case.best)).encode())
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    found = subprocess.run(
        [sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True
    )  # fmt: skip
    assert found.stdout.strip() == digest.hexdigest()


def test_pools_do_not_depend_on_the_order_they_are_made_in(tmp_path) -> None:
    TOKENIZER.save_pretrained(tmp_path)
    source = Curriculum(tokenizer=tmp_path, seed=3, size=12)
    forward = [source(pool) for pool in (0, 1, 2)]
    backward = [source(pool) for pool in (2, 1, 0)][::-1]
    assert forward == backward
    assert forward[0] != forward[1] != forward[2]
