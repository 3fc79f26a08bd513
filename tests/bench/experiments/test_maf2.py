"""BurstGPT against Azure Functions: equal rates and times, and what burstiness alone does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from burstlens.analysis.core.errors import BurstlensError
from burstlens.analysis.synthetic.trace import open_synthetic
from burstlens.analysis.trace.trace import Trace, open_trace
from burstlens.api.experiments.backend import BackendOptions
from burstlens.api.experiments.maf2 import run_maf2 as experiment
from burstlens.bench.experiments import maf2
from burstlens.bench.experiments.trials import EXPERIMENT, TRIALS
from burstlens.bench.metrics.seeds import ONE_SEED

TRACES = Path(__file__).parents[4] / "shared" / "traces"
real = pytest.mark.skipif(not TRACES.exists(), reason=f"the real traces are not at {TRACES}")


@pytest.fixture(scope="module")
def burst() -> Iterator[Trace]:
    trace = open_synthetic(None, days=4, seed=3)
    yield trace
    trace.engine.close()


@pytest.mark.parametrize("seed", [0, 1, 7])
@pytest.mark.parametrize("kind", maf2.WORKLOADS)
def test_every_workload_has_the_rate_the_time_and_the_lengths(burst: Trace, kind: str, seed: int) -> None:
    found = maf2.loads(burst, None, requests=500)
    load = maf2.cut(found.pools, kind, 500, 0.326, seed)
    at = load.requests["at_s"].to_numpy()
    assert len(at) == 500
    assert at[0] == 0.0
    assert at[-1] == pytest.approx(499 / 0.326)
    assert (np.diff(at) >= 0).all()
    if kind != maf2.API:
        conversation = maf2.cut(found.pools, maf2.CONVERSATION, 500, 0.326, seed)
        for side in ("request_tokens", "response_tokens"):
            assert load.requests[side].equals(conversation.requests[side])


def test_the_first_seed_takes_the_first_requests_and_others_begin_elsewhere(burst: Trace) -> None:
    found = maf2.loads(burst, None, requests=300)
    pool = found.pools[maf2.CONVERSATION]
    first = maf2.cut(found.pools, maf2.CONVERSATION, 300, 1.0, 0)
    assert np.array_equal(first.requests["request_tokens"], np.maximum(pool.request_tokens[:300], 1))
    gaps = np.diff(pool.at_s[:300])
    assert np.diff(first.requests["at_s"]) == pytest.approx(gaps * 299 / gaps.sum())
    starts = {maf2.cut(found.pools, maf2.CONVERSATION, 300, 1.0, seed).recipe["from"] for seed in range(1, 6)}
    assert len(starts) == 5


@pytest.mark.slow
def test_taking_burstiness_out_takes_the_wait_out(tmp_path: Path) -> None:
    """A load of known burstiness near a server's capacity: the Poisson control has to wait less."""
    done = experiment(
        None,
        tmp_path,
        rates_rps=[1.5],
        requests=600,
        seeds=5,
        backend=BackendOptions("llama-2-13b-a100"),
        workers=2,
    )
    loaded, courses = maf2.parts(done)
    against_poisson = loaded.pairs.of(1.5, maf2.CONVERSATION, maf2.POISSON, "ttft_p99_s")
    assert against_poisson is not None
    assert against_poisson.of > against_poisson.against
    cv = {row["workload"]: row["gap_cv"] for row in loaded.means.to_dicts()}
    assert cv[maf2.POISSON] == pytest.approx(1.0, abs=0.15)
    assert cv[maf2.CONVERSATION] > 1.2
    assert done.question.synthetic
    assert any("SYNTHETIC" in note for note in done.question.notes)
    assert set(courses.courses["workload"]) == set(maf2.WORKLOADS)
    sent = loaded.means["sent_rps"].to_numpy()
    assert sent == pytest.approx(np.full(len(sent), 1.5), rel=1e-6)


