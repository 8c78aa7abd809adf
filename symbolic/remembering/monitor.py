"""Monitors: facts of one moment after another, to facts with what is remembered; one step costs the same ever after.

    monitor = rules.monitor(max_gap_s=0.5)
    facts = monitor.step(Facts.exact(car), t_s=12.5)      # facts of `rules.state`
    rules.check(facts, action)

`history.py` says what a monitor must give; here each operator keeps two numbers. A step that is refused
changes nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Final, cast

from symbolic.canonical import to_json
from symbolic.domain import domain_of
from symbolic.expression import Past
from symbolic.facts import Facts
from symbolic.field import Code
from symbolic.reading.compiled import Codes
from symbolic.remembering.compiled import Sharp, compile_move
from symbolic.remembering.history import BEGINNING
from symbolic.remembering.layers import layers_of
from symbolic.remembering.memory import Memory
from symbolic.remembering.terms import MOMENTS_PER_S
from symbolic.remembering.tracks import Kept, operands, track_of

MOST_MOMENTS: Final = 1 << 53
"""Times beyond this many microseconds are refused: they have no float of their own."""


class MonitorError(ValueError):
    """A moment that does not follow, facts that do not fit, or a snapshot of other rules; nothing was changed."""


@dataclass(slots=True)
class Seen:
    """The last moment."""

    time: int
    """Microseconds."""
    codes: tuple[Code, ...]
    result: Facts | None
    """What was given for it; None right after a snapshot was read."""


class Monitor:
    """What one agent remembers, for one rule set. It is copied by its snapshot."""

    def __init__(self, memory: Memory, *, max_gap_s: float, begins_empty: bool = False) -> None:
        """Begin to remember.

        Args:
            memory: of the rule set.
            max_gap_s: longest time between two moments; nothing is known of what lies in a longer one.
            begins_empty: declares that there was nothing before the first moment. Else all before it is unknown, and so
                is every operator whose window reaches there.

        Raises:
            MonitorError: a gap that is no time.
        """
        self.memory, self.begins_empty = memory, begins_empty
        self.max_gap = _moment(max_gap_s)
        if self.max_gap <= 0:
            raise MonitorError(f"expected a longest gap above 0 s, got `{max_gap_s}`; give the time of a step")
        self._tracks = [track_of(one.node) for one in memory.operators]
        self._unknown = [operands(one.node, (False, False), (True, True)) for one in memory.operators]
        self._layers = layers_of(memory)
        self._num_fields = len(domain_of(memory.declared).fields)
        self._move = compile_move(memory)
        self._sharp: Sharp | None = None
        """What is kept, where both tracks keep the same; else `_kept` has it."""
        self._kept: list[tuple[Kept, Kept]] = [(None, None)] * len(memory.operators)
        self._last: Seen | None = None
        if not begins_empty:
            self._kept = self._clouded(self._kept, BEGINNING)
        self._hold(self._kept)

    def step(self, facts: Facts, t_s: float) -> Facts:
        """The facts of the next moment, with what is remembered at it.

        The same facts at the same time give the same again.

        Args:
            facts: of the declared state type.
            t_s: simulated time in seconds, counted in whole microseconds.

        Raises:
            MonitorError: facts of another type or out of range, a time that is none, that goes backwards, or that
                stands still under other facts.
        """
        now, last = _moment(t_s), self._last
        if last is not None and now <= last.time:
            self._demand_fit(facts)
            return self._again(facts, now, last)
        codes: tuple[Code, ...]
        if self._is_sharp(facts, now):
            codes = self._moved_sharp(facts, now)
        else:
            self._demand_fit(facts)
            codes = self._moved_open(facts, now)
        result = Facts.from_codes(self.memory.state, codes, facts.age_s)
        self._last = Seen(now, facts.codes, result)
        return result

    def copied(self) -> Monitor:
        """One that remembers the same and goes its own way."""
        return copy(self)  # INVARIANT: a step replaces what is kept, it changes none of it in place

    def _again(self, facts: Facts, now: int, last: Seen) -> Facts:
        """What was given for the last moment, if this is it."""
        if now < last.time or facts.codes != last.codes:
            times = f"{last.time / MOMENTS_PER_S} s, got {now / MOMENTS_PER_S} s"
            raise MonitorError(f"expected a time after {times}; time must go on")
        if last.result is None:
            raise MonitorError("expected a time after that of the snapshot, got the same; go on from there")
        return last.result.aged(facts.age_s)

    # Where nothing is unknown: one time is kept for each operator

    def _is_sharp(self, facts: Facts, now: int) -> bool:
        return (
            self._sharp is not None
            and self._last is not None
            and now - self._last.time <= self.max_gap
            and type(facts) is Facts
            and facts.is_exact
            and facts.schema is self.memory.declared
        )

    def _moved_sharp(self, facts: Facts, now: int) -> Codes:
        assert self._sharp is not None, "asked before"
        try:
            codes, self._sharp = self._move(cast(Codes, facts.codes), now, self._sharp)
        except ValueError as error:
            raise MonitorError(f"{error}; report what is not known as unknown") from None
        return codes

    # Where something is: two times, for what is certain and for what may be

    def _moved_open(self, facts: Facts, now: int) -> tuple[Code, ...]:
        kept, last = self._pairs(), self._last
        if last is None and not self.begins_empty:
            kept = self._clouded(kept, now)
        elif last is not None and now - last.time > self.max_gap:
            kept = self._clouded(self._clouded(kept, last.time), now)
        codes, kept = self._moved(facts, now, kept)
        self._hold(kept)
        return codes

    def _pairs(self) -> list[tuple[Kept, Kept]]:
        """What the lower and the upper track of each operator keep."""
        return self._kept if self._sharp is None else [(one, one) for one in self._sharp]

    def _hold(self, kept: list[tuple[Kept, Kept]]) -> None:
        self._kept = kept
        self._sharp = tuple([low for low, _ in kept]) if all(low == high for low, high in kept) else None

    def _demand_fit(self, facts: Facts) -> None:
        if type(facts) is not Facts or facts.schema is not self.memory.declared:
            got = facts.schema.__name__ if isinstance(facts, Facts) else type(facts).__name__
            raise MonitorError(f"expected facts of `{self.memory.declared.__name__}`, got `{got}`; perceive first")
        fields = facts.schema.__domain__.fields
        if len(facts.codes) != len(fields):
            raise MonitorError(f"expected {len(fields)} facts, got {len(facts.codes)}; give UNKNOWN for the rest")
        for field, code in zip(fields, facts.codes, strict=True):
            low, high = code if isinstance(code, tuple) else (field.low if code is None else code,) * 2
            if type(low) is int and type(high) is int and field.low <= low <= high <= field.high:
                continue
            raise MonitorError(f"expected `{field.name}` within its range, got `{code}`; report it as unknown")

    def _clouded(self, kept: list[tuple[Kept, Kept]], now: int) -> list[tuple[Kept, Kept]]:
        """What is kept after a moment of which nothing is known."""
        return [
            (track(low, now, *lower)[0], track(high, now, *upper)[0])
            for track, (lower, upper), (low, high) in zip(self._tracks, self._unknown, kept, strict=True)
        ]

    def _moved(
        self, facts: Facts, now: int, kept: list[tuple[Kept, Kept]]
    ) -> tuple[tuple[Code, ...], list[tuple[Kept, Kept]]]:
        """Codes of all fields at a moment, and what is kept of it."""
        codes: list[Code] = [*facts.codes, *(None,) * len(kept)]
        moved = list(kept)
        for layer in self._layers:
            for place, (lower, upper) in layer.operands(self.memory, codes):
                low, high = kept[place]
                track = self._tracks[place]
                first, least = track(low, now, *lower)
                if low == high and lower == upper:
                    moved[place], codes[self._num_fields + place] = (first, first), least
                    continue
                second, most = track(high, now, *upper)
                moved[place] = first, second
                span = None if isinstance(self.memory.operators[place].node, Past) else (least, most)
                codes[self._num_fields + place] = least if least == most else span
        return tuple(codes), moved

    def ages(self, t_s: float) -> tuple[int, ...]:
        """How long ago each kept time is, in microseconds; -1 where none is: all that its future depends on."""
        now = _moment(t_s)
        return tuple(-1 if time is None else now - time for pair in self._pairs() for time in pair)

    # Snapshots

    def snapshot(self) -> str:
        """All that it remembers, as canonical JSON, version 1.

        `begins_empty`, `max_gap` in microseconds, `last` (time and codes of the declared fields; null before the
        first moment) and `operators`: by name the canonical JSON of the `node` and the two times `kept`, for what is
        certain and for what may be (null: none).
        """
        operators = {
            one.name: {"kept": list(kept), "node": to_json(one.node)}
            for one, kept in zip(self.memory.operators, self._pairs(), strict=True)
        }
        last = None if self._last is None else {"codes": self._last.codes, "time": self._last.time}
        record = {
            "begins_empty": self.begins_empty,
            "last": last,
            "max_gap": self.max_gap,
            "operators": operators,
            "version": 1,
        }
        return json.dumps(record, sort_keys=True, separators=(",", ":"))

    @classmethod
    def restored(cls, memory: Memory, text: str) -> Monitor:
        """The monitor of a snapshot, of rules with the same operators.

        Raises:
            MonitorError: no snapshot, or one of other operators: `migrated` takes what both have.
        """
        record = _read(text)
        own = {one.name: to_json(one.node) for one in memory.operators}
        if {name: entry["node"] for name, entry in record["operators"].items()} != own:
            raise MonitorError("expected a snapshot of the same past-time operators, got one of others; migrate it")
        return migrated(memory, text)


def migrated(memory: Memory, text: str) -> Monitor:
    """What a snapshot remembers, for other rules: an operator that both have goes on, a new one starts as unknown.

    Operators are the same where their canonical JSON is. Facts of the last moment are forgotten, so time must go on.

    Raises:
        MonitorError: no snapshot of version 1.
    """
    record = _read(text)
    monitor = Monitor(memory, max_gap_s=record["max_gap"] / MOMENTS_PER_S, begins_empty=record["begins_empty"])
    last = record["last"]
    if last is None:
        return monitor
    monitor._last = Seen(last["time"], _codes(last["codes"]), None)
    blank: list[tuple[Kept, Kept]] = [(None, None)] * len(memory.operators)
    unknown = monitor._clouded(monitor._clouded(blank, BEGINNING), last["time"])
    kept = unknown.copy()
    for place, one in enumerate(memory.operators):
        entry = record["operators"].get(one.name)
        is_same = entry is not None and entry["node"] == to_json(one.node)
        if is_same:
            kept[place] = entry["kept"][0], entry["kept"][1]
    monitor._hold(kept)
    return monitor


def _read(text: str) -> dict[str, Any]:
    """A snapshot whose parts are what they must be."""
    try:
        record = json.loads(text)
        last, gap, operators = record["last"], record["max_gap"], record["operators"]
        kept = [time for entry in operators.values() for time in entry["kept"]]
        is_good = (
            record["version"] == 1
            and set(record) == {"begins_empty", "last", "max_gap", "operators", "version"}
            and type(record["begins_empty"]) is bool
            and type(gap) is int
            and 0 < gap <= MOST_MOMENTS
            and all(len(entry["kept"]) == 2 and type(entry["node"]) is str for entry in operators.values())
            and all(time is None or type(time) is int for time in kept)
            and (last is None or (set(last) == {"codes", "time"} and type(last["time"]) is int))
            and (last is None or (type(last["codes"]) is list and abs(last["time"]) <= MOST_MOMENTS))
            and (last is None or all(time is None or time <= last["time"] for time in kept))
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        is_good = False
    if not is_good:
        raise MonitorError(f"expected a snapshot of a monitor, version 1, got `{text!r:.60}`; give that of `snapshot`")
    return cast("dict[str, Any]", record)


def _codes(plain: Sequence[Any]) -> tuple[Code, ...]:
    return tuple(tuple(code) if isinstance(code, list) else code for code in plain)


def _moment(t_s: float) -> int:
    if isinstance(t_s, bool) or not isinstance(t_s, (int, float)) or not math.isfinite(t_s):
        raise MonitorError(f"expected a time in seconds, got `{t_s!r:.60}`; give a finite number")
    now = round(t_s * MOMENTS_PER_S)
    if abs(now) > MOST_MOMENTS:
        raise MonitorError(f"expected a time below {MOST_MOMENTS} microseconds, got `{t_s}` s; count from the start")
    return now
