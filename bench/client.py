"""Send a workload to an endpoint and write what happened into a run folder.

Checks first (`preflight`), then sends from this process (`sender`) or from several (`workers`). Not here:
what the record means (`summary`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl

from ..analysis.errors import BurstlensError
from .preflight import Endpoint, preflight
from .prompts import NO_PREFIX_CACHE, Prompts
from .record import Manifest, begin, read_manifest, read_record, write_manifest
from .sender import Sender, main
from .settings import Settings, Status, Target
from .workload import Workload


def run(
    workload: Workload,
    prompts: Prompts,
    target: Target,
    settings: Settings,
    folder: Path,
    *,
    resume: bool = False,
    watch: Callable[[Status], object] | None = None,
) -> Manifest:
    """Send the workload to the target, each request once, and return the manifest of the run.

    With `resume` the run in `folder` goes on with the requests that its record lacks. Ctrl-C ends the run
    after `settings.grace_s` at most, and so does a `watch` that returns True; the manifest then says so.
    Raises BurstlensError before load is sent where the endpoint or the folder cannot be used, and later
    where the disk refuses the record.
    """
    if workload.requests.is_empty():
        raise BurstlensError(f"{workload.name}: holds no requests to send")
    if target.api == "chat" and not prompts.text:
        raise BurstlensError("--api chat: needs prompts of text; give --prompts FILE --tokenizer PATH")
    endpoint = preflight(target)
    manifest = _manifest(workload, endpoint, settings, prompts)
    done: dict[int, float] = {}
    if resume:
        manifest = _resumed(folder, manifest)
        record = read_record(folder).with_columns(pl.col("ended_s").fill_null(pl.col("intended_s")))
        done = dict(record.select("request_id", "ended_s").iter_rows())
        write_manifest(folder, manifest)
    else:
        begin(folder, manifest, workload)
    sampled = settings if endpoint.has_metrics else replace(settings, sample_s=None)
    stopped: str | None = "it ended in a fault"
    whole = False
    try:
        if len(done) < len(workload.requests):
            if settings.workers > 1:
                from .workers import send

                whole = send(workload, prompts, endpoint.target, sampled, folder, done=done, watch=watch)
            else:
                sender = Sender(workload, prompts, endpoint.target, sampled, folder, done=done, watch=watch)
                whole = main(sender)
        else:
            whole = True
        stopped = None if whole else "stopped by Ctrl-C"
    except BurstlensError as fault:
        stopped = str(fault)
        raise
    finally:
        manifest = replace(manifest, finished=whole, stopped=stopped)
        write_manifest(folder, manifest)
    return manifest


def _manifest(workload: Workload, endpoint: Endpoint, settings: Settings, prompts: Prompts) -> Manifest:
    """What is asked of whom."""
    notes = prompts.prepare(workload)
    if endpoint.simulated is not None and prompts.share:
        notes.append(NO_PREFIX_CACHE)
    if endpoint.counts_words and prompts.text:
        notes.append(
            "the simulated endpoint counts a prompt's words, not its tokens; start it with --tokenizer to "
            "have the lengths asked for"
        )
    if settings.sample_s is not None and not endpoint.has_metrics:
        notes.append("the server tells no metrics: KV-cache use, queue and preemptions are unknown")
    if endpoint.max_model_len is not None:
        tokens = pl.col("request_tokens") + pl.col("response_tokens")
        too_long = workload.requests.select((tokens > endpoint.max_model_len).sum()).item()
        if too_long:
            notes.append(
                f"{too_long:,} requests are longer than the model's {endpoint.max_model_len:,} tokens; "
                "the server will refuse them"
            )
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
        settings=settings.as_dict() | {"api": endpoint.target.api, "prompts": prompts.about},
        started_unix_s=time.time(),
        notes=notes,
    )


def _resumed(folder: Path, manifest: Manifest) -> Manifest:
    """The manifest of the run that goes on; BurstlensError where it is another's."""
    before, prompts = read_manifest(folder), manifest.settings["prompts"]
    for what, was, now in (
        ("workload", before.workload_sha256, manifest.workload_sha256),
        ("endpoint", before.url, manifest.url),
        ("served model", before.served_model, manifest.served_model),
        ("--workers", before.settings.get("workers"), manifest.settings["workers"]),
        ("kind of prompts", before.settings.get("prompts", prompts), prompts),
    ):
        if was != now:
            raise BurstlensError(
                f"{folder}: has another {what}; a run goes on with the options that it began with"
            )
    return replace(before, stopped=None)
