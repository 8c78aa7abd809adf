"""The public test double, and that none of this needs torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from localist_core import Block, BlockKind, Dial, Prompt, Request, RequestError, ScriptedCore
from localist_core.errors import DialError

PROMPT = Prompt(
    (
        Block(kind=BlockKind.GOAL, name="goal", text="go"),
        Block(kind=BlockKind.OPTIONS, name="options", text="A1 A2 A3"),
        Block(kind=BlockKind.DECISION, name="decision", text="act"),
    )
)


def ask(actions=("A1", "A2", "A3"), dial=None) -> Request:
    return Request(agent="car-1", prompt=PROMPT, actions=actions, dial=dial or Dial.off())


def test_script_answers_with_a_label_or_with_weights() -> None:
    (label,) = ScriptedCore(lambda _: "A2").decide([ask()])
    assert (label.chosen, label.probabilities, label.margin) == ("A2", (0.0, 1.0, 0.0), 1.0)
    (weights,) = ScriptedCore(lambda _: {"A1": 1, "A3": 3}).decide([ask()])
    assert (weights.chosen, weights.probabilities, weights.margin) == ("A3", (0.25, 0.0, 0.75), 0.5)


def test_of_equal_actions_the_first_is_chosen() -> None:
    assert ScriptedCore(lambda r: dict.fromkeys(r.actions, 1.0)).decide([ask()])[0].chosen == "A1"


@pytest.mark.parametrize("answer", ["A9", {"A9": 1.0}, {"A1": -1.0}, {"A1": float("nan")}, {}])
def test_script_that_makes_no_sense_is_an_error(answer) -> None:
    with pytest.raises(RequestError, match="expected"):
        ScriptedCore(lambda _: answer).decide([ask()])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"actions": ()}, RequestError),
        ({"actions": ("A1", "A1")}, RequestError),
        ({"dial": Dial(0.5, frozenset({"nowhere"}))}, DialError),
        ({"dial": Dial(0.5, frozenset({"options"}))}, DialError),
    ],
)
def test_request_that_contradicts_itself_is_not_built(arguments, error) -> None:
    with pytest.raises(error, match="expected"):
        ask(**arguments)


def test_importing_the_package_and_scripting_it_loads_no_torch() -> None:
    code = "import sys, localist_core as c; c.ScriptedCore(lambda r: 'A1'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_everything_public_is_there() -> None:
    import localist_core

    assert all(hasattr(localist_core, name) for name in localist_core.__all__)
    with pytest.raises(AttributeError, match="no attribute `nonesuch`"):
        _ = localist_core.nonesuch
