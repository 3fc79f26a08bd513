"""The CSV of Azure's LLM inference traces: an instant, context tokens and generated tokens.

Read by `queries/sql/ingest/azure_llm.sql` and by inference-perf. Not here: other formats.
"""

from __future__ import annotations

from datetime import date
from functools import partial
from pathlib import Path

import polars as pl

from ..core.atomic_write import write_csv
from ..core.wall_clock import midnight_s
from .exports import DEFAULT_OPTIONS, RequestExport, WriteOptions
from .requests import Requests, list_losses, ticks, with_tokens

PER_S = 10_000_000
"""Stamps are in steps of 100 ns."""
SUBSTITUTE_DAY0 = date(2000, 1, 1)
"""Day 0 of a trace without a date: the format needs one."""


def write_azure(
    requests: Requests, out: Path, options: WriteOptions = DEFAULT_OPTIONS, *, load: bool = False
) -> list[str]:
    """Write requests as the CSV of Azure's LLM inference traces; with images, as that of the multimodal one.

    Parameters
    ----------
    requests : Requests
    out : Path
    options : WriteOptions
    load : bool
        The file is a load to send: only its gaps count, so the date does not matter.

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
    zero = int(midnight_s(requests.info.day0 or SUBSTITUTE_DAY0, requests.info.timezone)) * PER_S
    instant = ((ticks(requests, PER_S) + zero) * 100).cast(pl.Datetime("ns"))
    images = [] if load or "images" not in requests.frame.columns else [pl.col("images").alias("NumImages")]
    frame = requests.frame.select(
        instant.dt.to_string("%Y-%m-%d %H:%M:%S%.9f").str.head(-2).alias("TIMESTAMP"),
        *images,
        pl.col("request_tokens").alias("ContextTokens"),
        pl.col("response_tokens").alias("GeneratedTokens"),
    )
    write_csv(frame, out)
    if load:
        return list_losses(requests)
    losses = list_losses(requests, {"images"} if images else (), per_s=PER_S, dated=True)
    if requests.info.day0 is None:
        losses.append(f"that the date is unknown: stamps count from {SUBSTITUTE_DAY0.isoformat()}")
    return losses


AZURE = RequestExport("CSV of Azure's LLM inference traces", "log", ".csv", write_azure)
INFERENCE_PERF = RequestExport(
    "Azure CSV for inference-perf",
    "load",
    ".csv",
    partial(write_azure, load=True),
    "inference-perf --config_file CONFIG, with trace: {{file: {path}, format: AzurePublicDataset}} under "
    "data (type: random) and load (type: trace_replay, stages: [{{rate: 1, duration: {n}}}])",
)
