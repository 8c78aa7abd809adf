"""All rows of a prompt in one pass against the float64 specification, over random layouts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from localist_core.attending.one_pass import dense, one_pass, runs_of
from localist_core.attending.reference import reference
from localist_core.attending.segments import Group, Segments, layout_of

GROUPS = tuple(Group)


@dataclass(frozen=True)
class Body:
    """One prompt whose rows from `first` on are asked for, each seeing the keys before it and its own."""

    query: Tensor
    key: Tensor
    value: Tensor
    segments: Segments
    first: int
    sink: Tensor | None

    @property
    def steered(self) -> int:
        """The first row that sees a target."""
        targets = (self.segments.layout.groups[0] == Group.TARGET).nonzero()
        return max(int(targets[0]) - self.first, 0) if len(targets) else self.query.shape[2]

    def one_pass(self) -> Tensor:
        is_odds = self.segments.is_odds
        return one_pass(
            self.query[0],
            self.key[0],
            self.value[0],
            runs_of(self.segments.layout, 0),
            first=self.first,
            steered=self.steered,
            floor=self.segments.floor[0],
            is_odds=is_odds is not None and bool(is_odds[0]),
            scale=0.5,
            sink=self.sink,
        )

    def reference(self) -> Tensor:
        """Rows before the first target under a dial of 0, the others under theirs."""
        found = [
            reference(self.query, self.key, self.value, replace(self.segments, floor=floor), scale=0.5, sink=self.sink)
            for floor in (torch.zeros_like(self.segments.floor), self.segments.floor)
        ]
        plain, steered = (one.output[0] for one in found)
        return torch.cat([plain[:, : self.steered], steered[:, self.steered :]], dim=1)


def body(
    seed: int, sizes: list[int], dial: float, *, first: float, padding: int, sink: bool, odds: bool, by_head: bool
) -> Body:
    """Blocks of these sizes (0 = empty) in random groups, the first neutral; 4 heads over 2; padding before them."""
    g = torch.Generator().manual_seed(seed)
    group_of = [Group.NEUTRAL, *(GROUPS[n] for n in torch.randint(3, (len(sizes),), generator=g))]
    block_of = torch.tensor([b for b, size in enumerate([2, *sizes]) for _ in range(size)])
    keys, blocks = padding + len(block_of), len(group_of)
    membership, groups = torch.zeros(1, keys, blocks), torch.zeros(1, keys, dtype=torch.long)
    membership[0, padding:] = torch.nn.functional.one_hot(block_of, blocks).float()
    groups[0, padding:] = torch.tensor(group_of)[block_of]
    start = padding + int(first * (len(block_of) - 1))
    hidden = torch.ones(keys, keys, dtype=torch.bool).triu(1)[start:]
    hidden[:, :padding] = True
    heads = torch.tensor([[1.0, 0.0, 1.0, 1.0]]) if by_head else torch.ones(1, 1)
    return Body(
        query=torch.randn(1, 4, keys - start, 8, generator=g),
        key=torch.randn(1, 2, keys, 8, generator=g),
        value=torch.randn(1, 2, keys, 8, generator=g),
        segments=Segments(
            layout=layout_of(membership, groups),
            hidden=hidden[None, None],
            floor=heads * dial,
            has_floor=True,
            has_cut=dial == 1.0,
            is_odds=torch.tensor([True]) if odds else None,
        ),
        first=start,
        sink=torch.randn(4, generator=g) if sink else None,
    )


flags = st.booleans()
bodies = st.builds(
    body,
    st.integers(0, 2**31),
    st.lists(st.sampled_from([0, 1, 1, 2, 5, 17]), min_size=1, max_size=8),
    st.sampled_from([0.05, 0.5, 0.999, 1.0]),
    first=st.sampled_from([0.0, 0.3, 0.9]),
    padding=st.sampled_from([0, 3]),
    sink=flags,
    odds=flags,
    by_head=flags,
)


@given(bodies)
def test_one_pass_agrees_with_the_reference(one) -> None:
    """Blocks of several spans, empty blocks, blocks of one token, padding, keys before the rows, a sink."""
    torch.testing.assert_close(one.one_pass().double(), one.reference(), atol=1e-5, rtol=1e-5)


@given(bodies)
def test_scores_of_a_few_rows_at_a_time_agree_with_the_reference(one) -> None:
    rows = slice(one.steered, None)
    if one.steered == one.query.shape[2]:
        return
    segments = replace(one.segments, hidden=one.segments.hidden[:, :, rows])
    ours = dense(one.query[:, :, rows], one.key, one.value, segments, scale=0.5, sink=one.sink)
    torch.testing.assert_close(ours.double(), one.reference()[:, rows], atol=1e-5, rtol=1e-5)


def test_chunks_of_rows_make_no_difference() -> None:
    one = body(1, [20, 30, 150, 10], 0.7, first=0.0, padding=0, sink=False, odds=False, by_head=False)
    rows = slice(one.steered, None)
    segments = replace(one.segments, hidden=one.segments.hidden[:, :, rows])
    ours = dense(one.query[:, :, rows], one.key, one.value, segments, scale=0.5)
    assert ours.shape[1] > 128
    torch.testing.assert_close(ours.double(), one.reference()[:, rows], atol=1e-5, rtol=1e-5)


@given(bodies, st.sampled_from([float("inf"), float("nan")]))
def test_at_dial_one_the_rest_reaches_no_steered_row_whatever_it_holds(one, poison) -> None:
    one = replace(one, segments=replace(one.segments, floor=torch.ones(1, 1), has_cut=True))
    is_rest = (one.segments.layout.groups == Group.REST)[:, None, :, None]
    dirty = replace(one, key=one.key.masked_fill(is_rest, poison), value=one.value.masked_fill(is_rest, poison))
    assert torch.equal(dirty.one_pass()[:, one.steered :], one.one_pass()[:, one.steered :])


def test_bfloat16_inputs_are_steered_in_float32() -> None:
    one = body(5, [3, 9, 9, 9], 0.8, first=0.0, padding=0, sink=False, odds=False, by_head=False)
    half = replace(one, query=one.query.bfloat16(), key=one.key.bfloat16(), value=one.value.bfloat16())
    torch.testing.assert_close(half.one_pass().double(), half.reference(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("entry", [0, 1])
def test_runs_are_neighbours_of_one_group(entry) -> None:
    groups = torch.tensor([[0, 1, 1, 2, 1], [2, 2, 2, 0, 0]])
    membership = torch.ones(2, 5, 1)
    membership[1, 3:] = 0.0
    expected = [((0, 0, 1), (1, 1, 3), (2, 3, 4), (1, 4, 5)), ((2, 0, 3),)]
    assert runs_of(layout_of(membership, groups), entry) == expected[entry]
