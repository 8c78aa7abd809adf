from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import create_model

from agents.deciding import LexiconError, lexicon, render
from agents.deciding.prompting import observed
from localist_core.prompting.slots import SLOTS
from symbolic import UNKNOWN, Action, Facts, Interval, RuleError, RuleSet, State, any_of, fields, known, many, whole
from tests.agents.deciding.junction import RULES, seen


def words(count: int, letter: str = "w") -> Any:
    return Literal[tuple(f"{letter}{index}" for index in range(count))]


def a_set(*, actions: int = 2, rules: int = 1, flags: int = 1, choices: tuple[int, ...] = ()) -> RuleSet[State, Action]:
    """A rule set of a given size."""
    made: dict[str, Any] = {f"flag_{index}": (bool, ...) for index in range(flags)}
    made |= {f"choice_{index}": (words(count), ...) for index, count in enumerate(choices)}
    state: Any = create_model("Sensed", __base__=State, **made)
    action: Any = create_model("Deed", __base__=Action, deed=(words(actions, "d"), ...))
    ruleset: RuleSet[State, Action] = RuleSet(state, action)
    s: Any = fields(state)
    a: Any = fields(action)
    for index in range(rules):
        ruleset.add(kind="forbid", name=f"rule_{index}", expression=s.flag_0 & (a.deed == "d0"))
    return ruleset


def test_slots_follow_the_declaration() -> None:
    found = lexicon(RULES)
    assert found.actions == ("A1", "A2", "A3")
    assert found.rules == ("R1", "R2", "R3", "R4")
    assert found.fields == {"gap_m": "F1", "rival_m": "F2", "light": "F3", "is_wet": "F4", "is_blocked": "F5"}
    assert found.values == {"light=red": "V1", "light=green": "V2"}
    assert found.schema == (
        "schema A1 stop A2 slow A3 go F1 gap_m F2 rival_m F3 light F4 is_wet F5 is_blocked V1 red V2 green"
    )


class Near(State):
    gap_m: int | None = whole(ge=0, le=9)


class Crossing(State):
    others: tuple[Near, ...] = many(Near, at_most=2)


def test_prompt_says_nothing_of_neighbours_who_are_not_there() -> None:
    class Deed(Action):
        go: bool

    s: Any = fields(Crossing)
    a: Any = fields(Deed)
    rules: RuleSet[State, Action] = RuleSet(Crossing, Deed)
    rules.add(kind="forbid", name="near", expression=any_of(s.others, lambda o: known(o.gap_m) & (o.gap_m < 3)) & a.go)
    found = lexicon(rules)
    slots = found.fields
    seen = observed(found, Facts.exact(Crossing(others=(Near(gap_m=2),))))
    assert seen.split() == [
        slots["others_1_present"], "yes", slots["others_1_gap_m"], "2", slots["others_1_gap_m_known"], "yes",
        slots["others_2_present"], "no",
    ]  # fmt: skip
    assert found.line_texts[0][0].conditions[1] == slots["others_1_gap_m_known"]


def test_rule_set_that_fills_every_slot_has_a_lexicon() -> None:
    ruleset = a_set(actions=SLOTS["A"], rules=SLOTS["R"], flags=SLOTS["F"] - 1, choices=(SLOTS["V"],))
    found = lexicon(ruleset)
    assert (found.actions[-1], found.rules[-1], len(found.fields), len(found.values)) == ("A16", "R32", 24, 32)


@pytest.mark.parametrize(
    ("size", "complaint"),
    [
        ({"actions": 17}, "expected at most 16 actions of `Deed`, got 17"),
        ({"rules": 33}, "expected at most 32 rules over `Sensed`, got 33"),
        ({"flags": 25}, "expected at most 24 fields of `Sensed`, got 25"),
        ({"choices": (30, 3)}, "expected at most 32 words in all choices of `Sensed` together, got 33"),
    ],
)
def test_rule_set_beyond_the_slots_is_refused_in_one_line(size: dict[str, Any], complaint: str) -> None:
    with pytest.raises(LexiconError) as caught:
        lexicon(a_set(**size))
    assert str(caught.value) == f"{complaint}; prompts have no more slots, so merge or drop some"
    assert isinstance(caught.value, RuleError)


def test_prompt_of_the_junction_reads_as_it_was_trained() -> None:
    prompt = render(lexicon(RULES), seen(light="red"), (2, 1, 0), role="car")
    assert [(block.name, block.text) for block in prompt.blocks[1:]] == [
        ("role", "role car"),
        ("goal", "goal A3 A2 A1"),
        ("observation", "F1 50 F2 50 F3 V1 F4 no F5 no"),
        ("R1", "if F5 no : not A1 R1 A2 R1 A3 R1"),
        ("R2", "if F3 is V1 yes : not A3 R2"),
        ("R3", "if F1 < 10 no : not A2 R3 A3 R3"),
        ("R4", "if F4 no and F1 < 20 no : not A2 R4 A3 R4"),
        ("options", "options A3 A2 A1"),
        ("act", "act"),
    ]


def test_open_facts_are_shown_as_intervals_and_unknowns() -> None:
    facts = seen(gap_m=Interval(8.0, 12.5), light=UNKNOWN, is_wet=UNKNOWN)
    prompt = render(lexicon(RULES), facts, (0, 1, 2))
    assert prompt["observation"].text == "F1 8 to 12.5 F2 50 F3 unknown F4 unknown F5 no"
    assert prompt["R3"].text == "if F1 < 10 maybe : not A2 R3 A3 R3"
    assert "role" not in prompt.names()


def test_rule_that_always_holds_says_so_and_one_that_never_does_has_no_block() -> None:
    class Tank(State):
        level: int = whole(ge=0, le=9)

    class Valve(Action):
        turn: Literal["open", "shut"]

    rules: RuleSet[Any, Any] = RuleSet(Tank, Valve)
    s: Any = fields(Tank)
    a: Any = fields(Valve)
    rules.add(kind="forbid", name="always", expression=a.turn == "open", priority=90)
    rules.add(kind="forbid", name="never", expression=(a.turn == "open") & (a.turn == "shut") & (s.level > 3))
    prompt = render(lexicon(rules), Facts.of(Tank, level=3), (0, 1))
    assert prompt.names("rulebook") == ("R1",)
    assert prompt["R1"].text == "if always : not A1 R1"
