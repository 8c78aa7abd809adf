"""The rules in use, and how others take their place while checks go on. Read `check` and `activate` first.

    store = RuleStore(rules, safe_stop=Drive(manoeuvre="stop"))
    verdict = store.check(facts, action)                            # by the live version, which the verdict names
    judgement = await asyncio.wrap_future(store.propose(text))      # proved and compared on the store's own thread
    store.activate(judgement.sha256)                                # one reference is assigned
    store.roll_back()

A version is immutable and named by the hash of its canonical JSON, which is what travels: no Python is ever loaded. A
check reads the reference to the live version once, so it ends on the version that it began with. Whoever is refused
leaves the live version as it is.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from symbolic.declaration import RuleError
from symbolic.domain import Action, State
from symbolic.facts import Facts
from symbolic.reloading.archive import Archive, Disk
from symbolic.reloading.journal import Happening, History, StoreError
from symbolic.reloading.judging import Cause, Judge, Judgement, Rejection, judge, read, sha256_of
from symbolic.reloading.loading import load_rules
from symbolic.reloading.trial import Trial
from symbolic.rules import RuleSet
from symbolic.verdict import Verdict

S = TypeVar("S", bound=State)
A = TypeVar("A", bound=Action)


class ReloadError(RuntimeError):
    """A version that cannot become live; `rejection` says why."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(rejection.text)
        self.rejection = rejection


@dataclass(frozen=True, slots=True)
class _Now:
    """What checks see, in one reference: the live rules, and the trial beside them."""

    live: RuleSet[Any, Any]
    trial: Trial | None


