"""What a format can hold comes back from it, and what it cannot hold is named."""

from __future__ import annotations

import json
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from burstlens.analysis.core.errors import BurstlensError
from burstlens.analysis.interchange.azure import write_azure
from burstlens.analysis.interchange.burstgpt import DAY0, write_burstgpt
from burstlens.analysis.interchange.exports import RequestExport, WriteOptions, export_named
from burstlens.analysis.interchange.hash_ids import hash_ids
from burstlens.analysis.interchange.mooncake import write_mooncake
from burstlens.analysis.interchange.plain import write_parquet, write_plain_csv
from burstlens.analysis.interchange.requests import Requests
from burstlens.analysis.logs.trace_info import TraceInfo
from burstlens.analysis.trace.parquet import OPTIONAL
from burstlens.analysis.trace.prefix_blocks import BLOCK, convert_blocks
from burstlens.analysis.trace.subset import requests_of
from burstlens.analysis.trace.trace import COLUMNS, open_trace

SCHEMA: dict[str, Any] = {**COLUMNS, "prefix": pl.List(pl.Int64)}
words = st.sampled_from(["ChatGPT", "GPT-4", 'a "quoted", name', "модель", "x:y"])


def identity(n: int, **fields: Any) -> TraceInfo:
    plain: dict[str, Any] = {
        "resolution_s": 1e-7, "day0": DAY0, "synthetic": False, "name": "made", "block_tokens": BLOCK,
    }  # fmt: skip
    return TraceInfo(format="made", sources=(), rows=n, rejected=0, resorted=0, **{**plain, **fields})


