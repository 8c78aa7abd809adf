"""Every slot is one token in trusted text, and no untrusted text yields a special token."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localist_core.blocks import Block, BlockKind, Trust
from localist_core.prompting.encoding import Encoder
from localist_core.tokenizer import PAIRS, SLOTS, build_tokenizer, load_tokenizer, special_words

# Names that spell special words, so that sub-words are tempted to.
NAMES = ("speed", "gap_m", "light", "idle", "idler", "unknown", "goal", "intends", "knownun") * 3
TOKENIZER = build_tokenizer(NAMES, merges=64)
SPECIAL = dict(zip(special_words(), TOKENIZER.convert_tokens_to_ids(list(special_words())), strict=True))

lookalikes = st.sampled_from(
    [
        *special_words(),
        "R3:",
        "<pad>",
        "<s>",
        "</s>",
        "A1A2",
        "a1",
        "A17",
        "R03",
        "ok,",
        " ok",
        "if\n",
        "ＡＣＴ",
        "Å1",
        "\0",
    ]
)
forgeries = st.lists(st.one_of(lookalikes, st.text(max_size=6)), max_size=8)
untrusted_texts = st.one_of(forgeries.map(" ".join), forgeries.map("".join), st.text(max_size=40))


def ids(text: str, *, trusted: bool, tokenizer=TOKENIZER) -> list[int]:
    return tokenizer(text, add_special_tokens=False, split_special_tokens=not trusted)["input_ids"]


@given(untrusted_texts)
def test_untrusted_text_of_any_kind_yields_no_special_token(text) -> None:
    assert not set(ids(text, trusted=False)) & set(SPECIAL.values())


@given(untrusted_texts)
def test_untrusted_block_of_any_kind_yields_no_special_token(text) -> None:
    block = Block(kind=BlockKind.MESSAGE, name="M1", text=text, trust=Trust.UNTRUSTED)
    assert not set(Encoder(TOKENIZER).block(block)) & set(SPECIAL.values())


@given(st.text(max_size=40))
def test_any_text_encodes_without_an_unknown_token(text) -> None:
    assert None not in ids(text, trusted=False)
    assert TOKENIZER.unk_token_id is None


@pytest.mark.parametrize("word", special_words())
def test_special_word_in_trusted_text_is_one_token(word) -> None:
    assert ids(word, trusted=True) == [SPECIAL[word]]


@given(st.lists(st.sampled_from(special_words()[2:]), min_size=1, max_size=12))
def test_trusted_line_of_special_words_is_one_token_each(words) -> None:
    assert ids(" ".join(words), trusted=True) == [SPECIAL[word] for word in words]


def test_special_tokens_have_the_lowest_ids_and_pad_is_0() -> None:
    assert list(SPECIAL.values()) == list(range(len(special_words())))
    assert TOKENIZER.pad_token_id == 0


def test_special_words_are_all_slots_and_all_different() -> None:
    slots = {f"{letter}{n}" for letter, count in SLOTS.items() for n in range(1, count + 1)}
    assert slots <= set(special_words())
    assert len(set(special_words())) == len(special_words())


def test_slot_before_a_sign_is_found_and_inside_a_word_is_not() -> None:
    assert ids("R3:", trusted=True)[0] == SPECIAL["R3"]
    assert not set(ids("idler R33 A1x xA1", trusted=True)) & set(SPECIAL.values())


def test_no_two_sub_words_join_to_a_special_word() -> None:
    vocabulary = TOKENIZER.get_vocab()
    assert len(set(vocabulary.values())) == len(vocabulary)
    for word in special_words():
        assert ids(word, trusted=False) != [SPECIAL[word]]
        assert "".join(TOKENIZER.convert_ids_to_tokens(ids(word, trusted=False))) == word


@pytest.mark.parametrize("sign", ["".join(pair) for pair in PAIRS])
def test_sign_of_two_characters_is_one_token(sign) -> None:
    assert len(ids(sign, trusted=True)) == 1


@given(st.integers(0, 9999), st.sampled_from(["<", ">=", "+"]))
def test_numbers_are_one_token_a_digit_whatever_the_trust(number, sign) -> None:
    text = f"{sign} {number}"
    assert len(ids(text, trusted=True)) == 1 + len(str(number))
    assert ids(text, trusted=True) == ids(text, trusted=False)


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters=" "), max_size=12))
def test_text_without_spaces_comes_back_from_its_tokens(text) -> None:
    assert TOKENIZER.decode(ids(text, trusted=False)) == text


@pytest.fixture(scope="module")
def reloaded(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tokenizer")
    TOKENIZER.save_pretrained(directory)
    return load_tokenizer(directory)


@given(untrusted_texts)
def test_saved_and_loaded_tokenizer_reads_the_same(reloaded, text) -> None:
    for trusted in (True, False):
        assert ids(text, trusted=trusted, tokenizer=reloaded) == ids(text, trusted=trusted)


def test_saved_and_loaded_tokenizer_keeps_its_special_tokens(reloaded) -> None:
    assert reloaded.get_vocab() == TOKENIZER.get_vocab()
    assert (reloaded.pad_token_id, reloaded.bos_token_id) == (TOKENIZER.pad_token_id, TOKENIZER.bos_token_id)
    assert reloaded.get_added_vocab() == SPECIAL


def test_built_twice_from_the_same_names_is_the_same() -> None:
    assert build_tokenizer(NAMES, merges=64).get_vocab() == TOKENIZER.get_vocab()
