"""`columns`: an unknown log's values, their likely roles, and a mapping that then reads it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

import burstlens as bl
from tests.helpers import burstlens

BEGIN = 1_790_000_000


def gateway(path: Path, n: int = 60) -> Path:
    """A made-up gateway: end stamps in milliseconds, nested usage, a status in words."""
    rows = [
        {
            "finished_at": 1000 * (BEGIN + 30 * i) + 500,
            "latency_ms": 500,
            "model": "small",
            "usage": {"prompt_tokens": 90 + i, "completion_tokens": 12, "cached_tokens": 16},
            "user": {"id": f"user-{i % 7}"},
            "session_id": f"s-{i // 3}",
            "status": "failure" if i % 10 == 0 else "success",
            "messages": [{"role": "user", "content": "made up"}],
        }
        for i in range(n)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_proposed_mapping_reads_the_log(tmp_path: Path) -> None:
    log = gateway(tmp_path / "gateway.jsonl")
    found = bl.columns(log)
    assert found.mapping == {
        "ended": "finished_at",
        "elapsed_ms": "latency_ms",
        "request_tokens": "usage.prompt_tokens",
        "response_tokens": "usage.completion_tokens",
        "cached_tokens": "usage.cached_tokens",
        "model": "model",
        "session": "session_id",
        "client": "user.id",
        "failed": "status!=success",
    }
    with bl.trace(log, columns=found.mapping) as trace:
        rows = trace.requests()
    assert rows["arrival_s"].diff().drop_nulls().unique().to_list() == [30.0]
    assert rows["failed"].sum() == 6
    assert rows["elapsed_s"].unique().to_list() == [0.5]
    assert found.to_frame()["place"].to_list()[3:6] == [
        "usage.prompt_tokens",
        "usage.completion_tokens",
        "usage.cached_tokens",
    ]


def test_the_command_that_it_prints_runs(tmp_path: Path) -> None:
    log = gateway(tmp_path / "gateway.jsonl")
    _, verb, *words = shlex.split(bl.columns(log).command)
    assert verb == "report"
    done = burstlens("describe", *words, "--json")
    assert json.loads(done.stdout)["trace"]["rows"] == 60


def test_a_kept_mapping_reads_the_log(tmp_path: Path) -> None:
    log = gateway(tmp_path / "gateway.jsonl")
    bl.columns(log, tmp_path / "gateway.toml")
    with bl.trace(log, reading=bl.LogOptions(mapping=tmp_path / "gateway.toml")) as trace:
        assert trace.info.rows == 60


@pytest.mark.parametrize("as_json", [False, True])
def test_the_screen_shows_every_value(tmp_path: Path, as_json: bool) -> None:
    log = gateway(tmp_path / "gateway.jsonl")
    done = burstlens("columns", str(log), *(["--json"] if as_json else []))
    assert done.returncode == 0
    for place in ("finished_at", "usage.completion_tokens", "user.id", "messages[0].role"):
        assert place in done.stdout


def test_a_known_log_needs_no_mapping(tmp_path: Path) -> None:
    bl.synth(tmp_path / "synthetic.csv", days=0.1).close()
    found = bl.columns(tmp_path / "synthetic.csv")
    assert found.format is not None
    assert found.mapping == {}


@pytest.mark.parametrize("rows", [[{"a": "x"}], [{"when": "soon", "b": None}]])
def test_a_log_without_a_time_has_no_mapping(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert bl.columns(tmp_path / "log.jsonl").mapping == {}