@pytest.mark.slow
def test_the_calibrated_rate_uses_the_cache_as_far_as_asked(tmp_path: Path) -> None:
    done = experiment(
        None, tmp_path, kv=[0.3], requests=400, seeds=1, backend=BackendOptions("llama-2-13b-a100")
    )
    (rate,) = set(done.trials["rate_rps"])
    assert done.question.facts["calibrated"] == {"0.3": rate}
    conversation = done.trials.filter(workload=maf2.CONVERSATION)
    assert conversation["kv_cache_use"][0] == pytest.approx(0.3, abs=0.025)
    assert ONE_SEED in maf2.parts(done)[0].missing


@pytest.mark.slow
def test_it_goes_on_at_the_rate_that_calibration_found(tmp_path: Path) -> None:
    """Stopped after one trial; a real server's calibration, unlike this one, finds another rate each time."""
    options = {"kv": [0.3], "requests": 100, "seeds": 1}

    def stop(step: str, _share: float) -> None:
        if step.endswith("trials"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        experiment(None, tmp_path, **options, progress=stop)  # type: ignore[arg-type]
    text = (tmp_path / EXPERIMENT).read_text()
    rate = json.loads(text)["facts"]["calibrated"]["0.3"]
    other = round(rate * 1.1, 6)
    for file in (tmp_path / EXPERIMENT, tmp_path / TRIALS):
        file.write_text(file.read_text().replace(str(rate), str(other)))
    steps: list[str] = []
    done = experiment(None, tmp_path, **options, progress=lambda step, _: steps.append(step))  # type: ignore[arg-type]
    assert done.trials["rate_rps"].to_list() == [other] * 4
    assert done.question.facts["calibrated"] == {"0.3": other}
    assert not any("scale" in step for step in steps), "it is not calibrated again"


@real
def test_real_traces_are_brought_to_one_rate_by_the_shortest(tmp_path: Path) -> None:
    done = experiment(
        str(TRACES / "burstgpt_1_first7days.csv"),
        tmp_path,
        functions=str(TRACES / "maf2_azure_functions_2021_200.csv"),
        seeds=2,
    )
    assert set(done.trials["requests"]) == {199.0}
    assert not done.question.synthetic
    assert any("199 requests each" in note for note in done.question.notes)
    assert any("no token lengths" in note for note in done.question.notes)


@pytest.mark.slow
def test_counts_by_the_minute_serve_as_functions(tmp_path: Path) -> None:
    counts = tmp_path / "maf1.csv"
    minutes = list(range(1, 1441))
    header = ["HashOwner", "HashApp", "HashFunction", "Trigger", *map(str, minutes)]
    row = ["o", "a", "f", "http", *("1" if m % 3 == 0 else "0" for m in minutes)]
    counts.write_text(",".join(header) + "\n" + ",".join(row) + "\n")
    done = experiment(None, tmp_path / "out", functions=str(counts), requests=300, seeds=2)
    assert set(done.trials["requests"]) == {300.0}
    assert done.trials.filter(workload=maf2.FUNCTIONS)["gap_cv"].max() < 0.5  # type: ignore[operator]


def test_traces_that_cannot_be_brought_to_one_rate_are_told(tmp_path: Path, burst: Trace) -> None:
    few = tmp_path / "few.csv"
    few.write_text("app,func,end_timestamp,duration\n" + "".join(f"a,f,{i}.5,0.25\n" for i in range(40)))
    functions = open_trace([few])
    try:
        with pytest.raises(BurstlensError, match="too few to run at the rate of the others"):
            maf2.loads(burst, functions)
    finally:
        functions.engine.close()
    at_once = tmp_path / "once.csv"
    at_once.write_text("app,func,end_timestamp,duration\n" + "a,f,9.5,0.25\n" * 150)
    with pytest.raises(BurstlensError, match="arrive at one instant"):
        experiment(None, tmp_path / "out", functions=str(at_once), requests=150, seeds=1)
    one_side = tmp_path / "one.csv"
    one_side.write_text(
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        + "".join(f"{i},ChatGPT,5,6,11,Conversation log\n" for i in range(200))
    )
    with pytest.raises(BurstlensError, match="no requests of service 'api'"):
        experiment(str(one_side), tmp_path / "out2")
