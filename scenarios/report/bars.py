"""A share between 0 and 1 as a bar of text."""

from __future__ import annotations

EIGHTHS = " ▏▎▍▌▋▊▉█"


def bar(share: float, width: int = 12) -> str:
    """A bar of `width` characters, to an eighth of one; a share outside [0, 1] is a ValueError."""
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"expected a share between 0 and 1, got `{share}`")
    full, rest = divmod(round(share * width * 8), 8)
    return ("█" * full + (EIGHTHS[rest] if rest else "")).ljust(width)
