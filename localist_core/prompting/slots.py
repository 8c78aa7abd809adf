"""How many slot words a prompt may use: each is one token of the shipped core; no torch."""

from __future__ import annotations

from typing import Final

SLOTS: Final[dict[str, int]] = {"A": 16, "R": 32, "F": 24, "V": 32}
"""Number of slot tokens of each sort: actions, rules, fields, enumerated values."""
