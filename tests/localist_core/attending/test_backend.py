"""Choosing a back end, and whole models that run on one."""

from __future__ import annotations

import pytest
import torch

from localist_core import Dial, RequestError, SharedCore, UnsupportedModelError
from localist_core.attending.backend import (
    PACKED,
    Chosen,
    check,
    choose,
    first_that_works,
    triton_backend,
    varlen_backend,
)
from tests.localist_core import tiny
from tests.localist_core.sequences import dense_varlen

CPU = torch.device("cpu")


def transposed(*arguments, **options):
    """Flash attention with log-sum-exps laid out as the documentation of torch says."""
    outputs, L = dense_varlen(*arguments, **options)
    return outputs, L.T.contiguous()


def wrong(*arguments, **options):
    outputs, L = dense_varlen(*arguments, **options)
    return outputs, L + 1e-3


def broken(*arguments, **options):
    raise RuntimeError("no kernel for this device\nand a long trace")


def varlen(kernel):
    return ("varlen", lambda: varlen_backend(kernel))


def test_cpu_gets_the_packed_back_end() -> None:
    assert choose(CPU, torch.float32) == Chosen(PACKED)


@pytest.mark.parametrize(
    ("kernel", "reason"),
    [(transposed, "log-sum-exps of shape"), (wrong, "masses that differ by"), (broken, "no kernel for this device")],
)
def test_back_end_that_is_wrong_or_broken_is_passed_over_and_says_why(kernel, reason) -> None:
    chosen = first_that_works([varlen(kernel), varlen(dense_varlen)], CPU, torch.bfloat16)
    assert chosen.backend.name == "varlen"
    (refused,) = chosen.refused
    assert reason in refused[1]
    assert "\n" not in refused[1]


def test_where_none_works_the_packed_back_end_serves() -> None:
    assert first_that_works([varlen(broken)], CPU, torch.bfloat16).backend == PACKED


def test_named_back_end_that_does_not_work_is_an_error() -> None:
    """There is no `varlen_attn` on the CPU."""
    with pytest.raises(UnsupportedModelError, match="expected the varlen back end to work on `cpu`"):
        choose(CPU, torch.bfloat16, "varlen")


def test_number_format_that_no_kernel_is_made_for_is_left_to_the_packed_back_end() -> None:
    chosen = first_that_works([varlen(dense_varlen)], CPU, torch.float64)
    assert chosen.backend == PACKED
    assert "got `torch.float64`" in chosen.refused[0][1]


def test_unknown_back_end_is_refused() -> None:
    with pytest.raises(RequestError, match="expected the back end auto, packed, triton, varlen, got `flex`"):
        choose(CPU, torch.float32, "flex")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_triton_passes_its_check_in_every_number_format(dtype) -> None:
    pytest.importorskip("triton")
    check(triton_backend(), CPU, dtype)


FAMILIES = {"triton": ("gemma2", torch.float32), "varlen": ("llama", torch.bfloat16)}
"""Gemma 2 has a window, a soft cap and groups of heads; flash attention serves no soft cap and no float32."""


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_whole_model_decides_the_same_on_another_back_end(name) -> None:
    pytest.importorskip("triton")
    family, dtype = FAMILIES[name]
    backend = triton_backend() if name == "triton" else varlen_backend(dense_varlen)
    near = frozenset({"R1", "R2"})  # in sight of the window
    requests = [tiny.request(Dial(value, near), actions=actions) for value, actions in ((0.5, 3), (1.0, 2))]
    expected, got = (
        SharedCore(tiny.model(family).to(dtype), tiny.tokenizer(), name=family, chosen=Chosen(one)).decide(requests)
        for one in (PACKED, backend)
    )
    for ours, theirs in zip(got, expected, strict=True):
        tolerance = 1e-5 if dtype == torch.float32 else 3e-2
        assert ours.probabilities == pytest.approx(theirs.probabilities, abs=tolerance)
        assert ours.trace.raw == pytest.approx(theirs.trace.raw, abs=tolerance)
        assert ours.trace.steered_fidelity == pytest.approx(theirs.trace.steered_fidelity, abs=tolerance)
        assert ours.trace.statuses == theirs.trace.statuses
        assert (ours.trace.token_entropy_bits is None) == (name == "varlen")


def test_back_end_is_part_of_the_fingerprint() -> None:
    backend = varlen_backend(dense_varlen)
    cores = [
        SharedCore(tiny.model("llama"), tiny.tokenizer(), name="llama", chosen=Chosen(one)) for one in (PACKED, backend)
    ]
    assert len({core.capabilities.fingerprint for core in cores}) == 2
