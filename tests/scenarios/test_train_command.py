"""`localist train`, `plot` and `thresholds` as a user meets them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from localist_core.learning.penalty import Penalty
from localist_core.learning.thresholds import FreePath, Thresholds
from localist_core.learning.train_config import TrainConfig, json_of
from localist_core.model import LocalistForCausalLM, small_config
from localist_core.tokenizer import build_tokenizer
from scenarios.cli import Exit, main
from scenarios.config import ConfigError
from scenarios.names import TRAINED
from scenarios.report.plot import draw
from scenarios.report.thresholds import rendered
from scenarios.threshold_study import ThresholdStudy

HISTORY = """{"step": 50, "tokens": 500, "seconds": 1.0, "loss": 2.0, "act": 0.2, "zero_groups": 0, "groups": 20}
{"step": 100, "tokens": 900, "seconds": 2.0, "loss": 1.0, "held_out_act": 0.3, "zero_groups": 7, "groups": 20}
"""


def complaint(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(argv) == Exit.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("localist: expected ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_plot_draws_the_history(tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str) -> None:
    (tmp_path / "history.jsonl").write_text(HISTORY)
    out = tmp_path / f"picture.{ending}"
    assert main(["plot", str(tmp_path), "--out", str(out)]) == Exit.PASS
    assert out.stat().st_size > 5000
    assert capsys.readouterr().out == f"{out}\n"


def test_picture_names_what_it_shows(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text(HISTORY)
    draw(tmp_path, tmp_path / "picture.svg")
    text = (tmp_path / "picture.svg").read_text()
    for word in ("loss (nats)", "right answers (share)", "held out: act", "zero groups", "million tokens"):
        assert f"<!-- {word} -->" in text
    assert "raw fidelity" not in text


def test_plot_without_a_history_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "history.jsonl`, got FileNotFoundError" in complaint(capsys, "plot", str(tmp_path))
    (tmp_path / "history.jsonl").write_text("")
    assert "got none; train for longer" in complaint(capsys, "plot", str(tmp_path))
    (tmp_path / "history.jsonl").write_text("nonsense\n")
    assert "got expected a report in line 1" in complaint(capsys, "plot", str(tmp_path))
    with pytest.raises(ConfigError, match=r"got `a\.bmp`; correct --out$"):
        draw(tmp_path, tmp_path / "a.bmp")


def test_train_refuses_unknown_settings_with_a_suggestion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "settings.json").write_text('{"penalty": {"strenght": 1}}')
    argv = ["train", "--smoke", "--config", str(tmp_path / "settings.json"), "--out", str(tmp_path / "core")]
    assert "got `strenght`; did you mean `strength`" in complaint(capsys, *argv)
    assert not (tmp_path / "core").exists()


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `localist train` leaves, with random weights."""
    path = tmp_path_factory.mktemp("core")
    torch.manual_seed(0)
    tokenizer = build_tokenizer(TRAINED, merges=8)
    tokenizer.save_pretrained(path)
    shape = small_config(len(tokenizer), layers=1, width=32, heads=2, hidden=24, block_width=1)
    LocalistForCausalLM(shape).save_pretrained(path)
    (path / "training.json").write_text(json_of(TrainConfig(penalty=Penalty(strength=0.001))))
    return str(path)


def test_thresholds_of_a_core_are_told_as_json(core: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["thresholds", core, "--cases", "1", "--factors", "1", "--json"]) == Exit.PASS
    told = json.loads(capsys.readouterr().out)
    assert (told["strength"], told["num_groups"], told["num_zero"], told["free"]) == (0.001, 20, 0, None)
    (found,) = told["frozen"]
    assert found["path"] is None or found["path"] >= 0.99 * found["block"] > 0.0


def test_thresholds_are_told_as_tables_with_what_jumps() -> None:
    name = "layer 0, head 1, message, key"
    smooth = Thresholds(factor=name, block=2.0, path=2.02, reentry=1.98, residual=0.0, evaluations=9)
    jump = Thresholds(factor=name, block=2.0, path=None, reentry=None, residual=0.5, evaluations=9)
    found = ThresholdStudy(
        model="core",
        cases=2,
        loss=1.0,
        strength=0.5,
        num_groups=20,
        num_zero=3,
        worst_zero_residual=0.01,
        frozen=(smooth, jump),
        free=(FreePath(factor=name, block=2.0, path=3.0, reentry=None),),
    )
    console = Console(record=True, width=120, file=io.StringIO())
    console.print(rendered(found))
    text = console.export_text()
    for words in ("3 of 20 groups zero", "worst KKT residual here 1.0%", "+1.0%", "5.0e-01 (!)", "as found", name):
        assert words in text
    assert "within 5 % of the prediction: 1 of 2; jumps later: 1. Re-entry within 5 %: 1 of 2." in " ".join(
        text.split()
    )


def test_thresholds_of_a_directory_without_a_model_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    complaint(capsys, "thresholds", str(tmp_path))
    complaint(capsys, "thresholds", str(tmp_path), "--cases", "0")
