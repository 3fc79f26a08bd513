"""Three orders of serving: what is known of them in closed form, what is paired, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from burstlens.analysis.characterize import Characterization
from burstlens.analysis.core.errors import BurstlensError
from burstlens.analysis.interchange.parameter_model import (
    FittedArrivals,
    FittedSelection,
    FittedWindow,
    ParameterFile,
    ParameterSource,
    SelectionKey,
)
from burstlens.analysis.interchange.parameters import parameters, write_parameters
from burstlens.api.experiments.backend import BackendOptions
from burstlens.api.experiments.schedulers import run_schedulers as experiment
from burstlens.bench.experiments import schedulers
from burstlens.bench.experiments.backends import VirtualBackend, measured
from burstlens.bench.experiments.findings import findings
from burstlens.bench.experiments.schedulers import FCFS, LRF, POLICIES, SRF
from burstlens.bench.experiments.trials import Question, Trial, run
from burstlens.bench.metrics.seeds import ONE_SEED
from burstlens.bench.record.models import SCHEMA, SERVER_SCHEMA
from burstlens.bench.simulated.presets import parse_preset
from tests.bench.simulated.loads import workload

Content = dict[str, Any]

PROFILE = {
    "source": "made for a test",
    "latency": {"a_p_ms": 5, "b_ms": 1, "c_ms": 0, "a_d_ms": 5, "d_us": 0, "e_us": 0},
    "kv_cache": {"num_blocks": 1000, "block_size": 16},
    "limits": {"max_num_seqs": 1, "max_num_batched_tokens": 4096, "max_model_len": 4096},
}
PROMPTS = [300, 900, 100, 700, 200, 1200, 50, 400, 600]
STEP_S, TOKEN_S = 0.005, 0.001


@pytest.fixture(scope="module")
def content(synthetic_characterization: Callable[..., Characterization]) -> Content:
    return parameters(synthetic_characterization(4, 3))


def one_at_a_time(policies: tuple[str, ...] = POLICIES) -> list[Trial]:
    """Jobs at one instant, the first of them the one that is served while the others come."""
    load = workload([0.0] * len(PROMPTS), PROMPTS, [1] * len(PROMPTS))
    return [
        Trial({"service": "api", "policy": p, "seed": seed}, lambda p=p: schedulers.ranked(load, p))  # type: ignore[misc]
        for p in policies
        for seed in (0, 1)
    ]


def mean_wait_s(prompts: list[int]) -> float:
    """Closed form: each waits for all before it and its own prefill."""
    return float(np.cumsum([STEP_S + TOKEN_S * tokens for tokens in prompts]).mean())


def test_a_burst_on_a_one_at_a_time_server_has_its_closed_form(tmp_path: Path) -> None:
    engine = VirtualBackend(parse_preset("one", PROFILE), scheduling="priority")
    question = Question("schedulers", {}, engine.as_dict(), engine.title, "one", True, [0, 1], 0, {})
    done = run(question, one_at_a_time(), engine, tmp_path)
    waits = dict(zip(done.trials["policy"], done.trials["ttft_s"], strict=True))
    assert waits[FCFS] == pytest.approx(mean_wait_s(PROMPTS))
    assert waits[SRF] == pytest.approx(mean_wait_s(sorted(PROMPTS)))
    assert waits[LRF] == pytest.approx(mean_wait_s(sorted(PROMPTS, reverse=True)))
    assert waits[SRF] < waits[FCFS] < waits[LRF]
    throughput = done.trials["throughput_tps"].to_numpy()
    assert throughput == pytest.approx(np.full(len(throughput), throughput[0]))
    ratio = dict(zip(done.trials["policy"], done.trials["wait_ratio"], strict=True))
    assert ratio[SRF] > ratio[FCFS] > ratio[LRF]
    compared, waits_part = schedulers.parts(done)
    orders = {row["measure"]: row["order"] for row in compared.orders().to_dicts()}
    assert orders["ttft_s"] == "SRF, FCFS, LRF"
    assert any("worst wait" in sentence for sentence in waits_part.sentences())
    assert any("SRF" in sentence and "best first" in sentence for sentence in compared.sentences())


@pytest.mark.slow
def test_the_three_send_the_same_requests_and_differ_in_priority_alone(content: Content) -> None:
    fitted = ParameterFile.of(content)
    chosen = schedulers.picked(fitted, ["conversation"], 3600.0, 1)
    load = schedulers.load_of(fitted, "conversation", chosen, 200)
    by_policy = {p: schedulers.ranked(load.draw(2.0, 4), p).requests for p in POLICIES}
    for frame in by_policy.values():
        assert frame.drop("priority").equals(by_policy[FCFS].drop("priority"))
    assert set(by_policy[FCFS]["priority"]) == {0}
    assert by_policy[SRF]["priority"].equals(by_policy[SRF]["request_tokens"].alias("priority"))
    assert (by_policy[LRF]["priority"] == -by_policy[LRF]["request_tokens"]).all()
    assert not load.draw(2.0, 5).requests.equals(load.draw(2.0, 4).requests)


def test_a_load_passes_through_its_whole_range_at_its_rate(content: Content) -> None:
    fitted = ParameterFile.of(content)
    chosen = schedulers.picked(fitted, ["api"], 7200.0, 1)
    load = schedulers.load_of(fitted, "api", chosen, 2000)
    drawn = load.draw(4.0, 0)
    assert len(drawn.requests) == pytest.approx(2000, rel=0.3)
    assert drawn.span_s <= 500.0
    twice = load.draw(8.0, 0)
    assert 2 * twice.requests["at_s"].to_numpy() == pytest.approx(drawn.requests["at_s"].to_numpy())
    assert set(load.at_once(0).requests["at_s"]) == {0.0}


def parameters_of(**counts: list[int]) -> ParameterFile:
    """Parameters from which only a range is picked: windows of 600 s with so many requests."""
    selections = [
        FittedSelection(
            SelectionKey(label, label, None, 0.0, 600.0 * len(ns)),
            FittedArrivals(
                {},
                tuple(
                    FittedWindow(600.0 * i, n, n / 600, None, None, None, None, None, ())
                    for i, n in enumerate(ns)
                ),
            ),
            {},
            {},
            [],
        )
        for label, ns in counts.items()
    ]
    return ParameterFile(
        schema_version="1",
        generator="test",
        source=ParameterSource("made", "made", (), 1, 0, 1.0, None, 1.0, True),
        window_s=600.0,
        estimator="none",
        selections=tuple(selections),
    )


def test_a_range_holds_enough_of_every_service_and_goes_by_seed() -> None:
    fitted = parameters_of(conversation=[10, 30, 30, 30, 0, 90], api=[90, 90, 90, 10, 10, 90])
    services = schedulers.services_of(fitted)
    starts = {schedulers.picked(fitted, services, 1200.0, seed).start_s for seed in range(30)}
    assert starts == {600.0, 1200.0, 2400.0}, "the one that begins at 3000 s would end after the record"
    once = schedulers.picked(fitted, services, 1200.0, 3)
    assert once == schedulers.picked(fitted, services, 1200.0, 3)
    fixed = schedulers.picked(fitted, services, 3600.0, 0, (900.0, 2100.0))
    assert (fixed.start_s, fixed.end_s) == (900.0, 2100.0)
    assert fixed.requests["conversation"] == pytest.approx(15 + 30 + 15)


def test_a_range_that_holds_too_little_is_told() -> None:
    fitted = parameters_of(conversation=[10, 12, 11], api=[90, 90, 90])
    with pytest.raises(BurstlensError, match=r"the best range of 600 s has 12 of conversation, 90 of api"):
        schedulers.picked(fitted, ["conversation", "api"], 600.0, 0)
    with pytest.raises(BurstlensError, match=r"from 600 s on"):
        schedulers.picked(fitted, ["conversation"], 600.0, 0, (600.0, None))
    with pytest.raises(BurstlensError, match=r"is not after start_s"):
        schedulers.picked(fitted, ["api"], 600.0, 0, (600.0, 500.0))
    with pytest.raises(BurstlensError, match=r"neither a selection 'conversation' nor 'api'"):
        schedulers.services_of(parameters_of(code=[5]))


@pytest.mark.slow
def test_near_saturation_the_policies_differ_and_the_claim_gets_its_verdict(
    content: Content, tmp_path: Path
) -> None:
    file = tmp_path / "parameters.json"
    write_parameters(content, file)
    done = experiment(
        str(file),
        tmp_path / "out",
        requests=300,
        seeds=4,
        load=1.3,
        range_s=7200.0,
        backend=BackendOptions(),
        workers=2,
    )
    compared, waits = schedulers.parts(done)
    for service in schedulers.SERVICES:
        mean = compared.pairs.of(service, LRF, SRF, "ttft_s")
        longest = compared.pairs.of(service, SRF, FCFS, "ttft_max_s")
        assert mean is not None
        assert longest is not None
        assert mean.difference.value > 0
        assert longest.difference.value > 0
    assert not compared.missing
    assert waits.waits.height == 2 * 3 * len(schedulers.WAITS)
    (claim,) = findings(done).claims
    assert claim.statements is not None
    assert set(claim.statements) == set(schedulers.statements(compared))
    # Longest first makes most requests wait behind long ones: where there is a queue it wins nothing.
    assert claim.statements["LRF does not have lower latency than FCFS on API"] is True
    conversation = [holds for words, holds in claim.statements.items() if "conversation" in words]
    assert len(conversation) == 2
    assert True not in conversation
    assert claim.verdict == "partly"
    assert "difference" in claim.value
    rates = done.question.facts["rates_rps"]
    capacity = done.question.facts["capacity_rps"]
    assert all(rates[s] == pytest.approx(1.3 * capacity[s], abs=1e-5) for s in schedulers.SERVICES)


def test_where_nothing_waits_it_says_that_nothing_can_differ(content: Content, tmp_path: Path) -> None:
    file = tmp_path / "parameters.json"
    write_parameters(content, file)
    done = experiment(
        str(file),
        tmp_path / "out",
        requests=60,
        seeds=1,
        rate_rps=0.02,
        range_s=7200.0,
        backend=BackendOptions(),
    )
    compared, _ = schedulers.parts(done)
    assert sum("without a queue" in text for text in compared.missing) == 2
    assert ONE_SEED in compared.missing


def test_requests_that_wait_before_the_scheduler_are_counted() -> None:
    """Ten are sent at once; the engine runs one and lets one wait until the last ends after ten seconds."""
    record = pl.DataFrame(
        [
            {"request_id": i, "intended_s": 0.0, "sent_s": 0.0, "ended_s": 1.0 + i, "outcome": "ok"}
            for i in range(10)
        ],
        schema=SCHEMA,
    )
    server = pl.DataFrame(
        [{"at_s": i + 0.5, "running": 1.0, "waiting": 1.0} for i in range(12)], schema=SERVER_SCHEMA
    )
    measures = measured(record, server, 10.0, course=False).values
    assert measures["waiting_mean"] == 1.0
    # In flight are 10, 9, … 1, less one running and one waiting; after the end nothing is in flight.
    assert measures["outside_mean"] == pytest.approx(5.5 - 2)


def test_a_queue_before_the_scheduler_is_said_on_the_page(content: Content, tmp_path: Path) -> None:
    file = tmp_path / "parameters.json"
    write_parameters(content, file)
    done = experiment(
        str(file), tmp_path / "out", requests=60, seeds=2, load=1.0, range_s=7200.0, backend=BackendOptions()
    )
    trials = done.trials.with_columns(
        outside_mean=pl.when(pl.col("service") == "api").then(12.5).otherwise(0.2),
        waiting_mean=pl.lit(0.5),
    )
    compared, _ = schedulers.parts(replace(done, trials=trials))
    (sentence,) = [text for text in compared.missing if "they waited in the API server" in text]
    assert sentence.startswith("api: of the requests in flight 12.5 on average")
    assert "against 0.5 that its scheduler could choose from" in sentence


def test_two_levels_of_load_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(BurstlensError, match=r"rate_rps and load both say"):
        experiment(None, tmp_path, rate_rps=1.0, load=0.9)
    with pytest.raises(BurstlensError, match=r"kv: -1 is not above 0"):
        experiment(None, tmp_path, kv=-1.0)
