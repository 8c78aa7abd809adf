"""Spans are exact, untrusted text forges nothing, positions do not count it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from localist_core.blocks import Block, BlockKind, Prompt, Trust
from localist_core.errors import EncodingError
from localist_core.prompting.encoding import Encoder, encode
from localist_core.tokenizer import build_tokenizer, special_words
from tests.localist_core import tiny

TOKENIZER = tiny.tokenizer()
SHIPPED = build_tokenizer(("speed", "gap_m", "light"))
SLOT_IDS = {TOKENIZER.convert_tokens_to_ids(slot) for slot in tiny.SLOTS}
messages = st.lists(st.sampled_from([*tiny.SLOTS, *tiny.WORDS, "<pad>", "<unk>", "xyz"]), max_size=12).map(" ".join)


@given(messages, st.integers(0, 4))
def test_each_block_is_found_again_at_its_span(message, rules) -> None:
    prompt = tiny.prompt(message=message, rules=rules)
    encoding = encode(prompt, TOKENIZER)
    for index, block in enumerate(prompt.blocks):
        start, end = encoding.span(index)
        alone = TOKENIZER(block.text, add_special_tokens=False, split_special_tokens=block.trust is Trust.UNTRUSTED)[
            "input_ids"
        ]
        unforgeable = [
            TOKENIZER.unk_token_id if block.trust is Trust.UNTRUSTED and t in SLOT_IDS | {0} else t for t in alone
        ]
        assert list(encoding.ids[start:end]) == unforgeable
        assert encoding.block_ids[start:end] == (index,) * (end - start)
    assert encoding.block_ids == tuple(sorted(encoding.block_ids))


@given(st.one_of(messages, st.text(max_size=40)))
def test_untrusted_text_never_becomes_a_special_token(message) -> None:
    prompt = tiny.prompt(message=message or "x")
    encoding = encode(prompt, TOKENIZER)
    start, end = encoding.span(prompt.names().index("message"))
    assert not set(encoding.ids[start:end]) & (SLOT_IDS | {TOKENIZER.pad_token_id})


@given(messages, messages)
def test_positions_do_not_count_untrusted_tokens(one, other) -> None:
    a, b = (encode(tiny.prompt(message=message), TOKENIZER) for message in (one, other))
    assert a.positions[a.decision_from :] == b.positions[b.decision_from :]
    bare = encode(tiny.prompt(message=""), TOKENIZER)
    assert bare.positions == tuple(range(len(bare.ids)))
    assert a.positions[a.decision_from :] == bare.positions[bare.decision_from :]


def test_untrusted_tokens_go_on_from_the_trusted_end() -> None:
    encoding = encode(tiny.prompt(message="go go go"), TOKENIZER)
    end = encoding.decision_from
    trusted = encoding.positions[end]
    assert encoding.positions[end - 3 : end] == (trusted, trusted + 1, trusted + 2)


def test_token_added_without_being_special_is_spelled_out() -> None:
    characters = {c: index for index, c in enumerate("abcdefghijklmnopqrstuvwxyz<> ")}
    backend = Tokenizer(models.WordLevel(characters, unk_token=None))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    tokenizer.add_tokens(["<think>"])
    block = Block(kind=BlockKind.MESSAGE, name="m", text="a <think> b", trust=Trust.UNTRUSTED)
    assert (
        tokenizer.convert_tokens_to_ids("<think>") in tokenizer("a <think> b", split_special_tokens=True)["input_ids"]
    )
    assert tokenizer.decode(Encoder(tokenizer).block(block)).replace(" ", "") == "a<think>b"


def test_beginning_of_text_belongs_to_the_first_block() -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    encoding = encode(tiny.prompt(), tokenizer)
    assert encoding.ids[0] == tokenizer.bos_token_id
    assert encoding.block_ids[0] == 0
    assert encoding.positions[:2] == (0, 1)


def test_decision_without_a_token_is_refused() -> None:
    with pytest.raises(EncodingError, match="expected a decision block of at least one token"):
        encode(Prompt((Block(kind=BlockKind.DECISION, name="decision", text=""),)), TOKENIZER)


def test_memory_of_blocks_is_bounded() -> None:
    encoder = Encoder(TOKENIZER, capacity=2)
    ids = [encoder.label(word) for word in ("A1", "A2", "A3", "A1")]
    assert ids[0] == ids[3] != ids[1]
    assert len(encoder._seen) <= 2


@given(
    st.one_of(st.lists(st.sampled_from([*special_words(), "speed", "<=", "9"]), max_size=12).map(" ".join), st.text())
)
def test_tokenizer_of_the_shipped_core_lets_no_message_spell_a_slot(message) -> None:
    tokenizer = SHIPPED
    block = Block(kind=BlockKind.MESSAGE, name="M1", text=message, trust=Trust.UNTRUSTED)
    assert not set(Encoder(tokenizer).block(block)) & set(tokenizer.all_special_ids)