class RuleStore(Generic[S, A]):
    """Versions of one rule set, of which one is live. Checks may come from any thread; a context manager."""

    def __init__(
        self,
        rules: RuleSet[S, A],
        *,
        safe_stop: A | None = None,
        is_strict: bool = True,
        judge: Judge = judge,
        archive: Archive | None = None,
    ) -> None:
        """Make a first version live; it is taken as it is, since it is what runs already.

        Args:
            rules: the first version; its classes are those of all later ones.
            safe_stop: the declared safe stop, looked at in every proposal.
            is_strict: whether a proposal of which something cannot be shown is refused.
            judge: proves and compares proposals.
            archive: keeps versions and journal on disk; see `create` and `open`.
        """
        self._now = _Now(rules, None)
        self._rules: dict[str, RuleSet[S, A]] = {rules.sha256: rules}
        self._safe_stop, self._is_strict, self._judge = safe_stop, is_strict, judge
        self._archive = archive
        first = History()
        self._history = archive.history if archive else first.after(first.next(Happening.CREATED, rules.sha256))
        self._lock = threading.RLock()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rule-store")

    @classmethod
    def create(
        cls,
        path: Path,
        rules: RuleSet[S, A],
        *,
        safe_stop: A | None = None,
        is_strict: bool = True,
        by: str = "",
        disk: Disk | None = None,
    ) -> Self:
        """Start a store on disk.

        Raises:
            StoreError: there is one already, or the disk refuses.
        """
        archive = Archive.create(path, rules.to_json(), by=by, disk=disk)
        return cls(rules, safe_stop=safe_stop, is_strict=is_strict, archive=archive)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        types: tuple[type[S], type[A]] | None = None,
        safe_stop: A | None = None,
        is_strict: bool = True,
        disk: Disk | None = None,
    ) -> Self:
        """Open a store on disk; what was live is live.

        Args:
            path: where it is.
            types: state and action types; rebuilt from the live version where None.
            safe_stop: as `__init__`.
            is_strict: as `__init__`.
            disk: its writes.

        Raises:
            StoreError: none there, a damaged one, or one over other types.
        """
        archive = Archive.open(path, disk=disk)
        try:
            text = archive.text(archive.history.live)
            rules: RuleSet[S, A] = load_rules(text) if types is None else RuleSet.from_json(text, *types)
        except RuleError as error:
            archive.close()
            raise StoreError(f"expected to read the live version in `{path}`, got: {error}") from error
        except StoreError:
            archive.close()
            raise
        return cls(rules, safe_stop=safe_stop, is_strict=is_strict, archive=archive)

    # Checking

    @property
    def live(self) -> RuleSet[S, A]:
        """The live rules. Take them once for what belongs together: the next call may give others."""
        return self._now.live

    def check(self, facts: Facts, action: A) -> Verdict:
        """Decide by the live version; see `RuleSet.check`."""
        now = self._now  # INVARIANT: read once, so that nothing of a check belongs to another version
        verdict = now.live.check(facts, action)
        if now.trial is not None:
            now.trial.compare(facts, action, verdict)
        return verdict

    # Changing

    @property
    def history(self) -> History:
        """What became of all versions."""
        return self._history

    @property
    def trial(self) -> Trial | None:
        """The trial that runs beside the live version."""
        return self._now.trial

    def propose(self, text: str, *, by: str = "") -> Future[Judgement]:
        """Have a rule set judged on the store's thread; nothing waits for it but whoever asks the result.

        Args:
            text: its canonical JSON.
            by: who proposes it, for the journal.

        The future raises `StoreError` where the judgement could not be written down.
        """
        return self._worker.submit(self._judged, text, by)

    def activate(self, sha256: str, *, by: str = "") -> RuleSet[S, A]:
        """Make an accepted version live, or one that was live before; gives what was live.

        The journal is on disk before the version is live; checks never wait for either.

        Raises:
            ReloadError: it was not accepted, or beside another version than the live one.
            StoreError: it could not be written down; then nothing changes.
        """
        with self._lock:
            is_older = sha256 not in dict(self._history.accepted) and sha256 in self._history.lives
            if not is_older:
                self._demand_accepted(sha256)
            rules, before = self._rules_of(sha256), self._now.live
            self._note(Happening.ROLLED_BACK if is_older else Happening.ACTIVATED, sha256, by=by)
            self._now = _Now(rules, None)  # the swap
            return before

    def roll_back(self, *, by: str = "") -> RuleSet[S, A]:
        """Make the version before the live one live again; gives what was live. Errors as `activate`."""
        with self._lock:
            before = self._history.before
            if before is None:
                raise ReloadError(
                    Rejection(cause=Cause.NOT_KNOWN, text="expected a version before the live one, got none")
                )
            return self.activate(before, by=by)

    def try_out(self, sha256: str, *, steps: int, most: int = 0, by: str = "") -> Trial:
        """Check an accepted version beside the live one from now on; `settle` ends it.

        Args:
            sha256: the version.
            steps: checks after which the trial is over, >= 1.
            most: outcomes that may differ, >= 0.
            by: who asks, for the journal.

        Raises:
            ReloadError: it was not accepted, or beside another version.
            StoreError: it could not be written down.
        """
        with self._lock:
            self._demand_accepted(sha256)
            trial = Trial(self._rules_of(sha256), steps=steps, most=most)
            self._note(Happening.TRIED, sha256, by=by, why=f"{steps} steps, at most {most} differences")
            self._now = _Now(self._now.live, trial)
            return trial

    def settle(self, *, by: str = "") -> Trial | None:
        """End a trial that is over: its version becomes live, or is withdrawn. Gives the trial if it ended.

        Call it between steps: it writes to disk, a check does not.

        Raises:
            StoreError: it could not be written down; the trial is still there.
        """
        with self._lock:
            trial = self._now.trial
            if trial is None or not trial.is_over:
                return None
            if trial.is_passing:
                self.activate(trial.candidate.sha256, by=by)
            else:
                why = f"{trial.num_differences} of {trial.num_steps} outcomes differ, at most {trial.most} may"
                cause = Cause.WITHDRAWN.value
                self._note(Happening.WITHDRAWN, trial.candidate.sha256, by=by, cause=cause, why=why)
                self._now = _Now(self._now.live, None)
            return trial

    def close(self) -> None:
        """End the worker after what it is at, and give the directory back."""
        self._worker.shutdown(wait=True)
        if self._archive is not None:
            self._archive.close()

    def _judged(self, text: str, by: str) -> Judgement:
        live = self._now.live
        try:
            found = _unchanged(text, live) or self._judge(text, live, self._safe_stop, self._is_strict)
            if found.sha256 != sha256_of(text):
                raise StoreError(f"one of {found.sha256[:16]}, which was not proposed")
            rules = read(text, live) if found.is_accepted else None
        except Exception as error:  # noqa: BLE001 - the decision: what cannot be judged is not accepted
            said = f"expected a judgement, got {type(error).__name__}: {error}"
            rejection = Rejection(cause=Cause.WORKER_FAILED, text=" ".join(said.split())[:300])
            found, rules = Judgement(sha256=sha256_of(text), base=live.sha256, rejection=rejection), None
        with self._lock:
            if found.is_accepted and found.base != self._now.live.sha256:
                found = _stale(found)
            if found.rejection is not None:
                cause, why = found.rejection.cause.value, found.rejection.text
                self._note(Happening.REFUSED, found.sha256, by=by, cause=cause, why=why)
            elif rules is not None:
                why = str(found.difference.relation) if found.difference else ""
                self._note(Happening.ACCEPTED, found.sha256, text, by=by, why=why)
                self._rules[found.sha256] = rules
        return found

    def _note(
        self, happening: Happening, sha256: str, text: str = "", *, by: str, cause: str = "", why: str = ""
    ) -> None:
        if self._archive is None:
            entry = self._history.next(happening, sha256, by=by, cause=cause, text=why)
            self._history = self._history.after(entry)
        else:
            self._archive.note(happening, sha256, text, by=by, cause=cause, why=why)
            self._history = self._archive.history

    def _demand_accepted(self, sha256: str) -> None:
        accepted = dict(self._history.accepted)
        if accepted.get(sha256) == self._now.live.sha256:
            return
        is_known = sha256 in self._history.versions
        cause = Cause.STALE if is_known else Cause.NOT_KNOWN
        got = "one judged beside another, or withdrawn" if is_known else "one that was never accepted"
        said = f"expected a version accepted beside the live one, got {sha256[:16]}, {got}; propose it again"
        raise ReloadError(Rejection(cause=cause, text=said))

    def _rules_of(self, sha256: str) -> RuleSet[S, A]:
        """A version, sealed, so that the first check on it costs no more than others."""
        if sha256 not in self._rules:
            assert self._archive is not None, "what is in memory only is never forgotten"
            live = self._now.live
            self._rules[sha256] = RuleSet.from_json(self._archive.text(sha256), live.declared_state, live.action)
        _ = self._rules[sha256].compiled
        return self._rules[sha256]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _unchanged(text: str, live: RuleSet[Any, Any]) -> Judgement | None:
    """The judgement on the live version itself; None if the text is another."""
    if sha256_of(text) != live.sha256:
        return None
    rejection = Rejection(cause=Cause.UNCHANGED, text="expected other rules than the live ones, got the same")
    return Judgement(sha256=live.sha256, base=live.sha256, rejection=rejection)


def _stale(found: Judgement) -> Judgement:
    text = f"expected a proposal beside the live version, got one beside {found.base[:16]}; propose it again"
    rejection = Rejection(cause=Cause.STALE, text=text)
    return Judgement(
        sha256=found.sha256, base=found.base, rejection=rejection, report=found.report, difference=found.difference
    )
