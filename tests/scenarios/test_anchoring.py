"""Words of rules are read exactly, anchors are reported for each rule, and rules are renamed as said."""

from __future__ import annotations

import json
import math

import pytest
import torch

from localist_core import BlockKind, Dial, SharedCore
from localist_core.proving.anchors import Terms
from scenarios.anchoring import anchoring
from scenarios.asked import OFF, PromptKind, split
from scenarios.cli import main
from scenarios.naming import Naming, drawn, named, renamed
from scenarios.scenario import load
from scenarios.wording import Row, named_of, pointer_of, split_words, word_rows

SCENARIO = load("corridor")
SPLIT = split(SCENARIO, (PromptKind.PLAIN,), 12, 0, "anchors")
TEXT = "if F1 < 1 yes : not A2 R1 ; if F2 no : not A3 R1"


@pytest.fixture(scope="module")
def core(model: str) -> SharedCore:
    return SharedCore.load(model)


def test_words_in_blocks_of_their_own_change_no_token_and_share_the_block_s_mass(core: SharedCore) -> None:
    request = SPLIT.questions[0].request(OFF)
    divided = split_words(core, request.prompt)
    assert core.read(divided)[1].ids == core.read(request.prompt)[1].ids
    (whole,), (parts,) = (
        core.scored([type(request)(agent="a", prompt=prompt, actions=request.actions, dial=Dial.off())])
        for prompt in (request.prompt, divided)
    )
    at = divided.names().index("R2:0"), divided.names().index("R3:0")
    own = whole.heads[..., request.prompt.names().index("R2")]
    assert torch.allclose(parts.heads[..., at[0] : at[1]].sum(-1), own, atol=1e-5)


def test_rows_are_the_options_that_one_rule_forbids(core: SharedCore) -> None:
    rows = word_rows(core, SPLIT, (0, 1))
    cases = [one.question.case for one in SPLIT.questions]
    alone = [case.words.rules[rules[0]] for case in cases for rules in case.forbidding if len(rules) == 1]
    assert [row.rule for row in rows] == alone
    for row in rows:
        assert row.rule in row.words
        assert 0.0 < sum(row.words.values()) + row.outside <= 1.0 + 1e-6
        assert row.fidelity(tuple(row.words)) >= row.fidelity((row.rule,)) > 0.0


def row(**words: float) -> Row:
    return Row(rule="R1", read="R1", words=words, outside=0.4, top_outside=0.1, num_outside=8)


def test_margin_is_of_the_lowest_word_over_the_highest_outside() -> None:
    one = row(R1=0.2, A2=0.05, yes=0.3)
    assert one.margin(("R1",)) == pytest.approx(math.log(2.0))
    assert one.margin(("R1", "A2")) == pytest.approx(math.log(0.5))
    assert one.margin(("F9",)) == -math.inf
    assert one.fidelity(("R1",)) == pytest.approx(0.2 / 0.6)


def test_words_that_change_with_the_state_name_nothing() -> None:
    block = named_of([row(R1=0.2, yes=0.3), row(R1=0.4, no=0.3)])
    assert [one.word for one in block.candidates] == ["R1"]
    assert block.candidates[0].mass == pytest.approx(0.3)
    assert block.fidelity(("R1",)) == pytest.approx(0.3 / 0.7)


def test_anchors_are_found_for_every_rule_that_forbids_alone(core: SharedCore) -> None:
    other = split(SCENARIO, (PromptKind.PLAIN,), 12, 0, "report")
    found = anchoring(core, "cart", SCENARIO.roles["cart"], choosing=SPLIT, reporting=other, terms=Terms(), leak=0.05)
    assert {rule.rule for rule in found.rules} == {row.rule for row in word_rows(core, SPLIT, found.head)}
    assert found.found.information_bits <= math.log2(len(found.rules))
    assert found.reader_bits <= found.block_bits + 0.2
    assert [arm.naming for arm in found.namings] == list(Naming)
    as_it_is = found.namings[0]
    assert (as_it_is.against.low, as_it_is.against.high) == (0.0, 0.0)
    arms = {arm.name: arm.fidelity for arm in found.words}
    assert arms["all words"] >= max(arms["designed"], arms["first words, as many"])


def test_head_that_rests_on_rules_is_looked_for_where_none_is_known(core: SharedCore) -> None:
    assert getattr(core.model.config, "pointer_head", None) is None
    layer, head = pointer_of(core, SPLIT)
    assert (layer in range(2), head in range(4)) == (True, True)


@pytest.mark.parametrize(
    ("naming", "text"),
    [
        (Naming.AS_IS, TEXT),
        (Naming.NONE, "if F1 < 1 yes : not A2 ; if F2 no : not A3"),
        (Naming.FIRST, "R1 if F1 < 1 yes : not A2 ; if F2 no : not A3"),
        (Naming.TWICE, "if F1 < 1 yes : not A2 R1 R1 ; if F2 no : not A3 R1 R1"),
        (Naming.END, TEXT + " R1"),
        (Naming.DESIGNED, TEXT + " A2 R1"),
    ],
)
def test_each_naming_says_the_rule_in_its_way(naming: Naming, text: str) -> None:
    assert named(TEXT, "R1", naming, ("A2", "R1"), 0) == text


def test_random_words_are_of_the_block_as_many_and_the_same_again() -> None:
    words = drawn(TEXT, 3, 0)
    assert len(set(words)) == 3
    assert set(words) <= set(TEXT.split())
    assert named(TEXT, "R1", Naming.RANDOM, ("A2", "R1", "F1"), 0) == " ".join([TEXT, *words])
    assert drawn("R1 R1", 3, 0) == ("R1",)


def test_only_rules_are_renamed() -> None:
    prompt = SPLIT.questions[0].request(OFF).prompt
    changed = renamed(prompt, Naming.NONE, {})
    assert changed.without(changed.names(BlockKind.RULEBOOK)) == prompt.without(prompt.names(BlockKind.RULEBOOK))
    assert not any(name in changed[name].text.split() for name in changed.names(BlockKind.RULEBOOK))


def test_command_prints_tables_and_json(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["anchors", "corridor", "--states", "6", "--model", model, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["format"], printed["roles"][0]["role"]) == ("localist-anchors", "cart")
    assert main(["anchors", "corridor", "--states", "6", "--model", model]) == 0
    text = capsys.readouterr().out
    for word in ("anchors", "marginal gains", "no name", "designed"):
        assert word in text


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--states", "0"], "--states"),
        (["--leak", "1"], "--leak"),
        (["--drop", "0.8", "--swap", "0.8"], "sum of at most 1"),
        (["--most", "0"], "1 word or more"),
    ],
)
def test_wrong_argument_is_told_in_one_line(argv: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["anchors", "corridor", *argv]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1
