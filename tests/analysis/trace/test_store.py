"""Which SQL runs where: what a trace in this process asks of DuckDB, and what only a cluster is asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import burstlens as bl
from burstlens.analysis.characterize import characterize
from burstlens.analysis.core.errors import InputError
from burstlens.analysis.trace.bin_counts import Blocks, ask_blocks
from burstlens.analysis.trace.trace import Trace, open_trace
from burstlens.analysis.trace.window_gaps import ask_gaps, windows_of
from burstlens.queries import duckdb
from burstlens.queries.files import question_names, sql_text

CLUSTER = "cluster"


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the SQL files that DuckDB runs from now on."""
    names: list[str] = []

    def noted(name: str) -> str:
        names.append(name)
        return sql_text(name)

    monkeypatch.setattr(duckdb, "sql_text", noted)
    return names


def test_duckdb_is_asked_no_question_of_a_cluster(questions: list[str], tmp_path: Path) -> None:
    bl.synth(tmp_path / "synthetic.csv", days=3, seed=4).close()
    with open_trace(tmp_path / "synthetic.csv") as trace:
        characterize(trace)
    assert len(set(questions)) > 8
    assert not set(questions) & set(question_names(CLUSTER))


@pytest.mark.parametrize("room", ["requests", "lengths", "forecast"])
def test_a_room_of_both_engines_holds_no_question_of_a_cluster(room: str) -> None:
    assert question_names(room)
    assert not set(question_names(room)) & set(question_names(CLUSTER))


def test_sql_counts_gaps_as_arrays_do(week: Trace) -> None:
    windows = windows_of(week, 1200.0)
    answers = ask_gaps(week.engine, week.selections, windows, week.info.resolution_s)
    for (_, mine), (_, theirs) in zip(week.window_gaps(windows), answers, strict=True):
        np.testing.assert_array_equal(mine.requests, theirs.requests)
        np.testing.assert_array_equal(mine.own.cells, theirs.own.cells)
        np.testing.assert_allclose(mine.own.square_sum, theirs.own.square_sum, rtol=1e-12)


def test_sql_counts_bins_as_arrays_do(week: Trace) -> None:
    tick_s = week.info.resolution_s
    segments = week.engine.table("segments").sort("start_tick")
    start, end = segments["start_tick"].to_numpy(), segments["end_tick"].to_numpy()
    block = 3600 / tick_s
    blocks = Blocks(
        int(start[0]), block, np.arange(int(np.ceil((end[-1] + 1 - start[0]) / block))), start, end
    )
    widths = [1 / tick_s, 60 / tick_s, 600 / tick_s]
    answers = ask_blocks(week.engine, week.selections, blocks, widths)
    for (_, counts, gaps), (_, their_counts, their_gaps) in zip(
        week.block_counts(blocks, widths), answers, strict=True
    ):
        for mine, theirs in zip([*counts, gaps], [*their_counts, their_gaps], strict=True):
            for name, values in vars(mine).items():
                np.testing.assert_allclose(values, getattr(theirs, name), rtol=1e-12, err_msg=name)


def test_a_log_at_a_url_needs_spark() -> None:
    with pytest.raises(InputError, match="only Spark reads URLs; give engine='spark'") as caught:
        open_trace(Path("s3a://bucket/log.csv"))
    assert caught.value.where == "s3a://bucket/log.csv"
