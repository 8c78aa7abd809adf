"""`localist probe` as a user meets it: what was seen of a model, or why it is refused."""

from __future__ import annotations

import json

import pytest

from localist_core.attending.family import family_of
from scenarios.cli import Exit, main
from tests.localist_core import tiny
from tests.localist_core.vocabularies import chat_tokenizer


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Model directories by family."""
    folder = tmp_path_factory.mktemp("models")
    return {name: str(tiny.save(name, folder / name)) for name in ("mistral", "gemma2", "gpt_oss", "bloom", "gptj")}


def test_shipped_core_is_described_in_a_table(capsys) -> None:
    assert main(["probe"]) == Exit.PASS
    text = capsys.readouterr().out
    for word in ("localist-small", "heads of keys and values", "sdpa", "rotary (default)", "0.0e+00"):
        assert word in text


def test_windows_soft_cap_and_sinks_are_told(saved, capsys) -> None:
    assert main(["probe", saved["gemma2"]]) == Exit.PASS
    text = capsys.readouterr().out
    assert "12 tokens in 2 of 3 layers" in text
    assert "50" in text
    assert main(["probe", saved["gpt_oss"]]) == Exit.PASS
    assert "one for each head" in capsys.readouterr().out


def test_json_holds_what_the_probe_saw(saved, capsys) -> None:
    assert main(["probe", saved["mistral"], "--json"]) == Exit.PASS
    value = json.loads(capsys.readouterr().out)
    assert value["format"] == "localist-probe"
    assert value["family"] == {
        "name": "mistral",
        "num_layers": 3,
        "num_heads": 4,
        "num_kv_heads": 2,
        "windows": [8, 8, 8],
        "softcap": None,
        "rope_types": ["default"],
        "has_alibi": False,
        "longest": 1024,
    }
    assert (value["stock"], value["calls_per_layer"], value["logit_difference"]) == ("sdpa", 1, 0.0)
    assert 0.0 <= value["mass_difference"] < 1e-5
    assert not value["has_sinks"]
    assert not value["is_chat"]


def test_chat_template_is_told(saved, tmp_path, capsys) -> None:
    tiny.model("llama").save_pretrained(tmp_path)
    chat_tokenizer().save_pretrained(tmp_path)
    assert main(["probe", str(tmp_path), "--json"]) == Exit.PASS
    assert json.loads(capsys.readouterr().out)["is_chat"]


@pytest.mark.parametrize(
    ("family", "reason"),
    [("bloom", "positions cannot be given to it"), ("gptj", "its attention cannot be exchanged")],
)
def test_refused_family_is_its_reason_in_one_line(saved, capsys, family, reason) -> None:
    assert main(["probe", saved[family]]) == Exit.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert f"got family `{family}`: {reason}" in err


def test_missing_directory_is_told_in_one_line(capsys) -> None:
    assert main(["probe", "no-such-directory"]) == Exit.USAGE
    assert "expected a model directory" in capsys.readouterr().err


def test_family_names_layers_with_windows_one_by_one() -> None:
    assert family_of(tiny.model("gpt_oss")).windows == (16, None, 16)
    assert family_of(tiny.model("gpt2")).rope_types == ()
    assert family_of(tiny.model("bloom")).has_alibi
    assert family_of(tiny.model("gemma3_text")).rope_types == ("default",)
