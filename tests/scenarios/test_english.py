"""English lessons: what is target, rest and asked; the control; splits; refusals. The documents are made here."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from scenarios.config import ConfigError
from scenarios.english import (
    CONTEXT,
    LONGEST,
    START_ID,
    English,
    build_english,
    controlled,
    documents,
    held_out,
    pages_of,
    split_of,
    text_lesson,
)

_TEXT = "the clock rings when every hand points at a number that nobody ever painted on its old round face"
WORDS = _TEXT.split()


def text_of(rng: random.Random) -> str:
    words = [rng.choice(WORDS) for _ in range(rng.randint(30, 60))]
    return " ".join(words).capitalize() + "."


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two dozen documents, each of a dozen paragraphs."""
    made = tmp_path_factory.mktemp("sources")
    for number in range(24):
        rng = random.Random(number)
        body = "\n\n".join(text_of(rng) for _ in range(12))
        (made / f"page{number}.rst.txt").write_text(f"Page {number}\n=======\n\n{body}\n")
    return made


@pytest.fixture(scope="module")
def tokenizer(folder, tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("tokenizer")
    build_english(folder).save_pretrained(made)
    return made


def test_lesson_rests_on_its_own_paragraph_and_headings(folder, tokenizer) -> None:
    page = pages_of(folder, "train", tokenizer)[0]
    index = page.writable[-1]
    one = text_lesson(page, index)
    own, first = page.paragraphs[index][:LONGEST], one.first_decision_row
    assert one.ids[first:] == own
    assert own[0] == START_ID
    assert one.rows == tuple(range(first, len(one.ids) - 1))
    assert one.answers == tuple((word,) for word in own[1:])
    assert sum(one.is_rest) == CONTEXT
    assert [sum(part) for part in zip(one.targets, one.is_rest, strict=True)] == [0] + [1] * (len(one.ids) - 1)
    assert all(one.targets[first:])


def test_control_has_as_many_targets_and_none_of_the_own_paragraph(folder, tokenizer) -> None:
    page = pages_of(folder, "train", tokenizer)[0]
    one = text_lesson(page, page.writable[0])
    control = controlled(one, random.Random(0))
    assert sum(control.targets) == sum(one.targets)
    assert not any(control.targets[one.first_decision_row :])
    assert (control.ids, control.answers) == (one.ids, one.answers)


def test_pools_are_functions_of_seed_and_number(folder, tokenizer) -> None:
    source = English(tokenizer=tokenizer, seed=3, folder=folder, size=8)
    assert source(1) == source(1) != source(2)
    assert source(1) != English(tokenizer=tokenizer, seed=4, folder=folder, size=8)(1)


def test_splits_share_no_document(folder) -> None:
    names = {path.name for path in folder.iterdir()}
    assert {split_of(name) for name in names} == {"train", "dev", "test"}
    found = {split: [page[0].headings for page in documents(folder, split)] for split in ("train", "dev", "test")}
    assert sum(map(len, found.values())) == len(names)
    assert not set(found["train"]) & set(found["test"])


def test_held_out_lessons_are_the_same_with_and_without_control(folder, tokenizer) -> None:
    plain, control = (held_out(tokenizer, "test", 3, 5, folder=folder, is_control=is_it) for is_it in (False, True))
    assert [one.ids for one in plain] == [one.ids for one in control]


def test_more_lessons_than_there_are_is_refused(folder, tokenizer) -> None:
    with pytest.raises(ConfigError, match=r"^expected at most \d+ lessons of the documents for test, got `100000`$"):
        held_out(tokenizer, "test", 100_000, 5, folder=folder)


def test_missing_documents_are_one_clear_line(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"^expected the sources of Python's documentation in `.*`, got none; `apt"):
        next(documents(tmp_path, "train"))


def test_tokenizer_of_another_corpus_is_refused(folder) -> None:
    from localist_core.serving.loading import SHIPPED

    with pytest.raises(ConfigError, match="expected a model that was trained on English"):
        pages_of(folder, "train", SHIPPED)
