"""The library logs quietly; the command line shows or writes the log where it is asked to."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import burstlens as bl
from tests.helpers import burstlens

REPLAY = ("replay", "shape=1,scale=1,exponent=1", "--simulate", "llama-2-13b-a100", "--first", "5", "--quiet")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of one minute."""
    path = tmp_path / "log.csv"
    rows = "".join(f"{second},ChatGPT,10,20,30,API log\n" for second in range(60))
    path.write_text("Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n" + rows)
    return path


def test_the_log_is_shown_with_verbose_alone(log: Path, tmp_path: Path) -> None:
    words = ("ingest", log, "-o", tmp_path / "trace.parquet", "--quiet")
    assert burstlens(*words).stderr == ""
    stderr = burstlens(*words, "-v").stderr
    assert "60 requests, 0 rows rejected" in stderr
    assert burstlens(*words).stderr == "", "the log ends with its command"


def test_the_log_goes_to_a_file_and_is_appended(tmp_path: Path) -> None:
    file = tmp_path / "burstlens.log"
    for name in ("a", "b"):
        done = burstlens(*REPLAY, "-o", tmp_path / name, "--log-file", file)
        assert (done.returncode, done.stderr) == (0, "")
    lines = file.read_text().splitlines()
    assert len([line for line in lines if "5 answered, 0 failed" in line]) == 2
    assert all(" INFO burstlens." in line for line in lines)
    done = burstlens(*REPLAY, "-o", tmp_path / "c", "--log-file", tmp_path / "none" / "x.log")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_a_program_gets_the_log_from_its_own_handlers(log: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "burstlens"):
        bl.trace(log).close()
    (record,) = [each for each in caplog.records if each.name == "burstlens.analysis.trace.trace"]
    assert "log: burstgpt, 60 requests" in record.getMessage()
