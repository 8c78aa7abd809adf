"""Teaching end to end, with a tiny model: it leaves a core that answers, and refuses to resume what is not there."""

from __future__ import annotations

import pytest

from localist_core import SharedCore
from localist_core.training import TrainingError
from scenarios.exam import PLAIN, first_try, questions
from scenarios.teach import teach


@pytest.mark.slow
def test_smoke_run_leaves_a_core_that_answers(tmp_path) -> None:
    assert teach(tmp_path, is_smoke=True)
    core = SharedCore.load(tmp_path, device="cpu")
    found = first_try(core, questions(2, PLAIN, 5), "smoke")
    assert len(found.answered) == 2
    assert found.cited() is not None


def test_resume_of_nothing_is_one_clear_line_and_writes_nothing(tmp_path) -> None:
    with pytest.raises(TrainingError, match=r"^expected a checkpoint at `.*`, got none; train without --resume$"):
        teach(tmp_path / "core", is_smoke=True, resume=True)
    assert not (tmp_path / "core").exists()
