"""Logs of known systems: one small sample of each is recognized, and says what it holds.

The samples of operators' systems hold the same five requests in 31 seconds, one of them refused with 429, as
far as the system writes them down; beside them are rows that are no requests. Those of public traces hold the
same four. All values are made up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from burstlens.analysis.core.errors import BurstlensError
from burstlens.analysis.core.registry import FORMATS, plugins
from burstlens.analysis.logs.formats.declaration import formats
from burstlens.analysis.trace.trace import ingest, open_trace

SAMPLES = Path(__file__).parent / "formats"

ALL = {"requests": 5, "failed": 1, "span_s": 31.0, "answered": (1829, 299)}
ANSWERED = {"requests": 4, "failed": 0, "span_s": 31.0, "answered": (1829, 299)}
WITH_CACHE = {**ALL, "cached_tokens": 1280}
SESSIONS = {"session": 4}
CLIENTS = {"client": 3}
TTFT = {"ttft_s": 0.94}
FULL = {**WITH_CACHE, **SESSIONS, **CLIENTS, "reasoning_tokens": 96, **TTFT, "reason": {"429"}}
PUBLIC = {"requests": 4, "failed": 0, "span_s": 180.0, "answered": (1802, 26)}

EXPECTED: dict[str, tuple[str, dict[str, Any]]] = {
    "litellm_spend_logs.csv": ("litellm_spend_logs", FULL),
    "litellm_spend_logs.json": ("litellm_spend_logs", FULL),
    "litellm_spend_logs_first.csv": ("litellm_spend_logs", {**ANSWERED, "tells_failures": False}),
    "litellm_payload.jsonl": ("litellm_payload", FULL),
    "otlp_traces.jsonl": ("otlp_traces", {**FULL, "services": {"shop-chat"}}),
    "otlp_traces_older.jsonl": ("otlp_traces", {**WITH_CACHE, **SESSIONS, **CLIENTS, "reason": {"refused"}}),
    "vllm_otlp.jsonl": ("otlp_traces", {**ANSWERED, **TTFT, "services": {"shop-chat"}}),
    "otel_spans.jsonl": ("otel_spans", {**FULL, "services": {"shop-chat"}}),
    "langfuse.jsonl": ("langfuse", FULL),
    "langfuse.csv": ("langfuse", FULL),
    "langfuse_api.json": ("langfuse_api", {**ALL, **SESSIONS, **CLIENTS, **TTFT, "reason": {"429"}}),
    "langfuse_api_older.jsonl": ("langfuse_api", {**ALL, **SESSIONS, **CLIENTS, **TTFT, "reason": {"429"}}),
    "sglang_requests.log": (
        "sglang_requests",
        {**WITH_CACHE, "reasoning_tokens": 96, "reason": {"429"}, "rejected": 1},
    ),
    "sglang_metrics.log": ("sglang_metrics", {**WITH_CACHE, **TTFT, "reason": {"cancelled"}}),
    "dynamo.jsonl": (
        "dynamo",
        {**WITH_CACHE, "session": 3, "ttft_s": 0.88, "reason": {"error: no worker"}, "block_tokens": 64},
    ),
    "bedrock.jsonl": ("bedrock", {**WITH_CACHE, **CLIENTS, "reason": {"429"}}),
    "bedrock_cache_apart.jsonl": ("bedrock", {**WITH_CACHE, **CLIENTS, "reason": {"429"}}),
    "bedrock_cloudwatch.jsonl": ("bedrock", {**WITH_CACHE, **CLIENTS, "reason": {"429"}}),
    "bedrock_insights.csv": ("bedrock_insights", {**WITH_CACHE, **CLIENTS, "reason": {"429"}}),
    "envoy_ai_gateway.jsonl": (
        "envoy_ai_gateway",
        {**ALL, **SESSIONS, "reasoning_tokens": 96, "reason": {"429"}},
    ),
    "envoy_ai_gateway_05.jsonl": ("envoy_ai_gateway", {**ALL, "reason": {"429"}}),
    "kong_ai.jsonl": (
        "kong_ai",
        {**WITH_CACHE, **CLIENTS, "reasoning_tokens": 96, **TTFT, "reason": {"429"}},
    ),
    "kong_ai_37.jsonl": ("kong_ai", {**ANSWERED, **CLIENTS}),
    "azure_apim_llm.csv": ("azure_apim_llm", {**ALL, **CLIENTS, "reason": {"429"}}),
    "azure_apim_llm_records.json": (
        "azure_apim_llm_records",
        {**ANSWERED, "cached_tokens": 1280, "tells_failures": False},
    ),
    "openrouter.csv": (
        "openrouter",
        {**WITH_CACHE, **CLIENTS, "reasoning_tokens": 96, **TTFT, "reason": {"429"}},
    ),
    "helicone.csv": ("helicone", {**ALL, **SESSIONS, **CLIENTS, "reason": {"429"}}),
    "portkey.jsonl": (
        "portkey",
        {**WITH_CACHE, **SESSIONS, **CLIENTS, "reasoning_tokens": 96, "reason": {"429"}},
    ),
    "nginx_access.jsonl": ("nginx_access", {**ALL, "answered": (0, 0), "reason": {"429"}}),
    "qwen_traceX_blksz_16.jsonl": (
        "qwen_bailian",
        {
            "requests": 6,
            "failed": 0,
            "span_s": 150.0,
            "answered": (320, 45),
            "session": 3,
            "services": {"text", "search", "file"},
            "block_tokens": 16,
            "tells_failures": False,
        },
    ),
    "mooncake_sessions.jsonl": ("mooncake", {**PUBLIC, "session": 2, "block_tokens": 512, "blocks": 2}),
    "mooncake_u64.jsonl": ("mooncake", {**PUBLIC, "block_tokens": 512, "blocks": 2}),
    "ragpulse.jsonl": ("ragpulse", {**PUBLIC, "session": 2}),
    "azure_llm_multimodal.csv": ("azure_llm_multimodal", {**PUBLIC, "images": 6}),
    "llmservingsim.jsonl": (
        "llmservingsim",
        {**PUBLIC, "requests": 5, "span_s": 7200.0, "answered": (1812, 35)},
    ),
    "llmservingsim.tsv": ("llmservingsim", PUBLIC),
    "vidur.csv": ("vidur", PUBLIC),
    "splitwise_sim.csv": ("splitwise_sim", PUBLIC),
    "swissai.jsonl": ("swissai", {**ALL, "answered": (1017, 299), "reason": {"error"}}),
}

REFUSED = {
    "azure_openai_resource.json": ("Azure OpenAI resource log", "GatewayLlmLogs"),
    "sglang_text.log": ("SGLang request log as text", "--log-requests-format json"),
    "vllm_server.log": ("vLLM server log", "--otlp-traces-endpoint"),
    "vllm_api_server.log": ("vLLM server log", "--otlp-traces-endpoint"),
    "nginx_combined.log": ("Web server access log", "request_time"),
    "vidur_lengths.csv": ("Vidur trace without arrivals", "arrived_at"),
    "wildchat.jsonl": ("WildChat conversations", "tokenizer"),
    "lmsys_chat.jsonl": ("LMSYS-Chat conversations", "neither instants nor token counts"),
    "weka_agents.jsonl": ("Weka agent trace", "start of their own conversation"),
    "guidellm.jsonl": ("GuideLLM replay (timestamp in seconds", "Mooncake (timestamp in milliseconds"),
}


def test_every_sample_is_expected_to_give_something() -> None:
    assert {path.name for path in SAMPLES.iterdir()} == {*EXPECTED, *REFUSED}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_log_is_recognized_and_says_what_it_holds(name: str, tmp_path: Path) -> None:
    format, expected = EXPECTED[name]
    result = ingest(SAMPLES / name, out=tmp_path / "trace.parquet")
    rows = pl.read_parquet(tmp_path / "trace.parquet")
    answered = rows.filter(~pl.col("failed"))
    found: dict[str, Any] = {
        "requests": rows.height,
        "failed": rows["failed"].sum(),
        "span_s": pytest.approx(rows["arrival_s"].max() - rows["arrival_s"].min(), abs=1e-3),
        "answered": (answered["request_tokens"].sum(), answered["response_tokens"].sum()),
        "rejected": result.info.rejected,
        "services": set(rows["service"]),
        "tells_failures": result.info.has_failures,
        "block_tokens": result.info.block_tokens,
    }
    for column in ("session", "client"):
        found[column] = rows[column].drop_nulls().n_unique() if column in rows.columns else 0
    for column in ("cached_tokens", "reasoning_tokens", "images"):
        found[column] = rows[column].sum() if column in rows.columns else None
    found["ttft_s"] = round(rows["ttft_s"].sum(), 2) if "ttft_s" in rows.columns else None
    found["reason"] = set(rows["reason"].drop_nulls()) if "reason" in rows.columns else set()
    if "prefix" in rows.columns:
        found["blocks"] = rows["prefix"].explode().n_unique()
    assert result.info.format == format
    if expected["span_s"] == 31.0:
        # The request came at 09:15:00.25; Bedrock writes whole seconds, and nginx the end of the request.
        first_s = 33_300.0 if name.startswith("bedrock") else 33_300.25
        assert rows["arrival_s"].min() == pytest.approx(first_s, abs=1e-3)
    assert {key: found[key] for key in expected} == expected
    if "rejected" not in expected:
        assert result.info.rejected == 0


@pytest.mark.parametrize("name", REFUSED)
def test_a_log_that_cannot_be_read_says_what_to_do(name: str) -> None:
    with pytest.raises(BurstlensError) as refusal:
        open_trace(SAMPLES / name)
    assert "\n" not in str(refusal.value)
    for words in REFUSED[name]:
        assert words in str(refusal.value)


def test_every_format_of_a_system_has_a_sample() -> None:
    with_samples = {format for format, _ in EXPECTED.values()}
    own = {name for name, plugin in plugins(FORMATS).items() if plugin.own}
    readable = {name for name in own if formats()[name].refusal is None}
    others = {
        "azure_functions_2019",
        "azure_functions_2021",
        "azure_llm",
        "burstgpt",
        "burstgpt_sessions",
        "burstlens_record",
        "canonical",
        "guidellm",
    }
    assert readable - others <= with_samples


def test_calls_after_many_other_spans_keep_their_date(tmp_path: Path) -> None:
    lines = (SAMPLES / "langfuse.jsonl").read_text().splitlines()
    tools = [line.replace('"GENERATION"', '"TOOL"') for line in lines] * 150
    path = tmp_path / "langfuse.jsonl"
    path.write_text("\n".join([*tools, *lines]) + "\n")
    with open_trace(path) as trace:
        assert trace.info.day0 is not None
        assert trace.start_s == pytest.approx(33_300.25)
