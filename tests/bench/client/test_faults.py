"""Whatever a server does, the run ends and each request is in the record once, in its class."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from burstlens import BurstlensError
from burstlens.bench.client.http import StreamedAnswer, pause_s, retry_after
from burstlens.bench.client.run import run
from burstlens.bench.metrics.summary import summarize
from burstlens.bench.prompts.token_ids import TokenPrompts
from burstlens.bench.record.run_folder import read_manifest, read_record
from burstlens.bench.settings import Settings, Status, Target
from burstlens.bench.workload.table import Workload
from tests.bench.faulty import BASE, WAYS, Faulty, faulty
from tests.bench.simulated.loads import workload
from tests.helpers import free_port

EXPECTED = {
    "ok": "ok",
    "http_429": "http_429",
    "http_500": "http_5xx",
    "http_400": "http_4xx",
    "error_in_200": "stream_error",
    "rejected_in_200": "rejected",
    "garbage": "stream_error",
    "torn": "stream_error",
    "cut": "stream_error",
    "reset": "reset",
    "few": "truncated",
    "hang": "timeout",
    "close": "reset",
    "http_503": "rejected",
    "bare_503": "http_5xx",
}
QUICK = Settings(timeout_s=1.0, grace_s=0.5)


def of_each_way(times: int) -> Workload:
    """Requests for every way to answer, `times` each, a hundred a second."""
    ways = [i for _ in range(times) for i in range(len(WAYS))]
    n = len(ways)
    return workload([0.01 * i for i in range(n)], [5 + i % 7 for i in range(n)], [BASE + way for way in ways])


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_every_request_is_recorded_once_with_its_class(tmp_path: Path, workers: int) -> None:
    load = of_each_way(4)
    with faulty() as (url, server):
        run(load, TokenPrompts(), Target(url), replace(QUICK, workers=workers), tmp_path / "run")
    record = read_record(tmp_path / "run")
    assert record["request_id"].to_list() == load.requests["request_id"].to_list()
    outcomes = record.select("response_tokens_asked", "outcome").rows()
    assert {(WAYS[planned - BASE], outcome) for planned, outcome in outcomes} == set(EXPECTED.items())
    # Nothing is retried: the server saw each once.
    assert server.requests == dict.fromkeys(WAYS, 4)
    metrics = summarize(tmp_path / "run").metrics
    assert metrics.outcomes == {**dict.fromkeys(metrics.outcomes, 0), **Counter(o for _, o in outcomes)}
    assert metrics.failure_rate.value == pytest.approx(13 / 15)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_is_sent_from_any_thread_and_ends_when_who_watches_has_seen_enough(
    tmp_path: Path, workers: int
) -> None:
    load = workload([0.02 * i for i in range(1000)], [5] * 1000, [BASE] * 1000)
    settings = replace(QUICK, workers=workers)
    with faulty() as (url, server), ThreadPoolExecutor(1) as pool:
        sent = pool.submit(
            run, load, TokenPrompts(), Target(url), settings, tmp_path / "run", watch=lambda s: s.sent >= 40
        )
        assert (sent.result().finished, sent.result().stopped) == (False, "stopped by Ctrl-C")
    assert 40 <= sum(server.requests.values()) == read_record(tmp_path / "run").height < 1000


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_stop_does_not_wait_for_the_next_request(tmp_path: Path, workers: int) -> None:
    load = workload([0.0, 0.0, 86_400.0, 86_400.0], [5] * 4, [BASE] * 4)
    settings = replace(QUICK, workers=workers)
    with faulty() as (url, server):
        manifest = run(
            load, TokenPrompts(), Target(url), settings, tmp_path / "run",
            watch=lambda s: sum(s.ended.values()) == 2,
        )  # fmt: skip
    assert (manifest.finished, manifest.stopped) == (False, "stopped by Ctrl-C")
    assert sum(server.requests.values()) == read_record(tmp_path / "run").height == 2


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_watcher_that_fails_ends_the_run(tmp_path: Path, workers: int) -> None:
    load = workload([0.01 * i for i in range(400)], [5] * 400, [BASE] * 400)
    # No answer comes, and each worker waits for what is open: longer than the load lasts.
    settings = Settings(timeout_s=60.0, grace_s=4.5, workers=workers)

    def watch(status: Status) -> None:
        if status.sent >= 20:
            raise RuntimeError("the screen is gone")

    with faulty(lambda _: "hang") as (url, _), pytest.raises(RuntimeError, match="the screen is gone"):
        run(load, TokenPrompts(), Target(url), settings, tmp_path / "run", watch=watch)
    sent = read_record(tmp_path / "run")["worker"].value_counts()
    assert sent.height == workers
    assert (sent["count"] < 400 / workers).all()
    assert not read_manifest(tmp_path / "run").finished


def test_tokens_are_the_servers_count_and_prompts_have_exact_length(tmp_path: Path) -> None:
    with faulty() as (url, server):
        run(of_each_way(1), TokenPrompts(), Target(url), QUICK, tmp_path / "run")
    good = read_record(tmp_path / "run").filter(outcome="ok")
    assert good["response_tokens"].to_list() == good["response_tokens_asked"].to_list() == [BASE]
    assert good["request_tokens"].to_list() == good["request_tokens_asked"].to_list()
    assert good["gap_tokens"].to_list() == [[1] * (BASE - 1)]
    body = server.bodies[0]
    assert body["ignore_eos"] is True
    assert body["stream"] is True


def test_a_key_reaches_the_server_and_no_file_and_no_text(tmp_path: Path) -> None:
    target = Target("", None, key="sk-very-secret")
    with faulty() as (url, server):
        run(of_each_way(1), TokenPrompts(), replace(target, url=url), QUICK, tmp_path / "run")
    assert all("authorization: bearer sk-very-secret" in head.lower() for head in server.headers)
    assert all(b"secret" not in path.read_bytes() for path in (tmp_path / "run").iterdir())
    assert "secret" not in repr(target)


@pytest.mark.slow
def test_a_server_that_dies_and_comes_back_fails_only_what_it_missed(tmp_path: Path) -> None:
    load = workload([0.02 * i for i in range(150)], [5] * 150, [BASE] * 150)
    lives = ExitStack()
    url, first = lives.enter_context(faulty())
    port = int(url.rsplit(":", 1)[1])
    servers = [first]

    def watch(status: Status) -> None:
        if len(servers) == 1 and status.sent >= 40:
            lives.close()
            servers.append(Faulty(lambda _: "dead"))
        elif len(servers) == 2 and status.ended.get("refused", 0) >= 10:
            servers.append(lives.enter_context(faulty(port=port))[1])

    with lives:
        run(load, TokenPrompts(), Target(url), QUICK, tmp_path / "run", watch=watch)
    record = read_record(tmp_path / "run")
    ended = Counter(record["outcome"].to_list())
    assert record["request_id"].to_list() == list(range(150))
    assert ended.keys() <= {"ok", "refused", "reset"}
    assert ended["refused"] >= 10
    assert ended["ok"] == sum(server.requests.get("ok", 0) for server in servers)
    assert servers[2].requests["ok"] > 0


def test_nothing_is_sent_where_the_endpoint_cannot_be(tmp_path: Path) -> None:
    for target, message in (
        (Target(f"http://127.0.0.1:{free_port()}"), "connection refused"),
        (Target("http://nowhere.invalid"), "no such host"),
        (Target("127.0.0.1:8000"), "is not a base URL"),
    ):
        with pytest.raises(BurstlensError, match=message):
            run(of_each_way(1), TokenPrompts(), target, QUICK, tmp_path / "run")
        assert not (tmp_path / "run").exists()
    with faulty() as (url, server):
        with pytest.raises(BurstlensError, match="does not serve 'other'; it serves: m"):
            run(of_each_way(1), TokenPrompts(), Target(url, "other"), QUICK, tmp_path / "run")
        with pytest.raises(BurstlensError, match="TLS fails"):
            run(
                of_each_way(1),
                TokenPrompts(),
                Target(url.replace("http:", "https:")),
                QUICK,
                tmp_path / "run",
            )
        (tmp_path / "file").write_text("")
        with pytest.raises(BurstlensError, match="cannot be written"):
            run(of_each_way(1), TokenPrompts(), Target(url), QUICK, tmp_path / "file" / "run")
        assert server.requests == {}


def test_a_full_disk_is_one_line_and_what_was_written_stays(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "record-0.jsonl").symlink_to("/dev/full")
    with faulty() as (url, _), pytest.raises(BurstlensError, match="no space left"):
        run(of_each_way(3), TokenPrompts(), Target(url), QUICK, folder)
    assert "no space left" in (read_manifest(folder).stopped or "")


SCRIPT = """
import sys
from pathlib import Path
from burstlens.bench.client.run import run
from burstlens.bench.prompts.token_ids import TokenPrompts
from burstlens.bench.settings import Settings, Target
from tests.bench.simulated.loads import workload

