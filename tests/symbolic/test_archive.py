"""Rule stores on disk: a crash between any two writes, a disk that refuses, and every kind of damage."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from symbolic import Action, RuleSet
from symbolic.reloading.archive import Archive, Disk, load_history
from symbolic.reloading.journal import Happening, StoreError
from symbolic.reloading.judging import Judgement, sha256_of
from symbolic.reloading.store import RuleStore
from tests.symbolic.test_store import Gauge, Valve, gauge


class Died(BaseException):
    """The process ends here."""


class FaultyDisk(Disk):
    """Fails in its n-th write (from 0), before it, in the middle of it, or after it."""

    def __init__(self, number: int, moment: str, error: BaseException) -> None:
        self.left, self.moment, self.error = number, moment, error

    def write_whole(self, path: Path, data: bytes) -> None:
        self._fail(
            lambda: path.with_name(path.name + ".part").write_bytes(data[: len(data) // 2]),
            lambda: super(FaultyDisk, self).write_whole(path, data),
        )

    def append(self, path: Path, data: bytes) -> None:
        self._fail(
            lambda: super(FaultyDisk, self).append(path, data[: len(data) // 2]),
            lambda: super(FaultyDisk, self).append(path, data),
        )

    def _fail(self, half: Callable[[], object], whole: Callable[[], object]) -> None:
        self.left -= 1
        if self.left != -1:
            whole()
            return
        if self.moment != "before":
            half() if self.moment == "within" else whole()
        raise self.error


def accepting(text: str, live: RuleSet[Any, Any], stop: Action | None, is_strict: bool) -> Judgement:
    return Judgement(sha256=sha256_of(text), base=live.sha256, rejection=None)


def live_through(path: Path, disk: Disk) -> None:
    """A store's life: created, two versions, a roll-back. Ends where the disk does."""
    archive = Archive.create(path, gauge(9).to_json(), disk=disk)
    try:
        with RuleStore(gauge(9), judge=accepting, archive=archive) as store:
            for limit in (6, 3):
                store.activate(store.propose(gauge(limit).to_json()).result().sha256)
            store.roll_back()
    finally:
        archive.close()


LIFE = [(Happening.CREATED, 9), (Happening.ACCEPTED, 6), (Happening.ACTIVATED, 6)]
LIFE += [(Happening.ACCEPTED, 3), (Happening.ACTIVATED, 3), (Happening.ROLLED_BACK, 6)]
WRITES = 10
"""An empty journal, three versions, six lines."""


@pytest.mark.parametrize("moment", ["before", "within", "after"])
@pytest.mark.parametrize("number", range(WRITES))
def test_a_crash_at_any_write_leaves_a_store_that_opens_and_goes_on(tmp_path: Path, number: int, moment: str) -> None:
    with pytest.raises(Died):
        live_through(tmp_path, FaultyDisk(number, moment, Died()))
    try:
        archive = Archive.open(tmp_path)
    except StoreError:
        assert number <= 2, "a store that was created opens"
        archive = Archive.create(tmp_path, gauge(9).to_json())
    told = [(entry.happening, entry.sha256) for entry in archive.history.entries]
    assert told == [(happening, gauge(limit).sha256) for happening, limit in LIFE[: len(told)]]
    with RuleStore(gauge(9), archive=archive, judge=accepting) as store:
        assert sha256_of(archive.text(store.history.live)) == store.history.live
        store.propose(gauge(1).to_json()).result()
    assert load_history(tmp_path)[0].entries[-1].sha256 == gauge(1).sha256


def test_the_life_has_as_many_writes_as_are_tried(tmp_path: Path) -> None:
    live_through(tmp_path / "whole", FaultyDisk(WRITES, "before", Died()))
    with pytest.raises(Died):
        live_through(tmp_path / "cut", FaultyDisk(WRITES - 1, "before", Died()))


