"""Any log by options: paths into nested values, rules for failures, derived arrivals, rows left out."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from burstlens.analysis.core.errors import BurstlensError, InputError
from burstlens.analysis.logs.options import LogOptions
from burstlens.analysis.trace.trace import Trace, open_trace

BASE = {"arrival": "at", "request_tokens": "sent", "response_tokens": "got"}
NO_VALUE = "\\N"
"""What COPY of PostgreSQL writes for NULL."""
BEGIN = 1_790_000_000
"""Seconds since 1970 of the first request, 2026-09-21."""


def opened(path: Path, columns: dict[str, str], **options: Any) -> Trace:
    return open_trace(path, options=LogOptions(columns, **options))


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def table(path: Path, header: str, rows: list[str]) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def requests(n: int = 12, **more: Any) -> list[dict[str, Any]]:
    """Requests a minute apart; values of `more` are functions of the number."""
    return [
        {"at": BEGIN + 60 * i, "sent": 100 + i, "got": 10, **{name: of(i) for name, of in more.items()}}
        for i in range(n)
    ]


# ---- paths -------------------------------------------------------------------------------------------------

NESTED = {"arrival": "at", "request_tokens": "usage.prompt", "response_tokens": "usage.details.completion"}


def nested(i: int) -> dict[str, Any]:
    return {"at": BEGIN + 60 * i, "usage": {"prompt": 50 + i, "details": {"completion": 7}}}


def test_a_path_leads_into_nested_json(tmp_path: Path) -> None:
    with opened(lines(tmp_path / "log.jsonl", [nested(i) for i in range(5)]), NESTED) as trace:
        rows = trace.requests()
    assert rows["request_tokens"].to_list() == [50, 51, 52, 53, 54]
    assert rows["response_tokens"].to_list() == [7] * 5
    assert trace.end_s - trace.start_s == 240.0


def test_a_path_leads_into_structs_and_maps_of_parquet(tmp_path: Path) -> None:
    out = tmp_path / "log.parquet"
    duckdb.execute(
        f"""COPY (SELECT {BEGIN} + 60 * i AS at,
        {{'prompt': 50 + i, 'details': {{'completion': 7}}}} AS usage,
        MAP {{'gen_ai.model': 'm' || i}} AS tags, [{{'n': i}}] AS list FROM range(5) AS t(i)) TO '{out}'"""
    )
    columns = {**NESTED, "model": "tags[gen_ai.model]", "session": "list[0].n"}
    with opened(out, columns) as trace:
        rows = trace.requests()
    assert rows["request_tokens"].to_list() == [50, 51, 52, 53, 54]
    assert rows["model"].to_list() == ["m0", "m1", "m2", "m3", "m4"]
    assert rows["session"].to_list() == ["0", "1", "2", "3", "4"]


def test_a_path_leads_into_json_in_a_cell_and_in_a_string(tmp_path: Path) -> None:
    cell = json.dumps({"prompt": 9, "details": {"completion": 3}}).replace('"', '""')
    log = table(tmp_path / "log.csv", "at,usage", [f'{BEGIN + i},"{cell}"' for i in range(3)])
    with opened(log, NESTED) as trace:
        assert trace.requests()["response_tokens"].to_list() == [3, 3, 3]
    rows = [{"at": BEGIN + i, "usage": json.dumps(nested(i)["usage"])} for i in range(3)]
    with opened(lines(tmp_path / "log.jsonl", rows), NESTED) as trace:
        assert trace.requests()["request_tokens"].to_list() == [50, 51, 52]


def test_a_key_with_dots_and_a_list_of_keys_and_values(tmp_path: Path) -> None:
    columns = {
        "arrival": "at",
        "request_tokens": "attributes[gen_ai.usage.input_tokens]",
        "model": "attributes[gen_ai.request.model]",
    }
    plain = [
        {"at": BEGIN + i, "attributes": {"gen_ai.usage.input_tokens": 5 + i, "gen_ai.request.model": "m"}}
        for i in range(3)
    ]
    listed = [
        {
            "at": BEGIN + i,
            "attributes": [
                {"key": "gen_ai.request.model", "value": {"stringValue": "m"}},
                {"key": "gen_ai.usage.input_tokens", "value": {"intValue": str(5 + i)}},
            ],
        }
        for i in range(3)
    ]
    for name, rows in (("plain", plain), ("listed", listed)):
        with opened(lines(tmp_path / f"{name}.jsonl", rows), columns) as trace:
            found = trace.requests()
        assert found["request_tokens"].to_list() == [5, 6, 7]
        assert found["model"].to_list() == ["m"] * 3


def test_a_key_that_comes_late_is_read(tmp_path: Path) -> None:
    rows = requests(700, usage=lambda i: {"cached": i} if i > 600 else {})
    with opened(lines(tmp_path / "log.jsonl", rows), {**BASE, "elapsed": "usage.cached"}) as trace:
        elapsed = trace.requests()["elapsed_s"]
    assert elapsed.null_count() == 601
    assert elapsed[-1] == 699.0


def test_a_column_with_dots_in_its_name_wins_over_a_path(tmp_path: Path) -> None:
    log = table(tmp_path / "log.csv", "at,usage.prompt", [f"{BEGIN + i},{i}" for i in range(4)])
    with opened(log, {"arrival": "at", "request_tokens": "usage.prompt"}) as trace:
        assert trace.requests()["request_tokens"].to_list() == [0, 1, 2, 3]


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    log = lines(tmp_path / "log.jsonl", requests())
    with pytest.raises(InputError, match=r"columns names 'nope\.deep'"):
        opened(log, {**BASE, "model": "nope.deep"})


# ---- arrivals ----------------------------------------------------------------------------------------------


def test_an_arrival_is_the_end_less_the_duration(tmp_path: Path) -> None:
    took = [90.0, 0.5, 30.0, 0.5]
    rows = [f"{BEGIN + 60 * i + s},{1000 * s}" for i, s in enumerate(took)]
    log = table(tmp_path / "log.csv", "done,took_ms", rows)
    # The name of the column says milliseconds; the key may say it, too.
    for key in ("elapsed", "elapsed_ms"):
        with opened(log, {"ended": "done", key: "took_ms"}) as trace:
            found = trace.requests()
        assert found["elapsed_s"].to_list() == took
        assert found["arrival_s"].diff().drop_nulls().to_list() == [60.0] * 3


def test_the_unit_of_a_duration_says_nothing_about_the_arrival(tmp_path: Path) -> None:
    rows = [f"{1000 * (BEGIN + 60 * i)},{250}" for i in range(5)]
    log = table(tmp_path / "log.csv", "at,took", rows)
    with opened(log, {"arrival": "at", "elapsed_ms": "took"}) as trace:
        assert trace.end_s - trace.start_s == 240.0
        assert trace.info.day0 == date(2026, 9, 21)


def test_start_and_end_give_arrival_and_elapsed(tmp_path: Path) -> None:
    rows = [f"2026-09-21T08:{i:02}:00Z,2026-09-21T08:{i + 1:02}:30+00:00" for i in range(5)]
    log = table(tmp_path / "log.csv", "start,end", rows)
    with opened(log, {"start": "start", "end": "end"}) as trace:
        assert trace.requests()["elapsed_s"].to_list() == [90.0] * 5
        assert trace.start_s == 8 * 3600


def test_the_difference_and_the_sum_of_two_columns(tmp_path: Path) -> None:
    rows = [f"{BEGIN + 60 * i},{BEGIN + 60 * i + 2.5},{100},{20 + i}" for i in range(4)]
    log = table(tmp_path / "log.csv", "began,done,fresh,cached", rows)
    columns = {"arrival": "began", "elapsed": "done-began", "request_tokens": "fresh+cached"}
    with opened(log, columns) as trace:
        found = trace.requests()
    assert found["elapsed_s"].to_list() == [2.5] * 4
    assert found["request_tokens"].to_list() == [120, 121, 122, 123]


def test_durations_and_numbers_as_people_write_them(tmp_path: Path) -> None:
    rows = [f'{BEGIN + i},"1,234","{text}"' for i, text in enumerate(["1.5s", "230ms", "2 min"])]
    log = table(tmp_path / "log.csv", "at,sent,took", rows)
    with opened(log, {"arrival": "at", "request_tokens": "sent", "elapsed": "took"}) as trace:
        found = trace.requests()
    assert found["request_tokens"].to_list() == [1234] * 3
    assert found["elapsed_s"].to_list() == [1.5, 0.23, 120.0]


# ---- failures ----------------------------------------------------------------------------------------------

WORDS = [(True, False), ("true", "false"), ("T", "F"), ("yes", "no"), ("Y", "N"), (1, 0), ("timeout", "")]


@pytest.mark.parametrize(("bad", "good"), WORDS)
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_column_that_says_yes_or_no(tmp_path: Path, kind: str, bad: Any, good: Any) -> None:
    rows = requests(8, f=lambda i: bad if i % 4 == 0 else good)
    log = lines(tmp_path / "log.jsonl", rows)
    if kind == "csv":
        log = tmp_path / "log.csv"
        pl.DataFrame(rows, strict=False).write_csv(log)
    with opened(log, {**BASE, "failed": "f"}) as trace:
        found = trace.requests()
    assert found["failed"].to_list() == [True, False, False, False] * 2


@pytest.mark.parametrize(
    ("rule", "value", "failed"),
    [
        ("code>=400", lambda i: 429 if i % 3 == 0 else 200, 4),
        ("code!=200", lambda i: "200" if i % 3 else "503", 4),
        ("state!=success", lambda i: "failure" if i % 2 else "success", 6),
        ("state=error|timeout", lambda i: ["ok", "error", "timeout"][i % 3], 8),
        ("!ok", lambda i: i % 4 != 0, 3),
    ],
)
def test_a_rule_says_which_requests_failed(tmp_path: Path, rule: str, value: Any, failed: int) -> None:
    column = rule.strip("!").split(">")[0].split("!")[0].split("=")[0]
    log = lines(tmp_path / "log.jsonl", requests(12, **{column: value}))
    with opened(log, {**BASE, "failed": rule}) as trace:
        assert trace.requests()["failed"].sum() == failed
        assert trace.info.has_failures


@pytest.mark.parametrize(
    ("column", "value", "fitting"),
    [
        ("state", lambda i: "failure" if i % 2 else "success", "failed=state!=success"),
        ("code", lambda i: 500 if i % 2 else 200, "failed=code>=400"),
    ],
)
def test_a_column_that_says_neither_is_refused_with_a_rule_that_fits(
    tmp_path: Path, column: str, value: Any, fitting: str
) -> None:
    log = lines(tmp_path / "log.jsonl", requests(12, **{column: value}))
    with pytest.raises(InputError) as error:
        opened(log, {**BASE, "failed": column})
    assert fitting in str(error.value)
    assert error.value.parameter == "failed"


def test_a_value_late_in_the_log_that_no_rule_covers_is_refused(tmp_path: Path) -> None:
    rows = requests(900, f=lambda i: "maybe" if i == 850 else "no")
    with pytest.raises(InputError, match="'maybe'"):
        opened(lines(tmp_path / "log.jsonl", rows), {**BASE, "failed": "f"})


def test_a_row_without_the_value_of_the_rule_is_a_reject(tmp_path: Path) -> None:
    log = lines(tmp_path / "log.jsonl", requests(6, code=lambda i: None if i == 2 else 200))
    with opened(log, {**BASE, "failed": "code>=400"}) as trace:
        (reject,) = trace.rejects
    assert (reject.line, reject.reason) == (3, "not covered by the rule for failures")
    with opened(log, {**BASE, "failed": "code!=200|null"}) as trace:
        assert (trace.info.rows, trace.requests()["failed"].sum()) == (6, 0)


# ---- rows that are requests --------------------------------------------------------------------------------


def test_where_leaves_rows_out_and_rejects_keep_their_lines(tmp_path: Path) -> None:
    rows = requests(6, type=lambda i: "span" if i % 2 else "generation")
    rows[4]["sent"] = "many"
    log = lines(tmp_path / "log.jsonl", rows)
    with log.open("a") as file:
        file.write("{no json\n")
    with opened(log, BASE, where=["type=generation"]) as trace:
        assert trace.info.rows == 2
        assert [(reject.line, reject.reason) for reject in trace.rejects] == [
            (5, "missing or not a number"),
            (7, "not JSON"),
        ]


def test_where_on_a_known_format(tmp_path: Path) -> None:
    rows = [{"timestamp": 1000 * i, "input_length": i, "output_length": 1, "hash_ids": [i]} for i in range(9)]
    log = lines(tmp_path / "log.jsonl", rows)
    with open_trace(log, options=LogOptions(where=["input_length>=5"])) as trace:
        assert trace.requests()["request_tokens"].to_list() == [5, 6, 7, 8]
    with pytest.raises(InputError, match="no row meets"):
        open_trace(log, options=LogOptions(where=["input_length>=50"]))


# ---- a mapping that is kept --------------------------------------------------------------------------------


def test_a_mapping_file_is_read_and_what_is_given_counts_first(tmp_path: Path) -> None:
    log = lines(tmp_path / "log.jsonl", requests(6, kind=lambda i: "a" if i < 4 else "b"))
    mapping = tmp_path / "mine.toml"
    mapping.write_text('where = "kind=a"\n[columns]\narrival = "at"\nrequest_tokens = "sent"\n')
    with open_trace(log, options=LogOptions(mapping=mapping)) as trace:
        assert trace.requests()["request_tokens"].to_list() == [100, 101, 102, 103]
    with open_trace(log, options=LogOptions(mapping=mapping, where=["kind=b"])) as trace:
        assert trace.info.rows == 2


@pytest.mark.parametrize(
    "text", ["not toml", "nope = 1", "[columns]\narrival = 3", "time_format = 7", "", "columns = 'at'"]
)
def test_a_faulty_mapping_file_is_an_error_of_one_line(tmp_path: Path, text: str) -> None:
    log = lines(tmp_path / "log.jsonl", requests())
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(BurstlensError) as error:
        open_trace(log, options=LogOptions(mapping=tmp_path / "mine.toml"))
    assert "mine.toml" in str(error.value)
    assert "\n" not in str(error.value)


# ---- names of files and services ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "service"),
    [("converted", "llm"), ("trace_conv", "conversation"), ("my-code-log", "code"), ("decoded", "llm")],
)
def test_the_service_is_a_word_of_the_file_name_not_a_part_of_one(
    tmp_path: Path, name: str, service: str
) -> None:
    with opened(lines(tmp_path / f"{name}.jsonl", requests(3)), BASE) as trace:
        assert trace.requests()["service"].unique().to_list() == [service]


# ---- values that say that there is none --------------------------------------------------------------------


def test_an_empty_cell_of_a_database_is_no_name(tmp_path: Path) -> None:
    rows = [f"{BEGIN + 60 * i},{5 if i else NO_VALUE},1,{NO_VALUE},{i}" for i in range(12)]
    log = table(tmp_path / "log.csv", "at,sent,got,who,chat", rows)
    with opened(log, {**BASE, "client": "who", "session": "chat"}) as trace:
        found = trace.requests()
        assert trace.info.rejected == 1
    assert "client" not in trace.optional
    assert found["session"].to_list() == [str(i) for i in range(1, 12)]


@pytest.mark.parametrize("word", ["NULL", "None", "nan", "-"])
def test_requests_without_a_session_do_not_share_one(tmp_path: Path, word: str) -> None:
    rows = requests(chat=lambda i: word if i % 2 else f"c{i}")
    with opened(lines(tmp_path / "log.jsonl", rows), {**BASE, "session": "chat"}) as trace:
        assert trace.requests()["session"].null_count() == 6


def test_a_failed_request_may_have_counts_that_are_no_numbers(tmp_path: Path) -> None:
    rows = [f"{BEGIN + 60 * i},{'NaN,NaN,500' if i < 3 else '5,1,200'}" for i in range(12)]
    rows.append(f"{BEGIN},NaN,1,200")
    with opened(
        table(tmp_path / "log.csv", "at,sent,got,code", rows), {**BASE, "failed": "code>=400"}
    ) as trace:
        found = trace.requests()
        assert (found.height, found["failed"].sum(), trace.info.rejected) == (12, 3, 1)
    assert found["request_tokens"].null_count() == 3


@pytest.mark.parametrize("nothing", ["None", "NaN", "N/A", "{}", "[]", "-"])
def test_a_word_for_no_error_is_not_a_failure(tmp_path: Path, nothing: str) -> None:
    rows = requests(error=lambda i: "reset by peer" if i == 4 else nothing)
    with opened(lines(tmp_path / "log.jsonl", rows), {**BASE, "failed": "error"}) as trace:
        assert trace.requests()["failed"].to_list() == [i == 4 for i in range(12)]


@pytest.mark.parametrize(
    ("name", "values", "rule"),
    [
        ("is_success", (True, False), "failed=!is_success"),
        ("ok", ("yes", "no"), "failed=!ok"),
        ("line", ("HTTP/1.1 200", "HTTP/1.1 503"), "failed=line!=HTTP/1.1 200"),
        ("error", (False, "reset"), "failed=error!=false"),
    ],
)
def test_a_rule_that_would_turn_failures_round_is_not_taken(
    tmp_path: Path, name: str, values: tuple[Any, Any], rule: str
) -> None:
    rows = requests(**{name: lambda i: values[i == 4]})
    with pytest.raises(InputError, match=re.escape(rule)):
        opened(lines(tmp_path / "log.jsonl", rows), {**BASE, "failed": name})


# ---- stamps that the head does not show --------------------------------------------------------------------


def test_milliseconds_after_many_seconds_are_read_too(tmp_path: Path) -> None:
    rows = [f"{(BEGIN + 3 * i) * (1 if i < 900 else 1000)},5,1" for i in range(1000)]
    with opened(table(tmp_path / "log.csv", "at,sent,got", rows), BASE) as trace:
        assert trace.info.rejected == 0
        assert trace.end_s - trace.start_s == 2997.0


def test_a_large_number_of_nanoseconds_is_in_doubt_not_a_crash(tmp_path: Path) -> None:
    rows = [f"{5 * 10**14 + 47 * 10**9 * i},5,1" for i in range(20)]
    with pytest.raises(InputError, match="arrival_ns=at"):
        opened(table(tmp_path / "log.csv", "at,sent,got", rows), BASE)


def test_totals_per_minute_are_refused_where_a_column_counts_requests(tmp_path: Path) -> None:
    rows = [f"{BEGIN - BEGIN % 60 + 60 * i},{i},900,90" for i in range(40)]
    with pytest.raises(InputError, match=r"totals.*whole minutes.*'count'"):
        opened(table(tmp_path / "totals.csv", "at,count,sent,got", rows), BASE)
    with opened(table(tmp_path / "log.csv", "at,user,sent,got", rows), BASE) as trace:
        assert trace.requests().height == 40


def test_whole_numbers_written_as_fractions_leave_the_unit_in_doubt(tmp_path: Path) -> None:
    rows = [
        {"timestamp": 47.0 * i, "input_length": 5, "output_length": 1, "hash_ids": [i]} for i in range(20)
    ]
    with pytest.raises(InputError, match="unit is in doubt"):
        open_trace(lines(tmp_path / "log.jsonl", rows))


def test_a_key_of_the_last_rows_only_is_found(tmp_path: Path) -> None:
    rows = requests(800)
    rows[0]["note"] = {"error": "inside, and so another key"}
    rows[-1]["error"] = "no memory"
    log = lines(tmp_path / "log.jsonl", rows)
    with opened(log, {**BASE, "failed": "error"}) as trace:
        assert trace.requests()["failed"].sum() == 1
    with opened(log, BASE, where=["error=no memory"]) as trace:
        assert trace.requests().height == 1
    with pytest.raises(InputError, match="names 'reason', but the log has"):
        opened(log, {**BASE, "failed": "reason"})


def test_durations_too_long_for_seconds_need_their_unit(tmp_path: Path) -> None:
    log = lines(tmp_path / "log.jsonl", requests(latency=lambda i: 1500 + 100 * i))
    with pytest.raises(InputError, match=r"unit is in doubt.*elapsed_s=latency.*elapsed_ms=latency"):
        opened(log, {**BASE, "elapsed": "latency"})
    for key, first_s in (("elapsed_ms", 1.5), ("elapsed_s", 1500.0)):
        with opened(log, {**BASE, key: "latency"}) as trace:
            assert trace.requests()["elapsed_s"][0] == first_s


def test_a_log_of_which_only_failures_can_be_used_is_refused(tmp_path: Path) -> None:
    rows = [f"{BEGIN + 60 * i},{100 + i} tokens,1,{503 if i == 4 else 200}" for i in range(12)]
    with pytest.raises(InputError, match=r"all rows but 1 failed request are rejected, 11; .*request_tokens"):
        opened(table(tmp_path / "log.csv", "at,sent,got,code", rows), {**BASE, "failed": "code>=400"})
