"""Every tool that a format is for loads the file, sends what is in it, and sends it at its pace."""

from __future__ import annotations

import json
import math
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import burstlens as bl

from .conftest import ROOT, Server

pytestmark = pytest.mark.interchange
REQUESTS = 24
LONGEST = (1500, 600)

Program = Callable[[str], Path]
Pairs = Counter[tuple[int, int]]


@pytest.fixture(scope="session")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few requests of the embedded synthetic trace, with lengths that a test can wait for."""
    path = tmp_path_factory.mktemp("trace") / "synthetic.parquet"
    synthetic = bl.synth(days=1, seed=3)
    try:
        from burstlens.analysis.trace.subset import requests_of
        from burstlens.analysis.trace.trace import write_trace

        frame = requests_of(synthetic).filter(~pl.col("failed")).head(REQUESTS)
        lengths = [
            pl.col(side).clip(1, longest)
            for side, longest in zip(("request_tokens", "response_tokens"), LONGEST, strict=True)
        ]
        write_trace(frame.with_columns(lengths).drop("prefix"), path, synthetic.info)
    finally:
        synthetic.engine.close()
    return path


def exported(trace: Path, to: str, folder: Path, suffix: str) -> tuple[Path, pl.DataFrame]:
    """The file for a tool, and the load in it: columns `at_s`, `request_tokens`, `response_tokens`."""
    out = folder / f"synthetic{suffix}"
    done = bl.export(trace, to, out, rate_rps=2.0)
    assert (done.rows, done.synthetic) == (REQUESTS, True)
    load = bl.workload(trace, rate_rps=2.0).requests
    return out, load.select(pl.col("at_s") - pl.col("at_s").first(), "request_tokens", "response_tokens")


def pairs(load: pl.DataFrame) -> Pairs:
    """How often each pair of lengths is asked for."""
    return Counter(load.select("request_tokens", "response_tokens").rows())


def paced(starts_s: Any, load: pl.DataFrame) -> bool:
    """Whether requests began on their schedule: a tool that ignores it sends them all at once."""
    starts = np.sort(np.asarray(starts_s, dtype=float))
    return bool(starts[-1] - starts[0] > 0.9 * (load["at_s"].to_numpy()[len(starts) - 1]))


@pytest.mark.parametrize(
    ("to", "kind", "suffix"),
    [("aiperf", "mooncake_trace", ".jsonl"), ("aiperf-burstgpt", "burst_gpt_trace", ".csv")],
)
def test_aiperf(
    to: str, kind: str, suffix: str, trace: Path, server: Server, program: Program, tmp_path: Path
) -> None:
    programs = program("aiperf")
    file, load = exported(trace, to, tmp_path, suffix)
    server.run(
        *(programs / "aiperf", "profile", "--model", server.model, "--tokenizer", server.model),
        *("--url", server.url, "--endpoint-type", "completions", "--streaming", "--ui", "none"),
        *("--input-file", file, "--custom-dataset-type", kind, "--output-artifact-dir", tmp_path / "out"),
        *("--fixed-schedule", "--fixed-schedule-auto-offset", "--extra-inputs", "ignore_eos:true"),
        "--use-server-token-count",
        cwd=tmp_path,
    )
    lines = (tmp_path / "out" / "profile_export.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    sides = ("input_sequence_length", "output_sequence_length")
    sent = Counter(tuple(int(each["metrics"][side]["value"]) for side in sides) for each in records)
    assert sent == pairs(load)
    assert paced([each["metadata"]["request_start_ns"] / 1e9 for each in records], load)


def bench(server: Server, folder: Path, *flags: str | Path) -> dict[str, Any]:
    """Run vLLM's own `bench serve`; its detailed result."""
    programs = ROOT / ".venv-vllm" / "bin"
    if not programs.exists():
        pytest.skip("no vLLM: make vllm builds one for the CPU in .venv-vllm")
    server.run(
        *(programs / "python", Path(__file__).with_name("vllm_bench.py"), "--base-url", server.url),
        *("--model", server.model, "--ignore-eos", *flags),
        *("--save-result", "--save-detailed", "--result-dir", folder, "--result-filename", "result.json"),
        cwd=folder,
    )
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result


def test_vllm_replays_the_timed_trace(trace: Path, server: Server, tmp_path: Path) -> None:
    file, load = exported(trace, "vllm", tmp_path, ".jsonl")
    result = bench(
        server,
        tmp_path,
        *("--dataset-name", "timed_trace", "--dataset-path", file, "--num-prompts", str(REQUESTS)),
        *("--timed-trace-chunk-hash-size", "512", "--timed-trace-sec-multiplier", "0.001"),
    )
    assert Counter(zip(result["input_lens"], result["output_lens"], strict=True)) == pairs(load)
    assert paced(result["start_times"], load)