@pytest.mark.parametrize("moment", ["before", "within", "after"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_full_disk_changes_nothing_and_the_store_goes_on(tmp_path: Path, number: int, moment: str) -> None:
    Archive.create(tmp_path, gauge(9).to_json()).close()
    disk = FaultyDisk(number, moment, OSError(errno.ENOSPC, "No space left on device"))
    with RuleStore.open(tmp_path, types=(Gauge, Valve), disk=disk) as store:
        with pytest.raises(StoreError, match="no space left on device"):
            store.activate(store.propose(gauge(6).to_json()).result().sha256)
        assert store.live.sha256 == gauge(9).sha256 == store.history.live
        told = store.history
        assert load_history(tmp_path)[0] == told
        store.activate(store.propose(gauge(3).to_json()).result().sha256)
    assert load_history(tmp_path)[0].live == gauge(3).sha256


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with two versions."""
    live_through(tmp_path, Disk())
    return tmp_path


def changed(path: Path, edit: Callable[[list[bytes]], list[bytes]]) -> None:
    journal = path / "journal.jsonl"
    journal.write_bytes(b"".join(edit(journal.read_bytes().splitlines(keepends=True))))


def forged(line: bytes, **values: object) -> bytes:
    return json.dumps({**json.loads(line), **values}, sort_keys=True, separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize(
    "edit",
    [
        lambda lines: lines[1:],
        lambda lines: [*lines[:2], *lines[3:]],
        lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
        lambda lines: [*lines, lines[-1]],
        lambda lines: [*lines[:-1], forged(lines[-1], by="mallory")],
        lambda lines: [forged(lines[0], version=2), *lines[1:]],
        lambda lines: [*lines, b"{}\n"],
        lambda lines: [*lines, b"\xff\n"],
        lambda lines: [lines[0].replace(b":", b": ", 1), *lines[1:]],
        lambda lines: [lines[0], b"\n", *lines[1:]],
        lambda lines: [lines[0], b"\r", *lines[1:]],
        lambda lines: [*lines[:-1], b"\r" + lines[-1]],
        lambda lines: [b"torn"],
        lambda lines: [],
    ],
)
def test_a_journal_that_was_changed_is_refused_in_one_line(
    path: Path, edit: Callable[[list[bytes]], list[bytes]]
) -> None:
    changed(path, edit)
    with pytest.raises(StoreError) as caught:
        Archive.open(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [None, b"", b"{}", b"\xff"])
def test_a_version_that_is_not_what_its_name_says_is_refused(path: Path, text: bytes | None) -> None:
    place = path / "versions" / f"{gauge(3).sha256}.json"
    place.unlink() if text is None else place.write_bytes(text)
    with pytest.raises(StoreError, match="restore the store"):
        Archive.open(path)


def test_one_process_writes_at_a_time(path: Path) -> None:
    with Archive.open(path), pytest.raises(StoreError, match="no other process"):
        Archive.open(path)
    Archive.open(path).close()


def test_a_store_is_created_once_and_a_closed_one_writes_no_more(path: Path) -> None:
    with pytest.raises(StoreError, match="expected no store"):
        Archive.create(path, gauge(1).to_json())
    archive = Archive.open(path)
    archive.close()
    with pytest.raises(StoreError, match="closed"):
        archive.note(Happening.REFUSED, sha256_of(""))


def test_a_store_whose_write_was_interrupted_writes_no_more_until_it_is_opened_again(path: Path) -> None:
    disk = FaultyDisk(0, "after", KeyboardInterrupt())
    with RuleStore[Any, Any].open(path, disk=disk) as store:
        with pytest.raises(KeyboardInterrupt):
            store.roll_back()
        with pytest.raises(StoreError, match="interrupted; open it again"):
            store.roll_back()
    with RuleStore[Any, Any].open(path) as again:
        assert again.live.sha256 == gauge(9).sha256


def test_an_opened_store_goes_on_where_it_was(path: Path) -> None:
    with RuleStore.open(path, types=(Gauge, Valve), is_strict=True) as store:
        assert (store.live.sha256, store.live.state) == (gauge(6).sha256, Gauge)
        assert store.roll_back().sha256 == gauge(6).sha256
    with RuleStore[Any, Any].open(path) as again:
        assert (again.live.sha256, again.live.state.__name__) == (gauge(9).sha256, "Gauge")
        assert again.live.state is not Gauge
