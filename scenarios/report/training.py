"""Progress of a training run, a line each time it reports."""

from __future__ import annotations

import json
from dataclasses import asdict

from localist_core.learning.training import Progress


class TrainingReport:
    """Prints progress as people or scripts read it."""

    def __init__(self, *, json_lines: bool) -> None:
        self._json_lines = json_lines

    def show(self, progress: Progress) -> None:
        """Print one report."""
        print(json.dumps(asdict(progress), sort_keys=True) if self._json_lines else line(progress), flush=True)


def line(progress: Progress) -> str:
    """One report for people."""
    seen = _shares(progress.accuracy)
    held_out = f"; held out: {_shares(progress.held_out)}" if progress.held_out else ""
    fidelity = "" if progress.raw_fidelity is None else f", raw fidelity {progress.raw_fidelity:.3f}"
    zeros = "" if progress.zero_groups is None else f"; {progress.zero_groups} of {progress.groups} groups zero"
    done = min(100.0, 100 * progress.tokens / max(1, progress.total_tokens))
    start = f"{done:5.1f} %  {progress.seconds:7.0f} s  loss {progress.loss:.4f}"
    return f"{start}; {seen}{zeros}{held_out}{fidelity}"


def _shares(shares: dict[str, float]) -> str:
    return ", ".join(f"{name} {100 * share:.1f} %" for name, share in sorted(shares.items()))