def test_vllm_draws_the_load_of_the_nearest_line(trace: Path, server: Server, tmp_path: Path) -> None:
    export = bl.export(trace, "vllm-line", tmp_path / "synthetic.sh", window_s=86_400.0, tokens=(40, 20))
    words = export.run.split()
    flags = {word: words[i + 1] for i, word in enumerate(words) if word.startswith("--random-")}
    gamma = {name: words[words.index(name) + 1] for name in ("--request-rate", "--burstiness")}
    assert flags == {"--random-input-len": "40", "--random-output-len": "20"}
    # At its own rate the window would last for a day.
    gamma["--request-rate"] = str(float(gamma["--request-rate"]) * 1000)
    options = [part for pair in {**flags, **gamma}.items() for part in pair]
    result = bench(server, tmp_path, "--dataset-name", "random", "--num-prompts", "20", *options)
    assert result["completed"] == 20
    assert float(result["burstiness"]) == pytest.approx(float(gamma["--burstiness"]))


def test_guidellm(trace: Path, server: Server, program: Program, tmp_path: Path) -> None:
    programs = program("guidellm")
    file, load = exported(trace, "guidellm", tmp_path, ".jsonl")
    data = {"kind": "trace_synthetic", "source": {"kind": "json_file", "path": str(file)}}
    server.run(
        *(
            programs / "guidellm",
            "run",
            "--disable-console-interactive",
            "--profile",
            "kind=replay,schedule_turn=timestamp",
        ),
        *("--backend", f"kind=openai_http,target={server.url},model={server.model}"),
        *("--tokenizer", f"kind=hf_auto,model={server.tokenizer}", "--data", json.dumps(data)),
        *("--output", f"kind=json,path={tmp_path / 'result.json'}"),
        cwd=tmp_path,
    )
    (done,) = json.loads((tmp_path / "result.json").read_text())["benchmarks"]
    sent = done["requests"]["successful"]
    # GuideLLM 0.8 ends with the last line, which it may not send.
    missing = pairs(load) - Counter((each["prompt_tokens"], each["output_tokens"]) for each in sent)
    assert not missing or missing == Counter([pairs(load.tail(1)).most_common(1)[0][0]])
    assert len(sent) >= REQUESTS - 1
    assert paced([each["request_start_time"] for each in sent], load)


def test_inference_perf(trace: Path, server: Server, program: Program, tmp_path: Path) -> None:
    programs = program("inference-perf")
    file, load = exported(trace, "inference-perf", tmp_path, ".csv")
    replayed = {"file": str(file), "format": "AzurePublicDataset"}
    # JSON is YAML too.
    config = {
        "api": {"type": "completion", "streaming": True},
        "server": {
            "type": "vllm", "model_name": server.model, "base_url": server.url, "ignore_eos": True,
        },
        "tokenizer": {"pretrained_model_name_or_path": str(server.tokenizer)},
        "data": {"type": "random", "trace": replayed},
        "load": {
            "type": "trace_replay", "trace": replayed, "num_workers": 1,
            "stages": [{"rate": 1, "duration": REQUESTS}],
        },
        "report": {"request_lifecycle": {"summary": True, "per_request": True}},
        "storage": {"local_storage": {"path": str(tmp_path / "out")}},
    }  # fmt: skip
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    server.run(programs / "inference-perf", "--config_file", tmp_path / "config.yaml", cwd=tmp_path)
    records = json.loads((tmp_path / "out" / "per_request_lifecycle_metrics.json").read_text())
    usage = [each["info"]["response_metrics"]["server_usage"] for each in records]
    assert Counter((each["prompt_tokens"], each["completion_tokens"]) for each in usage) == pairs(load)
    assert paced([each["start_time"] for each in records], load)


def test_servegen_generates_from_our_windows(trace: Path, program: Program, tmp_path: Path) -> None:
    programs = program("servegen")
    folder = tmp_path / "data" / "language" / "synthetic"
    bl.export(trace, "servegen", folder, tokens=(40, 20), window_s=600.0)
    script = (
        "import json, servegen\n"
        "from servegen.construct import generate_workload\n"
        "from servegen.utils import get_scaled_rate_fn\n"
        "pool = servegen.ClientPool(servegen.Category.LANGUAGE, 'synthetic')\n"
        "view = pool.span(0, 86400)\n"
        "rates = {w.timestamp: 0.0 for w in view.get()} | get_scaled_rate_fn(view, 1.0)\n"
        "made = generate_workload(view, rates, 86400, seed=0)\n"
        "print(json.dumps([[r.timestamp, *map(int, r.data.values())] for r in made]))\n"
    )
    generated = subprocess.run(
        [programs / "python", "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert generated.returncode == 0, generated.stderr
    workload = json.loads(generated.stdout)
    # ServeGen rounds the requests of each window up, and drops the one that falls on its end.
    rows = [line.split(",") for each in folder.glob("*.csv") for line in each.read_text().splitlines()]
    planned = [math.ceil(float(row[1]) * 600 - 1e-9) for row in rows if row[3] == "Gamma"]
    assert sum(planned) - len(planned) <= len(workload) <= sum(planned) + len(planned)
    assert sum(planned) >= REQUESTS
    assert {tuple(row[1:]) for row in workload} == {(40, 20)}
