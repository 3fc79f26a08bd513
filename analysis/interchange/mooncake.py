"""JSON lines of the Mooncake traces: milliseconds, lengths, and `hash_ids` of the prompt's blocks.

Read by `queries/sql/ingest/mooncake.sql`, AIPerf, vLLM's `bench serve` (`timed_trace`) and GuideLLM. Not
here: how the numbers of the blocks come about (`hash_ids`).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import polars as pl

from ..core.atomic_write import write_jsonl
from ..trace.prefix_blocks import conversion_notes, convert_blocks
from .exports import DEFAULT_OPTIONS, RequestExport, WriteOptions
from .hash_ids import hash_ids
from .requests import Requests, list_losses, with_tokens

PER_S = 1000
AIPERF_RUN = (
    "aiperf profile --model MODEL --url http://127.0.0.1:8000 --endpoint-type completions --streaming "
    "--input-file {file} --custom-dataset-type {kind} --fixed-schedule --fixed-schedule-auto-offset "
    "--extra-inputs ignore_eos:true --use-server-token-count"
)


def write_mooncake(
    requests: Requests, out: Path, options: WriteOptions = DEFAULT_OPTIONS, *, load: bool = False
) -> list[str]:
    """Write requests as JSON lines of the Mooncake traces, the first request at 0.

    Parameters
    ----------
    requests : Requests
    out : Path
    options : WriteOptions
    load : bool
        The file is a load to be sent: stamps have microseconds, which AIPerf and vLLM read too. By default
        they are whole milliseconds, as in the published traces.

    Returns
    -------
    list of str
        What the file cannot contain, and what had to be mended, one sentence each.

    Raises
    ------
    InputError
        If requests have no token counts and `options` give none.
    DiskError
        If the file cannot be written.
    """
    requests = with_tokens(requests, options.tokens)
    zero = float(requests.frame["arrival_s"][0])
    size = requests.info.block_tokens
    has_blocks = requests.frame["prefix"].null_count() < len(requests)
    since = Requests(
        requests.frame.with_columns(pl.col("arrival_s") - zero, convert_blocks(requests.frame, size)),
        requests.info,
    )
    numbers, mended = hash_ids(since.frame, share_sessions=options.share_sessions)
    at_ms = pl.col("arrival_s") * PER_S
    frame = since.frame.select(
        (at_ms.round(3) if load else at_ms.round().cast(pl.Int64)).alias("timestamp"),
        pl.col("request_tokens").alias("input_length"),
        pl.col("response_tokens").alias("output_length"),
        numbers,
    )
    write_jsonl(frame, out)
    columns = {"prefix"} | ({"session"} if options.share_sessions else set())
    converted = conversion_notes(size) if has_blocks else []
    return [*converted, *mended, *list_losses(since, columns, per_s=None if load else PER_S)]


MOONCAKE = RequestExport("JSON lines of the Mooncake traces, with hash_ids", "log", ".jsonl", write_mooncake)
AIPERF = RequestExport(
    "Mooncake JSON lines for AIPerf",
    "load",
    ".jsonl",
    partial(write_mooncake, load=True),
    AIPERF_RUN.replace("{kind}", "mooncake_trace"),
)
VLLM = RequestExport(
    "timed JSON lines for vllm bench serve",
    "load",
    ".jsonl",
    partial(write_mooncake, load=True),
    "vllm bench serve --base-url http://127.0.0.1:8000 --model MODEL --dataset-name timed_trace "
    "--dataset-path {file} --timed-trace-chunk-hash-size 512 --timed-trace-sec-multiplier 0.001 "
    "--num-prompts {n} --ignore-eos",
)
