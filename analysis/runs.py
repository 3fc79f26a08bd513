"""A run's folder as a log: which of its files hold the requests, and what it says of itself.

Only what reading it as a trace needs. Not here: the record itself (`burstlens.bench.record`), its format
(`queries/ingest/burstlens_record.sql`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from .errors import BurstlensError

RUN = "run.json"
"""Marks a folder as a run, and says what was asked of whom."""
RECORDS = "record-*.jsonl"
"""One file a worker, one line a request."""
FORMAT = "burstlens_record"


def opened(paths: Iterable[Path]) -> list[Path]:
    """The paths, each run's folder replaced by its records; BurstlensError where it holds none."""
    files: list[Path] = []
    for path in paths:
        if not _is_run(path):
            files.append(path)
            continue
        records = sorted(path.glob(RECORDS), key=lambda file: (len(file.name), file.name))
        if not records:
            raise BurstlensError(f"{path}: this run recorded no request; give the folder of one that did")
        # A worker that was given nothing to do, or was stopped at once, leaves an empty file.
        files += [file for file in records if file.stat().st_size] or records[:1]
    return files


def _is_run(path: Path) -> bool:
    """Whether it is a run's folder; what cannot be asked is none, and reading it tells why."""
    try:
        return (path / RUN).is_file()
    except OSError:
        return False


def run_name(record: Path) -> str:
    """The name of the run that a record belongs to: its folder's, else the file's own."""
    folder = record.absolute().parent
    return folder.name if _is_run(folder) else record.stem


def is_made_up(record: Path) -> bool:
    """Whether its load was synthetic or its answers simulated, as its manifest says."""
    try:
        said = json.loads((record.parent / RUN).read_text(encoding="utf-8"))
        return bool(said.get("synthetic") or said.get("simulated"))
    except (OSError, ValueError, AttributeError):
        return False
