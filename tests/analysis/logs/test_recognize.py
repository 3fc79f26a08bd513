"""Which format a log has: what decides, what is refused, and which flag chooses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from burstlens.analysis.core.errors import InputError
from burstlens.analysis.logs.options import LogOptions
from burstlens.analysis.trace.trace import open_trace

THREE_KEYS: list[dict[str, Any]] = [
    {"timestamp": 90.0 * i, "input_length": 30, "output_length": 4} for i in range(12)
]


def log(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_two_readings_are_named_with_span_rate_and_flag(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        open_trace(log(tmp_path / "log.jsonl", THREE_KEYS))
    message = str(error.value)
    assert "\n" not in message
    for part in ("in seconds", "990 s", "in milliseconds", "0.99 s", "log_format='guidellm'", "'mooncake'"):
        assert part in message


@pytest.mark.parametrize(("name", "span_s"), [("guidellm", 990.0), ("mooncake", 0.99)])
def test_the_flag_chooses(tmp_path: Path, name: str, span_s: float) -> None:
    path = log(tmp_path / "log.jsonl", THREE_KEYS)
    with open_trace(path, options=LogOptions(log_format=name)) as trace:
        assert trace.info.format == name
        assert trace.end_s - trace.start_s == pytest.approx(span_s)


def test_stamps_since_1970_leave_no_doubt(tmp_path: Path) -> None:
    rows = [{**row, "timestamp": 1_790_000_000_000 + 60_000 * i} for i, row in enumerate(THREE_KEYS)]
    with open_trace(log(tmp_path / "log.jsonl", rows)) as trace:
        assert trace.end_s - trace.start_s == 660.0


@pytest.mark.parametrize(
    ("more", "format"),
    [
        ({"hash_ids": [1, 2]}, "mooncake"),
        (
            {"chat_id": 1, "parent_chat_id": -1, "turn": 1, "type": "text", "hash_ids": [1, 2]},
            "qwen_bailian",
        ),
    ],
)
def test_a_key_that_one_format_has_decides(tmp_path: Path, more: dict[str, Any], format: str) -> None:
    rows = [{**row, "timestamp": 1000 * row["timestamp"], **more} for row in THREE_KEYS]
    with open_trace(log(tmp_path / "log.jsonl", rows)) as trace:
        assert trace.info.format == format


def test_a_format_that_the_log_cannot_have_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    path = log(tmp_path / "log.jsonl", THREE_KEYS)
    with pytest.raises(InputError, match=r"'startTime'"):
        open_trace(path, options=LogOptions(log_format="litellm_spend_logs"))
    with pytest.raises(InputError, match=r"no format 'mooncak'"):
        open_trace(path, options=LogOptions(log_format="mooncak"))


def test_a_log_of_nothing_known_names_the_verb_that_looks_at_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"burstlens columns .*log\.jsonl"):
        open_trace(log(tmp_path / "log.jsonl", [{"when": 3, "much": 5}] * 3))
