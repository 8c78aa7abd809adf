"""What became of rule sets: entries in a hash chain, and what follows from them. Pure; `archive.py` has the files.

Format `localist-rules-store` version 1; FORMAT.md beside this file describes it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

FORMAT: Final = "localist-rules-store"
VERSION: Final = 1
GENESIS: Final = "0" * 64
"""`prev` of the first entry."""


class StoreError(RuntimeError):
    """A store that cannot be read, written or trusted: one line, with what to do."""


class Happening(StrEnum):
    """What an entry tells."""

    CREATED = "created"
    """The first version; it is live."""
    ACCEPTED = "accepted"
    """A proposal that may become live."""
    REFUSED = "refused"
    TRIED = "tried"
    """A trial beside the live version began."""
    WITHDRAWN = "withdrawn"
    """A trial ended with too many differences: it may not become live any more."""
    ACTIVATED = "activated"
    ROLLED_BACK = "rolled-back"
    """A version that was live before is live again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the journal."""

    seq: int
    """From 0 without gaps."""
    happening: Happening
    sha256: str
    """The version that it is about: hash of the canonical JSON."""
    base: str = ""
    """The version that was live then; empty in the first entry."""
    by: str = ""
    """Who asked for it, as the caller names them."""
    cause: str = ""
    """Of a refusal: its cause."""
    text: str = ""
    """In one line for people: why, or what changes."""
    prev: str
    """Hash of the entry before."""

    @property
    def hash(self) -> str:
        """Hash of the line without the hash."""
        return hashlib.sha256(_spelled(self._plain()).encode()).hexdigest()

    def line(self) -> bytes:
        """Canonical JSON with its hash, and the end of the line."""
        return f"{_spelled({**self._plain(), 'hash': self.hash})}\n".encode()

    def _plain(self) -> dict[str, object]:
        head = {"format": FORMAT, "version": VERSION} if self.seq == 0 else {}
        return {**head, **asdict(self)}


def _spelled(plain: dict[str, object]) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))


def entry_of(line: bytes, seq: int, prev: str) -> Entry:
    """The entry of a whole line in its place.

    Raises:
        StoreError: anything else.
    """
    where = f"expected entry {seq} of the journal"
    try:
        plain = json.loads(line)
        if seq == 0 and isinstance(plain, dict) and (plain.get("format"), plain.get("version")) != (FORMAT, VERSION):
            raise StoreError(f"{where} to be of {FORMAT} version {VERSION}, got another; use its own version")
        names = Entry.__dataclass_fields__
        entry = Entry(**{**{name: plain[name] for name in names}, "happening": Happening(plain["happening"])})
        is_same = entry.line() == line and is_sha256(entry.sha256) and (is_sha256(entry.base) or entry.base == "")
    except (ValueError, KeyError, TypeError, RecursionError):
        is_same = False
    if not is_same:
        raise StoreError(f"{where}, got a line that is damaged or not ours; restore the store from a copy")
    if (entry.seq, entry.prev) != (seq, prev):
        raise StoreError(f"{where} to follow the one before it, got another; restore the store from a copy")
    return entry


def is_sha256(text: object) -> bool:
    """Whether something is a hash as this store writes them: it becomes a file name."""
    return isinstance(text, str) and re.fullmatch(r"[0-9a-f]{64}", text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What follows from a journal."""

    entries: tuple[Entry, ...] = ()
    lives: tuple[str, ...] = ()
    """Versions in the order in which they were live; the last one is."""
    accepted: tuple[tuple[str, str], ...] = ()
    """Version and base of proposals that may become live."""

    @property
    def live(self) -> str:
        """Hash of the live version; empty before the first."""
        return self.lives[-1] if self.lives else ""

    @property
    def versions(self) -> tuple[str, ...]:
        """Every version that was live or may become so, in the order of their first entry."""
        kept = (Happening.CREATED, Happening.ACCEPTED)
        return tuple(dict.fromkeys(entry.sha256 for entry in self.entries if entry.happening in kept))

    @property
    def before(self) -> str | None:
        """The version that a roll-back makes live: the one before the live one that was not itself rolled back."""
        return self.lives[-2] if len(self.lives) > 1 else None

    def next(self, happening: Happening, sha256: str, *, by: str = "", cause: str = "", text: str = "") -> Entry:
        """An entry that would follow."""
        prev = self.entries[-1].hash if self.entries else GENESIS
        return Entry(
            seq=len(self.entries),
            happening=happening,
            sha256=sha256,
            base=self.live,
            by=by,
            cause=cause,
            text=" ".join(text.split())[:300],
            prev=prev,
        )

    def after(self, entry: Entry) -> History:
        """The history with one more entry.

        Raises:
            StoreError: an entry that cannot follow, such as the activation of a version that was never accepted.
        """
        lives, accepted = self.lives, dict(self.accepted)
        happening = entry.happening if entry.base == self.live else None
        match happening:
            case Happening.CREATED if not self.entries:
                lives = (entry.sha256,)
            case Happening.ACCEPTED if self.entries:
                accepted[entry.sha256] = entry.base
            case Happening.ACTIVATED if accepted.get(entry.sha256) == self.live:
                lives, accepted = (*lives, entry.sha256), {}
            case Happening.ROLLED_BACK if entry.sha256 in lives:
                place = len(lives) - 1 - lives[::-1].index(entry.sha256)
                lives, accepted = lives[: place + 1], {}
            case Happening.WITHDRAWN if entry.sha256 in accepted:
                del accepted[entry.sha256]
            case Happening.REFUSED | Happening.TRIED if self.entries:
                pass
            case _:
                raise StoreError(
                    f"expected what can follow, got entry {entry.seq} `{entry.happening}` of {entry.sha256[:16]}; "
                    "restore the store from a copy"
                )
        return History(entries=(*self.entries, entry), lives=lives, accepted=tuple(accepted.items()))


def history_of(lines: Sequence[bytes]) -> History:
    """The history that whole lines tell.

    Raises:
        StoreError: a line that is damaged, foreign, out of place, or that cannot follow.
    """
    history = History()
    for line in lines:
        prev = history.entries[-1].hash if history.entries else GENESIS
        history = history.after(entry_of(line, len(history.entries), prev))
    return history
