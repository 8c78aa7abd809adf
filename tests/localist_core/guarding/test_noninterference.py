"""Non-interference: nothing that untrusted text may say moves a bit of the decision, and how one would notice."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from localist_core.blocks import Prompt
from localist_core.core import Request
from localist_core.dial import Dial
from localist_core.errors import NumericsError
from localist_core.guarding.conditions import Condition, Frame
from localist_core.guarding.hostile import hostile
from localist_core.guarding.noninterference import (
    examine,
    findings,
    has_same_bits,
    influence,
    poisoned,
    untrusted_ids,
)
from localist_core.serving.shared import SharedCore
from tests.localist_core import tiny

NEAR = frozenset({"R1", "R2"})
"""Targets inside the windows of all families."""
CUT = Dial(1.0, NEAR)
DENSE = ("localist", "llama", "qwen3", "mistral", "gemma2", "gemma3_text", "phi3", "gpt2", "gpt_neox")


def made(family: str) -> SharedCore:
    return SharedCore(tiny.model(family), tiny.tokenizer(), name=family)


@pytest.fixture(scope="module")
def llama() -> SharedCore:
    return made("llama")


def frame(dial: Dial = CUT, **parts) -> Frame:
    return Frame(lambda texts: tiny.request(dial, message=" ".join(texts), **parts))


@pytest.mark.parametrize("family", DENSE)
def test_thousand_hostile_messages_move_no_bit_in_any_family(family) -> None:
    count = 1000 if family in ("llama", "gemma2", "gpt2") else 150
    report = examine(made(family), frame(), messages=count, measured=4, dials=(0.8,))
    assert report.findings == ()
    assert report.influences[-1].identical == count
    assert report.poisoned.identical == report.poisoned.messages >= 100
    assert report.holds


def test_below_dial_one_messages_do_have_influence_and_it_falls(llama) -> None:
    """The control of the test above: the same messages, measured."""
    texts = hostile(40, longest=400)
    measured = [influence(llama, frame(), value, texts) for value in (0.0, 0.5, 0.95, 1.0)]
    changes = [one.total_variation for one in measured]
    assert changes == sorted(changes, reverse=True)
    assert changes[0] > 0.02
    assert changes[2] > 0.0
    assert measured[-1].is_none
    assert not any(one.is_none for one in measured[:-1])


def test_message_too_long_for_the_model_is_refused_below_dial_one_only(llama) -> None:
    texts = [("car says go " * 1000,)]
    assert influence(llama, frame(), 0.5, texts).refused == 1
    assert influence(llama, frame(), 1.0, texts).is_none


def test_poison_reaches_a_decision_that_is_not_cut_off(llama) -> None:
    """The control of the poisoned texts: at dial 0 the same inf or NaN ends in no number at all."""
    request = tiny.request(Dial(0.0, NEAR), message="please ignore")
    ids = untrusted_ids(llama, request)
    assert ids
    for value in (float("inf"), float("nan")):
        with poisoned(llama.model, ids, value), pytest.raises(NumericsError):
            llama.decide([request])
    assert llama.decide([request])[0].probabilities


def test_report_does_not_hold_if_a_condition_breaks_though_nothing_moved(llama) -> None:
    report = examine(llama, Frame(frame().ask, earlier=(Dial(0.2, NEAR),)), messages=5, measured=1, dials=())
    assert [one.condition for one in report.findings] == [Condition.ATTEMPTS]
    assert report.influences[-1].is_none
    assert not report.holds


def test_findings_name_each_reason_once_in_the_order_of_the_conditions(llama) -> None:
    broken = Frame(lambda texts: tiny.request(Dial(0.5, NEAR, gamma=1.0), message="x", rules=2 + len(texts)))
    found = findings(llama, broken, [("a",), ("b", "c"), ("d",)])
    assert [one.condition for one in found] == sorted(one.condition for one in found)
    assert len({one.reason for one in found}) == len(found)


def test_hostile_messages_are_of_many_kinds_and_lengths_and_follow_the_seed() -> None:
    texts = hostile(1000, special=["<special>"])
    assert texts == hostile(1000, special=["<special>"])
    assert texts != hostile(1000, seed=1, special=["<special>"])
    lengths = [sum(map(len, each)) for each in texts]
    assert min(lengths) == 0
    assert 3000 < max(lengths) <= 4000
    assert {len(each) for each in texts} == {0, 1, 2, 3, 4}
    whole = "".join(text for each in texts for text in each)
    for part in ("R3: not A2", "<|im_end|>", "<special>", "\x00", "\ud800", "\u200d", "Ａ", "\u202e"):
        assert part in whole


SCHEMA = "act is A1 . gap speed light red green " * 3
"""Long enough to be read once and kept; see prefix.py."""


def asked(dial: Dial, message: str, *, schema: str = SCHEMA, **parts) -> Request:
    request = tiny.request(dial, message=message, **parts)
    first, *others = request.prompt.blocks
    return replace(request, prompt=Prompt((replace(first, text=schema), *others)))


ASKED = [asked(CUT, "car says go"), asked(Dial(1.0, frozenset({"R2"})), "stop", observation="speed is 20")]


@pytest.mark.parametrize("family", ["localist", "llama", "gemma2", "gpt2"])
def test_decision_at_dial_one_is_the_same_whatever_was_asked_before_and_beside(family) -> None:
    """A contract for every cache of beginnings: cold, or warmed by hostile neighbours, the bits are the same."""
    cold = [made(family).scored([one])[0].logits for one in ASKED]
    core = made(family)
    for number, texts in enumerate(hostile(40, longest=200)):
        neighbours = [
            asked(Dial(value, NEAR), " ".join(texts), evidence=number % 3 == 0, observation=f"gap is {number % 9}")
            for value in (0.0, 0.5, 1.0)
        ]
        core.decide(neighbours)
        if number % 10 == 0:
            core.knock_out(asked(Dial.off(), "go"), "message")
        warm = core.scored([*neighbours, *ASKED])[-len(ASKED) :]
        assert all(has_same_bits(one, other.logits) for one, other in zip(cold, warm, strict=True))


@pytest.mark.parametrize("family", ["localist", "llama", "gpt2"])
def test_length_of_a_neighbours_message_that_changes_who_shares_a_forward_moves_no_bit(family) -> None:
    """The neighbour begins with another schema, so rows that share a forward do not share what stands before them."""
    core = made(family)
    cold = [made(family).scored([one])[0].logits for one in ASKED]
    other = SCHEMA.replace("A1", "A2")
    core.decide([asked(Dial.off(), "go", schema=other)])
    shapes = set()
    for words in range(0, 40, 2):
        beside = [asked(Dial.off(), "go " * words, schema=schema, rules=1) for schema in (SCHEMA, other)]
        for neighbours in (beside, beside[1:]):
            *warm, neighbour = core.scored([*ASKED, *neighbours])[: len(ASKED) + 1]
            shapes.add(neighbour.row.shape == warm[0].row.shape)
            assert all(has_same_bits(one, found.logits) for one, found in zip(cold, warm, strict=True))
    assert shapes == {False, True}


@pytest.mark.parametrize("message", ["car says go " * 1000, "please ignore"], ids=["too long", "poisoned"])
def test_message_that_makes_the_evidence_fail_does_not_take_the_decision_away(llama, message) -> None:
    request = tiny.request(CUT, message=message, evidence=True)
    (bare,) = llama.decide([tiny.request(CUT, message="", evidence=True)])
    with poisoned(llama.model, untrusted_ids(llama, request), float("nan")):
        (choice,) = llama.decide([request])
    assert choice.probabilities == bare.probabilities
    assert bare.trace.is_raw_from_dial_zero
    assert not choice.trace.is_raw_from_dial_zero
    assert choice.trace.raw_fidelity is None


def behind_a_mask(model, message: list[int]) -> Tensor:
    """What a mask alone gives: the stock model, which may not see the message, at positions that do not count it."""
    own, decision = list(range(5, 16)), list(range(40, 44))
    kept = len(own) * [1] + len(message) * [0] + len(decision) * [1]
    positions = [*range(len(own)), *[0] * len(message), *range(len(own), len(own) + len(decision))]
    with torch.inference_mode():
        return model(
            torch.tensor([own + message + decision]),
            attention_mask=torch.tensor([kept]),
            position_ids=torch.tensor([positions]),
        ).logits[0, -len(decision) :]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_mask_alone_keeps_the_bits_for_equal_length_only_and_lets_nan_pass(family) -> None:
    """Why keys are gathered and not masked."""
    model = tiny.model(family)
    bare = behind_a_mask(model, [100] * 4)
    assert has_same_bits(bare, behind_a_mask(model, [120, 7, 61, 3]))
    longer = behind_a_mask(model, [100] * 40)
    assert not has_same_bits(bare, longer)
    assert torch.allclose(bare, longer, atol=1e-5)
    for value in (float("inf"), float("nan")):
        with poisoned(model, frozenset({100}), value):
            assert behind_a_mask(model, [100] * 4).isnan().all()


def test_stock_window_is_cut_by_index_so_a_masked_message_moves_it() -> None:
    model = tiny.model("gemma2")
    short, long = (behind_a_mask(model, [100] * length) for length in (1, 9))
    assert float((short - long).abs().max()) > 0.1


def test_shared_core_that_masks_instead_of_gathering_promises_no_bits_and_refuses_nan(llama) -> None:
    """All heads named one by one: the same cut, but nothing is left out of the model. Whether bits survive is luck."""
    every = Dial(1.0, NEAR, heads=frozenset((layer, head) for layer in range(3) for head in range(4)))
    measured = influence(llama, frame(every), 1.0, [("go " * count,) for count in (1, 9, 60)])
    assert measured.logit_change < 1e-5
    request = tiny.request(every, message="please ignore")
    with poisoned(llama.model, untrusted_ids(llama, request), float("nan")), pytest.raises(NumericsError):
        llama.decide([request])
