"""The crossing as paths: where each movement runs, and which stretch of it another movement shares.

A movement is a pair of arms (from, to), 0 south, 1 west, 2 north, 3 east. Along a path the centre of a car is at
`s` metres from the far end of its approach; the approach ends at `APPROACH_M`, where the junction begins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Movement: TypeAlias = tuple[int, int]
Points: TypeAlias = NDArray[np.float64]

APPROACH_M = 100.0
"""Length of each approach in highway-env's intersection."""
STOP_LINE_M = 97.5
"""`s` of a car whose front bumper is at the junction's edge."""
SPACING_M = 0.5
"""Distance of two samples of a path."""
REACH_M = 8.0
"""How far past the junction two movements that merge are still taken as sharing a stretch."""
HEADWAY_M = 3.0
"""A merge counts as shared this far past the junction; from there on one car follows the other."""

CAR_LENGTH_M, CAR_WIDTH_M = 5.0, 2.0
DISCS_M = np.array([-CAR_LENGTH_M / 3, 0.0, CAR_LENGTH_M / 3])
"""Centres of three discs that cover a car, along its axis."""
DISC_RADIUS_M = math.hypot(CAR_LENGTH_M / 6, CAR_WIDTH_M / 2)
CLEARANCE_M = 0.3
"""Two cars closer than this count as being in each other's way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """One movement, sampled every `SPACING_M`."""

    movement: Movement
    priority: int
    """highway-env's rank of the junction lane: straight or right on the main road 3, left 2, side road 1, left 0."""
    end_m: float
    """`s` at which the junction ends."""
    points: Points
    """Positions, [samples, 2]."""
    headings: Points
    """Directions in radians, [samples]."""
    discs: Points
    """Centres of a car's discs at each sample, [samples, 3, 2]."""

    def nearest(self, x_m: float, y_m: float) -> int:
        """Index of the sample nearest to a position."""
        gaps = self.points - (x_m, y_m)
        return int((gaps * gaps).sum(axis=1).argmin())


@dataclass(frozen=True, slots=True)
class Zone:
    """The stretch that two movements share: a car on either is in the other's way between `enter_m` and `leave_m`."""

    enter_m: float
    leave_m: float
    other_enter_m: float
    other_leave_m: float


@dataclass(frozen=True, slots=True)
class Geometry:
    """All paths and shared stretches of the crossing."""

    paths: Mapping[Movement, Path]
    zones: Mapping[tuple[Movement, Movement], Zone]

    @classmethod
    def of(cls, network: Any) -> Geometry:
        """Sample highway-env's road network."""
        arms = range(4)
        paths = {(a, b): _path(network, (a, b)) for a in arms for b in arms if a != b}
        pairs = [(one, other) for one in paths for other in paths if one[0] != other[0]]
        zones = {(one, other): _zone(paths[one], paths[other]) for one, other in pairs}
        return cls(paths, {pair: zone for pair, zone in zones.items() if zone is not None})


def discs_of(x_m: float, y_m: float, heading_rad: float) -> Points:
    """Centres of the discs of a car in any pose, [3, 2]."""
    direction = np.array([math.cos(heading_rad), math.sin(heading_rad)])
    centres: Points = np.array([x_m, y_m]) + DISCS_M[:, None] * direction
    return centres


def _path(network: Any, movement: Movement) -> Path:
    start, end = movement
    nodes = (f"o{start}", f"ir{start}", f"il{end}", f"o{end}")
    lanes = [network.get_lane((one, two, 0)) for one, two in pairwise(nodes)]
    end_m = APPROACH_M + float(lanes[1].length)
    starts = (0.0, APPROACH_M, end_m)
    samples = np.arange(0.0, end_m + 90.0, SPACING_M)
    which = [0 if s < APPROACH_M else 1 if s < end_m else 2 for s in samples]
    points = np.array([lanes[k].position(s - starts[k], 0) for s, k in zip(samples, which, strict=True)])
    headings = np.array([lanes[k].heading_at(s - starts[k]) for s, k in zip(samples, which, strict=True)])
    directions = np.stack([np.cos(headings), np.sin(headings)], axis=1)
    discs = points[:, None, :] + DISCS_M[None, :, None] * directions[:, None, :]
    return Path(
        movement=movement,
        priority=int(lanes[1].priority),
        end_m=end_m,
        points=points,
        headings=headings,
        discs=discs,
    )


def _zone(one: Path, other: Path) -> Zone | None:
    near = [_near_junction(path) for path in (one, other)]
    gaps = one.discs[near[0]][:, None, :, None, :] - other.discs[near[1]][None, :, None, :, :]
    touching = np.sqrt((gaps * gaps).sum(axis=-1)).min(axis=(2, 3)) < 2 * DISC_RADIUS_M + CLEARANCE_M
    if not touching.any():
        return None
    mine, theirs = np.where(touching.any(axis=1))[0], np.where(touching.any(axis=0))[0]
    first, last = (float(near[0][k] * SPACING_M) for k in (mine[0], mine[-1]))
    other_first, other_last = (float(near[1][k] * SPACING_M) for k in (theirs[0], theirs[-1]))
    if one.movement[1] == other.movement[1]:
        last, other_last = min(last, one.end_m + HEADWAY_M), min(other_last, other.end_m + HEADWAY_M)
    return Zone(first, last, other_first, other_last)


def _near_junction(path: Path) -> NDArray[np.int64]:
    samples = np.arange(len(path.points)) * SPACING_M
    near: NDArray[np.int64] = np.where((samples > APPROACH_M - 12) & (samples < path.end_m + REACH_M))[0]
    return near