@st.composite
def traces(draw: st.DrawFn, per_s: int = 1, sessions: bool = False, blocks: bool = False) -> Requests:
    """Any requests with stamps of so many steps a second; failed ones have no response."""
    n = draw(st.integers(1, 12))
    ticks = sorted(draw(st.lists(st.integers(0, 86_400 * 40 * per_s), min_size=n, max_size=n)))
    rows = []
    for tick in ticks:
        failed = draw(st.booleans()) if per_s == 1 else False
        request = draw(st.integers(0 if failed else 1, 200_000))
        full = list(range(draw(st.integers(0, 50)), 10**6))
        rows.append(
            {
                "arrival_s": tick / per_s,
                "service": draw(st.sampled_from(["conversation", "api", "code", "llm"])),
                "model": draw(words),
                "session": draw(st.none() | words) if sessions else None,
                "request_tokens": request,
                "response_tokens": 0 if failed else draw(st.integers(1, 200_000)),
                "elapsed_s": draw(st.none() | st.integers(0, 10_000).map(lambda ms: ms / 1000))
                if sessions
                else None,
                "failed": failed,
                "prefix": full[: -(-request // BLOCK)] if blocks else None,
            }
        )
    return Requests(pl.DataFrame(rows, schema=SCHEMA), identity(n, has_sessions=sessions))


def read(path: Path) -> tuple[pl.DataFrame, TraceInfo]:
    trace = open_trace(path)
    try:
        return requests_of(trace), trace.info
    finally:
        trace.engine.close()


def back(requests: Requests, suffix: str, write: Any) -> tuple[pl.DataFrame, TraceInfo, list[str]]:
    """What is read of what was written, and what the writer said was lost."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"conv{suffix}"
        lost = write(requests, path)
        return *read(path), lost


quick = settings(max_examples=8, deadline=None)


@pytest.mark.slow
@quick
@given(traces(per_s=10_000_000, sessions=True, blocks=True))
def test_parquet_keeps_everything(requests: Requests) -> None:
    frame, info, lost = back(requests, ".parquet", write_parquet)
    assert_frame_equal(frame, requests.frame)
    assert (info.day0, lost) == (DAY0, [])


@pytest.mark.slow
@quick
@given(traces(per_s=10_000_000, sessions=True))
def test_plain_csv_keeps_all_but_the_date(requests: Requests) -> None:
    frame, info, lost = back(requests, ".csv", write_plain_csv)
    assert_frame_equal(frame, requests.frame)
    assert info.day0 is None
    assert lost == ["the date: day 0 was 2023-11-01"]


@pytest.mark.slow
@quick
@given(traces(sessions=True))
def test_burstgpt_of_eight_columns_keeps_everything(requests: Requests) -> None:
    frame, info, lost = back(requests, ".csv", write_burstgpt)
    assert_frame_equal(frame, requests.frame)
    assert (info.day0, lost) == (DAY0, [])


@pytest.mark.slow
@quick
@given(traces())
def test_burstgpt_of_six_columns_keeps_what_has_no_sessions(requests: Requests) -> None:
    frame, info, lost = back(requests, ".csv", write_burstgpt)
    assert_frame_equal(frame, requests.frame)
    assert (info.day0, lost, info.resolution_s) == (DAY0, [], 1.0)


@pytest.mark.slow
@quick
@given(traces(per_s=100_000))
def test_azure_keeps_instants_and_lengths(requests: Requests) -> None:
    # The log has steps of 100 ns; our reader's doubles of Unix time tell about 2 microseconds apart.
    frame, info, lost = back(requests, ".csv", write_azure)
    columns = ["request_tokens", "response_tokens"]
    assert_frame_equal(frame.select(columns), requests.frame.select(columns))
    assert info.day0 is not None
    days = (info.day0 - DAY0).days
    gap = (frame["arrival_s"] + 86_400.0 * days - requests.frame["arrival_s"]).abs()
    assert gap.max() < 1e-6  # type: ignore[operator]
    assert [each.split(":")[0].split(" (")[0] for each in lost] == [
        "the service of each request", "the model of each request",
    ]  # fmt: skip


@pytest.mark.slow
@quick
@given(traces(per_s=1000, blocks=True))
def test_mooncake_keeps_gaps_lengths_and_blocks(requests: Requests) -> None:
    frame, _, lost = back(requests, ".jsonl", write_mooncake)
    columns = ["request_tokens", "response_tokens", "prefix"]
    assert_frame_equal(frame.select(columns), requests.frame.select(columns))
    gaps = [one["arrival_s"].diff().drop_nulls().to_numpy() for one in (frame, requests.frame)]
    assert np.allclose(gaps[0], gaps[1], atol=1e-6)
    assert not any("rounded" in each for each in lost)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("burstgpt_1_first7days.csv", "burstgpt"),
        ("burstgpt_3_first400.csv", "burstgpt"),
        ("azure_llm_2023_conv.csv", "azure"),
        ("mooncake_conversation_trace.jsonl", "mooncake"),
    ],
)
def test_a_real_log_exported_in_its_own_format_is_the_same_log(
    name: str, form: str, traces: Any, tmp_path: Path
) -> None:
    original, info = read(traces(name))
    export = export_named(form)
    assert isinstance(export, RequestExport)
    path = tmp_path / f"conv{export.suffix}"
    export.write(Requests(original, info), path, WriteOptions())
    again, copied = read(path)
    assert_frame_equal(again.drop("service"), original.drop("service"), abs_tol=1e-6)
    assert (copied.format, copied.rows, copied.day0) == (info.format, info.rows, info.day0)


def one(**columns: Any) -> Requests:
    """A single request."""
    row = {
        "arrival_s": 0.5, "service": "api", "model": "m", "session": None, "request_tokens": 5,
        "response_tokens": 7, "elapsed_s": None, "failed": False, "prefix": None, **columns,
    }  # fmt: skip
    return Requests(pl.DataFrame([row], schema=SCHEMA), identity(1))


def test_whatever_a_format_drops_is_named(tmp_path: Path) -> None:
    full = one(arrival_s=0.00004, session="s", elapsed_s=1.0, failed=True, prefix=[3])
    lost = write_mooncake(full, tmp_path / "a.jsonl")
    # The first request is second 0, so its own fraction is not lost.
    assert [each.split(":")[0] for each in lost] == [
        "the session of 1 request",
        "the latency of 1 request",
        "which 1 request failed",
        "the service of each request (api)",
        "the model of each request (m)",
        "the date",
    ]
    lost = write_burstgpt(full, tmp_path / "a.csv")
    assert [each.split(":")[0] for each in lost] == [
        "what 1 failed request had answered",
        "the prefix blocks of 1 request",
    ]


def test_stamps_finer_than_the_format_are_counted(tmp_path: Path) -> None:
    frame = pl.concat([one(arrival_s=at).frame for at in (0.0, 0.5, 0.50049)])
    lost = write_mooncake(Requests(frame, identity(3)), tmp_path / "a.jsonl")
    assert "time below 0.001 s: 1 stamp rounded to the nearest step" in lost


def test_a_synthetic_trace_says_that_a_csv_cannot(tmp_path: Path) -> None:
    requests = Requests(one().frame, identity(1, synthetic=True))
    assert "that it is synthetic: only the file's name can say so" in write_azure(
        requests, tmp_path / "a.csv"
    )
    write_parquet(requests, tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet")[1].synthetic


def test_other_dates_are_named(tmp_path: Path) -> None:
    other = Requests(one().frame, identity(1, day0=date(2024, 5, 10)))
    assert write_burstgpt(other, tmp_path / "a.csv") == [
        "the date: day 0 was 2024-05-10, readers take it for 2023-11-01"
    ]
    assert read(tmp_path / "a.csv")[1].day0 == DAY0
    undated = Requests(one().frame, identity(1, day0=None))
    assert "that the date is unknown: stamps count from 2000-01-01" in write_azure(
        undated, tmp_path / "b.csv"
    )


def test_without_lengths_the_error_names_the_way_out(tmp_path: Path) -> None:
    bare = Requests(one(request_tokens=None, response_tokens=None).frame, identity(1, has_tokens=False))
    with pytest.raises(BurstlensError, match="tokens"):
        write_azure(bare, tmp_path / "a.csv")
    write_azure(bare, tmp_path / "a.csv", WriteOptions(tokens=(512, 128)))
    assert read(tmp_path / "a.csv")[0]["request_tokens"].to_list() == [512]


@quick
@given(
    st.lists(
        st.tuples(
            st.integers(1, 5000),
            st.none() | st.sampled_from("abc"),
            st.none() | st.lists(st.integers(0, 30), max_size=12),
        ),
        min_size=1,
        max_size=20,
    ),
    st.booleans(),
)
def test_hash_ids_are_one_for_each_begun_block_and_shared_only_as_asked(
    rows: list[tuple[int, str | None, list[int] | None]], share: bool
) -> None:
    frame = pl.DataFrame(
        rows,
        schema={"request_tokens": pl.Int32, "session": pl.String, "prefix": pl.List(pl.Int64)},
        orient="row",
    )
    numbers, _ = hash_ids(frame, share_sessions=share)
    owners: dict[int, set[tuple[str, int | str | None]]] = {}
    for i, ((tokens, session, prefix), ids) in enumerate(zip(rows, numbers.to_list(), strict=True)):
        assert len(ids) == -(-tokens // BLOCK)
        own_ids = (prefix or [])[: len(ids)]
        assert ids[: len(own_ids)] == own_ids
        for at, number in enumerate(ids[len(own_ids) :], len(own_ids)):
            shared = share and session is not None and not own_ids and at < tokens // BLOCK
            owners.setdefault(number, set()).add(("session", session) if shared else ("request", i))
    assert all(len(each) == 1 for each in owners.values())
    assert not set(owners) & {number for _, _, prefix in rows for number in prefix or []}


def test_turns_of_a_session_begin_alike_where_asked() -> None:
    frame = pl.DataFrame(
        {"request_tokens": [600, 1300], "session": ["s", "s"], "prefix": [None, None]},
        schema={"request_tokens": pl.Int32, "session": pl.String, "prefix": pl.List(pl.Int64)},
    )
    assert hash_ids(frame, share_sessions=True)[0].to_list() == [[0, 2], [0, 1, 3]]
    assert hash_ids(frame)[0].to_list() == [[0, 1], [2, 3, 4]]


def test_every_line_of_json_has_the_keys_that_readers_ask_for(tmp_path: Path) -> None:
    write_mooncake(one(), tmp_path / "a.jsonl", load=True)
    assert json.loads((tmp_path / "a.jsonl").read_text()) == {
        "timestamp": 0.0, "input_length": 5, "output_length": 7, "hash_ids": [0],
    }  # fmt: skip


def test_azure_writes_every_hundred_nanoseconds(tmp_path: Path) -> None:
    write_azure(one(arrival_s=86_399.9999999), tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().splitlines()[1] == "2023-11-01 23:59:59.9999999,5,7"


def with_optional(**columns: Any) -> Requests:
    """Three requests with optional columns."""
    rows = {
        "arrival_s": [0.5, 1.5, 2.5], "service": "api", "model": "m", "session": None, "request_tokens": 5,
        "response_tokens": 7, "elapsed_s": None, "failed": False, "prefix": None, **columns,
    }  # fmt: skip
    kinds = {**SCHEMA, **OPTIONAL}
    frame = pl.DataFrame(rows, schema_overrides=kinds)
    order = [name for name in (*COLUMNS, *OPTIONAL, "prefix") if name in frame.columns]
    return Requests(frame.select(pl.col(name).cast(kinds[name]) for name in order), identity(3))


@pytest.mark.parametrize(("suffix", "write"), [(".parquet", write_parquet), (".csv", write_plain_csv)])
def test_our_own_files_keep_optional_columns(suffix: str, write: Any) -> None:
    full = with_optional(client=["a", None, "b"], ttft_s=[0.25, None, 0.5], images=[1, 2, None])
    frame, *_ = back(full, suffix, write)
    assert_frame_equal(frame, full.frame)


def test_other_formats_name_the_optional_columns_that_they_drop(tmp_path: Path) -> None:
    full = with_optional(
        client="a", cached_tokens=1, reasoning_tokens=2, ttft_s=[0.1, None, None], reason=None, images=3
    )
    lost = [each.split(":")[0] for each in write_mooncake(full, tmp_path / "a.jsonl")]
    assert lost[:5] == [
        "the client of 3 requests",
        "the cached tokens of 3 requests",
        "the reasoning tokens of 3 requests",
        "the time to first token of 1 request",
        "the number of images of 3 requests",
    ]


def test_images_go_into_the_csv_of_azure(tmp_path: Path) -> None:
    lost = write_azure(with_optional(images=[0, 2, 1]), tmp_path / "a.csv")
    header, first, *_ = (tmp_path / "a.csv").read_text().splitlines()
    assert header == "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens"
    assert first.split(",")[1:] == ["0", "5", "7"]
    assert not any("images" in each for each in lost)


def small_blocks(**info: Any) -> Requests:
    """Prompts of 1,100, 1,040 and 600 tokens in blocks of 16; they begin with the same 1,024, or 512."""
    begun = list(range(100, 165))
    frame = one().frame
    rows = pl.concat([frame] * 3).with_columns(
        pl.Series("request_tokens", [1100, 1040, 600], pl.Int32),
        pl.Series("prefix", [[*begun[:64], 7, 8, 9, 10, 11], begun, [*begun[:32], 1, 2, 3, 4, 5, 6]]),
    )
    return Requests(rows, identity(3, **{"block_tokens": 16, **info}))


def test_small_blocks_are_joined_to_those_of_512(tmp_path: Path) -> None:
    lost = write_mooncake(small_blocks(), tmp_path / "a.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [line["hash_ids"] for line in lines] == [[0, 1, 2], [0, 1, 3], [0, 4]]
    assert lost[0].startswith("prefix blocks of 16 tokens are joined to blocks of 512")


def test_blocks_that_do_not_divide_are_left_out_and_that_is_said(tmp_path: Path) -> None:
    lost = write_mooncake(small_blocks(block_tokens=48), tmp_path / "a.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    numbers = [number for line in lines for number in line["hash_ids"]]
    assert len(set(numbers)) == len(numbers) == 8
    assert "48 tokens do not divide" in lost[0]


def test_large_blocks_are_cut() -> None:
    frame = pl.DataFrame(
        {"request_tokens": [2000, 1100, 300, None], "prefix": [[7, 2**62], [7, 5], [7], None]},
        schema_overrides={"prefix": pl.List(pl.Int64)},
    )
    assert convert_blocks(frame, 1024).to_list() == [[0, 1, 2, 3], [0, 1, 4], [0], None]


@quick
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3), st.integers(0, 200)), min_size=1, max_size=8)
)
def test_equal_numbers_are_equal_tokens_after_joining(prompts: list[tuple[int, int, int]]) -> None:
    """Prompts that begin with blocks of 128 of a family, then have their own; they share whole new blocks."""
    ids, tokens = [], []
    for row, (common, family, more) in enumerate(prompts):
        own = [10**6 * (row + 1) + i for i in range(-(-more // 128))]
        ids.append([family * 1000 + i for i in range(common)] + own)
        tokens.append(common * 128 + more)
    frame = pl.DataFrame(
        {"request_tokens": tokens, "prefix": ids},
        schema={"request_tokens": pl.Int32, "prefix": pl.List(pl.Int64)},
    )
    numbers = convert_blocks(frame, 128).to_list()
    for (a_common, a_family, _), mine in zip(prompts, numbers, strict=True):
        for (b_common, b_family, _), theirs in zip(prompts, numbers, strict=True):
            shared = sum(x == y for x, y in zip(mine or [], theirs or [], strict=False))
            if mine is theirs:
                continue
            least = min(a_common, b_common) // 4 if a_family == b_family else 0
            assert shared >= least
            assert shared <= least + 1
