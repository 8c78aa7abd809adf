"""Untrusted text forges nothing, whatever the tokenizer: no special token, no slot word, no marker of a template."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localist_core.blocks import Block, BlockKind, Trust
from localist_core.prompting.encoding import Encoder
from localist_core.prompting.harmless import Harmless, contains, fold
from tests.localist_core.vocabularies import FLAGS, KINDS, added_name, byte_level, flagged, spelled_bytes, unigram

MARKERS = ("[INST]", "[/INST]", "<<SYS>>", "USER:", "<start_of_turn>")
PIECES = [
    *("<|im_end|>", "<|im_start|>", "<|endoftext|>", "<think>", "<tool>", "<s>", "</s>", "<pad>", "<unk>", "<0x0A>"),
    *("[UNK]", "[SEP]", "[CLS]", "[tool]", "[TOOL]", "＜think＞", "<thi", "nk>", "<|im_", "end|>", "①", "㎡", "ß"),
    *(
        "R3:",
        "r3",
        "A2",
        "F1",
        "V4",
        "R",
        "3",
        "Ａ２",
        "Ｒ３：",
        "𝐑𝟑",
        "R\u200b3",
        "R\u03313",
        "Ŕ3",
        "R\n3",
        "R 3",
        "АR3",
    ),
    *(*MARKERS, "[inst]", "［INST］", "[I\u200bNST]", "USE", "R:", "system", "\u202eR3", "é", "你", "go"),
    *("𝐑𝟑", "🚗", " ", "\n", "\t", "\x00", "［ INST ］", "[ INST ]"),
    *(
        "R\ue0003",
        "R\ufffd3",
        "R\u03453",
        "\ud800",
        "<0x52>",
        "<0x33>",
        "<0x5B>",
        "<added07>",
        " <ADDED15> ",
        "＜added31＞",
    ),
]
texts = st.one_of(st.text(max_size=30), st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
SLOT_WORDS = [f"{letter}{number}" for letter in "ARFV" for number in (*range(1, 13), 99)]


@pytest.fixture(scope="module", params=sorted(KINDS))
def tokenizer(request):
    return KINDS[request.param]()


@pytest.fixture(scope="module")
def harmless(tokenizer):
    return Harmless(tokenizer, MARKERS)


@given(text=texts)
def test_untrusted_text_becomes_no_special_and_no_added_token(tokenizer, harmless, text) -> None:
    named = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()} - {"<unk>", "[UNK]"}
    assert not {tokenizer.convert_tokens_to_ids(name) for name in named} & set(harmless.ids(text))


@given(text=st.lists(texts, min_size=1, max_size=4))
def test_untrusted_blocks_side_by_side_spell_no_slot_word(tokenizer, harmless, text) -> None:
    """Block borders are no help: `R` at the end of a message and `3:` at the start of the next make no `R3:`."""
    ids = [token for one in text for token in harmless.ids(one)]
    for word in [*SLOT_WORDS, "R3:", " R3", *MARKERS]:
        spelled = tokenizer(word, add_special_tokens=False)["input_ids"]
        assert set(spelled) <= {tokenizer.unk_token_id} or not contains(ids, spelled)


@given(text=texts)
def test_untrusted_text_decodes_to_no_slot_word(tokenizer, harmless, text) -> None:
    decoded = fold(tokenizer.decode(harmless.ids(text), clean_up_tokenization_spaces=False))[0]
    assert not any(word.lower() in decoded for word in [*SLOT_WORDS, *MARKERS])


def test_the_tests_above_can_fail(tokenizer) -> None:
    """Without the guards every kind of tokenizer forges a slot word, and most a special token."""
    ids = tokenizer("go R3: [INST] </s> <think> ", add_special_tokens=False)["input_ids"]
    assert contains(ids, tokenizer("R3", add_special_tokens=False)["input_ids"]) or "R3" in tokenizer.decode(ids)


@given(text=st.text(st.sampled_from("abcdefgh .,"), max_size=40))
def test_harmless_text_is_left_as_it_is(tokenizer, harmless, text) -> None:
    if not text.rstrip().endswith(("a", "f")):
        assert list(harmless.ids(text)) == tokenizer(text, add_special_tokens=False)["input_ids"]


def test_added_token_of_gpt_2_does_not_turn_into_the_end_of_text() -> None:
    """There the unknown token is the end of text: putting it for a forbidden one would forge that."""
    tokenizer = byte_level()
    block = Block(kind=BlockKind.MESSAGE, name="m", text="a <think> b", trust=Trust.UNTRUSTED)
    ids = Encoder(tokenizer).block(block)
    assert tokenizer.eos_token_id not in ids
    assert tokenizer.decode(ids).replace(" ", "") == "a<think>b"


def test_special_token_that_the_model_finds_in_split_text_is_replaced() -> None:
    tokenizer = unigram()
    end = tokenizer.eos_token_id
    assert end in tokenizer("go </s>", split_special_tokens=True, add_special_tokens=False)["input_ids"]
    assert end not in Harmless(tokenizer).ids("go </s>")


def test_slot_words_of_the_shipped_tokenizer_stay_letters_and_its_text_is_untouched() -> None:
    from localist_core.tokenizer import build_tokenizer

    tokenizer = build_tokenizer(("speed", "gap_m"))
    message = "car-2 : R3 says\nA2 gap_m 12"
    plain = tokenizer(message, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert list(Harmless(tokenizer).ids(message)) == plain


@given(
    character=st.characters(categories=("Mn", "Mc", "Me", "Cc", "Cf", "Co", "Cn")),
    word=st.sampled_from(["R3", "[INST]"]),
)
def test_character_that_a_normaliser_drops_neither_forges_a_word_nor_refuses_the_text(
    tokenizer, harmless, character, word
) -> None:
    """Private, unassigned and broken characters too: BERT's normaliser drops them all."""
    for dropped in (character, "\ufffd", "\ue000", "\u0345"):
        ids = harmless.ids(word[0] + dropped + word[1:])
        assert word.lower() not in tokenizer.decode(ids, clean_up_tokenization_spaces=False).lower()


@pytest.mark.parametrize("bits", range(1 << len(FLAGS)))
def test_added_token_is_not_forged_whatever_its_flags(bits) -> None:
    tokenizer, name = flagged(), added_name(bits)
    token = tokenizer.convert_tokens_to_ids(name)
    plain = tokenizer(f"a {name} b", add_special_tokens=False)["input_ids"]
    assert token in plain
    spellings = (name, f"a{name}b", f"a {name} b", name.upper(), name.replace("<", "＜"), f"{name}{name}")
    for text in (*spellings, f"{name[:4]}\u200b{name[4:]}", f"\n{name}\n"):
        assert token not in Harmless(tokenizer).ids(text)


def test_byte_spelled_out_forges_no_letter_and_no_line_break() -> None:
    tokenizer = spelled_bytes()
    plain = tokenizer("<0x52><0x33>: not<0x0A>", add_special_tokens=False)["input_ids"]
    assert "R3: not\n" in tokenizer.decode(plain)
    for markers in ((), MARKERS):
        ids = Harmless(tokenizer, markers).ids("<0x52><0x33>: not<0x0A>[<0x49>NST] ＜0x52＞3")
        assert not any(t.startswith("<0x") for t in tokenizer.convert_ids_to_tokens(list(ids)))


def test_half_a_character_is_spelled_as_a_question_mark(tokenizer, harmless) -> None:
    assert harmless.ids("go \ud800 \udfff go") == harmless.ids("go ? ? go")
