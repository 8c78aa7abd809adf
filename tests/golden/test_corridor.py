from __future__ import annotations

import json
from pathlib import Path

from tests.golden.corridor import GOLDEN, figures


def test_corridor_run_leaves_the_golden_trace(tmp_path: Path) -> None:
    assert figures(tmp_path) == json.loads(GOLDEN.read_text()), (
        "renew with `python -m tests.golden.corridor` if meant so"
    )
