"""Send a workload to an endpoint and write what happened into a run folder.

Checks first (`preflight`), then sends from this process (`sender`) or from several (`processes`), at once or
at an instant that other senders wait for too. Not here: what the record means (`metrics.summary`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
from msgspec import structs

from ...analysis.core.errors import BurstlensError, InputError
from ...analysis.core.option_names import option
from ..prompts.token_ids import NO_PREFIX_CACHE, Prompts
from ..record.models import Manifest, RunSettings, ShardInfo
from ..record.run_folder import Writer, begin, read_manifest, read_record, record_path, write_manifest
from ..settings import Settings, Status, Target
from ..workload.table import Workload, notes_on
from .clocks import ENDPOINT, measure_offset
from .preflight import Endpoint, preflight
from .sender import LEAD_S, Sender, main
from .shards import LAST_S, Shard, left_s, wait_for

LOGGER = logging.getLogger(__name__)

READY_S = 60.0
"""Before a common start: the folder is made then, and the senders are made ready."""


def run(
    workload: Workload,
    prompts: Prompts,
    target: Target,
    settings: Settings,
    folder: Path,
    *,
    resume: bool = False,
    shard: Shard | None = None,
    start_unix_s: float | None = None,
    clock: str = ENDPOINT,
    waiting: Callable[[str], None] | None = None,
    watch: Callable[[Status], object] | None = None,
) -> Manifest:
    """Send the workload to the target, each request once, and return the manifest of the run.

    Parameters
    ----------
    workload
        The requests.
    prompts
        Makes the prompt of each request shortly before it is sent.
    target
        The endpoint.
    settings
        How to send.
    folder
        The new run folder.
    resume
        Continue the run in `folder` with the requests that are not in its record.
    shard
        Send only this part of the workload; needs `start_unix_s`.
    start_unix_s
        The run's second 0, by this machine's clock; by default now.
    clock
        What a shard compares this machine's clock with (see `clocks.measure_offset`).
    waiting
        Gets one line before a common start: what will begin, and when.
    watch
        Gets the status twice a second. If it returns True, the run ends as with Ctrl-C: within
        `settings.grace_s`, and the manifest says so.

    Returns
    -------
    Manifest
        The manifest of the run.

    Raises
    ------
    InputError
        Before anything is sent: the options, the folder or the start cannot be used.
    EndpointError
        Before anything is sent: the endpoint cannot take the load.
    DiskError
        The record cannot be written.
    """
    if workload.requests.is_empty():
        raise InputError(f"{workload.name}: has no requests to send")
    if target.api == "chat" and not prompts.text:
        raise InputError(
            f"{option('api', 'chat')}: needs prompts of text; give {option('prompts')} "
            f"and {option('tokenizer')}"
        )
    if shard is not None and start_unix_s is None:
        raise InputError(
            f"{option('shard')}: needs {option('start_at')}, the instant at which all senders begin"
        )
    if start_unix_s is not None and resume:
        raise InputError(
            f"{option('resume')}: the common start has passed and the other senders have "
            "continued; start all of them again"
        )
    endpoint = preflight(target)
    manifest = _manifest(workload, endpoint, settings, prompts)
    if shard is not None and start_unix_s is not None:
        manifest, workload, settings = _sharded(
            manifest, workload, endpoint, settings, shard, start_unix_s, clock
        )
    done: dict[int, float] = {}
    if resume:
        manifest = _resumed(folder, manifest)
        record = read_record(folder).with_columns(pl.col("ended_s").fill_null(pl.col("intended_s")))
        done = dict(record.select("request_id", "ended_s").iter_rows())
        write_manifest(folder, manifest)
    else:
        if start_unix_s is not None:
            manifest = _waited(manifest, workload, start_unix_s, waiting)
        begin(folder, manifest, workload)
    LOGGER.info(
        "sending %d requests to %s, model %s, with %d workers",
        len(workload.requests) - len(done), target.url, endpoint.target.model, settings.workers,
    )  # fmt: skip
    sampled = settings if endpoint.has_metrics else replace(settings, sample_s=None)
    stopped: str | None = "it ended with an error"
    sent_all = False
    try:
        if len(done) < len(workload.requests):
            if settings.workers > 1:
                from .processes import send

                sent_all = send(
                    workload, prompts, endpoint.target, sampled, folder,
                    done=done, start_unix_s=start_unix_s, watch=watch,
                )  # fmt: skip
            else:
                sender = Sender(workload, prompts, endpoint.target, sampled, folder, done=done, watch=watch)
                sent_all = main(sender, None if start_unix_s is None else _origin_s(sender, start_unix_s))
        else:
            Writer(record_path(folder, 0)).close()
            sent_all = True
        stopped = None if sent_all else "stopped by Ctrl-C"
    except BurstlensError as fault:
        stopped = str(fault)
        raise
    except KeyboardInterrupt:
        stopped = "stopped by Ctrl-C"
        raise
    finally:
        manifest = structs.replace(manifest, finished=sent_all, stopped=stopped)
        write_manifest(folder, manifest)
    LOGGER.info("%s", "every request ended" if sent_all else stopped)
    return manifest


def _sharded(
    manifest: Manifest,
    workload: Workload,
    endpoint: Endpoint,
    settings: Settings,
    shard: Shard,
    start_unix_s: float,
    clock: str,
) -> tuple[Manifest, Workload, Settings]:
    """The manifest, workload and settings of one of several senders."""
    left_s(start_unix_s)
    offset, part = measure_offset(clock, endpoint.target), shard.cut(workload)
    info = ShardInfo(
        index=shard.index,
        of=shard.of,
        seed=workload.recipe.get("seed"),
        workload_sha256=workload.sha256,
        requests=len(workload.requests),
        start_unix_s=start_unix_s,
        clock=None if offset is None else offset.rounded(),
    )
    notes = [*manifest.notes, f"shard {shard} of {len(workload.requests):,} requests"]
    notes.append(
        "this machine's clock could not be compared with others: the endpoint sends no Date"
        if offset is None
        else f"this machine's clock: {offset}"
    )
    limit = settings.max_concurrency
    if limit is not None:
        if limit < shard.of * settings.workers:
            raise InputError(
                f"{option('max_concurrency')}: {limit} in flight are too few for {shard.of} shards with "
                f"{settings.workers} workers each; all workers share this limit, and each needs one"
            )
        settings = replace(settings, max_concurrency=limit // shard.of)
    manifest = structs.replace(
        manifest, requests=len(part.requests), workload_sha256=part.sha256, shard=info, notes=notes
    )
    return manifest, part, settings


def _waited(
    manifest: Manifest,
    workload: Workload,
    start_unix_s: float,
    waiting: Callable[[str], None] | None,
) -> Manifest:
    """Wait until shortly before the common start; the manifest with that start."""
    left = left_s(start_unix_s)
    if waiting is not None:
        which = "" if manifest.shard is None else f"shard {manifest.shard.index}/{manifest.shard.of}: "
        waiting(f"{which}{len(workload.requests):,} requests from {left:,.1f} s on")
    wait_for(start_unix_s, READY_S)
    return structs.replace(manifest, started_unix_s=start_unix_s)


def _origin_s(sender: Sender, start_unix_s: float) -> float:
    """The common start on the loop's clock; raises InputError if it has passed."""
    import aiohttp  # noqa: F401 - loaded before the clock starts, not when the first request is due

    sender.prepare()
    wait_for(start_unix_s, LAST_S)
    return time.monotonic() + left_s(start_unix_s - LEAD_S) + LEAD_S


