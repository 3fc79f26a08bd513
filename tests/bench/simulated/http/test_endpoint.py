"""The simulated server over real sockets: it answers as vLLM does, and says that it is simulated."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from burstlens.analysis.core.errors import BurstlensError
from burstlens.bench.simulated.http.endpoint import endpoint
from burstlens.bench.simulated.presets import Preset, load_preset

LLAMA = load_preset("llama-2-13b-h200")
REAL_PAGE = Path(__file__).parents[5] / "shared" / "reference" / "vllm-0.32-metrics.txt"
COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"


class Client:
    """A few calls on a server."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.http = http

    async def post(self, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        async with self.http.post(self.url + path, json=body) as answer:
            return answer.status, await answer.json()

    async def events(self, path: str, **body: Any) -> tuple[int, list[Any]]:
        async with self.http.post(self.url + path, json={"stream": True, **body}) as answer:
            assert answer.content_type == "text/event-stream"
            text = (await answer.read()).decode()
        assert text.endswith("data: [DONE]\n\n")
        lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
        return answer.status, [json.loads(line) for line in lines[:-1]]

    async def metrics(self) -> dict[str, float]:
        async with self.http.get(self.url + "/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return {name: float(value) for name, value in (x.rsplit(" ", 1) for x in lines if x[0] != "#")}

    async def until(self, name: str, value: float) -> None:
        """Ask for the metrics until one that begins so has a value."""
        async with asyncio.timeout(10):
            while value not in [v for k, v in (await self.metrics()).items() if k.startswith(name)]:
                pass


@asynccontextmanager
async def serving(preset: Preset = LLAMA, **options: Any) -> AsyncIterator[Client]:
    async with (
        endpoint(preset, served_model="tiny", **{"speedup": 100.0, **options}) as url,
        aiohttp.ClientSession() as http,
    ):
        yield Client(url, http)


def against(test: Callable[[Client], Awaitable[None]], preset: Preset = LLAMA, **options: Any) -> None:
    """Run a test's body against a server of its own."""

    async def run() -> None:
        async with serving(preset, **options) as client:
            await test(client)

    asyncio.run(run())


def test_a_streamed_completion_of_token_ids() -> None:
    async def body(client: Client) -> None:
        status, events = await client.events(
            COMPLETIONS,
            model="tiny",
            prompt=[5, 6, 7],
            max_tokens=40,
            ignore_eos=True,
            return_token_ids=True,
            stream_options={"include_usage": True, "continuous_usage_stats": True},
        )
        *chunks, last = events
        assert status == 200
        assert last["choices"] == []
        assert last["usage"] == {"prompt_tokens": 3, "total_tokens": 43, "completion_tokens": 40}
        carried = [len(c["choices"][0]["token_ids"]) for c in chunks]
        assert sum(carried) == 40
        reply = [c["usage"]["completion_tokens"] for c in chunks]
        assert reply == [sum(carried[: i + 1]) for i in range(len(chunks))]
        assert [c["choices"][0]["finish_reason"] for c in chunks] == [None] * (len(chunks) - 1) + ["length"]
        assert chunks[0]["choices"][0]["prompt_token_ids"] == [5, 6, 7]
        assert len("".join(c["choices"][0]["text"] for c in chunks).split()) == 40

    against(body)


def test_tokens_that_are_due_together_come_in_one_chunk() -> None:
    async def body(client: Client) -> None:
        _, events = await client.events(COMPLETIONS, prompt=[1], max_tokens=1000, ignore_eos=True)
        assert len(events) < 500

    against(body, speedup=10_000.0)


def test_an_answer_is_never_early() -> None:
    async def body(client: Client) -> None:
        start_s = asyncio.get_running_loop().time()
        await client.post(COMPLETIONS, prompt=[1] * 100, max_tokens=20, ignore_eos=True)
        least_s = 20 * LLAMA.latency.a_d_ms / 1e3
        assert asyncio.get_running_loop().time() - start_s >= least_s

    against(body, speedup=1.0)


def test_chat_in_whole_and_in_chunks() -> None:
    async def body(client: Client) -> None:
        messages = [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "three more words"}]},
        ]
        ask = {"messages": messages, "max_completion_tokens": 7, "ignore_eos": True}
        status, complete = await client.post(CHAT, **ask)
        assert (status, complete["object"]) == (200, "chat.completion")
        assert complete["usage"] == {"prompt_tokens": 5, "total_tokens": 12, "completion_tokens": 7}
        choice = complete["choices"][0]
        assert (choice["message"]["role"], choice["finish_reason"]) == ("assistant", "length")
        assert len(choice["message"]["content"].split()) == 7
        _, events = await client.events(CHAT, **ask)
        deltas = [e["choices"][0]["delta"] for e in events]
        assert deltas[0] == {"role": "assistant", "content": ""}
        assert len("".join(d["content"] for d in deltas).split()) == 7
        assert {e["object"] for e in events} == {"chat.completion.chunk"}

    against(body)


