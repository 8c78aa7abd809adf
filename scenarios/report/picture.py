"""A picture of a recorded run for documents: its command and its table as SVG.

python -m scenarios.report.picture RUN docs/run.svg
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console

from scenarios.report.summary import Summary, summarise
from scenarios.report.table import table

COLUMNS = 78
FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""Fonts from elsewhere, which a picture in a repository must not fetch."""


def picture(summary: Summary) -> str:
    """The picture as SVG text."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    command = f"localist run {summary.scenario} --seed {summary.seed}"
    console.print(f"$ {command}", highlight=False)
    console.print(table(summary))
    return FONT_FACE.sub("", console.export_svg(title=command))


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(picture(summarise(Path(sys.argv[1]))), encoding="utf-8")
