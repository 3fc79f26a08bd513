"""The catalogue of public traces, its mirrors, and real traces fetched by name."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import burstlens
from burstlens.analysis.core.errors import BurstlensError
from burstlens.public_traces.catalogue import catalogue, fetch, fetch_trace, find, list_public

from .conftest import CONTENT, OTHER, QUICK, Mirror, Turn, left_in, trace_of


@pytest.mark.parametrize(
    ("source", "paths"),
    [
        ("", ["/published.csv"]),
        ("/", ["/published.csv"]),
        ("/traces/v2.0", ["/traces/v2.0/published.csv"]),
        ("/traces/?key=1", ["/traces/published.csv?key=1"]),
        ("/some/renamed.csv", ["/some/renamed.csv"]),
        ("/d/log.csv?key=1", ["/d/log.csv?key=1"]),
    ],
)
def test_a_mirror_is_a_base_or_a_full_address(
    mirror: Mirror, tmp_path: Path, source: str, paths: list[str]
) -> None:
    mirror.turns = [Turn(CONTENT)]
    trace = trace_of(url="http://127.0.0.1:9/v2.0/published.csv")
    assert fetch_trace(trace, out=tmp_path, source=mirror.url + source, patience=QUICK).verified
    assert [a.path for a in mirror.requests] == paths


def test_a_mirror_may_have_the_file_under_our_name(mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [Turn(CONTENT, status=404), Turn(CONTENT)]
    trace = trace_of(url="http://127.0.0.1:9/v2.0/published.csv")
    assert fetch_trace(trace, out=tmp_path, source=mirror.url, patience=QUICK).verified
    assert [a.path for a in mirror.requests] == ["/published.csv", "/log.csv"]


def test_a_mirror_may_be_a_folder_or_a_file(tmp_path: Path) -> None:
    there = tmp_path / "with space"
    there.mkdir()
    (there / "published.csv").write_bytes(CONTENT)
    (there / "other.csv").write_bytes(OTHER)
    trace = trace_of(url="http://127.0.0.1:9/v2.0/published.csv")
    sources = [str(there), str(there / "published.csv"), there.as_uri(), (there / "published.csv").as_uri()]
    seen: list[tuple[int, int | None]] = []
    for number, source in enumerate(sources):
        got = fetch_trace(
            trace, out=tmp_path / str(number), source=source, progress=lambda *done: seen.append(done)
        )
        assert got.path.read_bytes() == CONTENT
        assert seen.pop() == (len(CONTENT), len(CONTENT))
    with pytest.raises(BurstlensError, match=r"log\.csv refused: expected SHA-256"):
        fetch_trace(trace, out=tmp_path / "bad", source=str(there / "other.csv"))
    assert left_in(tmp_path / "bad") == ["log.csv.refused"]


@pytest.mark.parametrize(
    ("source", "words"), [("/no/such/folder", "there is no /no/such/folder"), ("ftp://x/y", "source ftp://")]
)
def test_a_mirror_that_is_none(tmp_path: Path, source: str, words: str) -> None:
    with pytest.raises(BurstlensError, match=words):
        fetch_trace(trace_of(), out=tmp_path, source=source)
    assert left_in(tmp_path) == []


def test_the_catalogue_agrees_with_what_was_measured_on_the_files(
    traces: Callable[[str], Path],
) -> None:
    truth = json.loads(traces("ground_truth.json").read_text())
    release = {t.file: t for t in catalogue().values() if "/HPMLL/BurstGPT/releases/download/v2.0/" in t.url}
    measured = {file: facts for file, facts in truth["release_v2_0_assets"].items() if file.endswith(".csv")}
    assert set(release) == set(measured)
    for file, facts in measured.items():
        assert release[file].url.endswith("/" + file)
        assert (release[file].bytes, release[file].sha256) == (facts["bytes"], facts["sha256"])
        assert release[file].rows == facts.get("rows")
    measured_alone = truth["repo_main_data_BurstGPT_1_csv"]
    trace = find("burstgpt-1-repository")
    assert (trace.bytes, trace.rows, trace.sha256) == (
        measured_alone["bytes"],
        measured_alone["rows"],
        measured_alone["sha256"],
    )


@pytest.mark.parametrize(
    ("name", "real"),
    [
        ("azure-llm-2023-conversation", "azure_llm_2023_conv.csv"),
        ("mooncake-conversation", "mooncake_conversation_trace.jsonl"),
    ],
)
def test_a_real_trace_arrives_over_a_bad_line(
    mirror: Mirror, traces: Callable[[str], Path], tmp_path: Path, name: str, real: str
) -> None:
    content = traces(real).read_bytes()
    mirror.turns = [Turn(content, stop_after=len(content) // 2), Turn(content)]
    got = fetch_trace(find(name), out=tmp_path, source=mirror.url, patience=QUICK)
    assert got.verified
    assert got.path.read_bytes() == content
    rows = find(name).rows
    assert rows is not None
    assert content.rstrip().count(b"\n") == rows - (name.startswith("mooncake"))
    assert fetch(name, out=tmp_path / "copy", source=str(traces(real))).verified


def test_the_catalogue_is_complete_and_honest() -> None:
    traces = catalogue()
    assert len({t.file.casefold() for t in traces.values()}) == len(traces)
    assert {"burstgpt-1", "azure-llm-2024-code", "mooncake-toolagent", "maf1", "maf2"} <= set(traces)
    for trace in traces.values():
        assert trace.url.startswith("https://")
        assert trace.home.startswith("https://")
        assert trace.licence in {"CC-BY-4.0", "Apache-2.0"}
        assert trace.sha256 is None or (re.fullmatch("[0-9a-f]{64}", trace.sha256) and trace.checksum_from)
        assert bool(trace.archive) == bool(trace.members)
    assert len(traces["maf1"].members) == 14


def test_the_list_has_a_row_a_trace() -> None:
    table = list_public()
    assert table.columns == ["name", "rows", "bytes", "licence", "checksum", "title"]
    assert table["name"].to_list() == list(catalogue())
    one = table.row(by_predicate=pl.col("name") == "burstgpt-1", named=True)
    assert (one["rows"], one["bytes"], one["checksum"]) == (1_429_737, 52_283_111, True)


def test_names_are_found_in_any_case_and_wrong_ones_get_the_nearest() -> None:
    assert find("BurstGPT_1.CSV").name == find(" BURSTGPT-1 ").name == "burstgpt-1"
    with pytest.raises(BurstlensError, match=r"did you mean .*mooncake-toolagent"):
        fetch("mooncake-toll-agent")
    with pytest.raises(
        BurstlensError, match=r"did you mean azure-llm-2024-conversation or azure-llm-2024-code\?"
    ):
        fetch("2024")
    with pytest.raises(BurstlensError, match="there are burstgpt-1, "):
        fetch("zzzz")


def test_the_public_function_is_still_one_after_its_first_call(
    traces: Callable[[str], Path], tmp_path: Path
) -> None:
    mirror = str(traces("azure_llm_2023_conv.csv"))
    for folder in ("a", "b"):
        got = burstlens.fetch("azure-llm-2023-conversation", tmp_path / folder, source=mirror)
        assert got.verified


def test_nothing_of_http_is_loaded_before_a_fetch() -> None:
    code = (
        "import sys; from burstlens.public_traces.catalogue import list_public; list_public(); "
        "sys.exit('aiohttp' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], env=dict(os.environ)).returncode == 0