def test_without_detokenize_there_are_ids_but_no_text() -> None:
    async def body(client: Client) -> None:
        _, complete = await client.post(
            COMPLETIONS, prompt=[1], max_tokens=5, ignore_eos=True, detokenize=False, return_token_ids=True
        )
        assert complete["choices"][0]["text"] == ""
        assert len(complete["choices"][0]["token_ids"]) == 5

    against(body)


def test_answers_end_by_themselves_unless_told_otherwise() -> None:
    async def body(client: Client) -> None:
        wholes = [
            (await client.post(COMPLETIONS, prompt="one two", max_tokens=150, min_tokens=20))[1]
            for _ in range(30)
        ]
        lengths = [w["usage"]["completion_tokens"] for w in wholes]
        assert min(lengths) >= 20
        assert {w["choices"][0]["finish_reason"] for w in wholes} == {"stop", "length"}
        assert all(
            (n == 150) == (w["choices"][0]["finish_reason"] == "length")
            for n, w in zip(lengths, wholes, strict=True)
        )

    against(body, speedup=1000.0)


def test_every_page_says_simulated() -> None:
    async def body(client: Client) -> None:
        for path in ("/health", "/version", "/v1/models", "/metrics", "/none"):
            async with client.http.get(client.url + path) as answer:
                assert "llama-2-13b-h200" in answer.headers["X-Simulated"]
                assert answer.status == (404 if path == "/none" else 200)
                assert path == "/health" or "simulated" in (await answer.text()).lower()
        for path, ask in ((COMPLETIONS, {"prompt": [1]}), (CHAT, {"messages": [{"content": "hi"}]})):
            _, complete = await client.post(path, max_tokens=2, **ask)
            _, events = await client.events(path, max_tokens=2, **ask)
            for reply in (complete, *events):
                assert reply["simulated"] is True
                assert reply["system_fingerprint"] == "simulated-llama-2-13b-h200"
        async with client.http.get(client.url + "/v1/models") as answer:
            model = (await answer.json())["data"][0]
        assert (model["id"], model["owned_by"]) == ("tiny", "burstlens (simulated)")

    against(body)


@pytest.mark.parametrize(
    ("ask", "status", "param"),
    [
        ({"prompt": [1], "model": "other"}, 404, "model"),
        ({}, 400, "prompt"),
        ({"prompt": []}, 400, "prompt"),
        ({"prompt": [1, "a"]}, 400, "prompt"),
        ({"prompt": [-1]}, 400, "prompt"),
        ({"prompt": ["a b", "c"]}, 400, "prompt"),
        ({"prompt": [1], "max_tokens": 0}, 400, "max_tokens"),
        ({"prompt": [1], "max_tokens": "9"}, 400, "max_tokens"),
        ({"prompt": [1], "max_tokens": 5, "min_tokens": 6}, 400, "min_tokens"),
        ({"prompt": [1], "stream_options": {"include_usage": True}}, 400, "stream_options"),
        ({"prompt": [1], "n": 2}, 400, "n"),
        ({"prompt": [1], "priority": True}, 400, "priority"),
        ({"prompt": [1] * 4096}, 400, "prompt"),
        ({"prompt": [1] * 5000, "stream": True, "ignore_eos": True}, 400, "prompt"),
    ],
)
def test_what_cannot_be_served_is_told_as_openai_does(ask: dict[str, Any], status: int, param: str) -> None:
    async def body(client: Client) -> None:
        got, answer = await client.post(COMPLETIONS, **ask)
        assert (got, answer["error"]["code"], answer["error"]["param"]) == (status, status, param)

    against(body)


def test_a_body_that_is_no_json_and_messages_that_are_none() -> None:
    async def body(client: Client) -> None:
        async with client.http.post(client.url + COMPLETIONS, data=b"{") as answer:
            assert (answer.status, "JSON" in (await answer.text())) == (400, True)
        for messages in (None, [], ["hi"], [{"content": 3}]):
            status, reply = await client.post(CHAT, messages=messages)
            assert (status, reply["error"]["param"]) == (400, "messages")

    against(body)


def test_more_tokens_than_fit_are_answered_with_fewer() -> None:
    async def body(client: Client) -> None:
        status, complete = await client.post(COMPLETIONS, prompt=[1] * 4090, max_tokens=50, ignore_eos=True)
        assert (status, complete["usage"]["completion_tokens"]) == (200, 6)
        assert complete["choices"][0]["finish_reason"] == "length"

    against(body)


