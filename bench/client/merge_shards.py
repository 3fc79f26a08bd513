"""One run of what the senders of all shards recorded: a run folder like any other, on one clock.

So whatever reads a run reads this: summary, verdict, page, trace. Not here: which folders belong together
(`burstlens.analysis.logs.files.run_folders`), cutting a workload (`shards`).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import polars as pl
from msgspec import UNSET, structs

from ...analysis.core.errors import DiskError, InputError
from ...analysis.core.units import counted
from ...analysis.logs.files.run_folders import RECORDS, RUN, ShardFolder, is_run, shards_of
from ..record.models import ClockOffset, Manifest
from ..record.run_folder import (
    SERVER,
    begin,
    read_manifest,
    read_pieces,
    read_server,
    read_workload,
    record_path,
    write_manifest,
)
from ..workload.table import Workload

AS_PLANNED_S = 1e-5
"""A request whose recorded instant differs by more from the workload's followed an answer."""


def is_merged(folder: Path) -> bool:
    """Check whether a folder is a run that `gather` made from shards."""
    if not is_run(folder):
        return False
    shard = read_manifest(folder).shard
    return shard is not None and shard.index is UNSET


def gather(folders: Sequence[Path], out: Path) -> Manifest:
    """Make one run folder of the folders of all shards of a workload.

    If clocks of senders are known to differ, instants are moved to the clock that is farthest ahead. Instants
    that the schedule set stay, so the difference counts as lateness. An earlier merged run in `out` is
    replaced.

    Parameters
    ----------
    folders
        Run folders of the shards.
    out
        The run folder that is made.

    Returns
    -------
    Manifest
        What its `run.json` has.

    Raises
    ------
    InputError
        If shards are missing, mixed or double, or `out` has another run.
    DiskError
        If a folder cannot be read or written.
    """
    parts = shards_of(folders)
    if not parts:
        raise InputError(f"{folders[0] if folders else 'no folder'}: is not a shard of a workload")
    manifests = [read_manifest(part.folder) for part in parts]
    workload = _joined(parts)
    manifest = _manifest(parts, manifests, workload)
    cut_off = structs.replace(manifest, finished=False, stopped="it was cut off as it was gathered")
    if is_merged(out):
        write_manifest(out, cut_off)
        for old in [*out.glob(RECORDS), out / SERVER, out / RUN]:
            old.unlink(missing_ok=True)
    begin(out, cut_off, workload)
    planned = workload.requests.select("request_id", "at_s")
    try:
        worker = 0
        for part, of_part in zip(parts, manifests, strict=True):
            _copied(part, planned, worker, out)
            worker += of_part.settings.workers or 1
        # The senders asked one server; the samples of the first are enough.
        if not (server := read_server(parts[0].folder)).is_empty():
            moved = server.with_columns(pl.col("at_s") + parts[0].behind_s)
            moved.write_ndjson(out / SERVER)
    except OSError as fault:
        raise DiskError.unwritable(out, fault) from fault
    write_manifest(out, manifest)
    return manifest


@contextmanager
def merged_shards(folders: Sequence[Path]) -> Iterator[Path]:
    """Merge all shards in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="burstlens-") as made:
        out = Path(made) / "run"
        gather(folders, out)
        try:
            yield out
        finally:
            shutil.rmtree(out, ignore_errors=True)


def _joined(parts: Sequence[ShardFolder]) -> Workload:
    """Join the shards to their workload; raises InputError if they are not all of it."""
    loads = [read_workload(part.folder) for part in parts]
    requests = pl.concat([load.requests for load in loads]).sort("request_id")
    expected = int(parts[0].manifest["requests"])
    if requests["request_id"].n_unique() != requests.height or requests.height != expected:
        raise InputError(
            f"{parts[0].folder}: its shards have {counted(requests.height, 'request')}, "
            f"{requests['request_id'].n_unique():,} of them distinct, but the workload has {expected:,}; "
            "a workload.parquet has changed since it was written"
        )
    return replace(loads[0], requests=requests)


def _manifest(parts: Sequence[ShardFolder], manifests: Sequence[Manifest], workload: Workload) -> Manifest:
    """The manifest of all shards together."""
    first = manifests[0]
    shards = [manifest.shard for manifest in manifests if manifest.shard is not None]
    clocks = [shard.clock or None for shard in shards]
    unfinished = [
        f"shard {part.index}/{len(parts)}: {manifest.stopped or 'it was cut off'}"
        for part, manifest in zip(parts, manifests, strict=True)
        if not manifest.finished
    ]
    mine = ("this machine's clock", *(f"shard {part.index}/{len(parts)} of " for part in parts))
    notes = [note for manifest in manifests for note in manifest.notes if not note.startswith(mine)]
    return structs.replace(
        first,
        workload_sha256=workload.sha256,
        requests=len(workload.requests),
        finished=not unfinished,
        stopped="; ".join(unfinished) or None,
        settings=structs.replace(first.settings, workers=sum(m.settings.workers or 1 for m in manifests)),
        notes=[f"sent by {len(parts)} senders as shards of one workload", _clock_note(parts, clocks),
               *dict.fromkeys(notes)],
        shard=structs.replace(shards[0], index=UNSET, clock=UNSET, clocks=clocks),
    )  # fmt: skip


def _clock_note(parts: Sequence[ShardFolder], clocks: Sequence[ClockOffset | None]) -> str:
    """How far the senders' clocks differ, as far as that is known."""
    known = [clock for clock in clocks if clock is not None]
    if len(known) < len(parts):
        return "how much the senders' clocks differ is not known: not all could be compared with another"
    worst = max(offset.precision_s for offset in known)
    against = known[0].against
    behind = max(part.behind_s for part in parts)
    if behind > 0:
        return (
            f"the senders' clocks differed by {1000 * behind:,.0f} ms, ± {1000 * worst:,.0f} ms, against "
            f"{against}; instants were moved to the one that was farthest ahead"
        )
    return (
        f"the senders' clocks agree within what could be seen, ± {1000 * worst:,.0f} ms against {against}; "
        "gaps between requests of different senders are not more exact than that"
    )


def _copied(part: ShardFolder, planned: pl.DataFrame, worker: int, out: Path) -> None:
    """Write a shard's record into the whole, its workers counted from `worker` on."""
    intended = pl.col("intended_s")
    for piece in read_pieces(part.folder):
        if piece.is_empty():
            continue
        moved = piece
        if part.behind_s:
            at = piece.join(planned, on="request_id", how="left", maintain_order="left")["at_s"]
            followed = (piece["intended_s"] - at).abs() > AS_PLANNED_S
            moved = piece.with_columns(
                pl.when(followed).then(intended + part.behind_s).otherwise(intended),
                pl.col("sent_s", "first_token_s", "ended_s") + part.behind_s,
            )
        with record_path(out, part.index).open("ab") as file:
            moved.with_columns(pl.col("worker") + worker).write_ndjson(file)