def _manifest(workload: Workload, endpoint: Endpoint, settings: Settings, prompts: Prompts) -> Manifest:
    """The manifest of a new run."""
    notes = prompts.prepare(workload)
    if endpoint.simulated is not None and prompts.share:
        notes.append(NO_PREFIX_CACHE)
    if endpoint.counts_words and prompts.text:
        notes.append(
            "the simulated endpoint counts a prompt's words, not its tokens, so lengths differ from the "
            "workload's; a tokenizer for the endpoint makes them equal"
        )
    if settings.sample_s is not None and not endpoint.has_metrics:
        notes.append("the server has no metrics: KV-cache use, queue and preemptions are unknown")
    notes += notes_on(workload, endpoint.max_model_len)
    return Manifest(
        name=workload.name,
        synthetic=workload.synthetic,
        recipe=workload.recipe,
        workload_sha256=workload.sha256,
        requests=len(workload.requests),
        url=endpoint.target.url,
        served_model=endpoint.target.model,
        simulated=endpoint.simulated,
        server_version=endpoint.version,
        settings=RunSettings(**settings.as_dict(), api=endpoint.target.api, prompts=prompts.about),
        started_unix_s=time.time(),
        notes=notes,
    )


def _resumed(folder: Path, manifest: Manifest) -> Manifest:
    """The manifest of the run that continues; raises InputError if it is another run."""
    before, prompts = read_manifest(folder), manifest.settings.prompts
    for what, was, now in (
        ("workload", before.workload_sha256, manifest.workload_sha256),
        ("endpoint", before.url, manifest.url),
        ("served model", before.served_model, manifest.served_model),
        (f"number of {option('workers')}", before.settings.workers, manifest.settings.workers),
        ("kind of prompts", before.settings.prompts or prompts, prompts),
    ):
        if was != now:
            raise InputError(f"{folder}: has another {what}; a run continues only with its first options")
    return structs.replace(before, stopped=None)
