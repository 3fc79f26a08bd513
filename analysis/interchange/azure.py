"""The CSV of Azure's LLM inference traces: an instant, context tokens and generated tokens.

Read by `queries/sql/ingest/azure_llm.sql` and by inference-perf. Not here: other formats.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from pathlib import Path

import polars as pl

from ..core.atomic_write import write_csv
from .requests import Requests, lost, ticks, with_tokens

PER_S = 10_000_000
"""Stamps are in steps of 100 ns."""
UNDATED = date(2000, 1, 1)
"""Day 0 of a trace whose date is not known: the format cannot do without."""


def write_azure(
    requests: Requests, out: Path, tokens: tuple[int, int] | None = None, *, load: bool = False
) -> list[str]:
    """Write the CSV; what it cannot hold, in sentences. Of a `load` to be sent only its gaps count."""
    requests = with_tokens(requests, tokens)
    midnight = datetime.combine(requests.info.day0 or UNDATED, time(), UTC)
    zero = int(midnight.timestamp()) * PER_S
    instant = ((ticks(requests, PER_S) + zero) * 100).cast(pl.Datetime("ns"))
    frame = requests.frame.select(
        instant.dt.to_string("%Y-%m-%d %H:%M:%S%.9f").str.head(-2).alias("TIMESTAMP"),
        pl.col("request_tokens").alias("ContextTokens"),
        pl.col("response_tokens").alias("GeneratedTokens"),
    )
    write_csv(frame, out)
    if load:
        return lost(requests)
    told = lost(requests, per_s=PER_S, dated=True)
    if requests.info.day0 is None:
        told.append(f"that the date is not known: stamps count from {UNDATED.isoformat()}")
    return told
