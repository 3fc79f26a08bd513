"""The CSV of HPMLL/BurstGPT: six columns as its files 1 and 2, eight if sessions or latencies are known.

Read by `queries/sql/ingest/burstgpt.sql` and by AIPerf's loader of that name. Not here: other formats.
"""

from __future__ import annotations

from datetime import date
from functools import partial
from pathlib import Path

import polars as pl

from ..core.atomic_write import write_csv
from ..core.units import counted
from .exports import DEFAULT_OPTIONS, RequestExport, WriteOptions
from .mooncake import AIPERF_RUN
from .requests import Requests, list_losses, with_tokens

DAY0 = date(2023, 11, 1)
"""Second 0 of the published files."""
LOG_TYPES = {"conversation": "Conversation log", "api": "API log"}
UNKNOWN_NAME = "unknown"
"""Name of an unknown model or service: the format needs a word."""


def write_burstgpt(
    requests: Requests, out: Path, options: WriteOptions = DEFAULT_OPTIONS, *, load: bool = False
) -> list[str]:
    """Write requests as the CSV of BurstGPT.

    Stamps are seconds since midnight of day 0, whole ones as in the published files, with a fraction where
    the trace has one. A failure is `Response tokens` of 0; the format has no other mark.

    Parameters
    ----------
    requests : Requests
    out : Path
    options : WriteOptions
    load : bool
        The file is for AIPerf, which reads three of its columns.

    Returns
    -------
    list of str
        What the file cannot contain, one sentence each.

    Raises
    ------
    InputError
        If requests have no token counts and `options` give none.
    DiskError
        If the file cannot be written.
    """
    requests = with_tokens(requests, options.tokens)
    frame = requests.frame
    long = not load and any(frame[column].null_count() < len(frame) for column in ("session", "elapsed_s"))
    if load:
        frame = frame.with_columns(pl.col("arrival_s").round(6))
    integer_seconds = bool((frame["arrival_s"] == frame["arrival_s"].round()).all())
    response = pl.when("failed").then(0).otherwise("response_tokens").alias("Response tokens")
    columns = [
        pl.col("arrival_s").cast(pl.Int64 if integer_seconds else pl.Float64).alias("Timestamp"),
        pl.col("session").alias("Session ID"),
        pl.col("elapsed_s").alias("Elapsed time"),
        pl.col("model").fill_null(UNKNOWN_NAME).alias("Model"),
        pl.col("request_tokens").alias("Request tokens"),
        response,
        (pl.col("request_tokens") + response).alias("Total tokens"),
        pl.col("service").fill_null(UNKNOWN_NAME).replace(LOG_TYPES).alias("Log Type"),
    ]
    write_csv(frame.select(columns if long else [columns[0], *columns[3:]]), out)
    if load:
        return list_losses(requests)
    return [*_list_losses(requests), *list_losses(requests, _present_columns(long), dated=True)]


def _present_columns(long: bool) -> set[str]:
    return {"failed", "service", "model"} | ({"session", "elapsed_s"} if long else set())


def _list_losses(requests: Requests) -> list[str]:
    """What only this format loses."""
    frame, day0 = requests.frame, requests.info.day0
    losses = []
    partly = int(frame.select((pl.col("failed") & (pl.col("response_tokens") > 0)).sum()).item())
    if partly:
        losses.append(
            f"what {counted(partly, 'failed request')} had answered: the format marks a failure by 0 tokens"
        )
    silent = int(frame.select((~pl.col("failed") & (pl.col("response_tokens") == 0)).sum()).item())
    if silent:
        losses.append(f"that {counted(silent, 'request')} without response tokens did not fail")
    for column in ("model", "service"):
        absent = frame[column].null_count()
        if absent:
            losses.append(
                f"that {counted(absent, 'request')} had no {column}: it is written as {UNKNOWN_NAME!r}"
            )
    if day0 != DAY0:
        was = f"day 0 was {day0.isoformat()}" if day0 else "it is unknown"
        losses.append(f"the date: {was}, readers take it for {DAY0.isoformat()}")
    return losses


BURSTGPT = RequestExport(
    "CSV of BurstGPT, 6 columns, or 8 with sessions or latencies", "log", ".csv", write_burstgpt
)
AIPERF_BURSTGPT = RequestExport(
    "BurstGPT CSV for AIPerf",
    "load",
    ".csv",
    partial(write_burstgpt, load=True),
    AIPERF_RUN.replace("{kind}", "burst_gpt_trace"),
)
