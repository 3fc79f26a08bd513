"""Our own columns: the canonical Parquet trace, and the same as a CSV that anything reads.

Not here: other tools' formats.
"""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from ..core.atomic_write import write_atomically, write_csv, write_jsonl
from ..logs.trace_info import METADATA_KEY
from ..trace.parquet import PREFIX, trace_frame
from .exports import DEFAULT_OPTIONS, RequestExport, WriteOptions
from .requests import Requests, list_losses, with_tokens

PROVENANCE_KEY = "burstlens_export"
"""Key of the Parquet metadata under which an export says how it was made, as JSON."""


def write_parquet(requests: Requests, out: Path, options: WriteOptions = DEFAULT_OPTIONS) -> list[str]:
    """Write a canonical Parquet trace that says in its metadata how it was made; it loses nothing.

    Parameters
    ----------
    requests : Requests
    out : Path
    options : WriteOptions

    Returns
    -------
    list of str
        Empty.
    """
    frame = trace_frame(requests.frame)
    made = {"generator": "burstlens", "made": list(options.provenance)}
    metadata = {METADATA_KEY: requests.info.to_json(), PROVENANCE_KEY: json.dumps(made)}
    write_atomically(out, lambda draft: frame.write_parquet(draft, compression="zstd", metadata=metadata))
    return []


def write_plain_csv(requests: Requests, out: Path, _options: WriteOptions = DEFAULT_OPTIONS) -> list[str]:
    """Write arrivals and everything known of each request as CSV, under the names of our columns.

    Columns without a single value are left out; `arrival_s` is seconds since midnight of day 0.

    Parameters
    ----------
    requests : Requests
    out : Path

    Returns
    -------
    list of str
        What the file cannot contain, one sentence each.
    """
    frame = requests.frame
    columns = [name for name in trace_frame(frame).columns if name != PREFIX]
    columns = [name for name in columns if frame[name].null_count() < len(frame)]
    write_csv(frame.select(columns), out)
    return list_losses(requests, columns)


def write_guidellm(requests: Requests, out: Path, options: WriteOptions = DEFAULT_OPTIONS) -> list[str]:
    """Write GuideLLM's `trace_synthetic` lines: seconds from the first request, and lengths.

    Parameters
    ----------
    requests : Requests
    out : Path
    options : WriteOptions

    Returns
    -------
    list of str
        What the file cannot contain, one sentence each.

    Raises
    ------
    InputError
        If requests have no token counts and `options` give none.
    """
    requests = with_tokens(requests, options.tokens)
    frame = requests.frame.select(
        (pl.col("arrival_s") - pl.col("arrival_s").first()).round(6).alias("timestamp"),
        pl.col("request_tokens").alias("input_length"),
        pl.col("response_tokens").alias("output_length"),
    )
    write_jsonl(frame, out)
    return list_losses(requests)


PARQUET = RequestExport("canonical trace of burstlens, which loses nothing", "log", ".parquet", write_parquet)
CSV = RequestExport("plain CSV of arrivals under our column names", "log", ".csv", write_plain_csv)
GUIDELLM = RequestExport(
    "trace_synthetic JSON lines for GuideLLM",
    "load",
    ".jsonl",
    write_guidellm,
    "guidellm run --backend kind=openai_http,target=http://127.0.0.1:8000 "
    "--profile kind=replay,schedule_turn=timestamp "
    '--data \'{{"kind": "trace_synthetic", "source": {{"kind": "json_file", "path": "{path}"}}}}\'',
)
