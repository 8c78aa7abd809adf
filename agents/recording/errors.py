"""What can go wrong with a record; one type for each different reaction.

RecordingError
  RunDirectoryError   the run directory cannot be used: choose another
  LogWriteError       a write failed: stop, decide nothing more
  TraceError          a trace cannot be read: name the line
  ReplayError    a replay asks what the trace does not answer: the run is not the recorded one
"""

from __future__ import annotations


class RecordingError(RuntimeError):
    """Base of all errors of the record."""


class RunDirectoryError(RecordingError):
    """A run directory that is in use, not empty or not writable."""


class LogWriteError(RecordingError):
    """A record could not be written; the run must stop, since an unrecorded decision may not act."""


class TraceError(RecordingError):
    """A trace that cannot be read, with file and line."""


class ReplayError(RecordingError):
    """The replayed run asks a question that stands elsewhere, or nowhere, in the recorded one."""
