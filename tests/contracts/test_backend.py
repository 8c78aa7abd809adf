"""The contract of attention for decision rows: every back end gives what the float64 specification gives."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localist_core.attending.backend import PACKED, Backend, triton_backend, varlen_backend
from localist_core.attending.packed import attended_of
from localist_core.attending.reference import reference
from localist_core.attending.segments import Attended, Group, Segments, layout_of
from tests.localist_core.attending.test_segments import at, case
from tests.localist_core.planned import prompt_case
from tests.localist_core.sequences import dense_varlen

pytest.importorskip("triton", reason="triton is not installed; it comes with torch for CUDA, or with xgrammar")

BACKENDS = [PACKED, varlen_backend(dense_varlen), triton_backend()]
ENTROPIES = ("token_entropy_bits", "inner_entropy_bits")
TOLERANCE = {torch.float32: 3e-5, torch.bfloat16: 2e-2}

few = settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors])
seeds = st.integers(0, 2**31)
spreads = st.sampled_from([0.1, 1.0, 10.0])
randoms = st.builds(case, seeds, spread=spreads, sink=st.booleans(), odds=st.booleans(), by_head=st.booleans())
prompts = st.builds(prompt_case, seeds, spread=spreads, twin=st.booleans(), window=st.sampled_from([None, 9]))
each_backend = pytest.mark.parametrize("backend", BACKENDS, ids=lambda one: one.name)


def attended(backend: Backend, one, *, dtype=torch.float32, softcap=None) -> Attended:
    read = backend.reader(one.segments.layout, one.segments.hidden)
    query, key, value = (tensor.to(dtype) for tensor in (one.query, one.key, one.value))
    return attended_of(read(query, key, value, one.segments, scale=0.5, softcap=softcap, sink=one.sink))


def expected(one, *, dtype=torch.float32, softcap=None) -> Attended:
    query, key, value = (tensor.to(dtype) for tensor in (one.query, one.key, one.value))
    return reference(query, key, value, one.segments, scale=0.5, softcap=softcap, sink=one.sink)


def assert_same(ours: Attended, exact: Attended, *, output: float = 3e-5, entropies: bool = True) -> None:
    """Shares, fidelities, bias and entropies to 3e-5 even of bfloat16 inputs; outputs to what the format allows."""
    for name in (field.name for field in fields(Attended)):
        if name in ENTROPIES and not entropies:
            assert bool(getattr(ours, name).isnan().all()), "an entropy that is not exact must be refused"
            continue
        tolerance = output if name == "output" else 3e-5
        torch.testing.assert_close(
            getattr(ours, name).double(), getattr(exact, name), atol=tolerance, rtol=tolerance, equal_nan=True, msg=name
        )


def is_exact(backend: Backend, dtype: torch.dtype) -> bool:
    return backend.name != "varlen" or dtype == torch.float32


@each_backend
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@few
@given(one=randoms | prompts, floor=st.none() | st.sampled_from([0.0, 0.5, 1.0]))
def test_back_end_agrees_with_the_reference(backend, dtype, one, floor) -> None:
    """Under one dial, or under one of its own for each entry or each head."""
    one = one if floor is None else replace(one, segments=at(one.segments, floor))
    ours, exact = attended(backend, one, dtype=dtype), expected(one, dtype=dtype)
    assert_same(ours, exact, output=TOLERANCE[dtype], entropies=is_exact(backend, dtype))


@each_backend
def test_soft_cap_is_applied_to_the_scores(backend) -> None:
    one = case(3, spread=10.0)
    assert_same(attended(backend, one, softcap=2.0), expected(one, softcap=2.0))


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # numpy, which interprets the kernel, sees inf
@each_backend
@pytest.mark.parametrize("poison", [float("inf"), float("nan")])
def test_at_dial_one_the_rest_contributes_nothing_whatever_it_holds(backend, poison) -> None:
    one = case(4)
    one = replace(one, segments=at(one.segments, 1.0))
    is_rest = (one.segments.layout.groups == Group.REST)[:, None, :, None]
    dirty = replace(one, key=one.key.masked_fill(is_rest, poison), value=one.value.masked_fill(is_rest, poison))
    assert torch.equal(attended(backend, dirty).output, attended(backend, one).output)


@each_backend
def test_row_alone_gives_the_same_as_in_a_batch(backend) -> None:
    one = prompt_case(5, twin=True)
    alone = replace(
        one,
        query=one.query[1:],
        key=one.key[1:],
        value=one.value[1:],
        segments=entry_of(one.segments, 1),
    )
    together, single = attended(backend, one), attended(backend, alone)
    assert torch.equal(together.output[1:], single.output)
    assert torch.equal(together.steered[1:], single.steered)


def entry_of(segments: Segments, entry: int) -> Segments:
    """The segments of one batch entry alone."""
    only = slice(entry, entry + 1)
    layout = segments.layout
    return replace(
        segments,
        layout=layout_of(layout.membership[only], layout.groups[only]),
        hidden=segments.hidden[only],
        floor=segments.floor[only],
    )
