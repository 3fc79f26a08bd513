"""A database is a log: tables and queries of a PostgreSQL, and a password that stays where it is."""

from __future__ import annotations

import builtins
import json
import logging
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import burstlens as bl
from burstlens.analysis.core.errors import EndpointError, InputError, MissingExtraError
from burstlens.analysis.logs import database_rows
from burstlens.analysis.logs.files.databases import log_path, shown_url, url_of_database, without_password
from burstlens.analysis.logs.options import LogOptions
from tests.helpers import burstlens
from tests.postgres import DATABASE, PASSWORD, USER, Server, running

N = 40
SPEND = """
    CREATE TABLE "LiteLLM_SpendLogs" (
        request_id text PRIMARY KEY, call_type text, spend float8, "startTime" timestamp(3),
        "endTime" timestamp(3), model text, prompt_tokens int, completion_tokens int, status text,
        metadata jsonb, messages jsonb
    )
"""
SPEND_ROWS = f"""
    INSERT INTO "LiteLLM_SpendLogs"
    SELECT 'r' || i, 'acompletion', 0.1, timestamp '2026-03-02 08:00' + i * interval '1 minute',
        timestamp '2026-03-02 08:00' + i * interval '1 minute' + interval '1.5 s', 'small', 10 + i, 5,
        CASE WHEN i % 5 = 0 THEN 'failure' ELSE 'success' END,
        jsonb_build_object('session', 's' || i % 4, 'usage_object',
            jsonb_build_object('cache_read_input_tokens', i)), '[]'
    FROM generate_series(0, {N - 1}) AS i
"""
SPEND_COLUMNS = {
    "arrival": "startTime",
    "ended": "endTime",
    "request_tokens": "prompt_tokens",
    "response_tokens": "completion_tokens",
    "session": "metadata.session",
    "failed": "status!=success",
}
BURSTGPT = """
    CREATE SCHEMA "old logs";
    CREATE TABLE "old logs".burstgpt (
        "Timestamp" float8, "Model" text, "Request tokens" int, "Response tokens" int, "Total tokens" int,
        "Log Type" text
    )
"""
BURSTGPT_ROWS = f"""
    INSERT INTO "old logs".burstgpt
    SELECT 10 * i, 'ChatGPT', 100, 20, 120, 'Conversation log' FROM generate_series(0, {N - 1}) AS i
"""
TYPES = """
    CREATE TYPE outcome AS ENUM ('good', 'bad');
    CREATE TABLE types (
        at timestamptz, took interval, tokens numeric, request uuid, done outcome, tags text[], code char(4),
        extra json, address inet
    );
    INSERT INTO types
    SELECT timestamptz '2026-03-02 09:00+01' + i * interval '1 minute', interval '1.5 s', 10 + i,
        '00000000-0000-0000-0000-000000000001', CASE WHEN i = 0 THEN 'bad' ELSE 'good' END::outcome,
        ARRAY['a', 'b'], 'ok', '{"n": 1}', '10.0.0.1'
    FROM generate_series(0, 9) AS i
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as found:
        for script in (SPEND, SPEND_ROWS, BURSTGPT, BURSTGPT_ROWS, TYPES):
            found.execute(*(statement for statement in script.split(";") if statement.strip()), "SELECT 1")
        found.execute(
            "CREATE TABLE secret_plans (at timestamptz)",
            "CREATE TABLE nothing (at timestamptz, tokens int)",
            "CREATE ROLE other LOGIN PASSWORD 'Other-Pw'",
            "SELECT 1",
        )
        yield found


def opened(url: str, columns: dict[str, str] | None = None, **options: Any) -> bl.Trace:
    return bl.trace(url, columns=columns, reading=LogOptions(**options))


def fault_of(url: str, columns: dict[str, str] | None = None, **options: Any) -> str:
    """The one line of the error; its class is one of ours, and no text of it has the password."""
    with pytest.raises((InputError, EndpointError)) as caught:
        opened(url, columns, **options)
    text = str(caught.value)
    shown = "".join(traceback.format_exception(caught.value))
    for secret in (PASSWORD, "wrong-Word", "Other-Pw"):
        assert secret not in text
        # A line of a traceback may be code that names it; the messages do not.
        assert all(secret not in line for line in shown.splitlines() if not line.startswith("    "))
    assert "\n" not in text
    return text


def test_a_table_is_a_log(server: Server) -> None:
    with opened(server.url, SPEND_COLUMNS, table="LiteLLM_SpendLogs") as trace:
        info, rows = trace.info, trace.to_frame()
    assert (info.name, info.rows, info.rejected) == ("LiteLLM_SpendLogs", N, 0)
    assert [source.name for source in info.sources] == [f"127.0.0.1/{DATABASE}.LiteLLM_SpendLogs"]
    assert len(info.sources[0].sha256) == 64
    assert info.sources[0].bytes > 0
    # 08:00 on the log's own clock, though the server's zone is another.
    assert rows["arrival_s"].to_list() == [8 * 3600 + 60.0 * i for i in range(N)]
    assert rows["elapsed_s"].to_list() == [1.5] * N
    assert rows["request_tokens"].to_list() == [10 + i for i in range(N)]
    assert rows["session"].to_list() == [f"s{i % 4}" for i in range(N)]
    assert rows["failed"].sum() == N // 5


@pytest.mark.parametrize(
    "table",
    ["litellm_spendlogs", 'public."LiteLLM_SpendLogs"', "public.LiteLLM_SpendLogs", '"LiteLLM_SpendLogs"'],
)
def test_a_table_is_found_however_it_is_written(server: Server, table: str) -> None:
    with opened(server.url, SPEND_COLUMNS, table=table) as trace:
        assert (trace.info.rows, trace.info.name.casefold()) == (N, "litellm_spendlogs")


def test_a_known_format_is_recognized_in_a_table_of_any_schema(server: Server) -> None:
    with opened(server.url, table="old logs.burstgpt") as trace:
        assert (trace.info.format, trace.info.rows) == ("burstgpt", N)
        assert trace.info.sources[0].name == f"127.0.0.1/{DATABASE}.old logs.burstgpt"


def test_the_spend_logs_of_litellm_need_no_mapping(server: Server) -> None:
    with opened(server.url, table="LiteLLM_SpendLogs") as trace:
        info, rows = trace.info, trace.to_frame()
    assert (info.format, info.rows, info.rejected) == ("litellm_spend_logs", N, 0)
    assert rows["arrival_s"].to_list() == [8 * 3600 + 60.0 * i for i in range(N)]
    assert rows["failed"].sum() == N // 5
    assert rows["elapsed_s"].to_list() == [1.5] * N
    assert rows["cached_tokens"].to_list() == list(range(N))


def test_a_query_is_a_log(server: Server) -> None:
    table = '"LiteLLM_SpendLogs"'
    sql = (
        f"""SELECT "startTime" AS ts, prompt_tokens AS n FROM {table} WHERE status = 'success' -- good ones"""
    )
    with opened(server.url, {"arrival": "ts", "request_tokens": "n"}, sql=sql) as trace:
        assert (trace.info.name, trace.info.rows) == (DATABASE, N - N // 5)
    with opened(
        server.url, {"arrival": "at"}, sql="WITH t AS (SELECT at FROM types) TABLE t ORDER BY at;"
    ) as trace:
        assert trace.info.rows == 10


def test_types_that_files_do_not_have(server: Server) -> None:
    columns = {
        "arrival": "at",
        "elapsed": "took",
        "request_tokens": "tokens",
        "session": "request",
        "model": "code",
        "service": "extra.n",
        "failed": "done=bad",
    }
    with opened(server.url, columns, table="types") as trace:
        rows = trace.to_frame()
    assert rows["arrival_s"].to_list() == [8 * 3600 + 60.0 * i for i in range(10)]
    assert rows["elapsed_s"].to_list() == [1.5] * 10
    assert rows["request_tokens"].to_list() == [10 + i for i in range(10)]
    assert rows["session"].unique().to_list() == ["00000000-0000-0000-0000-000000000001"]
    assert rows["model"].unique().to_list() == ["ok"]
    assert rows["service"].unique().to_list() == ["1"]
    assert rows["failed"].sum() == 1


def test_only_the_columns_that_are_read_leave_the_server(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    fetch = database_rows._fetch

    def noted(session: Any, sql: str, *rest: Any, **more: Any) -> None:
        fetched.append(sql)
        fetch(session, sql, *rest, **more)

    monkeypatch.setattr(database_rows, "_fetch", noted)
    opened(server.url, SPEND_COLUMNS, table="LiteLLM_SpendLogs").close()
    assert "messages" in fetched[0]  # the head, to look at
    assert "messages" not in fetched[1]
    assert '"metadata"' in fetched[1]


def test_a_table_without_rows(server: Server) -> None:
    text = fault_of(server.url, {"arrival": "at"}, table="nothing")
    assert text == f"{server.shown}, table nothing: has a header but no rows"


def test_many_rows_come_in_batches(server: Server, tmp_path: Path) -> None:
    steps: list[str] = []
    at = "timestamp '2026-01-01' + i * interval '1 s'"
    sql = f"SELECT {at} AS ts, i % 100 AS n FROM generate_series(1, 300000) AS i"
    done = bl.ingest(
        server.url,
        tmp_path / "t.parquet",
        columns={"arrival": "ts", "request_tokens": "n"},
        reading=LogOptions(sql=sql),
        progress=lambda step, _: steps.append(step),
    )
    assert done.info.rows == 300_000
    assert f"fetching 127.0.0.1/{DATABASE}.query: 300,000 rows" in steps


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("DELETE FROM types RETURNING at", "sql: is not a SELECT; a database is only read"),
        ("CREATE TABLE more (n int)", "sql: is not a SELECT; a database is only read"),
        ("SELECT 1; SELECT 2", "cannot insert multiple commands into a prepared statement"),
        ("SELECT 1) TO PROGRAM 'id' --", 'syntax error at or near ")"'),
        ("SELECT at FROM nowhere", 'relation "nowhere" does not exist'),
        ("SELECT 1 AS a, 2 AS a", "two columns are called 'a'; name one of them anew, with AS"),
        ("SELECT setval('numbers', 7) AS at", "cannot execute setval() in a read-only transaction"),
    ],
)
def test_a_database_is_only_read_and_by_one_select(server: Server, sql: str, text: str) -> None:
    server.execute("CREATE SEQUENCE IF NOT EXISTS numbers", "SELECT 1")
    assert text in fault_of(server.url, {"arrival": "at"}, sql=sql)
    assert server.execute("SELECT count(*) AS n FROM types") == [{"n": 10}]


def test_what_is_wrong_is_one_line_without_the_password(server: Server) -> None:
    nearest = fault_of(server.url, table="LiteLLM_SpendLog")
    assert nearest.startswith(
        f"table: no table 'LiteLLM_SpendLog' in {server.shown}; did you mean 'LiteLLM_SpendLogs'?"
    )
    wrong = server.url.replace(PASSWORD, "wrong-Word")
    assert fault_of(wrong, table="types") == (
        f'{server.shown}: cannot be reached: password authentication failed for user "{USER}"'
    )
    away = server.url.replace(f":{server.port}", ":1")
    assert fault_of(away, table="types").endswith("cannot be reached: Connection refused")
    absent = server.url.replace(f"/{DATABASE}", "/absent")
    assert fault_of(absent, table="types").endswith('cannot be reached: database "absent" does not exist')
    ssl = f"{server.url}?sslmode=require"
    assert fault_of(ssl, table="types").endswith("server does not support SSL, but SSL was required")
    other = server.url.replace(f"{USER}:{PASSWORD}", "other:Other-Pw")
    denied = fault_of(other, {"arrival": "at"}, table="secret_plans")
    assert "permission denied for table secret_plans; grant SELECT to the user" in denied
    unknown = fault_of(server.url, table="types")
    assert unknown.startswith(f"{server.shown}, table types: unknown header")
    assert unknown.endswith(f"burstlens columns '{server.shown}' --table types")
    assert fault_of(server.url).startswith(f"{server.shown}: is a database, and no table is named")
    assert fault_of(server.url, table="a", sql="b") == "table and sql exclude each other: give one of them"
    slash = server.url.replace(PASSWORD, "half/wrong-Word")
    assert "write it as %2F" in fault_of(slash, table="types")


def test_a_socket_and_a_password_of_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    urls = [
        server.url_without_password,
        f"postgresql://{USER}@/{DATABASE}?host={server.socket_folder}&port={server.port}",
        f"postgresql:///{DATABASE}?host={server.socket_folder}&port={server.port}&user={USER}",
        server.url_without_password.replace("postgresql:", "postgresql+psycopg2:"),
    ]
    for url in urls:
        with opened(url, {"arrival": "at"}, table="types") as trace:
            assert trace.info.rows == 10
            assert trace.info.sources[0].name in (
                f"127.0.0.1/{DATABASE}.types",
                f"localhost/{DATABASE}.types",
            )


def test_columns_looks_at_a_table(server: Server) -> None:
    found = bl.columns(server.url, table="LiteLLM_SpendLogs")
    assert {each.place: each.role for each in found.found}["prompt_tokens"] == "request_tokens"
    assert found.command == f"burstlens report '{server.shown}' --table LiteLLM_SpendLogs"
    found = bl.columns(server.url, table="types")
    assert found.command.startswith(f"burstlens report '{server.shown}' --table types --columns 'arrival=at,")
    assert bl.columns(server.url, sql="SELECT at FROM types").mapping == {"arrival": "at"}


def test_a_mapping_file_may_name_the_table(server: Server, tmp_path: Path) -> None:
    mapping = tmp_path / "spend.toml"
    mapping.write_text('table = "LiteLLM_SpendLogs"\n[columns]\narrival = "startTime"\n')
    with opened(server.url, mapping=mapping) as trace:
        assert trace.info.rows == N


@pytest.mark.slow
def test_the_password_is_nowhere(server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    columns = ",".join(f"{key}={value}" for key, value in SPEND_COLUMNS.items())
    table = ["--table", "LiteLLM_SpendLogs", "--columns", columns]
    commands: list[list[object]] = [
        ["report", server.url, "-o", tmp_path / "page", "--no-images", *table],
        ["fit", server.url, "-o", tmp_path / "parameters.json", *table],
        ["ingest", server.url, "-o", tmp_path / "trace.parquet", *table, "--log-file", tmp_path / "log"],
        ["export", server.url, "--format", "csv", "-o", tmp_path / "out.csv", *table],
        ["describe", server.url, "--json", *table],
        ["columns", server.url, "--table", "types"],
        ["replay", server.url, "--simulate", "llama-2-13b-a100", "-o", tmp_path / "run"],
        ["compare", server.url, server.url, *table],
        ["describe", server.url, "--no-such-flag"],
        ["export", "csv", "log", server.url],
    ]
    with caplog.at_level(logging.DEBUG):
        done = [burstlens(*step) for step in commands]
    assert [each.returncode for each in done] == [0, 0, 0, 0, 0, 0, 2, 2, 2, 2], [
        each.stderr for each in done
    ]
    for each in done:
        assert PASSWORD not in each.stdout + each.stderr
    assert PASSWORD not in caplog.text
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert PASSWORD.encode() not in path.read_bytes(), path
    page = (tmp_path / "page" / "index.html").read_text()
    assert f"{USER}:***@127.0.0.1" in page
    sources = json.loads((tmp_path / "parameters.json").read_text())["source"]["files"]
    assert sources[0]["name"] == f"127.0.0.1/{DATABASE}.LiteLLM_SpendLogs"
    assert pl.read_parquet(tmp_path / "trace.parquet").height == N


@pytest.mark.slow
def test_ctrl_c_ends_the_query(server: Server) -> None:
    busy = """SELECT count(*) AS n FROM pg_stat_activity
        WHERE state = 'active' AND query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()"""
    command = [sys.executable, "-m", "burstlens.cli", "describe", server.url, "--columns", "arrival=at",
               "--sql", "SELECT now() AS at FROM pg_sleep(600)"]  # fmt: skip

    def wait_for(n: int) -> None:
        end = time.monotonic() + 60
        while server.execute(busy) != [{"n": n}]:
            assert time.monotonic() < end
            time.sleep(0.05)

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        wait_for(1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert err.splitlines()[-1] == "burstlens: stopped"
    wait_for(0)


def test_without_the_extra_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("adbc_driver"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError) as caught:
        opened("postgresql://me:pass-Word@db.example/logs", table="t")
    assert str(caught.value) == (
        "postgresql://me:***@db.example/logs: needs the adbc-driver-postgresql package; "
        "install it with: pip install 'burstlens[database]'"
    )


@pytest.mark.parametrize("scheme", ["mysql", "sqlite", "duckdb", "mysql+pymysql"])
def test_other_databases_are_refused(scheme: str) -> None:
    text = fault_of(f"{scheme}://me:wrong-Word@db.example/logs", table="t")
    assert text == (
        f"{scheme}://me:***@db.example/logs: is a database that burstlens does not read; it reads postgresql://"
        "; export the table as CSV or Parquet"
    )


def test_a_table_is_for_a_database(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("ts\n1\n2\n")
    assert "table: is for a database" in fault_of(str(log), {"arrival": "ts"}, table="t")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:s@cret@db:5432/logs", "postgresql://me:***@db:5432/logs"),
        ("postgresql://me:s:c@db/logs?sslmode=require", "postgresql://me:***@db/logs?sslmode=require"),
        (
            "postgres://db/logs?user=me&password=s&sslpassword=t",
            "postgres://db/logs?user=me&password=***&sslpassword=***",
        ),
        ("postgresql:///logs", "postgresql:///logs"),
        ("postgresql://db:5432/logs", "postgresql://db:5432/logs"),
        ("log.csv", "log.csv"),
        ("s3a://bucket/log.csv", "s3a://bucket/log.csv"),
    ],
)
def test_how_a_url_is_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown
    assert without_password(log_path(url)) == shown or "://" not in shown or shown.startswith("s3a")
    if shown.startswith("postgres"):
        assert shown_url(log_path(url)) == shown
        assert url_of_database(log_path(without_password(url))) == url
