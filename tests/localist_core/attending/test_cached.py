"""Keys from a cache or a prefix: a prompt fed in parts is the prompt fed whole, whatever holds the earlier keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache, StaticCache

from localist_core.attending.plan import Plan, plan_of, prefix_of, step
from localist_core.attending.probe import run
from localist_core.attending.row import Row
from localist_core.choice import trie_of
from localist_core.dial import Dial
from localist_core.errors import DialError, RequestError, UnsupportedModelError
from localist_core.prompting.encoding import Encoder, Encoding
from localist_core.serving.shared import SharedCore
from localist_core.writing.generation import WIDTH
from tests.localist_core import tiny

FAMILIES = tuple(family for family in tiny.CONFIGS if family not in ("bloom", "gptj"))
WINDOWED = ("mistral", "gemma2", "gemma3_text", "gpt_oss")
NEAR = frozenset({"R1", "R2"})
DIALS = (Dial(0.8, NEAR), Dial(0.0, NEAR), Dial(1.0, NEAR))


@pytest.fixture(scope="module", params=FAMILIES)
def core(request) -> SharedCore:
    return SharedCore(tiny.model(request.param), tiny.tokenizer(), name=request.param)


@pytest.fixture(scope="module")
def llama() -> SharedCore:
    return SharedCore(tiny.model("llama"), tiny.tokenizer(), name="llama")


def rows_of(dials: Sequence[Dial] = DIALS) -> list[Row]:
    """One prompt under several dials; the decision of the first is one token longer in effect, by its dial alone."""
    prompt = tiny.prompt(message="")
    return [Row(prompt=prompt, encoding=Encoder(tiny.tokenizer()).encode(prompt), dial=dial) for dial in dials]


def ragged() -> list[Row]:
    """Prompts of different lengths under different dials."""
    encoder = Encoder(tiny.tokenizer())
    prompts = [tiny.prompt(message="", rules=2, observation=text) for text in ("gap is 10 and light is red", "gap")]
    return [
        Row(prompt=prompt, encoding=encoder.encode(prompt), dial=dial)
        for prompt, dial in zip(prompts, DIALS, strict=False)
    ]


def planned(core: SharedCore, rows: Sequence[Row], **where: object) -> Plan:
    return plan_of(rows, stock=core._stock, num_layers=3, pad_id=0, device=torch.device("cpu"), **where)


@torch.inference_mode()
def scored(core: SharedCore, plan: Plan, cache: object = None) -> Tensor:
    return run(core._model, plan, cache)


def seen(plan: Plan) -> Tensor:
    """Raw and steered masses of all layers."""
    return torch.stack([plan.measured.raw, plan.measured.steered])


def of_decisions(rows: Sequence[Row], logits: Tensor) -> list[Tensor]:
    return [one[: row.num_decision_rows] for row, one in zip(rows, logits, strict=True)]


def caches(core: SharedCore) -> dict[str, object]:
    config = core._model.config
    return {
        "dynamic": DynamicCache(),
        "dynamic, windows cut": DynamicCache(config=config),
        "static": StaticCache(config=config, max_cache_len=160),
    }


def check(core: SharedCore, rows: Sequence[Row], logits: Tensor, plan: Plan, whole: Tensor, before: Plan) -> None:
    for ours, theirs in zip(of_decisions(rows, logits), of_decisions(rows, whole), strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(seen(plan), seen(before), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["dynamic", "dynamic, windows cut", "static"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_decision_rows_over_a_cache_are_those_of_the_whole_prompt(core, kind, side) -> None:
    rows = rows_of()
    plain = planned(core, rows)
    whole = scored(core, plain)
    cache = caches(core)[kind]
    start = rows[0].encoding.decision_from
    first = planned(core, [replace(row, until=start - 2) for row in rows], side=side)
    if side == "right":
        first = planned(core, [replace(row, until=(start - 2) // 16 * 16) for row in rows])
    scored(core, first, cache)
    assert not first.passed
    held = int(first.ids.shape[1])
    rest = [replace(row, cached=int(first.padding[0].sum())) for row in rows]
    plan = planned(core, rest, cached=held, side=side)
    check(core, rows, scored(core, plan, cache), plan, whole, plain)


@pytest.mark.parametrize("kind", ["dynamic", "static"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_ragged_prompts_over_a_cache_are_those_of_the_whole_prompts(core, kind, side) -> None:
    rows = ragged()
    plain = planned(core, rows)
    whole = scored(core, plain)
    cache = caches(core)[kind]
    first = planned(core, [replace(row, until=row.encoding.decision_from) for row in rows], side=side)
    scored(core, first, cache)
    rest = [replace(row, cached=row.encoding.decision_from) for row in rows]
    plan = planned(core, rest, cached=int(first.ids.shape[1]), side=side)
    if kind == "static" and side == "right" and core.capabilities.name in WINDOWED:
        # A static cache cuts windows by index, here where a row still looks.
        with pytest.raises(UnsupportedModelError, match="dropped some by their index"):
            scored(core, plan, cache)
        return
    check(core, rows, scored(core, plan, cache), plan, whole, plain)


def test_decision_rows_over_a_shared_prefix_are_those_of_the_whole_prompt(core) -> None:
    rows = rows_of()
    plain = planned(core, rows)
    whole = scored(core, plain)
    start = rows[0].encoding.decision_from
    first = planned(core, [replace(rows[0], until=start - 3)], keeps=True)
    scored(core, first)
    prefix = prefix_of(first, start - 3)
    kept = [key.clone() for key, _ in prefix]
    plan = planned(core, [replace(row, cached=start - 3) for row in rows], prefix=prefix)
    check(core, rows, scored(core, plan), plan, whole, plain)
    assert all(torch.equal(key, old) for (key, _), old in zip(prefix, kept, strict=True))


def test_prefix_of_a_prefix_is_the_longer_prefix(llama) -> None:
    row = rows_of()[0]
    start = row.encoding.decision_from
    once = planned(llama, [replace(row, until=start)], keeps=True)
    scored(llama, once)
    half = planned(llama, [replace(row, until=10)], keeps=True)
    scored(llama, half)
    more = planned(llama, [replace(row, until=start, cached=10)], prefix=prefix_of(half, 10), keeps=True)
    scored(llama, more)
    for ours, theirs in zip(prefix_of(more, start - 10), prefix_of(once, start), strict=True):
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_tree_and_twin_over_a_prefix_and_a_cache(llama) -> None:
    """The action trie and the evidence stand behind keys of both kinds."""
    trie = trie_of([(5, 6), (5, 7), (8, 6)], end_id=None)
    rows = [replace(row, trie=trie, has_twin=True) for row in rows_of(DIALS[:2])]
    plain = planned(llama, rows)
    whole = scored(llama, plain)
    first = planned(llama, [replace(rows[0], until=8)], keeps=True)
    scored(llama, first)
    prefix, cache = prefix_of(first, 8), DynamicCache()
    second = planned(llama, [replace(row, cached=8, until=24) for row in rows], prefix=prefix)
    scored(llama, second, cache)
    plan = planned(llama, [replace(row, cached=24) for row in rows], prefix=prefix, cached=16)
    check(llama, rows, scored(llama, plan, cache), plan, whole, plain)


def test_prefix_keys_and_values_are_the_same_under_any_dial_of_the_decision_rows(core) -> None:
    more = (
        Dial(0.5, NEAR, kind="odds"),
        Dial(1.0, NEAR, heads=frozenset({(1, 2)})),
        Dial(0.8, NEAR, 3.0),
    )
    held = []
    for dials in (DIALS, DIALS[::-1], more):
        plan = planned(core, rows_of(dials), keeps=True)
        scored(core, plan)
        held.append(prefix_of(plan, rows_of()[0].encoding.decision_from))
    for other in held[1:]:
        assert all(
            torch.equal(a, b) for one, two in zip(held[0], other, strict=True) for a, b in zip(one, two, strict=True)
        )


def extended(row: Row, token: int) -> Row:
    """The row with one more token of its decision block, which alone is fed."""
    encoding = row.encoding
    longer = Encoding(
        ids=(*encoding.ids, token),
        block_ids=(*encoding.block_ids, encoding.block_ids[-1]),
        positions=(*encoding.positions, encoding.positions[-1] + 1),
        decision_from=encoding.decision_from,
    )
    return replace(row, encoding=longer, cached=len(encoding.ids))


@pytest.mark.parametrize("kind", ["dynamic", "dynamic, windows cut", "static"])
def test_decode_over_a_left_padded_batch_is_the_longer_prompt(core, kind) -> None:
    """Each new token is the decision row of its step, under the dial of its entry: as if it were fed whole."""
    rows, cache = ragged(), caches(core)[kind]
    plan = planned(core, rows, side="left")
    scored(core, plan, cache)
    for token in (11, 12, 13):
        rows = [extended(row, token + b) for b, row in enumerate(rows)]
        plan = step(plan, torch.tensor([[token], [token + 1]]))
        logits = scored(core, plan, cache)
        again = planned(core, [replace(row, cached=0) for row in rows])
        whole = scored(core, again)
        for b, row in enumerate(rows):
            torch.testing.assert_close(
                logits[b, 0],
                whole[b, row.num_decision_rows - 1 + row.cached - row.encoding.decision_from],
                atol=5e-4,
                rtol=1e-4,
            )
        ours, theirs = plan.measured.heads, again.measured.heads
        for b, row in enumerate(rows):
            last = len(row.encoding.ids) - 1 - row.encoding.decision_from
            torch.testing.assert_close(ours[:, b, :, 0], theirs[:, b, :, last], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("side", ["left", "right"])
def test_step_is_the_plan_laid_out_anew(llama, side) -> None:
    rows = ragged()
    plan = planned(llama, rows, side=side)
    longer = [extended(row, 9) for row in rows]
    made, laid = step(plan, torch.tensor([[9], [9]])), planned(llama, longer, cached=plan.ids.shape[1], side=side)
    for name in (
        "ids",
        "positions",
        "padding",
        "kinds",
        "key_positions",
        "seen",
        "rows",
        "share",
        "floors",
        "steered",
    ):
        assert torch.equal(getattr(made, name), getattr(laid, name)), name
    for name in ("groups", "membership", "of_token", "of_block", "outside"):
        assert torch.equal(getattr(made.layout, name), getattr(laid.layout, name)), name
    assert (made.is_plain, made.cached, made.uncut) == (laid.is_plain, laid.cached, None)


@pytest.mark.parametrize("family", ["llama", "mistral", "gpt2", "gemma2"])
def test_dial_zero_over_a_left_padded_cache_is_the_stock_model_bit_for_bit(family) -> None:
    core, stock = SharedCore(tiny.model(family), tiny.tokenizer(), name=family), tiny.model(family)
    rows = [replace(row, dial=Dial.off()) for row in ragged()]
    plan, ours, theirs = planned(core, rows, side="left"), DynamicCache(), DynamicCache()
    logits = scored(core, plan, ours)
    for token in (None, 11, 12):
        if token is not None:
            plan = step(plan, torch.tensor([[token], [token]]))
            logits = scored(core, plan, ours)
        with torch.inference_mode():
            whole = stock(plan.ids, attention_mask=plan.padding, position_ids=plan.positions, past_key_values=theirs)
        expected = whole.logits.gather(1, plan.rows[..., None].expand(-1, -1, whole.logits.shape[-1]))
        assert plan.is_plain
        assert torch.equal(logits, expected)


def test_cache_that_dropped_a_key_in_the_window_by_position_is_refused() -> None:
    """Right padding in the cache moves the window by index, not that by position."""
    core = SharedCore(tiny.model("mistral"), tiny.tokenizer(), name="mistral")
    rows, cache = ragged(), DynamicCache(config=core._model.config)
    first = planned(core, [replace(row, until=row.encoding.decision_from) for row in rows])
    scored(core, first, cache)
    plan = planned(core, [replace(row, cached=row.encoding.decision_from) for row in rows], cached=first.ids.shape[1])
    with pytest.raises(UnsupportedModelError, match="dropped some by their index"):
        scored(core, plan, cache)


def test_labels_taken_by_index_instead_of_by_offset_would_be_caught() -> None:
    """The trap that this file is about: with the offset of the window ignored, the masses are wrong."""
    core = SharedCore(tiny.model("mistral"), tiny.tokenizer(), name="mistral")
    rows = rows_of(DIALS[1:2])
    plain = planned(core, rows)
    scored(core, plain)
    cache = DynamicCache(config=core._model.config)
    scored(core, planned(core, [replace(row, until=32) for row in rows]), cache)
    plan = planned(core, [replace(row, cached=32) for row in rows], cached=32)
    shifted = replace(plan, layout=plan.layout.taken(torch.arange(plan.key_positions.shape[1]).roll(8)))
    scored(core, shifted, cache)
    assert float((seen(shifted) - seen(plain)).abs().max()) > 0.05


def test_target_that_only_the_cache_held_out_of_the_window_is_an_error() -> None:
    core = SharedCore(tiny.model("mistral"), tiny.tokenizer(), name="mistral")
    (row,), cache = rows_of([Dial(0.5, frozenset({"goal"}))]), DynamicCache(config=core._model.config)
    scored(core, planned(core, [replace(row, until=16)]), cache)
    with pytest.raises(DialError, match="a row that sees none"):
        scored(core, planned(core, [replace(row, cached=16)], cached=16), cache)


def test_rows_that_contradict_the_cache_are_refused(llama) -> None:
    row = rows_of()[0]
    with pytest.raises(RequestError, match="at least one token to feed"):
        replace(row, cached=row.length)
    with pytest.raises(RequestError, match="a twin of all decision rows"):
        replace(row, cached=row.encoding.decision_from + 1, has_twin=True)
    with pytest.raises(RequestError, match=r"at most 0 \+ 4 cached tokens, got a row with 5"):
        planned(llama, [replace(row, cached=5)], cached=4)


@pytest.mark.parametrize("side", ["left", "right"])
def test_several_tokens_in_one_step_are_as_many_steps(core, side) -> None:
    """Ragged: of the second entry only the first two of three places hold a token."""
    rows, counts = ragged(), torch.tensor([3, 2])
    tokens = torch.tensor([[11, 12, 13], [14, 15, 0]])
    cache, plan = DynamicCache(), planned(core, rows, side=side)
    scored(core, plan, cache)
    logits = scored(core, step(plan, tokens, counts), cache)
    for b, row in enumerate(rows):
        for token in tokens[b, : counts[b]].tolist():
            row = extended(row, token)
        whole = scored(core, planned(core, [replace(row, cached=0)]))[0]
        last = len(row.encoding.ids) - row.encoding.decision_from
        expected = whole[last - int(counts[b]) : last]
        torch.testing.assert_close(logits[b, : counts[b]], expected, atol=5e-4, rtol=1e-4)


def decoded(core: SharedCore, rows: Sequence[Row], tokens: Tensor, width: int) -> Tensor:
    """Logits of each token of each row, (token, row, vocabulary), decoded in steps of so many places for one token."""
    cache, plan = DynamicCache(), planned(core, rows)
    scored(core, plan, cache)
    ones, logits = torch.ones(len(rows), dtype=torch.long), []
    for token in tokens.T:
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        ids[:, 0] = token
        plan = step(plan, ids, ones)
        logits.append(scored(core, plan, cache)[:, 0])
    return torch.stack(logits)


def test_row_alone_decodes_to_the_bits_of_the_batch_with_four_places_a_step(core) -> None:
    values = (0.8, 0.0, 1.0, 0.3, 0.0, 0.95, 0.5, 0.2)
    if core.capabilities.name in WINDOWED:
        values = (0.0,) * 8  # the targets leave their tiny windows
    rows = rows_of([Dial(value, NEAR) for value in values])
    tokens = torch.arange(2, 2 + 8 * 6).view(8, 6)
    whole = decoded(core, rows, tokens, WIDTH)
    # An expert of a mixture sees the rows that are routed to it, which may be fewer than four.
    most = 1e-4 if core.capabilities.name == "gpt_oss" else 0.0
    for b, row in enumerate(rows):
        torch.testing.assert_close(decoded(core, [row], tokens[b : b + 1], WIDTH)[:, 0], whole[:, b], atol=most, rtol=0)
