"""An evaluation on a GPU without one: stages against a simulated server, limits, resumption, bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from importlib.resources import files
from pathlib import Path

import polars as pl
import pytest
from msgspec import structs

import burstlens as bl
from burstlens import BurstlensError
from burstlens.analysis.core.result import silent
from burstlens.bench.experiments import against, schedulers, sweep_trials
from burstlens.bench.experiments.backends import EndpointBackend, VirtualBackend, is_brief
from burstlens.bench.experiments.grid import START, grid_of
from burstlens.bench.experiments.trials import Experiment, Question, Trial, read, run
from burstlens.bench.server.vllm import Flags, cache_of, metrics_page, vllm
from burstlens.bench.settings import Settings, Target
from burstlens.bench.simulated.presets import load_preset
from burstlens.gpu.config import EvaluationConfig
from burstlens.gpu.engine_stages import calibrate
from burstlens.gpu.evaluate import GpuEvaluation, ended, evaluate
from burstlens.gpu.experiment_stages import lasting, maf2
from burstlens.reports.pages.gpu import write_gpu_page
from tests.bench.faulty import faulty
from tests.bench.simulated.loads import workload
from tests.helpers import serving

PRESET = "llama-2-7b-h200"
FLAGS = Flags(8, 1024, 512)
HEADER = "timestamp, name, utilization.gpu [%], memory.used [MiB], power.draw [W], clocks.current.sm [MHz]"
WATCHED = f"""{HEADER}
2026/11/27 06:23:57.638, NVIDIA H100, 0, 73901, 122.22, 345
2026/11/27 06:23:58.642, NVIDIA H100, 100, 73901, 216.80, 1980
{HEADER}
2026/11/27 06:24:17.646, NVIDIA H100, 96, 73901, 700.11, 1275
2026/11/27 06:24:18.646, NVIDIA H100, 96, 73901, [N/A], 1200
2026/11/27 06:24:19.646, NVIDIA H10"""
"""What an nvidia-smi that was started twice and ended in the midst of a line leaves."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A simulated server with the limits of `FLAGS`."""
    limits = ("--max-num-seqs", 8, "--max-num-batched-tokens", 1024, "--max-model-len", 512)
    with serving("--preset", PRESET, "--scheduling", "priority", *limits) as url:
        yield url


@pytest.fixture
def log(tmp_path: Path) -> str:
    path = tmp_path / "log.csv"
    rows = "".join(f"{i}.5,{20 + i % 9},{5 + i % 4},conversation\n" for i in range(120))
    path.write_text("arrival_s,request_tokens,response_tokens,service\n" + rows)
    return str(path)


