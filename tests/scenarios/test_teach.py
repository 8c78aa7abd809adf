"""Teaching end to end, with a tiny model: it leaves a core that answers, and refuses to resume what is not there."""

from __future__ import annotations

import json

import pytest
import torch

from localist_core import SharedCore
from localist_core.learning.training import TrainingError
from localist_core.model import LocalistForCausalLM, small_config, subspaces
from scenarios.commands import train
from scenarios.exam import PLAIN, first_try, questions
from scenarios.teach import SHIPPED, SIZES, teach


@pytest.mark.slow
def test_smoke_run_leaves_a_core_that_answers(tmp_path) -> None:
    settings = {"penalty": {"strength": 0.02, "lr": 2.0}, "conditioning": {"dial": "floor", "margin_weight": 0.1}}
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    assert teach(tmp_path, is_smoke=True, settings=tmp_path / "settings.json")
    assert json.loads((tmp_path / "training.json").read_text())["conditioning"]["dial"] == "floor"
    assert json.loads((tmp_path / "sparsity.json").read_text())["strength"] == 0.02
    assert (tmp_path / "history.csv").read_text().startswith("step,tokens,seconds,loss,")
    core = SharedCore.load(tmp_path, device="cpu")
    found = first_try(core, questions(2, PLAIN, 5), "smoke")
    assert len(found.answered) == 2
    assert found.cited() is not None


def test_resume_of_nothing_is_one_clear_line_and_writes_nothing(tmp_path) -> None:
    with pytest.raises(TrainingError, match=r"^expected a checkpoint at `.*`, got none; train without --resume$"):
        teach(tmp_path / "core", is_smoke=True, resume=True)
    assert not (tmp_path / "core").exists()


PARAMETERS = {"small": 1.15e6, "medium": 5.3e6, "large": 17.5e6, "huge": 27.6e6}


def test_command_offers_the_sizes_that_there_are() -> None:
    assert train.SIZES == tuple(SIZES) == tuple(PARAMETERS)
    assert SIZES["small"] == SHIPPED


@pytest.mark.parametrize("size", sorted(PARAMETERS))
def test_size_has_the_parameters_that_its_documentation_says(size) -> None:
    config = SIZES[size]
    shape = small_config(
        588,
        layers=config.layers,
        width=config.width,
        heads=config.heads,
        hidden=config.hidden,
        block_width=config.block_width,
    )
    with torch.device("meta"):
        model = LocalistForCausalLM(shape)
    assert sum(weight.numel() for weight in model.parameters()) == pytest.approx(PARAMETERS[size], rel=0.02)
    assert subspaces(shape).shape == (shape.num_kinds, config.width)
