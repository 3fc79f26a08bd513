"""Who a trace is: name, format, sources, counts, clock; kept in the Parquet file's metadata.

Not here: the requests themselves (`burstlens.analysis.trace.trace`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from typing import Any

from ..core.wall_clock import WallClock

METADATA_KEY = "burstlens"
"""Key of the Parquet file metadata under which a trace keeps its identity, as JSON."""
METADATA_VERSION = 1


@dataclass(frozen=True)
class Source:
    """One file that a trace was read from."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class TraceInfo:
    """Who a trace is; kept in the Parquet file's metadata and shown on every page made from it."""

    name: str
    format: str
    sources: tuple[Source, ...]
    rows: int
    rejected: int
    resorted: int
    """Rows that came after a later arrival in their log, and were sorted."""
    resolution_s: float
    """Step of the log's stamps, in seconds: 1.0 for BurstGPT, 1e-3 for Mooncake, 1e-7 for Azure."""
    day0: date | None
    """Date of second 0, if known; without it there are no weekdays."""
    synthetic: bool
    spread: bool = False
    """Arrivals were spread by us inside a coarser count (MAF1): gaps inside a minute mean nothing."""
    has_failures: bool = True
    """Whether the log has failures; if it does not, `failed` is false for every request."""
    has_sessions: bool = False
    """Whether any request names its session."""
    has_tokens: bool = True
    """Whether any request has token counts; function traces have none."""
    failure_rule: str | None = None
    """What counted as a failure, in words: `Response tokens is 0`."""
    block_tokens: int | None = None
    """Tokens of a prefix block, the last one perhaps shorter; None without blocks, or if it is not known."""
    timezone: str | None = None
    """The clock of hours and days, such as `Europe/Berlin`; None for that of the log's own stamps."""
    notes: tuple[str, ...] = ()
    """What was decided in reading the logs, that a user should know: `ts: milliseconds since 1970`."""
    anonymized: str | None = None
    """What was done to its names and dates, if that was asked for."""

    @property
    def marks(self) -> tuple[str, ...]:
        """Badges for everything made from it: synthetic, if it is."""
        return ("synthetic",) if self.synthetic else ()

    @property
    def clock(self) -> WallClock:
        """The clock of hours and weekdays."""
        return WallClock(self.day0, self.timezone)

    def lines(self) -> list[str]:
        """Who it is, for a person."""
        line = f"{self.rows:,} requests, format {self.format}"
        for count, what in ((self.rejected, "rows rejected"), (self.resorted, "out of order")):
            line += f", {count:,} {what}" if count else ""
        zone = [f"hours by {self.timezone}"] if self.timezone else []
        hidden = [f"anonymized: {self.anonymized}"] if self.anonymized else []
        return [line, *hidden, *zone, *self.notes]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return asdict(self) | {
            "sources": [asdict(source) for source in self.sources],
            "day0": self.day0.isoformat() if self.day0 else None,
        }

    def to_json(self) -> str:
        """The text under `METADATA_KEY`."""
        return json.dumps({"version": METADATA_VERSION, **self.as_dict()}, ensure_ascii=True)

    @classmethod
    def from_json(cls, text: str) -> TraceInfo:
        """Back from `to_json`; ValueError, KeyError or TypeError if it is something else."""
        content = json.loads(text)
        if content.pop("version") != METADATA_VERSION:
            raise ValueError("its metadata has another version")
        known = {field.name for field in fields(cls)}
        info = cls(**{key: value for key, value in content.items() if key in known})
        return replace(
            info,
            sources=tuple(Source(**source) for source in content["sources"]),
            day0=date.fromisoformat(content["day0"]) if content["day0"] else None,
            notes=tuple(content.get("notes", ())),
        )
