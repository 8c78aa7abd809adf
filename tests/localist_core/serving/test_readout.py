"""The restricted head gives the logits of the whole head, and serves only where it does."""

from __future__ import annotations

import pytest
import torch

from localist_core.attending.plan import plan_of
from localist_core.attending.probe import run
from localist_core.serving.readout import readout_of
from localist_core.serving.selfcheck import sample_rows
from localist_core.serving.shared import SharedCore
from tests.localist_core import tiny

FAMILIES = ("localist", "llama", "qwen3", "gemma2", "gpt2", "gpt_neox", "gpt_oss", "phi3")


def a_plan(core: SharedCore):
    rows = sample_rows(tiny.SIZE, 1)
    return plan_of(rows, stock=core._stock, num_layers=3, pad_id=0, device=torch.device("cpu"))


@pytest.mark.parametrize("family", FAMILIES)
def test_single_logits_are_those_of_the_whole_head(family) -> None:
    core = SharedCore(tiny.model(family), tiny.tokenizer(), name=family, checks=False)
    with torch.inference_mode():
        plan = a_plan(core)
        readout = readout_of(core.model, plan)
        logits, states = run(core.model, plan)[0], readout.states(plan)[0]
    assert readout.head is not None
    rows, tokens = [0, 1, 1, 2], [5, 0, tiny.SIZE - 1, 77]
    assert readout.at(states, rows, tokens) == pytest.approx(logits[rows, tokens].tolist(), rel=1e-5, abs=1e-5)
    torch.testing.assert_close(readout.all(states), logits, rtol=1e-5, atol=1e-6)


def test_model_that_changes_its_logits_afterwards_keeps_its_whole_head() -> None:
    model = tiny.model("llama")
    model.register_forward_hook(lambda module, inputs, output: output.__setitem__("logits", output.logits * 2.0))
    core = SharedCore(model, tiny.tokenizer(), name="llama", checks=False)
    with torch.inference_mode():
        plan = a_plan(core)
        readout = readout_of(core.model, plan)
        logits = run(core.model, plan)[0]
        states = readout.states(plan)[0]
    assert readout.head is None
    assert readout.at(states, [1], [7]) == [float(logits[1, 7])]


def test_one_logit_does_not_depend_on_what_else_is_asked() -> None:
    core = SharedCore(tiny.model("qwen3"), tiny.tokenizer(), name="qwen3", checks=False)
    with torch.inference_mode():
        plan = a_plan(core)
        readout = readout_of(core.model, plan)
        states = readout.states(plan)[0]
    many = readout.at(states, [0] * 100, list(range(100)))
    assert many == [readout.at(states, [0], [token])[0] for token in range(100)]
