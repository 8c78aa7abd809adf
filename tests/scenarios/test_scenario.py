"""Finding scenarios, and one clear line for every mistake in naming or writing one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scenarios.corridor.rules import Cart, Move, rules
from scenarios.corridor.world import CorridorWorld
from scenarios.scenario import Role, Scenario, ScenarioError, load
from symbolic import RuleSet

GOOD = """
from scenarios.corridor.roles import cart
from scenarios.corridor.world import CorridorWorld
from scenarios.scenario import Scenario

{name} = Scenario(name="mine", world=CorridorWorld, roles={{"cart": cart}})
"""


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]
    def put(text: str, name: str = "mine.py") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return put


def message(reference: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        load(reference)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_shipped_scenario_is_found_by_name() -> None:
    assert load("corridor").name == "corridor"


def test_unknown_scenario_gets_a_suggestion() -> None:
    assert message("coridor").endswith("got `coridor`; did you mean `corridor`")


def test_far_off_name_gets_the_list() -> None:
    assert "`corridor`, `doorway`, `intersection`" in message("chess")


def test_shipped_scenario_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("scenarios.intersection")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "highway_env", None)
    assert message("intersection") == (
        "expected `highway_env` for scenario `intersection`, got no such package; "
        "install it with `pip install 'localist-agents[driving]'`"
    )


def test_file_with_one_scenario_is_loaded(write) -> None:  # type: ignore[no-untyped-def]
    assert load(write(GOOD.format(name="anything"))).name == "mine"


def test_named_scenario_of_a_file_is_loaded(write) -> None:  # type: ignore[no-untyped-def]
    path = write(GOOD.format(name="one") + "two = Scenario(name='second', world=CorridorWorld, roles={'cart': cart})\n")
    assert load(f"{path}:two").name == "second"


def test_file_with_two_scenarios_asks_which(write) -> None:  # type: ignore[no-untyped-def]
    path = write(GOOD.format(name="one") + "two = Scenario(name='second', world=CorridorWorld, roles={'cart': cart})\n")
    assert "got 2 (`one`, `two`); name one, as in" in message(path)


def test_wrong_name_in_a_file_gets_a_suggestion(write) -> None:  # type: ignore[no-untyped-def]
    path = write(GOOD.format(name="junction"))
    assert message(f"{path}:juncton").endswith("got none; did you mean `junction`")


def test_file_without_a_scenario_says_so(write) -> None:  # type: ignore[no-untyped-def]
    assert "expected a Scenario in" in message(write("x = 1\n"))


def test_missing_file_gets_a_suggestion(write) -> None:  # type: ignore[no-untyped-def]
    path = write(GOOD.format(name="one"), "junction.py")
    assert f"did you mean `{path}`" in message(path.replace("junction", "junctoin"))


def test_path_without_ending_says_so() -> None:
    assert "expected a file that ends in .py" in message("./somewhere/junction")


def test_syntax_error_names_file_and_line(write) -> None:  # type: ignore[no-untyped-def]
    path = write("x = 1\ndef broken(:\n")
    assert message(path).startswith(f"{path}:2: expected Python")


def test_failing_file_names_line_and_error(write) -> None:  # type: ignore[no-untyped-def]
    path = write("x = 1\ny = x / 0\n")
    assert message(path) == f"{path}:2: ZeroDivisionError: division by zero"


def test_rule_that_names_no_field_is_told_with_its_line(write) -> None:  # type: ignore[no-untyped-def]
    path = write(
        "from scenarios.corridor.rules import Cart, Move\nfrom symbolic import RuleSet\nrules = RuleSet(Cart, Move)\n"
        "@rules.forbid()\ndef wrong(s, a):\n    return s.speed < 3\n"
    )
    assert "mine.py:4: rule `wrong`" in message(path)


def test_file_that_exits_is_told_and_does_not_end_the_program(write) -> None:  # type: ignore[no-untyped-def]
    path = write("import sys\nsys.exit(3)\n")
    assert "SystemExit" in message(path)


def test_role_of_an_agent_is_the_part_before_the_number() -> None:
    scenario = load("corridor")
    assert scenario.role_of("cart-3") is scenario.roles["cart"]
    with pytest.raises(ScenarioError, match=r"expected a role for `car-1` \(`cart`\), got none; name it `car`"):
        scenario.role_of("car-1")


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"goal": " "}, "expected a goal in words"),
        ({"rules": RuleSet(Cart, Move)}, "expected at least one rule"),
        ({"safe_stop": Cart}, "expected a safe stop among the actions of `Move`"),
        ({"asks": -1}, "expected a number of asks of 0 or more"),
    ],
)
def test_role_that_could_not_decide_is_refused(changed: dict[str, object], text: str) -> None:
    good: dict[str, object] = {"goal": "go", "rules": rules, "safe_stop": Move(step="wait")}
    with pytest.raises(ScenarioError, match=text):
        Role(**{**good, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"name": "My Scenario"}, "expected a name of lower-case letters"),
        ({"world": "corridor"}, "expected a function that makes a world"),
        ({"roles": {}}, "expected at least one role in `mine`"),
    ],
)
def test_scenario_without_its_parts_is_refused(changed: dict[str, object], text: str) -> None:
    role = Role(goal="go", rules=rules, safe_stop=Move(step="wait"))
    good: dict[str, object] = {"name": "mine", "world": CorridorWorld, "roles": {"cart": role}}
    with pytest.raises(ScenarioError, match=text):
        Scenario(**{**good, **changed})  # type: ignore[arg-type]
