"""A trace: its identity, and opening it for questions.

Reading logs of every format into a trace is here too. Not here: what a trace says (the other modules).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import polars as pl

from ..queries import Engine, text

HOLE_S = 86_400.0
"""A silence of all services of at least this long is a hole in the record, not a quiet time."""


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
    """Rows that stood before an earlier arrival in their log."""
    resolution_s: float
    """Step of the log's stamps, in seconds: 1.0 for BurstGPT, 1e-3 for Mooncake, 1e-7 for Azure."""
    day0: date | None
    """Date of second 0, where known; without it there are no weekdays."""
    synthetic: bool
    spread: bool = False
    """Arrivals were spread by us inside a coarser count (MAF1): gaps inside a minute mean nothing."""


@dataclass(frozen=True)
class Selection:
    """What is characterized: everything, a service, or one model of a service."""

    selection_id: int
    service: str | None
    model: str | None
    n: int

    @property
    def label(self) -> str:
        """`all`, `conversation` or `conversation · GPT-4`, as figures and tables name it."""
        return " · ".join(part for part in (self.service, self.model) if part) or "all"


@dataclass(frozen=True)
class Trace:
    """An opened trace: its identity, its selections and an engine that answers questions about it."""

    info: TraceInfo
    engine: Engine
    selections: tuple[Selection, ...]
    segments: pl.DataFrame
    """`segment_id`, `start_s`, `end_s`: contiguous stretches between holes of the record."""

    @property
    def start_s(self) -> float:
        """First arrival, seconds since midnight of day 0."""
        return float(self.segments["start_s"].min())  # type: ignore[arg-type]

    @property
    def end_s(self) -> float:
        """Last arrival, seconds since midnight of day 0."""
        return float(self.segments["end_s"].max())  # type: ignore[arg-type]

    def selection(self, service: str | None = None, model: str | None = None) -> Selection:
        """The selection of that service and model; KeyError naming the ones there are."""
        for candidate in self.selections:
            if (candidate.service, candidate.model) == (service, model):
                return candidate
        known = ", ".join(s.label for s in self.selections)
        raise KeyError(f"no selection {service!r} · {model!r}; this trace has: {known}")


def open_trace(log: Path | Sequence[Path]) -> Trace:
    """Read a log and prepare the tables that questions are put to (see `burstlens.queries`)."""
    paths = [log] if isinstance(log, Path) else list(log)
    connection = duckdb.connect()
    connection.from_csv_auto([str(p) for p in paths], header=True).create_view("log")
    connection.execute(f"CREATE TABLE trace AS {text('ingest/burstgpt')} ORDER BY arrival_s")
    rows = connection.execute("SELECT COUNT(*) FROM trace").fetchone()
    info = TraceInfo(
        name=paths[0].stem,
        format="burstgpt",
        sources=tuple(
            Source(p.name, hashlib.sha256(p.read_bytes()).hexdigest(), p.stat().st_size) for p in paths
        ),
        rows=rows[0] if rows else 0,
        rejected=0,
        resorted=0,
        resolution_s=1.0,
        day0=date(2023, 11, 1),
        synthetic=False,
    )
    return prepare(Engine(connection), info)


def prepare(engine: Engine, info: TraceInfo) -> Trace:
    """Build the tables of `burstlens.queries` from the engine's `trace` table or view."""
    hole_ticks = round(HOLE_S / info.resolution_s)
    engine.create("streams", "open/streams")
    engine.create("requests", "open/requests", resolution_s=info.resolution_s)
    engine.create("ticks", "open/ticks")
    selections = _selections(engine)
    engine.create("segments", "open/segments", hole_ticks=hole_ticks)
    engine.create("gaps", "open/gaps", hole_ticks=hole_ticks)
    segments = engine.ask("segments", resolution_s=info.resolution_s)
    return Trace(info, engine, selections, segments)


def _selections(engine: Engine) -> tuple[Selection, ...]:
    """Everything, each service where there are several, each model where a service has several."""
    streams = engine.table("streams").sort("stream_id")
    groups: list[tuple[str | None, str | None]] = [(None, None)]
    services = streams["service"].unique(maintain_order=True).to_list()
    for service in services:
        if len(services) > 1:
            groups.append((service, None))
        models = streams.filter(pl.col("service") == service)["model"].to_list()
        if len(models) > 1:
            groups.extend((service, model) for model in models if model is not None)
    selections, members = [], []
    for selection_id, (service, model) in enumerate(groups, start=1):
        held = streams
        if service is not None:
            held = held.filter(pl.col("service") == service)
        if model is not None:
            held = held.filter(pl.col("model") == model)
        selections.append(Selection(selection_id, service, model, int(held["n"].sum())))
        members.extend((selection_id, stream_id) for stream_id in held["stream_id"])
    engine.fill(
        "selections",
        "selection_id SMALLINT, service VARCHAR, model VARCHAR",
        [(s.selection_id, s.service, s.model) for s in selections],
    )
    engine.fill("members", "selection_id SMALLINT, stream_id SMALLINT", members)
    return tuple(selections)
