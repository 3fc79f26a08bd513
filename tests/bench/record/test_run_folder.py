"""Run folders: what was flushed is read back, whatever happened to the process."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from msgspec import structs

from burstlens import BurstlensError
from burstlens.bench.record.models import SCHEMA, Manifest, RecordLine, RunSettings
from burstlens.bench.record.run_folder import (
    Writer,
    begin,
    read_manifest,
    read_record,
    read_server,
    read_workload,
    record_path,
)
from tests.bench.simulated.loads import workload

LOAD = workload([0.0, 1.0, 2.0], [10, 20, 30], [1, 2, 3])
MANIFEST = Manifest(
    "a load", True, {"seed": 1}, LOAD.sha256, 3, "http://h", "m", None, None, RunSettings(), 1e9
)


def line(request_id: int) -> RecordLine:
    return RecordLine(request_id=request_id, worker=0, outcome="ok", gaps_s=[0.1, 0.2], error="é\n")


def test_a_manifest_and_its_workload_are_read_back(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "run"
    begin(folder, MANIFEST, LOAD)
    assert read_manifest(folder) == structs.replace(MANIFEST, notes=[])
    assert read_workload(folder).requests.equals(LOAD.requests)
    assert read_workload(folder).sha256 == MANIFEST.workload_sha256
    assert read_record(folder).schema == pl.Schema(SCHEMA)
    assert read_server(folder).is_empty()


@pytest.mark.slow
def test_a_record_cut_anywhere_reads_as_its_complete_lines_and_can_be_continued(tmp_path: Path) -> None:
    path = record_path(tmp_path, 0)
    writer = Writer(path)
    for i in range(3):
        writer.add(line(i))
    writer.close()
    data = path.read_bytes()
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        lines_left = data[:cut].count(b"\n")
        assert read_record(tmp_path)["request_id"].to_list() == list(range(lines_left))
        again = Writer(path)
        again.add(line(7))
        again.close()
        assert read_record(tmp_path)["request_id"].to_list() == [*range(lines_left), 7]
    assert read_record(tmp_path)["gaps_s"].to_list()[0] == [0.1, 0.2]


def test_a_line_of_something_else_is_named(tmp_path: Path) -> None:
    record_path(tmp_path, 0).write_text('{"request_id": 0}\nhello\n')
    with pytest.raises(BurstlensError, match=r"record-0\.jsonl:2: is not a line of a record"):
        read_record(tmp_path)


def test_a_folder_is_a_run_once(tmp_path: Path) -> None:
    with pytest.raises(BurstlensError, match="so it is not a run"):
        read_manifest(tmp_path)
    begin(tmp_path, MANIFEST, LOAD)
    with pytest.raises(BurstlensError, match="has a run already"):
        begin(tmp_path, MANIFEST, LOAD)
    (tmp_path / "run.json").write_text('{"version": 99}')
    with pytest.raises(BurstlensError, match="version 99"):
        read_manifest(tmp_path)
    (tmp_path / "run.json").write_text("[")
    with pytest.raises(BurstlensError, match="is not the manifest of a run"):
        read_manifest(tmp_path)


def test_a_record_read_in_pieces_is_the_record_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"request_id": i, "outcome": "ok", "gaps_s": [0.1] * (i % 7)} for i in range(500)]
    lines = [json.dumps(row).encode() + b"\n" for row in rows]
    path = record_path(tmp_path, 0)
    path.write_bytes(b"".join(lines) + b'{"request_id":500,"out')
    record = read_record(tmp_path)
    assert record["request_id"].to_list() == list(range(500))
    # Pieces shorter than a line, of a line exactly, and of several.
    for size in (7, len(lines[0]), 1000):
        monkeypatch.setattr("burstlens.bench.record.run_folder.PIECE", size)
        assert read_record(tmp_path).equals(record)
    path.write_bytes(b"".join(lines[:300]) + b"{\n" + b"".join(lines[300:]))
    with pytest.raises(BurstlensError, match=r"record-0\.jsonl:301: is not a line of a record"):
        read_record(tmp_path)
