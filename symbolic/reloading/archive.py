"""Rule sets and their journal in a directory: what was said to be written survives a crash between any two writes.

    STORE/journal.jsonl             what happened, a hash chain; a last line without its end is the trace of a crash
    STORE/versions/<sha256>.json    the canonical JSON of each version, written whole before the journal names it
    STORE/.lock                     held by the one process that writes

FORMAT.md beside this file is the format's description.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from symbolic.reloading.journal import Happening, History, StoreError, history_of
from symbolic.reloading.judging import sha256_of

JOURNAL: Final = "journal.jsonl"
VERSIONS: Final = "versions"
LOCK: Final = ".lock"


class Disk:
    """The writes of a store, each one durable when it returns."""

    def write_whole(self, path: Path, data: bytes) -> None:
        """Write a file so that it is there as a whole or not at all."""
        part = path.with_name(path.name + ".part")
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        self.settle(path.parent)

    def append(self, path: Path, data: bytes) -> None:
        """Write at the end of a file."""
        with path.open("ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def cut(self, path: Path, size: int) -> None:
        """Make a file end after so many bytes."""
        with path.open("r+b") as file:
            file.truncate(size)
            os.fsync(file.fileno())

    def settle(self, folder: Path) -> None:
        """Make the names in a folder durable."""
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class Archive:
    """One store on disk, open for writing by one process; a context manager."""

    def __init__(self, path: Path, history: History, size: int, lock: BinaryIO, disk: Disk) -> None:
        """Use `create` or `open`."""
        self.path, self.history = path, history
        self._size, self._lock, self._disk = size, lock, disk
        self._fault = ""

    @classmethod
    def create(cls, path: Path, text: str, *, by: str = "", disk: Disk | None = None) -> Self:
        """Start a store with its first version.

        Raises:
            StoreError: there is one already, another process starts one, or the disk refuses.
        """
        disk = disk or Disk()
        with ExitStack() as held:
            try:
                (path / VERSIONS).mkdir(parents=True, exist_ok=True)
                lock = held.enter_context(_locked(path))
                if (path / JOURNAL).exists() and _read(path):
                    raise StoreError(f"expected no store at `{path}`, got one; open it or choose another place")
                (path / JOURNAL).unlink(missing_ok=True)
                disk.append(path / JOURNAL, b"")
                disk.settle(path)
            except OSError as error:
                raise _unwritable(path, error) from error
            archive = cls(path, History(), 0, lock, disk)
            archive.note(Happening.CREATED, sha256_of(text), text, by=by)
            held.pop_all()
            return archive

    @classmethod
    def open(cls, path: Path, *, disk: Disk | None = None) -> Self:
        """Open a store; what a crash left half written is cut off.

        Raises:
            StoreError: no store there, one that is damaged, or one that another process has open.
        """
        disk = disk or Disk()
        if not (path / JOURNAL).is_file():
            raise StoreError(f"expected a rule store at `{path}`, got none; create one first")
        with ExitStack() as held:
            try:
                lock = held.enter_context(_locked(path))
                history, size = load_history(path)
                if size < (path / JOURNAL).stat().st_size:
                    disk.cut(path / JOURNAL, size)
            except OSError as error:
                raise _unwritable(path, error) from error
            held.pop_all()
            return cls(path, history, size, lock, disk)

    def note(
        self, happening: Happening, sha256: str, text: str = "", *, by: str = "", cause: str = "", why: str = ""
    ) -> None:
        """Write what happened to a rule set: first the set itself, where it is kept, then the line that names it.

        Args:
            happening: what.
            sha256: the version.
            text: its canonical JSON, where it is created or accepted.
            by: who asked.
            cause: of a refusal.
            why: one line for people.

        Raises:
            StoreError: it cannot follow, or the disk refuses; the store then says what it said before.
        """
        if self._fault:
            raise StoreError(self._fault)
        entry = self.history.next(happening, sha256, by=by, cause=cause, text=why)
        history, line = self.history.after(entry), entry.line()
        try:
            if happening in (Happening.CREATED, Happening.ACCEPTED):
                self._disk.write_whole(self.path / VERSIONS / f"{sha256}.json", text.encode())
            self._disk.append(self.path / JOURNAL, line)
            self.history, self._size = history, self._size + len(line)
        except OSError as error:
            self._cut(error)
            raise _unwritable(self.path, error) from error
        except BaseException:  # INVARIANT: nothing is written behind a line of which nobody knows whether it is there
            self._fault = f"expected a store whose last write ended, got `{self.path}`, interrupted; open it again"
            raise

    def text(self, sha256: str) -> str:
        """The canonical JSON of a version.

        Raises:
            StoreError: it is not there, or not what its name says.
        """
        return load_text(self.path, sha256)

    def close(self) -> None:
        """Give the store back; a second call does nothing."""
        self._fault = self._fault or f"expected an open store at `{self.path}`, got a closed one; open it again"
        self._lock.close()

    def _cut(self, error: OSError) -> None:
        """Take back what a failed write may have left in the journal; a store that cannot do that writes no more."""
        try:
            self._disk.cut(self.path / JOURNAL, self._size)
        except OSError:
            self._fault = str(_unwritable(self.path, error))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def load_history(path: Path) -> tuple[History, int]:
    """The history of a store, every version that it names looked at, and the bytes of the journal that tell it.

    Raises:
        StoreError: no store there, or one that is damaged.
    """
    lines = _read(path)
    if not lines:
        raise StoreError(f"expected a rule store at `{path}`, got an empty journal; create one first")
    history = history_of(lines)
    for sha256 in history.versions:
        load_text(path, sha256)
    return history, sum(map(len, lines))


def load_text(path: Path, sha256: str) -> str:
    """The canonical JSON of a version of a store.

    Raises:
        StoreError: it is not there, or not what its name says.
    """
    place = path / VERSIONS / f"{sha256}.json"
    text = None
    with suppress(OSError, UnicodeDecodeError):
        text = place.read_text(encoding="utf-8")
    if text is None or sha256_of(text) != sha256:
        got = "none" if text is None else "another text"
        raise StoreError(f"expected version {sha256[:16]} in `{place}`, got {got}; restore the store from a copy")
    return text


def _read(path: Path) -> list[bytes]:
    """The whole lines of the journal; a last one without its end is left out."""
    try:
        data = (path / JOURNAL).read_bytes()
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise StoreError(f"expected a rule store at `{path}`, got {reason}; name a store") from error
    return [line + b"\n" for line in data.split(b"\n")[:-1]]  # no other line end: what is left out is cut off


def _locked(path: Path) -> BinaryIO:
    """The lock of a store; a killed process gives its lock back."""
    lock = (path / LOCK).open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise StoreError(
            f"expected a store that no other process writes, got `{path}`, which one does; wait for it"
        ) from None
    return lock


def _unwritable(path: Path, error: OSError) -> StoreError:
    reason = (error.strerror or type(error).__name__).lower()
    return StoreError(f"expected to write the store at `{path}`, got {reason}; free the disk or correct the path")
