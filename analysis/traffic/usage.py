"""What the optional columns of a log say in all: cached and reasoning tokens, clients, first tokens, images.

A number is there only if the log has the column. Clients are counted and never named: the column may hold
keys. Not here: reasons of failures (`failures`), the sizes that every trace has (`volume`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from ..core.result import number, percent, short_time
from ..core.units import counted
from ..trace.trace import Trace

USAGE: dict[str, Any] = {
    "selection": pl.String,
    "service": pl.String,
    "model": pl.String,
    "cached_tokens": pl.Int64,
    "cached_share": pl.Float64,
    "reasoning_tokens": pl.Int64,
    "reasoning_share": pl.Float64,
    "clients": pl.Int64,
    "requests_of_clients": pl.Int64,
    "busiest_client_share": pl.Float64,
    "first_tokens": pl.Int64,
    "ttft_p50_s": pl.Float64,
    "ttft_p90_s": pl.Float64,
    "ttft_p99_s": pl.Float64,
    "images": pl.Int64,
    "images_per_request": pl.Float64,
    "requests_with_images": pl.Int64,
}
"""Columns of the table. Shares are of the request or response tokens of the requests that have both counts,
null where the log counts the two apart. `busiest_client_share` is of the requests that name a client."""
COLUMNS_OF = {
    "cached_tokens": ("cached_tokens", "cached_share"),
    "reasoning_tokens": ("reasoning_tokens", "reasoning_share"),
    "client": ("clients", "requests_of_clients", "busiest_client_share"),
    "ttft_s": ("first_tokens", "ttft_p50_s", "ttft_p90_s", "ttft_p99_s"),
    "images": ("images", "images_per_request", "requests_with_images"),
}
"""What is computed from each optional column."""


def count_usage(trace: Trace, names: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Sum up the optional columns of every selection.

    Parameters
    ----------
    trace : Trace
    names : DataFrame
        `selection_id`, `selection`, `service` and `model` of every selection.

    Returns
    -------
    usage : DataFrame
        Columns of `USAGE`, those of them that the log has; no rows if it has none.
    missing : list of str
        Shares that cannot be computed, and why, one sentence each.
    """
    present = [column for column in COLUMNS_OF if column in trace.optional]
    if not present:
        return pl.DataFrame(schema=USAGE), []
    rows = trace.engine.ask("usage")
    if "client" in present:
        rows = rows.join(trace.engine.ask("clients"), on="selection_id", how="left")
    else:
        rows = rows.with_columns(
            pl.lit(None, pl.Int64).alias(name) for name in ("clients", "clients_of", "busiest")
        )
    key = names.schema["selection_id"]
    rows = names.join(
        rows.with_columns(pl.col("selection_id").cast(key)), on="selection_id", maintain_order="left"
    )
    everything = rows.row(0, named=True)
    missing, apart = [], set()
    for part, whole in (("cached", "request"), ("reasoning", "response")):
        over = everything[f"{part}_over"] or 0
        if f"{part}_tokens" in present and over:
            apart.add(part)
            missing.append(
                f"The share of {part} tokens is unknown, because the log counts them apart: "
                f"{counted(over, 'request')} with more of them than {whole} tokens."
            )

    def share(part: str) -> pl.Expr:
        nothing = pl.lit(None, pl.Float64)
        return nothing if part in apart else _ratio(part, f"{part}_of")

    computed = rows.with_columns(
        pl.col("cached").alias("cached_tokens"),
        share("cached").alias("cached_share"),
        pl.col("reasoning").alias("reasoning_tokens"),
        share("reasoning").alias("reasoning_share"),
        pl.col("clients_of").alias("requests_of_clients"),
        _ratio("busiest", "clients_of").alias("busiest_client_share"),
        _ratio("images", "images_of").alias("images_per_request"),
        pl.col("with_images").alias("requests_with_images"),
    )
    columns = ["selection", "service", "model", *(name for each in present for name in COLUMNS_OF[each])]
    return computed.select(pl.col(name).cast(USAGE[name]) for name in USAGE if name in columns), missing


def _ratio(part: str, whole: str) -> pl.Expr:
    """One column over another; null where the other is 0."""
    return pl.when(pl.col(whole) > 0).then(pl.col(part) / pl.col(whole))


def usage_sentences(usage: pl.DataFrame) -> Iterator[str]:
    """Say what the usage of all requests is: a sentence for each column that the log has."""
    if usage.is_empty():
        return
    row: dict[str, Any] = dict.fromkeys(USAGE) | usage.row(0, named=True)
    for part, whole in (("cached", "request"), ("reasoning", "response")):
        tokens, share = row[f"{part}_tokens"], row[f"{part}_share"]
        if tokens is not None:
            were = "were in the server's cache" if part == "cached" else "were reasoning"
            if share is None:
                yield f"{tokens:,} tokens {were}."
            else:
                yield f"{percent(share)} of the {whole} tokens {were} ({tokens:,})."
    if row["clients"]:
        yield (
            f"{counted(row['clients'], 'client')} sent {counted(row['requests_of_clients'], 'request')}; "
            f"the busiest sent {percent(row['busiest_client_share'])} of them."
        )
    if row["first_tokens"]:
        p50, p90, p99 = (short_time(row[f"ttft_{name}_s"]) for name in ("p50", "p90", "p99"))
        yield f"time to first token: median {p50}, 90th percentile {p90}, 99th percentile {p99}."
    if row["images"] is not None:
        yield (
            f"{counted(row['images'], 'image')}, {number(row['images_per_request'])} a request; "
            f"{counted(row['requests_with_images'], 'request')} had any."
        )
