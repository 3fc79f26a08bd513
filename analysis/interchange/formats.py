"""Every format that requests are exported to: for whom it is, what it takes, how the tool is told of it.

Adding one is a writer in a module beside this one and an entry in `FORMS`. Not here: the writers, and formats
of fitted parameters (`fitted`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from ..core.errors import InputError
from ..core.option_names import option
from .azure import write_azure
from .burstgpt import write_burstgpt
from .mooncake import write_mooncake
from .plain import write_guidellm, write_plain_csv
from .requests import Requests

Takes = Literal["log", "load", "parameters"]
"""`log`: requests as they were, on their clock. `load`: requests to be sent, from second 0 on, each
asking for a token at least. `parameters`: fitted windows and laws."""


@dataclass(frozen=True)
class Form:
    """One format."""

    name: str
    title: str
    """What the file is, for a list of formats."""
    takes: Takes
    suffix: str
    """Ending of its files; empty for a folder."""
    run: str = ""
    """How the tool is told to use it, with `{file}`, `{path}`, `{n}` (requests) put in; may be empty."""


_VLLM = (
    "vllm bench serve --base-url http://127.0.0.1:8000 --model MODEL --dataset-name timed_trace "
    "--dataset-path {file} --timed-trace-chunk-hash-size 512 --timed-trace-sec-multiplier 0.001 "
    "--num-prompts {n} --ignore-eos"
)
_AIPERF = (
    "aiperf profile --model MODEL --url http://127.0.0.1:8000 --endpoint-type completions --streaming "
    "--input-file {file} --custom-dataset-type {kind} --fixed-schedule --fixed-schedule-auto-offset "
    "--extra-inputs ignore_eos:true --use-server-token-count"
)

_GUIDELLM = (
    "guidellm run --backend kind=openai_http,target=http://127.0.0.1:8000 "
    "--profile kind=replay,schedule_turn=timestamp "
    '--data \'{{"kind": "trace_synthetic", "source": {{"kind": "json_file", "path": "{path}"}}}}\''
)
_INFERENCE_PERF = (
    "inference-perf --config_file CONFIG, with trace: {{file: {path}, format: AzurePublicDataset}} under "
    "data (type: random) and load (type: trace_replay, stages: [{{rate: 1, duration: {n}}}])"
)
_SERVEGEN = (
    "servegen.ClientPool(servegen.Category.LANGUAGE, NAME), where data/language/NAME in the working folder "
    "is {path}"
)

FORMS: dict[str, Form] = {
    form.name: form
    for form in (
        Form("parquet", "canonical trace of burstlens, everything kept", "log", ".parquet"),
        Form("csv", "plain CSV of arrivals under our column names", "log", ".csv"),
        Form("burstgpt", "CSV of BurstGPT, 6 columns, or 8 with sessions or latencies", "log", ".csv"),
        Form("azure", "CSV of Azure's LLM inference traces", "log", ".csv"),
        Form("mooncake", "JSON lines of the Mooncake traces, with hash_ids", "log", ".jsonl"),
        Form(
            "aiperf",
            "Mooncake JSON lines for AIPerf",
            "load",
            ".jsonl",
            _AIPERF.replace("{kind}", "mooncake_trace"),
        ),
        Form(
            "aiperf-burstgpt",
            "BurstGPT CSV for AIPerf",
            "load",
            ".csv",
            _AIPERF.replace("{kind}", "burst_gpt_trace"),
        ),
        Form("vllm", "timed JSON lines for vllm bench serve", "load", ".jsonl", _VLLM),
        Form("vllm-line", "vllm bench serve's own Gamma load, nearest to one window", "parameters", ".sh"),
        Form("guidellm", "trace_synthetic JSON lines for GuideLLM", "load", ".jsonl", _GUIDELLM),
        Form("inference-perf", "Azure CSV for inference-perf", "load", ".csv", _INFERENCE_PERF),
        Form("servegen", "client windows of ServeGen, a folder", "parameters", "", _SERVEGEN),
        Form("parameters", "parameters.json of burstlens", "parameters", ".json"),
    )
}

Writer = Callable[[Requests, Path], list[str]]


def writer(form: Form, tokens: tuple[int, int] | None, share_sessions: bool) -> Writer:
    """What writes requests in that format and returns, in sentences, what was lost."""
    if form.name in ("mooncake", "aiperf", "vllm"):
        load = form.takes == "load"
        return partial(write_mooncake, tokens=tokens, load=load, share_sessions=share_sessions)
    plain: dict[str, Writer] = {
        "csv": write_plain_csv,
        "burstgpt": partial(write_burstgpt, tokens=tokens),
        "aiperf-burstgpt": partial(write_burstgpt, tokens=tokens, load=True),
        "azure": partial(write_azure, tokens=tokens),
        "inference-perf": partial(write_azure, tokens=tokens, load=True),
        "guidellm": partial(write_guidellm, tokens=tokens),
    }
    return plain[form.name]


def form_named(name: str) -> Form:
    """The format of that name; BurstlensError naming those there are."""
    if name not in FORMS:
        raise InputError(f"{option('format')}: no format {name!r}; there are: {', '.join(FORMS)}")
    return FORMS[name]