load = workload([0.02 * i for i in range(300)], [5] * 300, [4] * 300)
manifest = run(load, TokenPrompts(), Target(sys.argv[1]), Settings(grace_s=1.0), Path(sys.argv[2]),
           resume=sys.argv[3] == "resume", watch=lambda s: print(s.sent, flush=True))
print(manifest.finished, manifest.stopped)
"""


def start(url: str, folder: Path, how: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, url, str(folder), how],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": "."},
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_cut_goes_on_where_its_record_ends(tmp_path: Path, number: signal.Signals) -> None:
    with faulty(lambda _: "ok") as (url, server):
        process = start(url, tmp_path / "run", "new")
        assert process.stdout is not None
        while int(process.stdout.readline()) < 60:
            pass
        process.send_signal(number)
        output = process.communicate()[0]
        before = read_record(tmp_path / "run")
        assert 0 < before.height < 300
        if number == signal.SIGINT:
            assert process.returncode == 0
            assert output.splitlines()[-1] == "False stopped by Ctrl-C"
            assert sum(server.requests.values()) == before.height
        else:
            # At most what was sent since the last flush, half a second, is lost.
            assert sum(server.requests.values()) - before.height <= 60
        went_on = start(url, tmp_path / "run", "resume")
        assert went_on.communicate()[0].splitlines()[-1] == "True None"
    record = read_record(tmp_path / "run")
    assert record["request_id"].to_list() == list(range(300))
    assert record.filter(pl.col("request_id").is_in(before["request_id"].implode())).equals(before)
    assert read_manifest(tmp_path / "run").finished


def test_a_run_goes_on_only_with_its_own_options(tmp_path: Path) -> None:
    with faulty() as (url, _):
        run(of_each_way(1), TokenPrompts(), Target(url), QUICK, tmp_path / "run")
        with pytest.raises(BurstlensError, match="has a run already"):
            run(of_each_way(1), TokenPrompts(), Target(url), QUICK, tmp_path / "run")
        with pytest.raises(BurstlensError, match="another workload"):
            run(of_each_way(2), TokenPrompts(), Target(url), QUICK, tmp_path / "run", resume=True)
        with pytest.raises(BurstlensError, match="so it is not a run"):
            run(of_each_way(2), TokenPrompts(), Target(url), QUICK, tmp_path / "none", resume=True)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["finished"] is True


def test_a_rejected_request_is_sent_again_if_retries_are_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("burstlens.bench.client.http.BACKOFF_S", 0.0)
    turned_away = ("http_429", "http_500", "rejected_in_200", "close", "http_503", "bare_503")
    attempts: Counter[int] = Counter()

    def way(tokens: int) -> str:
        attempts[tokens] += 1
        named = WAYS[tokens - BASE]
        # The second time the server has room, except for one that is always full.
        return "ok" if named in turned_away[1:] and attempts[tokens] > 1 else named

    with faulty(way) as (url, _):
        load = of_each_way(1)
        run(load, TokenPrompts(), Target(url), replace(QUICK, retries=2), tmp_path / "run")
    record = read_record(tmp_path / "run")
    assert record["request_id"].to_list() == load.requests["request_id"].to_list()
    outcomes = {WAYS[planned - BASE]: (outcome, tries) for planned, outcome, tries in record.select(
        "response_tokens_asked", "outcome", "tries").rows()}  # fmt: skip
    again = {"http_429": ("http_429", 3), **dict.fromkeys(turned_away[1:], ("ok", 2))}
    assert outcomes == {way: (EXPECTED[way], 1) for way in WAYS} | again
    good = record.filter(outcome="ok")
    assert good["gap_tokens"].list.len().to_list() == [n - 1 for n in good["response_tokens"]]
    assert summarize(tmp_path / "run").metrics.retried == len(turned_away)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0), (None, None), ("soon", None), ("-1", None)],
)
def test_a_server_says_when_to_come_again(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, now_unix_s=10.0) == seconds


def test_the_pause_doubles_and_heeds_the_server() -> None:
    tries = [StreamedAnswer(outcome="http_429", tries=i) for i in (1, 2, 3, 20)]
    assert [pause_s(answer) for answer in tries] == [0.5, 1.0, 2.0, 30.0]
    assert pause_s(StreamedAnswer(outcome="http_5xx", tries=1, retry_after_s=60.0)) == 60.0
    assert pause_s(StreamedAnswer(outcome="reset", tries=1, first_token_s=1.0)) is None
