"""A real vLLM and the simulated endpoint answer the same requests in the same form."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from burstlens.bench.client.preflight import preflight
from burstlens.bench.client.run import run
from burstlens.bench.client.server_metrics import NAMES, parse
from burstlens.bench.prompts.token_ids import TokenPrompts
from burstlens.bench.record.run_folder import read_record, read_server
from burstlens.bench.settings import Settings, Target
from tests.bench.simulated.loads import workload
from tests.real.conftest import LENGTH, MODEL

IDS = list(range(10, 60))
PROMPTS = TokenPrompts(vocabulary=(10, 999))


def ask(url: str, body: dict[str, Any] | None = None) -> tuple[int, str]:
    """Status and text of an answer."""
    data = None if body is None else json.dumps({"model": MODEL, **body}).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as fault:
        return fault.code, fault.read().decode()


def events(text: str) -> list[str]:
    """The data of server-sent events."""
    return [line[6:] for line in text.splitlines() if line.startswith("data: ")]


@pytest.mark.slow
def test_it_is_there_and_says_who_it_is(server: str) -> None:
    assert ask(f"{server}/health")[0] == 200
    status, text = ask(f"{server}/v1/models")
    assert status == 200
    (model,) = json.loads(text)["data"]
    assert (model["id"], model["max_model_len"]) == (MODEL, LENGTH)
    found = preflight(Target(server))
    assert found.target.model == MODEL
    assert found.max_model_len == LENGTH
    assert found.has_metrics
    assert found.version


@pytest.mark.parametrize("tokens", [1, 17])
def test_a_completion_of_token_ids_has_exact_lengths(server: str, tokens: int) -> None:
    body = {"prompt": IDS, "max_tokens": tokens, "ignore_eos": True}
    status, text = ask(f"{server}/v1/completions", body)
    assert status == 200
    answer = json.loads(text)
    usage = answer["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (len(IDS), tokens)
    assert usage["total_tokens"] == len(IDS) + tokens
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["object"] == "text_completion"


def test_a_streamed_completion_counts_every_chunk_and_ends(server: str) -> None:
    body = {
        "prompt": IDS,
        "max_tokens": 9,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    }
    status, text = ask(f"{server}/v1/completions", body)
    *chunks, done = events(text)
    assert status == 200
    assert done == "[DONE]"
    pieces = [json.loads(chunk) for chunk in chunks]
    counts = [chunk["usage"]["completion_tokens"] for chunk in pieces]
    assert counts == sorted(counts)
    assert counts[-1] == 9
    assert pieces[-1]["choices"] == []
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in pieces[:-1]]
    assert reasons == [None] * (len(reasons) - 1) + ["length"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_answers(server: str, stream: bool) -> None:
    body = {
        "messages": [{"role": "user", "content": "w11 w12 w13"}],
        "max_tokens": 5,
        "ignore_eos": True,
        "stream": stream,
        **({"stream_options": {"include_usage": True}} if stream else {}),
    }
    status, text = ask(f"{server}/v1/chat/completions", body)
    assert status == 200
    if stream:
        *chunks, done = events(text)
        assert done == "[DONE]"
        assert json.loads(chunks[0])["choices"][0]["delta"]["role"] == "assistant"
        usage = json.loads(chunks[-1])["usage"]
    else:
        answer = json.loads(text)
        assert answer["choices"][0]["message"]["role"] == "assistant"
        usage = answer["usage"]
    assert usage["completion_tokens"] == 5


def test_a_prompt_that_is_too_long_is_refused_with_a_reason(server: str) -> None:
    for stream in (False, True):
        body = {"prompt": [11] * (LENGTH + 5), "max_tokens": 4, "stream": stream}
        status, text = ask(f"{server}/v1/completions", body)
        assert status == 400
        assert str(LENGTH) in json.loads(text)["error"]["message"]


def test_what_is_no_request_is_refused(server: str) -> None:
    assert ask(f"{server}/v1/completions", {"prompt": IDS, "max_tokens": 0})[0] == 400
    assert ask(f"{server}/v1/completions", {"model": "other", "prompt": IDS})[0] == 404


def test_metrics_have_the_names_that_are_sampled(server: str) -> None:
    found = parse(ask(f"{server}/metrics")[1])
    assert {name for name in NAMES if getattr(found, name) is None} <= {"rejections"}


@pytest.mark.slow
def test_an_overload_is_rejected_and_preempts(server: str, tmp_path: Path) -> None:
    # 160 requests at one instant for a server that holds 80, each growing over several KV blocks.
    load = workload([0.0] * 160, [200] * 160, [300] * 160)
    run(load, PROMPTS, Target(server), Settings(sample_s=0.25), tmp_path / "run")
    record = read_record(tmp_path / "run")
    ended = Counter(record["outcome"].to_list())
    assert ended.keys() == {"ok", "rejected"}
    assert ended["ok"] >= 80
    turned_away = record.filter(outcome="rejected")
    # vLLM turns some away before it answers 200: which ones is a race of their arrival with its count.
    assert set(turned_away["status"]) <= {200, 503}
    assert turned_away["error"].str.starts_with("503").all()
    assert record.filter(outcome="ok")["response_tokens"].unique().to_list() == [300]
    samples = read_server(tmp_path / "run")
    preempted = samples["preemptions"].drop_nulls()
    assert preempted[-1] > preempted[0]


def test_a_request_given_up_is_a_timeout_and_frees_its_place(server: str, tmp_path: Path) -> None:
    load = workload([0.0] * 8, [50] * 8, [3000] * 8)
    run(load, PROMPTS, Target(server), Settings(timeout_s=0.3), tmp_path / "run")
    assert read_record(tmp_path / "run")["outcome"].unique().to_list() == ["timeout"]
    # The next request is served at once, and with it nothing else runs.
    after = workload([0.0], [50], [2])
    run(after, PROMPTS, Target(server), Settings(), tmp_path / "after")
    assert read_record(tmp_path / "after")["outcome"].to_list() == ["ok"]
    assert parse(ask(f"{server}/metrics")[1]).running == 0


@pytest.mark.slow
def test_the_urgent_overtake_those_that_wait(server: str, tmp_path: Path) -> None:
    # More than the KV cache holds; every other request is urgent (a smaller number).
    n = 70
    load = workload([0.001 * i for i in range(n)], [400] * n, [150] * n, priority=[i % 2 for i in range(n)])
    run(load, PROMPTS, Target(server), Settings(), tmp_path / "run")
    record = read_record(tmp_path / "run").filter(outcome="ok").with_columns(pl.col("request_id") % 2)
    means = record.group_by("request_id").agg(pl.col("first_token_s").mean()).sort("request_id")
    urgent, patient = means["first_token_s"].to_list()
    assert urgent < patient
