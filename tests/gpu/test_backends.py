"""Back ends on CUDA: exact shares, outputs to what bfloat16 allows, rows alone and together, nothing compiled twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from localist_core.attending.backend import PACKED, Backend, Chosen, choose, triton_backend, varlen_backend
from localist_core.attending.packed import attended_of
from localist_core.attending.reference import reference
from localist_core.attending.segments import Attended, Group, Segments, layout_of

pytestmark = pytest.mark.gpu
DEVICE = "cuda"
WIDTH, HEADS, KV_HEADS, ROWS = 128, 16, 8, 16
BACKENDS = {"packed": lambda: PACKED, "triton": triton_backend, "varlen": varlen_backend}

each_backend = pytest.mark.parametrize("name", sorted(BACKENDS))


class Batch:
    """Prompts of different lengths and dials; in each the last block is seen causally."""

    def __init__(self, lengths: tuple[int, ...], *, keys: int = 1024, blocks: int = 12, seed: int = 0) -> None:
        g = torch.Generator().manual_seed(seed)
        block = torch.zeros(len(lengths), keys, dtype=torch.long)
        hidden = torch.zeros(len(lengths), 1, ROWS, keys, dtype=torch.bool)
        membership = torch.zeros(len(lengths), keys, blocks)
        for entry, length in enumerate(lengths):
            borders = torch.randperm(length - ROWS - 1, generator=g)[: blocks - 2].sort().values + 1
            block[entry, :length] = torch.searchsorted(borders, torch.arange(length), right=True)
            block[entry, length - ROWS : length] = blocks - 1
            membership[entry, torch.arange(length), block[entry, :length]] = 1.0
            for row in range(ROWS):
                hidden[entry, :, row, length - ROWS + row + 1 :] = True
        groups = torch.tensor([Group.NEUTRAL, Group.TARGET, Group.REST] * blocks)[:blocks]
        groups[-1] = Group.NEUTRAL
        self.segments = Segments(
            layout=layout_of(membership, groups[block]),
            hidden=hidden,
            floor=torch.tensor([0.1 * (n % 9 + 1) for n in range(len(lengths))])[:, None],
            has_floor=True,
            has_cut=False,
        )
        self.query, self.key, self.value = (
            torch.randn(len(lengths), heads, length, WIDTH, generator=g).to(torch.bfloat16)
            for heads, length in ((HEADS, ROWS), (KV_HEADS, keys), (KV_HEADS, keys))
        )

    def attended(self, backend: Backend, only: slice = slice(None)) -> Attended:
        segments = on_device(self.segments, only)
        read = backend.reader(segments.layout, segments.hidden)
        query, key, value = (one[only].to(DEVICE) for one in (self.query, self.key, self.value))
        return attended_of(read(query, key, value, segments, scale=WIDTH**-0.5))

    def exact(self) -> Attended:
        return reference(self.query, self.key, self.value, self.segments, scale=WIDTH**-0.5)


def on_device(segments: Segments, only: slice) -> Segments:
    layout = segments.layout
    return replace(
        segments,
        layout=layout_of(layout.membership[only].to(DEVICE), layout.groups[only].to(DEVICE)),
        hidden=segments.hidden[only].to(DEVICE),
        floor=segments.floor[only].to(DEVICE),
    )


@pytest.fixture(scope="module")
def batch() -> Batch:
    return Batch((1000, 333, 64, 1024))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
def test_triton_is_chosen_and_nothing_was_passed_over(dtype) -> None:
    chosen = choose(torch.device(DEVICE), dtype)
    assert chosen == Chosen(chosen.backend)
    assert chosen.backend.name == "triton"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_varlen_passes_its_check(dtype) -> None:
    assert choose(torch.device(DEVICE), dtype, "varlen").backend.name == "varlen"


@each_backend
def test_shares_are_exact_to_1e_5(name, batch) -> None:
    ours, exact = batch.attended(BACKENDS[name]()), batch.exact()
    for field in ("raw", "steered", "raw_fidelity", "steered_fidelity"):
        torch.testing.assert_close(
            getattr(ours, field).cpu().double(), getattr(exact, field), atol=1e-5, rtol=0, equal_nan=True, msg=field
        )


@each_backend
def test_outputs_are_exact_to_what_bfloat16_allows(name, batch) -> None:
    ours, exact = batch.attended(BACKENDS[name]()), batch.exact()
    torch.testing.assert_close(ours.output.cpu().double(), exact.output, atol=4e-3, rtol=8e-3)


def test_entropy_of_triton_is_exact(batch) -> None:
    ours, exact = batch.attended(triton_backend()), batch.exact()
    torch.testing.assert_close(ours.token_entropy_bits.cpu().double(), exact.token_entropy_bits, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["triton", "varlen"])
def test_dial_zero_gives_what_plain_flash_attention_gives(name) -> None:
    """The last rows of a causal prompt, beside one call of scaled_dot_product_attention over all its rows."""
    batch = Batch((1024,))
    batch.segments = replace(batch.segments, floor=torch.zeros(1, 1), has_floor=False)
    key, value = (one.to(DEVICE) for one in (batch.key, batch.value))
    whole = torch.zeros(1, HEADS, 1024, WIDTH, dtype=torch.bfloat16, device=DEVICE)
    whole[:, :, -ROWS:] = batch.query.to(DEVICE)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.FLASH_ATTENTION):
        plain = torch.nn.functional.scaled_dot_product_attention(
            whole, key.repeat_interleave(2, 1), value.repeat_interleave(2, 1), is_causal=True
        )
    ours = batch.attended(BACKENDS[name]())
    torch.testing.assert_close(ours.output, plain[:, :, -ROWS:].float(), atol=8e-3, rtol=1.6e-2)


@pytest.mark.parametrize("name", ["triton", "varlen"])
def test_row_of_a_ragged_batch_is_the_row_alone_bit_for_bit(name, batch) -> None:
    together = batch.attended(BACKENDS[name]())
    for entry in range(4):
        alone = batch.attended(BACKENDS[name](), slice(entry, entry + 1))
        assert torch.equal(together.steered[entry], alone.steered[0])
        assert torch.equal(together.output[entry], alone.output[0])


def test_kernel_is_compiled_once_whatever_layouts_and_dials() -> None:
    from localist_core.attending.kernel import num_compiled

    backend = triton_backend()
    Batch((1000, 333)).attended(backend)
    before = num_compiled()
    for seed in range(50):
        Batch((600 + 7 * seed, 100 + seed, 900), seed=seed, blocks=5 + seed % 9).attended(backend)
    assert num_compiled() == before
