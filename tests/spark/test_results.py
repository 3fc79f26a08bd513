"""What is fitted and written is the same from either engine, but for the engine's name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import burstlens as bl
from burstlens.analysis.core.units import DAY_S
from burstlens.analysis.logs.files.sniff import IDENTITY, parquet_files
from burstlens.analysis.trace.parquet import write_folder
from burstlens.analysis.trace.subset import requests_of
from burstlens.analysis.trace.trace import Cluster, open_trace

from .conftest import Both, Open
from .test_reading import alike

pytestmark = pytest.mark.spark


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every plain value of nested JSON with its place."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from leaves(item, f"{path}[{i}]")
    else:
        yield path, value


def same(mine: Any, theirs: Any) -> None:
    """Equal but for the engine's name; numbers that are fitted to sums within their rounding."""
    first, again = dict(leaves(mine)), dict(leaves(theirs))
    assert first.keys() == again.keys()
    for path, value in first.items():
        if path.endswith(".engine"):
            assert (value, again[path]) == ("duckdb", "spark")
        elif isinstance(value, float):
            assert again[path] == pytest.approx(value, rel=1e-9, abs=1e-12), path
        else:
            assert again[path] == value, path


def test_parameters_and_report_are_the_same_but_for_the_engine(
    traces: Callable[[str], Path], local: Cluster, tmp_path: Path
) -> None:
    log = traces("burstgpt_3_first400.csv")
    engines: tuple[dict[str, Any], ...] = (
        {},
        {"engine": "spark", "master": local.master, "conf": local.conf},
    )
    for name, options in zip(("duckdb", "spark"), engines, strict=True):
        bl.report([log], tmp_path / name, images=False, **options)
    files = [tmp_path / name / "parameters.json" for name in ("duckdb", "spark")]
    same(*(json.loads(file.read_text()) for file in files))
    reports = [
        json.loads((tmp_path / name / "report.json").read_text())["traces"] for name in ("duckdb", "spark")
    ]
    same(*reports)


def test_two_logs_compare_alike_on_both_engines_also_where_one_clock_is_finer(
    traces: Callable[[str], Path], local: Cluster, tmp_path: Path
) -> None:
    header, *rows = traces("burstgpt_3_first400.csv").read_text().splitlines()
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    one.write_text("\n".join([header, *rows[:250]]))
    finer = [f"{float(stamp) + 0.25},{rest}" for stamp, _, rest in (row.partition(",") for row in rows[150:])]
    other.write_text("\n".join([header, *finer]))
    mine = bl.compare(one, other)
    theirs = bl.compare(one, other, engine="spark", master=local.master, conf=local.conf)
    assert theirs.notes == mine.notes
    assert len(theirs.notes) == 1
    assert theirs.part.missing == mine.part.missing
    # Stretches end with slots of time there: how often relabelled ones lie as far apart may differ a little.
    first, again = (each.to_frame().drop("p_value").to_dicts() for each in (mine, theirs))
    same(first, again)
    assert any(row["kind"] == "distance" for row in first)


def test_a_trace_by_day_is_read_by_both_engines_whoever_wrote_it(
    both: Open, traces: Callable[[str], Path], local: Cluster, tmp_path: Path
) -> None:
    log = traces("burstgpt_3_first400.csv")
    spark: dict[str, Any] = {"engine": "spark", "master": local.master, "conf": local.conf}
    bl.ingest(log, tmp_path / "mine", partition_by="day")
    bl.ingest(log, tmp_path / "theirs", partition_by="day", **spark)
    bl.ingest(log, tmp_path / "whole", **spark)
    source = open_trace(log)
    for name in ("mine", "theirs", "whole"):
        folder = tmp_path / name
        assert (folder / IDENTITY).is_file()
        opened: Both = both(folder)
        alike(opened)
        assert opened.duckdb.info == source.info
        days = {int(file.parent.name.partition("=")[2]) for file in folder.glob("day=*/*.parquet")}
        all_days = {int(t // DAY_S) for t in pl.read_parquet(folder / "**/*.parquet")["arrival_s"]}
        assert days == (all_days if name != "whole" else set())
    source.engine.close()


def test_a_span_of_time_reads_only_its_days(
    traces: Callable[[str], Path], local: Cluster, tmp_path: Path
) -> None:
    folder = tmp_path / "trace"
    bl.ingest(traces("burstgpt_1_first7days.csv"), folder, partition_by="day")
    span = (2 * DAY_S + 3600, 3 * DAY_S)
    assert {file.parent.name for file in parquet_files(folder, *span)} == {"day=000002"}
    # What is outside may be anything: it is not opened.
    for file in folder.glob("day=000005/*.parquet"):
        file.write_bytes(b"PAR1 damaged")
    arrivals = pl.read_parquet(folder / "day=000002/*.parquet")["arrival_s"]
    inside = int((arrivals >= span[0]).sum())
    for cluster in (None, local):
        trace = open_trace(folder, span=span, cluster=cluster)
        assert trace.info.rows == inside
        assert trace.start_s >= span[0]
        trace.engine.close()
    with pytest.raises(bl.BurstlensError, match="no request lies between start_s and end_s"):
        open_trace(folder, span=(40 * DAY_S, None))


def test_a_folder_that_is_no_trace_is_not_overwritten(traces: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(bl.BurstlensError, match="something else is there"):
        bl.ingest(traces("burstgpt_3_first400.csv"), tmp_path / "mine", partition_by="day")
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"


def test_requests_of_one_second_keep_the_order_of_the_log_on_both_engines(
    local: Cluster, tmp_path: Path
) -> None:
    log, folder = tmp_path / "log.csv", tmp_path / "trace"
    n = 60_000
    second = (pl.int_range(n, eager=True) // 100 * 7919) % 600
    frame = pl.DataFrame({"Timestamp": second, "Model": "A", "Request tokens": range(1, n + 1)}).with_columns(
        pl.lit(1).alias("Response tokens"),
        pl.lit(2).alias("Total tokens"),
        pl.lit("API log").alias("Log Type"),
    )
    frame.write_csv(log)
    expected = frame.sort("Timestamp", maintain_order=True)["Request tokens"].to_list()
    # Pieces of files are read in parallel, the largest first.
    cluster = Cluster(local.master, {**local.conf, "spark.sql.files.maxPartitionBytes": "200k"})
    with open_trace([log], cluster=cluster) as trace:
        for first in (250, None):
            assert requests_of(trace, first=first)["request_tokens"].to_list() == expected[:first]
        write_folder(trace, folder, by_day=True)
    with open_trace([folder]) as written:
        assert requests_of(written)["request_tokens"].to_list() == expected
