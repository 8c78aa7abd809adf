"""Adapting an existing model on the curriculum: it learns, its base does not, it stops and resumes bit for bit."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from localist_core import SharedCore
from localist_core.errors import UnsupportedModelError
from localist_core.learning.adapters import WEIGHTS, weights_hash
from localist_core.learning.conditioning import Conditioning
from localist_core.learning.penalty import Penalty
from localist_core.learning.train_config import TrainConfig, TrainingError
from localist_core.learning.training import train
from localist_core.prompting.chat import encoder_of
from localist_core.serving.loading import tokenizer_in
from scenarios.adapt import AdaptingCurriculum, adapt, spoken
from scenarios.cli import Exit, main
from scenarios.curriculum import Difficulty, cases
from scenarios.passages import Passages
from tests.localist_core import tiny
from tests.localist_core.learning.test_training import thread

SHORT = Difficulty(max_rules=1, messages=0.5)
CONFIG = TrainConfig(
    tokens=5_000,
    batch_tokens=1_600,
    warm_up_tokens=500,
    cool_down=0.1,
    language_weight=0.0,
    rank=2,
    conditioning=Conditioning(dial="floor", margin_weight=0.1),
    penalty=Penalty(strength=0.002, lr=5.0, freeze_from=0.6, recheck_tokens=2_000),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save("llama", tmp_path_factory.mktemp("base"))


def source(base: Path) -> AdaptingCurriculum:
    return AdaptingCurriculum(base=base, seed=0, size=16, difficulty=SHORT)


@pytest.fixture(scope="module")
def whole(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run."""
    out = tmp_path_factory.mktemp("adapter")
    before = weights_hash(base)
    assert train(CONFIG, source(base), tokenizer_in(base), out, base=base, helper=thread)
    assert weights_hash(base) == before
    return out


def test_spoken_case_asks_for_every_token_of_the_best_label(base: Path) -> None:
    encoder = encoder_of(tokenizer_in(base))
    stream = (case for case in cases(3, held_out=False, difficulty=SHORT) if case.best is not None)
    for case in islice(stream, 5):
        one = spoken(case, encoder)
        label = encoder.label(case.words.actions[case.best])
        assert [answer[0] for answer in one.answers] == list(label)
        assert one.ids[: len(one.ids) - len(label) + 1] == encoder.encode(case.prompt()).ids
        assert one.rows[0] == len(one.ids) - len(label)
        assert len(one.ids) == len(one.kinds) == len(one.positions) == len(one.is_rest)
        assert any(one.targets[: one.first_decision_row])


def test_adapter_learns_some_groups_and_leaves_others_zero(base: Path, whole: Path) -> None:
    told = json.loads((whole / "sparsity.json").read_text())
    assert 0 < told["num_zero"] < told["num_groups"] == 3 * 4 * 10
    absent = [one for one in told["groups"] if one["kind"] == "memory"]
    assert all(one["query_norm"] == one["key_norm"] == 0.0 for one in absent)
    request = tiny.request(0.0)
    (plain,), (adapted,) = (SharedCore.load(path).decide([request]) for path in (base, whole))
    assert plain.probabilities != adapted.probabilities


