"""The record of a run reads as a log: what was sent, when, how long, and which of it failed."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from burstlens.analysis.core.errors import BurstlensError
from burstlens.analysis.trace.trace import ingest, open_trace
from burstlens.bench.record.models import ANSWERED, OUTCOMES, Manifest, RunSettings
from burstlens.bench.record.run_folder import begin, record_path
from burstlens.bench.simulated.presets import load_preset
from burstlens.bench.simulated.virtual import simulate_frame
from tests.bench.conftest import a_record
from tests.bench.simulated.loads import bursty


def a_run(folder: Path, *records: pl.DataFrame, synthetic: bool = False, engine: str | None = None) -> Path:
    """A run's folder, one record a worker."""
    load = bursty(1, 1.0)
    manifest = Manifest(
        "a load", synthetic, {}, load.sha256, 1, "http://h", "m", engine, None, RunSettings(), 1e9
    )
    begin(folder, manifest, load)
    for worker, record in enumerate(records):
        record.write_ndjson(record_path(folder, worker))
    return folder


def sent(at_s: float, **rest: object) -> dict[str, object]:
    return {"intended_s": at_s - 0.25, "sent_s": at_s, "ended_s": at_s + 2.0, "service": "chat", **rest}


def rows(path: Path, tmp_path: Path) -> list[dict[str, object]]:
    out = tmp_path / "trace.parquet"
    ingest(path, out=out)
    return pl.read_parquet(out).to_dicts()


def test_a_request_arrives_when_it_was_sent_and_has_the_lengths_that_the_server_counted(
    tmp_path: Path,
) -> None:
    record = a_record(
        sent(1.5, model="big", session=3, request_tokens=12, response_tokens=7),
        sent(0.5, request_tokens=None, request_tokens_asked=40, response_tokens=None),
    )
    assert rows(a_run(tmp_path / "run", record), tmp_path) == [
        {
            "arrival_s": 0.5,
            "service": "chat",
            "model": None,
            "session": None,
            "request_tokens": 40,
            "response_tokens": None,
            "elapsed_s": 2.0,
            "failed": False,
        },
        {
            "arrival_s": 1.5,
            "service": "chat",
            "model": "big",
            "session": "3",
            "request_tokens": 12,
            "response_tokens": 7,
            "elapsed_s": 2.0,
            "failed": False,
        },
    ]


def test_every_outcome_but_an_answer_is_a_failure(tmp_path: Path) -> None:
    record = a_record(*(sent(float(i), outcome=name) for i, name in enumerate(OUTCOMES)))
    run = a_run(tmp_path / "run", record.with_columns(response_tokens=pl.lit(None, pl.Int64)))
    found = rows(run, tmp_path)
    assert [row["failed"] for row in found] == [name not in ANSWERED for name in OUTCOMES]
    # A failure got nothing; how long an answer was that nobody counted is not known.
    assert [row["response_tokens"] for row in found] == [None if n in ANSWERED else 0 for n in OUTCOMES]


def test_a_request_that_was_never_sent_is_set_aside(tmp_path: Path) -> None:
    record = a_record(sent(0.0), sent(1.0, sent_s=None, outcome="aborted"), sent(2.0))
    run = a_run(tmp_path / "run", record)
    done = ingest(run, out=tmp_path / "trace.parquet")
    assert (done.info.rows, done.info.rejected) == (2, 1)
    assert done.rejects is not None
    assert "2" in done.rejects.read_text().splitlines()[1].split(",")


def test_the_records_of_all_workers_are_one_trace_under_the_name_of_the_run(tmp_path: Path) -> None:
    run = a_run(tmp_path / "monday", a_record(sent(0.0), sent(3.0)), a_record(sent(1.0)), a_record(sent(2.0)))
    (run / "record-3.jsonl").touch()  # a worker that was stopped before its first answer
    trace = open_trace(run)
    assert trace.info.name == "monday"
    assert trace.info.rows == 4
    assert [source.name for source in trace.info.sources] == [f"record-{i}.jsonl" for i in range(3)]
    assert trace.info.failure_rule == "outcome is neither ok nor truncated"
    trace.engine.close()


@pytest.mark.parametrize(
    ("manifest", "made_up"), [({}, False), ({"synthetic": True}, True), ({"engine": "a100"}, True)]
)
def test_a_run_of_made_up_load_or_answers_is_synthetic(
    manifest: dict[str, object], made_up: bool, tmp_path: Path
) -> None:
    run = a_run(tmp_path / "run", a_record(sent(0.0), sent(1.0)), **manifest)  # type: ignore[arg-type]
    for path in (run, run / "record-0.jsonl"):
        trace = open_trace(path)
        assert trace.info.synthetic is made_up
        assert trace.info.name == "run"
        trace.engine.close()


def test_a_record_by_itself_is_a_log_and_its_torn_last_line_is_a_reject(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", a_record(sent(0.0), sent(1.0)))
    path = tmp_path / "kept.jsonl"
    path.write_bytes((run / "record-0.jsonl").read_bytes() + b'{"request_id":2,"sent')
    done = ingest(path, out=tmp_path / "trace.parquet")
    assert (done.info.name, done.info.rows, done.info.rejected) == ("kept", 2, 1)


def test_a_run_in_virtual_time_reads_as_the_load_that_it_was_given(tmp_path: Path) -> None:
    load = bursty(500, 1.0)
    record, _ = simulate_frame(load, load_preset("llama-2-13b-a100"), gaps=True)
    found = pl.DataFrame(rows(a_run(tmp_path / "run", record), tmp_path))
    ordered = load.requests.sort("at_s")
    assert found["arrival_s"].to_list() == pytest.approx(ordered["at_s"].to_list())
    assert found["request_tokens"].to_list() == ordered["request_tokens"].to_list()
    assert not found["failed"].any()
    assert found["response_tokens"].to_list() == ordered["response_tokens"].to_list()


def test_a_run_without_a_record_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BurstlensError, match="recorded no request"):
        open_trace(a_run(tmp_path / "run"))
