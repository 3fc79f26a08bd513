"""A run's folder as a log: the files that have the requests, and what its manifest says.

The folders of shards, which several senders wrote of one workload, are one log together, on one clock. Only
what reading them as a trace needs. Not here: the record itself (`burstlens.bench.record.run_folder`), its
format (`queries/sql/ingest/burstlens_record.sql`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from ...core.errors import DiskError, InputError
from ...core.option_names import option

RUN = "run.json"
"""The manifest, which marks a folder as a run."""
RECORDS = "record-*.jsonl"
"""One file a worker, one line a request."""
FORMAT = "burstlens_record"


SHARED = {
    "of": "number of shards",
    "workload_sha256": "workload",
    "seed": option("seed"),
    "start_unix_s": option("start_at"),
    "prompts": "kind of prompts",
    "served_model": "served model",
}
"""What the shards of one workload have in common: keys of the manifest, and their names in messages."""


@dataclass(frozen=True)
class ShardFolder:
    """The folder of one shard, with its manifest."""

    folder: Path
    index: int
    manifest: dict[str, Any]
    behind_s: float = 0.0
    """What to add to its instants, to be on the clock of the sender that is farthest ahead."""

    @property
    def name(self) -> str:
        """The shard and its folder, for messages."""
        return f"{self.folder} (shard {self.index}/{self.manifest['of']})"


@dataclass(frozen=True)
class Record:
    """A file of a log, and what its instants are to be moved by, in seconds."""

    path: Path
    behind_s: float = 0.0


def record_files(paths: Iterable[Path]) -> list[Record]:
    """Replace each run folder among some paths by its record files.

    Folders of shards must be all those of one workload (see `shards_of`).

    Parameters
    ----------
    paths : iterable of Path

    Returns
    -------
    list of Record

    Raises
    ------
    InputError
        If a run folder has no record files.
    """
    listed = list(paths)
    parts = {part.folder: part for part in shards_of(listed)}
    files: list[Record] = []
    for path in listed:
        if not is_run(path):
            files.append(Record(path))
            continue
        records = sorted(path.glob(RECORDS), key=lambda file: (len(file.name), file.name))
        if not records:
            raise InputError(f"{path}: this run recorded no request; give the folder of one that did")
        # A worker that was given nothing to do, or was stopped at once, leaves an empty file.
        filled = [file for file in records if file.stat().st_size]
        if path in parts:
            files += [Record(file, parts[path].behind_s) for file in filled]
        else:
            files += [Record(file) for file in filled or records[:1]]
    if parts and not files:
        raise InputError(f"{listed[0]}: these shards recorded no request")
    return files


def shards_of(paths: Sequence[Path]) -> list[ShardFolder]:
    """List the shards among some folders by index, on one clock.

    Parameters
    ----------
    paths : sequence of Path

    Returns
    -------
    list of ShardFolder
        Empty if no folder is a shard.

    Raises
    ------
    BurstlensError
        If they are not all the shards of one workload, each once, and nothing else.
    """
    parts = sorted((part for path in paths if (part := _shard_folder(path))), key=lambda part: part.index)
    if not parts:
        return []
    first = parts[0]
    others = [path for path in paths if path not in {part.folder for part in parts}]
    if others:
        raise InputError(f"{others[0]}: is not a shard, and cannot be one trace with {first.name}")
    for key, words in SHARED.items():
        for part in parts[1:]:
            if part.manifest.get(key) != first.manifest.get(key):
                raise InputError(
                    f"{part.name}: has another {words} than {first.name}; give the shards of one workload, "
                    "sent together"
                )
    for one, other in pairwise(parts):
        if one.index == other.index:
            raise InputError(f"{one.folder} and {other.folder}: are the same shard; give each shard once")
    missing = sorted(set(range(first.manifest["of"])) - {part.index for part in parts})
    if missing:
        named = ", ".join(f"{index}/{first.manifest['of']}" for index in missing[:8])
        more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
        raise InputError(
            f"{first.name}: of its shards {named}{more} {'is' if len(missing) == 1 else 'are'} missing; give "
            "the folders of all"
        )
    return _on_one_clock(parts)


def _shard_folder(path: Path) -> ShardFolder | None:
    """The shard of a folder; None if it does not belong to a shard."""
    if not is_run(path):
        return None
    try:
        content = json.loads((path / RUN).read_text(encoding="utf-8"))
        shard = content.get("shard")
        if not shard or "index" not in shard:
            return None
        fields = {
            **shard,
            "served_model": content["served_model"],
            "prompts": content["settings"].get("prompts"),
        }
        return ShardFolder(path, int(shard["index"]), {"of": int(shard["of"]), **fields})
    except OSError as fault:
        raise DiskError.unreadable(path / RUN, fault) from fault
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise InputError(f"{path / RUN}: is not a manifest of a run: {fault}") from fault


def _on_one_clock(parts: list[ShardFolder]) -> list[ShardFolder]:
    """Where clocks are known to differ, how far each is behind the one that is farthest ahead.

    They are known to differ where no one offset lies within the bounds of all; else nothing is moved, since
    the difference may be none.
    """
    clocks = [part.manifest.get("clock") for part in parts]
    bounds = [(float(clock["low_s"]), float(clock["high_s"])) for clock in clocks if clock]
    if len(bounds) < len(parts) or max(low for low, _ in bounds) <= min(high for _, high in bounds):
        return parts
    middles = [(low + high) / 2 for low, high in bounds]
    ahead = max(middles)
    return [
        ShardFolder(part.folder, part.index, part.manifest, round(ahead - middle, 6))
        for part, middle in zip(parts, middles, strict=True)
    ]


def is_run(path: Path) -> bool:
    """Return whether a path is a run's folder; False if it cannot be examined, and reading it says why."""
    try:
        return (path / RUN).is_file()
    except OSError:
        return False


def run_name(record: Path) -> str:
    """Name the run that a record belongs to: its folder's name, else the file's own."""
    folder = record.absolute().parent
    return folder.name if is_run(folder) else record.stem


def is_synthetic_run(record: Path) -> bool:
    """Return whether a run's load was synthetic or its answers simulated, as its manifest says."""
    try:
        content = json.loads((record.parent / RUN).read_text(encoding="utf-8"))
        return bool(content.get("synthetic") or content.get("simulated"))
    except (OSError, ValueError, AttributeError):
        return False