def test_adapting_stopped_and_resumed_ends_with_the_same_weights(base: Path, whole: Path, tmp_path: Path) -> None:
    stops = 0

    def go_on() -> bool:
        minutes = 0.0 if stops < 3 else math.inf
        arguments = {"base": base, "resume": stops > 0, "minutes": minutes, "helper": thread}
        return train(CONFIG, source(base), tokenizer_in(base), tmp_path, **arguments)

    while not go_on():
        stops += 1
    assert stops == 3
    one, other = load_file(whole / WEIGHTS), load_file(tmp_path / WEIGHTS)
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_resuming_on_another_base_is_refused(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(CONFIG, source(base), tokenizer_in(base), out, base=base, minutes=0.0, helper=thread)
    torch.manual_seed(1)
    other = tmp_path / "other"
    tiny.model("llama", seed=5).save_pretrained(other)
    tiny.tokenizer().save_pretrained(other)
    with pytest.raises(TrainingError, match="expected a checkpoint of this configuration"):
        train(CONFIG, source(other), tokenizer_in(other), out, base=other, resume=True, helper=thread)


def test_lesson_beyond_the_window_of_the_base_is_refused(tmp_path: Path) -> None:
    base = tiny.save("mistral", tmp_path / "base")
    with pytest.raises(TrainingError, match=r"^expected lessons of at most 8 tokens, the base's window or longest "):
        train(CONFIG, source(base), tokenizer_in(base), tmp_path / "out", base=base, helper=thread)


def test_base_with_localist_subspaces_or_of_an_unknown_family_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="expected a model without localist subspaces"):
        adapt(tiny.save("localist", tmp_path / "localist"), tmp_path / "out")
    with pytest.raises(UnsupportedModelError, match="got family `bloom` with 0"):
        adapt(tiny.save("bloom", tmp_path / "bloom"), tmp_path / "out")


def test_command_adapts_a_base_and_asks_for_one(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"tokens": 500, "batch_tokens": 1000, "rank": 1, "penalty": {"freeze_from": 1.0}}
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    argv = ["train", "--adapt", str(base), "--config", str(tmp_path / "settings.json"), "--out", str(tmp_path / "a")]
    assert main([*argv, "--json"]) == Exit.PASS
    assert json.loads(capsys.readouterr().out.splitlines()[0])["groups"] == 120
    assert SharedCore.load(tmp_path / "a").capabilities.dials
    assert main(["train", "--adapt", str(tmp_path / "none"), "--out", str(tmp_path / "b")]) == Exit.USAGE
    assert capsys.readouterr().err.startswith("localist: expected a tokenizer in")


# Text


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """Twenty paragraphs of thirty words, one of two words, each with its number in it."""
    words = [word for word in tiny.WORDS if word.isalpha()]
    parts = [" ".join([*words[n:], *words, *words][:30]) for n in range(20)]
    path = tmp_path / "text.txt"
    path.write_text("\n\n".join([*parts[:5], "go stop", *parts[5:]]))
    return path


def test_passage_rests_on_its_own_paragraph_and_leaks_to_what_stands_before(base: Path, text: Path) -> None:
    source = Passages(base=base, files=(text,), seed=0)
    trained, held_out = source(0), source.held_out(99)
    assert (len(trained), len(held_out)) == (17, 2)
    assert not {one.ids for one in trained} & {one.ids for one in held_out}
    for one in trained:
        first = one.first_decision_row
        assert len(one.ids) - first == 30
        assert one.targets == tuple(place >= first for place in range(len(one.ids)))
        assert [answer[0] for answer in one.answers] == list(one.ids[first + 1 :])
        assert not any(a and b for a, b in zip(one.targets, one.is_rest, strict=True))


def test_adapter_learns_packed_text(base: Path, text: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, tokens=1_500, batch_tokens=600, pack_tokens=300, examine_steps=50)
    source, seen = Passages(base=base, files=(text,), seed=0), []
    arguments = {"base": base, "examine": source.held_out(2), "report": seen.append, "helper": thread}
    assert train(config, source, tokenizer_in(base), tmp_path / "a", **arguments)
    assert 0.0 < seen[-1].raw_fidelity < 1.0
    assert SharedCore.load(tmp_path / "a").capabilities.dials


def test_command_refuses_text_that_it_cannot_learn_from(
    base: Path, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["train", "--adapt", str(base), "--out", str(tmp_path / "a"), "--text"]
    assert main([*argv, str(tmp_path / "none")]) == Exit.USAGE
    assert capsys.readouterr().err.startswith("localist: expected a text file at")
    (tmp_path / "short").write_text("one\n\ntwo")
    assert main([*argv, str(tmp_path / "short")]) == Exit.USAGE
    assert "got too few; give longer text" in capsys.readouterr().err
    assert main(["train", "--out", str(tmp_path / "b"), "--text", str(text)]) == Exit.USAGE
    assert "expected --adapt beside --text" in capsys.readouterr().err
