"""The files of a dial curve, described in `report/CURVE.md`: JSON with everything, CSV with a line for each point."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, fields
from pathlib import Path

from scenarios.config import ConfigError
from scenarios.curve import PUBLISHED, Curve, Point

VERSION = 1
"""Of the files."""


def curve_json(curve: Curve) -> dict[str, object]:
    """The curve and what was published, as JSON; see `report/CURVE.md`."""
    return {"version": VERSION, **asdict(curve), "published": [asdict(one) for one in PUBLISHED]}


def write_csv(curve: Curve, path: Path) -> None:
    """One line for each point; see `report/CURVE.md`."""
    constant = {"version": VERSION, "model": curve.model, "data": curve.data, "dial": curve.dial, "seed": curve.seed}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*constant, *(field.name for field in fields(Point))])
        writer.writeheader()
        for point in curve.points:
            writer.writerow({**constant, **asdict(point)})


def write_json(curve: Curve, path: Path) -> None:
    """The curve as JSON."""
    path.write_text(json.dumps(curve_json(curve), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Curve:
    """A curve that was written.

    Raises:
        ConfigError: no such file, or one of another version.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        version = found.pop("version")
        del found["published"]
        points = tuple(Point(**one) for one in found["points"])
        curve = Curve(**{**found, "points": points})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"expected a curve at `{path}`, got {type(error).__name__}; make it anew") from error
    if version != VERSION:
        raise ConfigError(f"expected a curve of version {VERSION} at `{path}`, got `{version}`; make it anew")
    return curve
