"""The history of a training run: a line of JSON for each report, and the same as a table of comma-separated values.

`history.jsonl` grows while the run goes on; `history.csv` is made of it. Columns: step, tokens, seconds, loss, a share
of right answers for each sort; the same behind `held_out_` where lessons were examined, with `held_out_loss` and
`held_out_raw_fidelity`; `zero_groups` and `groups` under a penalty.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

HISTORY = "history.jsonl"
TABLE = "history.csv"

Row = dict[str, float]
"""One report: name of a column -> number; columns that were not measured are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a training run stands."""

    step: int
    tokens: int
    total_tokens: int
    seconds: float
    loss: float
    """Mean over the steps since the last report, in nats; without the penalty."""
    accuracy: dict[str, float]
    """Share of right answers by sort, over the steps since the last report."""
    held_out: dict[str, float]
    """The same on held-out lessons at dial 0; empty where none were examined at this step."""
    held_out_loss: float | None = None
    """Of those lessons; None likewise."""
    raw_fidelity: float | None = None
    """Of those lessons: mean over layers, heads and decision rows at dial 0; None likewise."""
    zero_groups: int | None = None
    """Groups whose factors are both exactly zero; None without a penalty."""
    groups: int | None = None
    """All groups; None likewise."""

    def row(self) -> Row:
        """The report as a row of the history; numbers to 4 places."""
        values = {"loss": self.loss, **self.accuracy, **{f"held_out_{k}": v for k, v in self.held_out.items()}}
        optional = {
            "held_out_loss": self.held_out_loss,
            "held_out_raw_fidelity": self.raw_fidelity,
            "zero_groups": self.zero_groups,
            "groups": self.groups,
        }
        values |= {name: value for name, value in optional.items() if value is not None}
        rounded = {name: round(value, 4) for name, value in values.items()}
        return {"step": self.step, "tokens": self.tokens, "seconds": round(self.seconds, 1), **rounded}


class Tally:
    """Sums of losses, and of right answers by sort, between two reports."""

    def __init__(self) -> None:
        self._right: dict[str, int] = {}
        self._asked: dict[str, int] = {}
        self._loss, self._steps = 0.0, 0

    def add(self, loss: float, marks: list[tuple[str, bool]]) -> None:
        """Count one step."""
        self._loss += loss
        self._steps += 1
        for sort, is_right in marks:
            self._asked[sort] = self._asked.get(sort, 0) + 1
            self._right[sort] = self._right.get(sort, 0) + is_right

    @property
    def loss(self) -> float:
        """Mean of the steps; 0 if there was none."""
        return self._loss / max(1, self._steps)

    @property
    def accuracy(self) -> dict[str, float]:
        """Share of right answers by sort."""
        return {sort: self._right[sort] / count for sort, count in sorted(self._asked.items())}


def note(path: Path, progress: Progress) -> None:
    """Append one report to a history."""
    with path.open("a") as file:
        file.write(json.dumps(progress.row()) + "\n")


def rows_of(path: Path) -> list[Row]:
    """All reports of a history, in order.

    Raises:
        ValueError: a line that is no report; names it.
    """
    rows: list[Row] = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"expected a report in line {number} of `{path}`, got no JSON; train again") from error
        if not (isinstance(row, dict) and "step" in row and all(isinstance(v, int | float) for v in row.values())):
            raise ValueError(f"expected numbers by name in line {number} of `{path}`, got something else; train again")
        rows.append(row)
    return rows


def cut_back(path: Path, step: int) -> None:
    """Drop the reports behind a step: a run that is resumed there makes them again."""
    if path.exists():
        kept = [row for row in rows_of(path) if row["step"] <= step]
        path.write_text("".join(json.dumps(row) + "\n" for row in kept))


def csv_of(rows: list[Row]) -> str:
    """The reports as comma-separated values: columns in the order in which they first appear; empty = not measured."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
