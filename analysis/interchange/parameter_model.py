"""What a parameter file contains, as types for code that reads it.

The file itself stays a dictionary in the order in which it was written (`Parameters`), so that it is written
again byte for byte. Tables whose columns depend on the law (`lengths`, `conversations`) are rows by column
name. Not here: reading, checking and writing (`parameters`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec


class FittedWindow(msgspec.Struct, frozen=True):
    """One window of a selection; times in seconds, rates per second."""

    start_s: float
    n: int
    rate_rps: float
    shape: float | None
    rate: float | None
    scale: float | None
    cv: float | None
    shape_interval: tuple[float | None, float | None] | None
    flags: tuple[str, ...]


class FittedArrivals(msgspec.Struct, frozen=True):
    """The Gamma of all gaps together, and of each window."""

    overall: dict[str, Any]
    windows: tuple[FittedWindow, ...]


class SelectionKey(msgspec.Struct, frozen=True):
    """Which requests a selection holds; null service or model: all of them."""

    label: str
    service: str | None
    model: str | None
    start_s: float
    end_s: float

    def divides(self, larger: SelectionKey) -> bool:
        """Whether this is a proper part of another selection."""
        pairs = ((self.service, larger.service), (self.model, larger.model))
        return all(theirs in (None, ours) for ours, theirs in pairs) and any(a != b for a, b in pairs)


class FittedSelection(msgspec.Struct, frozen=True):
    """Everything that was fitted to one selection."""

    selection: SelectionKey
    arrivals: FittedArrivals
    lengths: dict[str, list[dict[str, Any]]]
    conversations: dict[str, list[dict[str, Any]]]
    failures: list[dict[str, Any]]
    failure_reasons: list[dict[str, Any]] | msgspec.UnsetType = msgspec.UNSET
    usage: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    """What the optional columns of the log say; unset without them."""

    @property
    def label(self) -> str:
        """The selection's name."""
        return self.selection.label

    @property
    def windows(self) -> tuple[FittedWindow, ...]:
        """The windows, in order of time."""
        return self.arrivals.windows

    def with_windows(self, windows: Sequence[FittedWindow]) -> FittedSelection:
        """The same with other windows."""
        arrivals = FittedArrivals(self.arrivals.overall, tuple(windows))
        return msgspec.structs.replace(self, arrivals=arrivals)


class SourceFile(msgspec.Struct, frozen=True):
    """A file that the parameters were fitted to."""

    name: str
    sha256: str
    bytes: int


class ParameterSource(msgspec.Struct, frozen=True):
    """The trace that the parameters were fitted to."""

    name: str
    format: str
    files: tuple[SourceFile, ...]
    rows: int
    rejected: int
    span_s: float
    day0: str | None
    resolution_s: float
    synthetic: bool
    timezone: str | msgspec.UnsetType = msgspec.UNSET


class ParameterFile(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a parameter file, its fields in the order in which the file has them."""

    schema_version: str
    generator: str
    engine: str | msgspec.UnsetType = msgspec.UNSET
    """What computed it; unset in files that were not computed from requests."""
    source: ParameterSource
    window_s: float
    estimator: str
    selections: tuple[FittedSelection, ...]

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> ParameterFile:
        """The typed view of a file's content, which was checked against the schema when it was read."""
        # Whole numbers may be written 5.0, which the schema takes for integers.
        return msgspec.convert(dict(content), cls, strict=False)

    def as_dict(self) -> dict[str, Any]:
        """The file's content in plain values."""
        content: dict[str, Any] = msgspec.to_builtins(self)
        return content