@pytest.mark.slow
def test_stages_stand_alone_and_go_on_where_they_stopped(
    server: str, log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "gpu"
    options = {"url": server, "trace": log, "flags": FLAGS, "model": "Llama-2-7b", "rounds": 1,
             "client_requests": 60, "client_rps": 60.0}  # fmt: skip
    (late,) = evaluate(out, only=["profile"], limits_s={"profile": 0.01}, **options)  # type: ignore[arg-type]
    assert (late.stage, late.state) == ("profile", "time limit")
    first = evaluate(out, only=["profile", "client"], **options)  # type: ignore[arg-type]
    assert [(done.stage, done.state) for done in first] == [("profile", "done"), ("client", "done")]
    assert ended(out, "profile") == first[0]
    # The preset is one that every command takes, and its blocks are the server's own.
    preset = load_preset(out / "profile" / "preset.json")
    assert preset.num_blocks == cache_of(metrics_page(server))[1]
    assert "simulated" in preset.source
    assert 0 < preset.outside_ms < 1000
    runs = json.loads((out / "client" / "client.json").read_text())["runs"]
    assert [row["workers"] for row in runs] == [1, 4]
    # Nothing has been measured that the last stage could compare.
    (none,) = evaluate(out, only=["simulated"], **options)  # type: ignore[arg-type]
    assert none.state == "failed"
    assert "no trial on the server has ended" in none.message
    (out / "gpu.csv").write_text(WATCHED)
    page = write_gpu_page(out).read_text()
    assert "up to 700 W, clock 1,275 to 1,980 MHz" in page
    assert "Simulated." in page
    assert "profile/preset.json" in page
    assert "not run" in page
    # Brought from a machine with a GPU to one without, the folder still tells which it was.
    plan = json.loads((out / "plan.json").read_text())
    (out / "plan.json").write_text(json.dumps(plan | {"gpu": "NVIDIA H100"}, indent=1) + "\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    evaluate(out, only=["simulated"], **options)  # type: ignore[arg-type]
    assert EvaluationConfig.read(out).gpu == "NVIDIA H100"
    with pytest.raises(BurstlensError, match="another client_rps"):
        evaluate(out, **(options | {"client_rps": 5.0}))  # type: ignore[arg-type]


@pytest.mark.slow
def test_without_a_trace_the_embedded_one_is_used_and_called_synthetic(server: str, tmp_path: Path) -> None:
    out = tmp_path / "gpu"
    (done,) = evaluate(
        out, url=server, flags=FLAGS, model="Llama-2-7b", only=["client"], client_requests=60, client_rps=60.0
    )
    assert done.state == "done", done.message
    plan = EvaluationConfig.read(out)
    assert plan.synthetic
    assert Path(plan.trace).is_file()
    page = write_gpu_page(out, images=False).read_text()
    assert "Synthetic workload." in page
    assert "synthetic.parquet, synthetic" in page
    assert str(tmp_path) not in page


def test_page_and_messages_name_files_by_where_they_lie_in_the_folder(tmp_path: Path) -> None:
    out = tmp_path / "gpu"
    plan_of(tmp_path / "logs" / "log.csv").write(out)
    lost = subprocess.run(
        [sys.executable, "-m", "burstlens.gpu.stages", str(out), "simulated", "-"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert lost.returncode == 2
    assert lost.stdout.strip() == "profile/preset.json: does not exist; the stage `profile` makes it"
    # A folder that an earlier version wrote, by a server that was started for it.
    said = {
        "stage": "simulated",
        "state": "failed",
        "took_s": 1.0,
        "said": f"{out}/profile/preset.json: is lost",
    }
    (out / "simulated" / "stage.json").write_text(json.dumps(said))
    command = [f"{tmp_path}/vllm/bin/python", "-m", "vllm", "--model", f"{out}/model", "--port", "8000"]
    (out / "server.json").write_text(json.dumps({"command": command, "version": "0.9.1"}))
    page = write_gpu_page(out, images=False).read_text()
    assert "profile/preset.json: is lost" in page
    assert "python -m vllm --model model --port 8000" in page
    assert str(tmp_path) not in page


def plan_of(log: Path) -> EvaluationConfig:
    """A plan with that log, of few requests."""
    return EvaluationConfig(
        trace=str(log), synthetic=False, functions=None, model="Llama-2-7b", weights=None, gpu="no GPU",
        flags={}, kv=0.35, requests=100, seeds=1, vocabulary=(256, 31_999), shapes=(), scales=(),
        exponents=(), client_rps=1.0, client_requests=1, rounds=1, timeout_s=60.0,
    )  # fmt: skip


def test_a_trace_of_a_thousandth_of_the_rate_is_calibrated_too(tmp_path: Path) -> None:
    """The first hundreds of BurstGPT come at 0.004 requests/s, a GPU's cache wants some per second."""
    path, folder = tmp_path / "log.csv", tmp_path / "calibrate"
    rows = "".join(f"{900 * i}.5,{400 + i % 9},{100 + i % 4},conversation\n" for i in range(200))
    path.write_text("arrival_s,request_tokens,response_tokens,service\n" + rows)
    for each in (folder, tmp_path / "profile"):
        each.mkdir()
    named = json.loads((files("burstlens.bench.simulated") / "presets.json").read_text())
    preset = tmp_path / "profile" / "preset.json"
    preset.write_text(json.dumps(named[PRESET] | {"kv_cache": {"num_blocks": 1500, "block_size": 16}}))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    # Before the first trial on a server: what virtual time found is kept, and the next stages go by it.
    with pytest.raises(KeyboardInterrupt):
        calibrate(plan_of(path), folder, "http://127.0.0.1:9", stop)
    found = json.loads((folder / "calibration.json").read_text())
    assert found["used"] == pytest.approx(0.35, abs=0.02)
    again = bl.calibrate(
        path,
        0.35,
        simulate=str(preset),
        trials=1,
        service="conversation",
        first=100,
        rate_rps=found["rate_rps"],
    )
    assert again.reached


@pytest.mark.slow
def test_a_sweep_sends_for_as_long_as_answers_take(tmp_path: Path) -> None:
    """An H100 reaches 35 % of its cache with 400 requests only at once, and with 100 not at all."""
    engine = VirtualBackend(load_preset("llama-2-13b-h100-vllm"), 300.0)
    near, requests = lasting(plan_of(tmp_path), engine)
    assert requests == 800
    start = sweep_trials.load(grid_of().settings()[0], START, 1 / near, requests, 0)
    found = engine.serve(start, tmp_path, course=False).values
    assert found["kv_cache_use"] == pytest.approx(0.35, abs=0.02)
    assert not is_brief(found)
    with pytest.raises(BurstlensError, match="35 % not reached"):
        lasting(replace(plan_of(tmp_path), requests=10), engine)


@pytest.mark.slow
def test_a_stage_goes_on_at_the_rate_that_it_began_at(server: str, tmp_path: Path) -> None:
    """Another calibration comes between: its rate would be another experiment's."""
    path = tmp_path / "log.csv"
    rows = "".join(f"{i}.5,{20 + i % 9},{5 + i % 4},{('api', 'conversation')[i % 2]}\n" for i in range(220))
    path.write_text("arrival_s,request_tokens,response_tokens,service\n" + rows)
    plan = plan_of(path)
    folder, found = tmp_path / "maf2", tmp_path / "calibrate" / "calibration.json"
    found.parent.mkdir()

    def stop(step: str, _share: float) -> None:
        if step.endswith("trials"):
            raise KeyboardInterrupt

    found.write_text('{"rate_rps": 80.0}')
    with pytest.raises(KeyboardInterrupt):
        maf2(plan, folder, server, stop)
    found.write_text('{"rate_rps": 81.0}')
    assert maf2(plan, folder, server, silent) == "at 80 requests/s"
    assert read(folder).trials["rate_rps"].to_list() == [80.0] * 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": ["profil"]}, "no stage 'profil'; did you mean 'profile'"),
        ({}, "which Python has vLLM"),
        ({"vllm": Path("/nowhere/python")}, "cannot be run"),
        ({"vllm": Path(sys.executable)}, "vLLM ended with code 1: .*No module named 'vllm'"),
        ({"vllm": Path(sys.executable), "weights": Path("/nowhere")}, "has no config.json"),
    ],
)
def test_what_cannot_be_run_is_one_line(
    options: dict[str, object], message: str, log: str, tmp_path: Path
) -> None:
    with pytest.raises(BurstlensError, match=message) as fault:
        evaluate(tmp_path / "gpu", trace=log, **options)  # type: ignore[arg-type]
    assert "\n" not in str(fault.value)


def test_a_server_that_is_never_well_is_ended(tmp_path: Path) -> None:
    """In place of vLLM a process that only sleeps; it is gone when the block is left."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 600\n")
    python.chmod(0o755)
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    with (
        pytest.raises(BurstlensError, match=r"was not ready after 0\.5 s: it said nothing"),
        vllm(python, model, FLAGS, tmp_path, name="m", patience_s=0.5),
    ):
        pass
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.slow
def test_a_server_that_answers_that_it_is_ill_is_quoted(tmp_path: Path) -> None:
    """In place of vLLM a server whose `/health` answers 500."""
    python = tmp_path / "python"
    python.write_text(
        f"#!{sys.executable}\nimport sys\nfrom http.server import BaseHTTPRequestHandler, HTTPServer\n"
        "class Ill(BaseHTTPRequestHandler):\n    def do_GET(self): self.send_error(500)\n"
        "HTTPServer(('127.0.0.1', int(sys.argv[sys.argv.index('--port') + 1])), Ill).serve_forever()\n"
    )
    python.chmod(0o755)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    with (
        pytest.raises(BurstlensError, match=r"was not ready after 5 s, /health answers HTTP 500: "),
        vllm(python, tmp_path / "model", FLAGS, tmp_path, name="m", patience_s=5.0),
    ):
        pass


@pytest.mark.slow
def test_the_key_of_the_environment_goes_to_the_server_and_nowhere_else(
    log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    out = tmp_path / "gpu"
    with faulty(lambda _: "ok") as (url, server):
        (done,) = evaluate(
            out, url=url, trace=log, model="m", only=["client"], client_requests=20, client_rps=40.0
        )
    assert done.state == "done", done.message
    sent = [head for head in server.headers if head.startswith("POST")]
    assert len(sent) == 40
    assert all("authorization: bearer sk-very-secret" in head.lower() for head in sent)
    files = [path for path in out.rglob("*") if path.is_file()]
    assert not any(b"sk-very-secret" in path.read_bytes() for path in files)


def three_policies(url: str, folder: Path, requests: int) -> Experiment:
    """An experiment of one load under each policy at a server."""
    n = range(requests)
    load = workload([0.05 * i for i in n], [20 + i % 200 for i in n], [20] * requests)
    listed = [
        Trial({"service": "chat", "policy": policy, "seed": 0}, partial(schedulers.ranked, load, policy))
        for policy in schedulers.POLICIES
    ]
    engine = EndpointBackend.at(Target(url), Settings())
    question = Question("schedulers", {}, engine.as_dict(), engine.title, None, True, [0], 0, {})
    return run(question, listed, engine, folder)


@pytest.mark.slow
def test_where_a_server_failed_every_request_the_page_says_that_nothing_is_compared(
    log: str, tmp_path: Path
) -> None:
    out = tmp_path / "gpu"
    with faulty(lambda _: "http_500") as (url, _):
        measured = three_policies(url, out / "schedulers", 5)
    assert measured.trials["failure_rate"].to_list() == [1.0] * 3
    (out / "profile").mkdir()
    presets = json.loads((files("burstlens.bench.simulated") / "presets.json").read_text())
    (out / "profile" / "preset.json").write_text(json.dumps(presets[PRESET]))
    (done,) = evaluate(out, url=url, trace=log, only=["simulated"])
    assert done.message == "no trial below saturation"
    found = GpuEvaluation(out)
    assert [stage.stage for stage in found.stages] == ["simulated"]
    assert found.to_frame("errors").is_empty()
    assert found.to_frame("stages")["said"].to_list() == [done.message]
    page = found.report(images=False).read_text()
    assert "3 of 3 trials are not compared: nothing was answered on the server" in page
    assert "Trials with the largest error" not in page
    assert "worst error" not in page


@pytest.mark.slow
def test_trials_of_a_server_are_compared_with_the_simulated_engine(server: str, tmp_path: Path) -> None:
    """The server is the simulated engine behind HTTP, so the engine is nearly right about it."""
    measured = three_policies(server, tmp_path / "real", 40)
    preset = load_preset(PRESET).limited(max_num_seqs=8, max_num_batched_tokens=1024, max_model_len=512)
    model = against.simulated(tmp_path / "real", preset, 60.0)
    assert model.question.simulated == PRESET
    found = against.errors(measured, model)
    assert found.height == len(schedulers.POLICIES) * len(against.COMPARED)
    latency = found.filter(pl.col("measure") == "e2e_s")
    assert not latency["saturated"].any()
    assert latency["error"].abs().max() < 0.3
    # A server that takes twice as long is told apart from it.
    slower = against.simulated(tmp_path / "real", preset.faster(0.5), 60.0)
    slow = against.errors(model, slower)
    assert (slow.filter(pl.col("measure") == "e2e_s")["error"] > 0.5).all()
    summary = against.summary(against.errors(measured, slower)).filter(pl.col("measure") == "e2e_s")
    assert summary["within"].to_list() == [0.0]
    assert against.orders(measured, model).height > 0
    other = replace(measured, question=structs.replace(measured.question, kind="maf2"))
    assert against.orders(other, model).is_empty()


@pytest.mark.parametrize(
    ("span_s", "waiting_peak", "busy"),
    [(110.0, 3.0, False), (140.0, 3.0, True), (140.0, None, True), (140.0, 0.0, False)],
)
def test_a_server_that_had_nobody_wait_is_not_saturated(
    span_s: float, waiting_peak: float | None, busy: bool
) -> None:
    """100 s of sending, answers of 10 s: 125 s are what keeping up takes, unless the last are longer."""
    trial = {"sent_rps": 1.0, "requests": 101.0, "e2e_p90_s": 11.0, "ttft_p90_s": 1.0}
    assert against.saturated({**trial, "span_s": span_s, "waiting_peak": waiting_peak}) is busy


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("SRF, FCFS, LRF", "SRF, FCFS, LRF", True),
        ("SRF, FCFS, LRF", "SRF, FCFS ≈ LRF", True),
        ("SRF ≈ FCFS ≈ LRF", "LRF, FCFS, SRF", True),
        ("SRF, FCFS, LRF", "FCFS, SRF, LRF", False),
        ("SRF, FCFS ≈ LRF", "LRF ≈ SRF, FCFS", True),
        ("SRF, FCFS = LRF", "LRF, SRF ≈ FCFS", False),
    ],
)
def test_orders_agree_unless_both_separate_a_pair_and_differ(one: str, other: str, same: bool) -> None:
    assert against.agree(one, other) is same