def test_a_full_queue_rejects_inside_a_stream_and_with_a_status() -> None:
    async def body(client: Client) -> None:
        long = client.http.post(
            client.url + COMPLETIONS,
            json={"prompt": [1], "max_tokens": 4000, "ignore_eos": True, "stream": True},
        )
        async with long as open_stream:
            await open_stream.content.readline()
            status, events = await client.events(COMPLETIONS, prompt=[1], max_tokens=2)
            assert (status, len(events), events[0]["error"]["code"]) == (200, 1, 503)
            status, reply = await client.post(COMPLETIONS, prompt=[1], max_tokens=2)
            assert (status, reply["error"]["code"]) == (503, 503)
            await client.until("vllm:admission_rejections_total", 2.0)

    against(body, LLAMA.limited(max_num_queued_reqs=1), speedup=1.0)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_frees_its_place(stream: bool) -> None:
    async def body(client: Client) -> None:
        ask = {"prompt": [1], "max_tokens": 4000, "ignore_eos": True, "stream": stream}
        calls = [asyncio.create_task(client.post(COMPLETIONS, **ask)) for _ in range(2)]
        await client.until("vllm:num_requests_waiting", 1.0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await client.until('vllm:request_success_total{engine="0",finished_reason="abort"', 2.0)
        await client.until("vllm:num_requests_running", 0.0)
        assert [v for k, v in (await client.metrics()).items() if "kv_cache_usage" in k] == [0.0]

    against(body, LLAMA.limited(max_num_seqs=1), speedup=1.0)


@pytest.mark.slow
def test_priority_is_kept_to() -> None:
    async def body(client: Client) -> None:
        ended: list[int] = []

        async def ask(priority: int) -> None:
            await client.post(COMPLETIONS, prompt=[1], max_tokens=30, ignore_eos=True, priority=priority)
            ended.append(priority)

        calls = [asyncio.create_task(ask(-9))]
        await client.until("vllm:num_requests_running", 1.0)
        for n, priority in enumerate((3, 1, 2)):
            calls.append(asyncio.create_task(ask(priority)))
            await client.until("vllm:num_requests_waiting", n + 1.0)
        await asyncio.gather(*calls)
        assert ended == [-9, 1, 2, 3]

    against(body, LLAMA.limited(max_num_seqs=1), scheduling="priority", speedup=0.5)


def test_many_at_once_are_all_answered_and_counted() -> None:
    async def body(client: Client) -> None:
        streams = [
            client.events(
                COMPLETIONS,
                prompt=[1] * (i % 50 + 1),
                max_tokens=i % 20 + 1,
                ignore_eos=True,
                stream_options={"include_usage": True},
            )
            for i in range(300)
        ]
        for i, (status, events) in enumerate(await asyncio.gather(*streams)):
            assert (status, events[-1]["usage"]["completion_tokens"]) == (200, i % 20 + 1)
        metrics = await client.metrics()
        labels = '{engine="0",model_name="tiny"}'
        tokens = sum(i % 20 + 1 for i in range(300))
        assert metrics[f"vllm:num_requests_running{labels}"] == 0
        assert metrics[f"vllm:generation_tokens_total{labels}"] == tokens
        assert metrics[f"vllm:request_generation_tokens_sum{labels}"] == tokens
        assert metrics[f"vllm:time_to_first_token_seconds_count{labels}"] == 300
        assert metrics[f"vllm:inter_token_latency_seconds_count{labels}"] == tokens - 300

    against(body)


def test_the_metrics_page_has_the_names_labels_and_buckets_of_a_real_one() -> None:
    if not REAL_PAGE.is_file():
        pytest.skip("no page of a real vLLM in ../shared/reference")
    series = re.compile(r"^(vllm:\w+(?:\{[^}]*\})?) ", re.M)
    real = set(series.findall(REAL_PAGE.read_text()))

    async def body(client: Client) -> None:
        async with client.http.get(client.url + "/metrics") as answer:
            ours = set(series.findall(await answer.text()))
        ours = {name for name in ours if "cache_config_info" not in name}
        assert len(ours) > 150
        assert {_ordered(name) for name in ours} <= {_ordered(name) for name in real}

    against(body)


def _ordered(name: str) -> str:
    name, _, labels = name.partition("{")
    return name + ",".join(sorted(labels.rstrip("}").split(",")))


def test_an_address_that_is_taken() -> None:
    async def body(client: Client) -> None:
        port = int(client.url.rsplit(":", 1)[1])
        with pytest.raises(BurstlensError, match=f"127.0.0.1:{port}: cannot listen there: another program"):
            async with endpoint(LLAMA, port=port):
                pass

    against(body)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_when_told_with_streams_open(number: signal.Signals) -> None:
    code = (
        "from burstlens.bench.simulated.http.endpoint import serve\n"
        "from burstlens.bench.simulated.presets import load_preset\n"
        "serve(load_preset('opt-13b-a100'), port=0, ready=lambda url: print(url, flush=True))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()

        async def body() -> None:
            ask = {"prompt": [1], "max_tokens": 2000, "ignore_eos": True, "stream": True}
            async with aiohttp.ClientSession() as http, http.post(url + COMPLETIONS, json=ask) as answer:
                await answer.content.readline()
                server.send_signal(number)
                with pytest.raises(aiohttp.ClientError):
                    await answer.read()

        try:
            asyncio.run(body())
            _, reply = server.communicate(timeout=20)
        finally:
            server.kill()
    assert (server.returncode, reply) == (0, "")
