"""The study end to end with tiny models, and the commands that examine a core."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scenarios.cli import Exit, main
from scenarios.study import ARMS, CORPORA, Trial, Weights, curve_path, trials
from tests.scenarios.test_english import folder as folder  # the documents made there

TRIALS = trials(("english",), (0,), is_smoke=True)


@pytest.mark.slow
@pytest.mark.timeout(300)  # two trainings start a process each, which imports torch
def test_smoke_study_trains_examines_and_compares_and_does_nothing_twice(folder, tmp_path: Path, capsys) -> None:
    command = ["study", "--smoke", "--corpus", "english", "--seeds", "1", "--documents", str(folder), "--json"]
    assert main([*command, "--out", str(tmp_path), "--minutes", "0.000001"]) == Exit.INCONCLUSIVE
    capsys.readouterr()
    assert main([*command, "--out", str(tmp_path)]) == Exit.PASS
    found = json.loads(capsys.readouterr().out)
    assert [one["name"].rpartition(" ")[2] for one in found["compared"]] == ["paragraph", "paragraphs"]
    made = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert main([*command, "--out", str(tmp_path)]) == Exit.PASS
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == made
    assert curve_path(TRIALS[0], "own", tmp_path, "test").exists()
    capsys.readouterr()
    assert main([*command, "--out", str(tmp_path), "--leak", "0.5"]) == Exit.USAGE
    assert "got one of others; use another --out" in capsys.readouterr().err


def test_arms_of_a_seed_differ_in_dial_and_losses_alone() -> None:
    for corpus in CORPORA:
        plain, localist = (Trial(corpus=corpus, arm=arm, seed=1).config for arm in ARMS)
        differing = {name for name in plain.__dataclass_fields__ if getattr(plain, name) != getattr(localist, name)}
        assert differing == {"dialled", "conditioning"}
        assert not plain.conditioning.asks
        assert localist.conditioning.asks


def test_other_weights_change_localist_training_alone() -> None:
    plain, localist = trials(("english",), (0,), weights=Weights(leak=0.5, margin=0.1))
    assert plain.config == Trial(corpus="english", arm="plain", seed=0).config
    asked = localist.config.conditioning
    assert (asked.leak_weight, asked.margin_weight) == (0.5, 0.1)
    assert asked.focus_weight == Trial(corpus="english", arm="localist", seed=0).config.conditioning.focus_weight


def test_negative_weight_is_refused(tmp_path: Path, capsys) -> None:
    assert main(["study", "--out", str(tmp_path), "--leak", "-1"]) == Exit.USAGE
    assert "expected weights of 0 or more, got `-1.0`" in capsys.readouterr().err


def test_study_with_nothing_examined_says_so(tmp_path: Path, capsys) -> None:
    assert main(["study", "--report", "--out", str(tmp_path)]) == Exit.INCONCLUSIVE
    assert "nothing to compare yet" in capsys.readouterr().out


def test_dial_curve_leaves_its_files_and_prints_its_table(tmp_path: Path, capsys) -> None:
    pytest.importorskip("matplotlib")
    command = ["dial-curve", "--model", str(tiny_core(tmp_path)), "--lessons", "2", "--out", str(tmp_path / "curve")]
    assert main(command) == Exit.PASS
    assert "raw fidelity, from the pass at dial 0" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "curve").iterdir()} == {"curve.json", "curve.csv", "curve.svg"}


def test_bounds_hold_for_a_random_core_and_say_so_in_json(tmp_path: Path, capsys) -> None:
    assert main(["bounds", "--model", str(tiny_core(tmp_path)), "--random", "--lessons", "2", "--json"]) == Exit.PASS
    found = json.loads(capsys.readouterr().out)
    assert sum(law["violations"] for law in found["laws"]) == 0
    assert min(law["count"] for law in found["laws"]) > 0


@pytest.mark.slow
def test_bounds_hold_for_the_core_that_ships(capsys) -> None:
    assert main(["bounds", "--lessons", "4"]) == Exit.PASS
    assert "shipped core on curriculum" in capsys.readouterr().out


def tiny_core(where: Path) -> Path:
    """A random core of one layer that reads the curriculum."""
    from localist_core.model import LocalistForCausalLM, small_config
    from localist_core.tokenizer import build_tokenizer

    path = where / "core"
    tokenizer = build_tokenizer(("stop", "go", "cart"), merges=4)
    tokenizer.save_pretrained(path)
    shape = small_config(len(tokenizer), layers=1, width=32, heads=2, hidden=32, block_width=1)
    LocalistForCausalLM(shape).save_pretrained(path)
    return path


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--share", "0"], "expected a share of targets above 0 and at most 1, got `0.0`"),
        (["--lessons", "0"], "expected 1 lesson or more, got `0`"),
        (["--model", "nowhere"], "expected a model directory with a config.json, got `nowhere`"),
        (["--data", "english", "--documents", "nowhere"], "expected a model that was trained on English"),
        (["--data", "english", "--share", "0.5"], "expected --share with the curriculum only"),
        (["--control"], "expected --control and --documents with `--data english` only"),
        (["--threads", "0"], "expected 1 thread or more, got `0`"),
    ],
)
def test_mistake_of_the_user_is_one_clear_line(argv, told, capsys) -> None:
    assert main(["dial-curve", *argv]) == Exit.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"localist: {told}")
    assert err.count("\n") == 1


def test_model_of_another_family_is_refused(tmp_path: Path, capsys) -> None:
    from tests.localist_core.tiny import save

    assert main(["dial-curve", "--model", str(save("llama", tmp_path / "llama"))]) == Exit.USAGE
    assert "got one of family `llama`" in capsys.readouterr().err
