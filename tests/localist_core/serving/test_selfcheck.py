"""The self-check at start finds a model whose rows depend on their neighbours, and helps where one batch size does."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from localist_core.serving.selfcheck import difference, sample_rows
from localist_core.serving.shared import SharedCore
from tests.localist_core import tiny


def core_with(shift) -> SharedCore:
    """A core whose last states are shifted by a function of the batch."""
    model = tiny.model("llama")
    model.model.norm.register_forward_hook(lambda module, inputs, output: output + shift(output))
    return SharedCore(model, tiny.tokenizer(), name="shifted")


def depends_on_size(states: Tensor) -> Tensor:
    return torch.tensor(1e-3 * len(states))


def depends_on_neighbours(states: Tensor) -> Tensor:
    return 1e-3 * states.sum()


def test_sound_model_is_batch_invariant() -> None:
    can = core_with(lambda states: torch.tensor(0.0)).capabilities
    assert (can.is_batch_invariant, can.batch_difference) == (True, "")


def test_model_that_depends_on_the_size_of_the_batch_gets_batches_of_one_size() -> None:
    core = core_with(depends_on_size)
    assert core.capabilities.is_batch_invariant
    requests = [tiny.request(0.5, rules=n, schema=tiny.LONG_SCHEMA) for n in (1, 2, 2, 2)]
    assert core.decide(requests) == tuple(core.decide([one])[0] for one in requests)


def test_model_that_depends_on_its_neighbours_is_found_out() -> None:
    can = core_with(depends_on_neighbours).capabilities
    assert can.is_batch_invariant is False
    assert "last states of row 1 alone and in a batch of 8 differ by" in can.batch_difference


def test_unchecked_core_does_not_claim_anything() -> None:
    core = SharedCore(tiny.model("llama"), tiny.tokenizer(), name="llama", checks=False)
    assert core.capabilities.is_batch_invariant is None


def test_sample_rows_cover_dials_twins_and_a_trie() -> None:
    rows = sample_rows(tiny.SIZE)
    assert {row.dial.value for row in rows} == {0.0, 0.4, 0.8}
    assert {row.has_twin for row in rows} == {True, False}
    assert all(row.trie.tokens for row in rows)
    assert len({row.encoding.ids for row in rows}) == len(rows)


def test_difference_names_the_row_and_what_differs() -> None:
    core = SharedCore(tiny.model("llama"), tiny.tokenizer(), name="llama", checks=False)
    rows = sample_rows(tiny.SIZE, 3)

    def score(some):
        scored = core._scorer.score(some)
        if len(some) > 1:
            scored[1] = replace(scored[1], heads=scored[1].heads + 0.5)
        return scored

    assert difference(score, rows) == "masses of row 2 alone and in a batch of 3 differ by 5.0e-01"
