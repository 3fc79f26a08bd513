"""Served responses beside a trace's: paired numbers by hand, and who is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from burstlens.analysis.core.errors import BurstlensError
from burstlens.analysis.synthetic.trace import open_synthetic
from burstlens.analysis.trace.trace import Trace
from burstlens.api.experiments.responses import run_responses
from burstlens.bench.experiments import responses
from burstlens.bench.experiments.backends import TrialMeasurement, VirtualBackend, measured
from burstlens.bench.experiments.findings import findings
from burstlens.bench.experiments.genuine import _mean
from burstlens.bench.experiments.trials import Experiment, Question, run
from burstlens.bench.prompts.token_ids import TokenPrompts
from burstlens.bench.record.models import SCHEMA, SERVER_SCHEMA, Manifest, RunSettings
from burstlens.bench.record.run_folder import begin, write_record
from burstlens.bench.simulated.presets import load_preset
from burstlens.bench.workload.table import SCHEMA as SENT
from burstlens.bench.workload.table import Workload


@pytest.fixture(scope="module")
def trace() -> Trace:
    return open_synthetic(None, days=2, seed=1)


def test_requests_of_the_trace_are_drawn_without_failures(trace: Trace) -> None:
    load = responses.sample(trace, None, 300, 4.0, seed=5)
    again = responses.sample(trace, None, 300, 4.0, seed=5)
    other = responses.sample(trace, None, 300, 4.0, seed=6)
    assert load.requests.equals(again.requests)
    assert not load.requests["request_tokens"].equals(other.requests["request_tokens"])
    assert set(load.requests["service"]) == {"conversation"}
    assert load.requests["response_tokens"].min() >= 1  # type: ignore[operator]
    assert np.diff(load.requests["at_s"]) == pytest.approx(0.25)
    with pytest.raises(BurstlensError, match="no requests of service 'code'; it has: api, conversation"):
        responses.sample(trace, "code", 10, 1.0, seed=0)


class Recorded(VirtualBackend):
    """An engine that answers at the lengths it was made with, None for a failure, into a run folder."""

    def answering(self, tokens: list[int | None]) -> Recorded:
        object.__setattr__(self, "tokens", tokens)
        return self

    def serve(self, workload: Workload, folder: Path, *, course: bool) -> TrialMeasurement:
        tokens: list[int | None] = self.tokens  # type: ignore[attr-defined]
        n, nothing = len(tokens), pl.DataFrame(schema=SERVER_SCHEMA)
        manifest = Manifest(
            "week", False, {}, workload.sha256, n, "http://x", "m", None, "0", RunSettings(), 0.0
        )
        begin(folder, manifest, workload)
        at = workload.requests["at_s"]
        columns = {
            "request_id": workload.requests["request_id"],
            "intended_s": at,
            "sent_s": at,
            "first_token_s": at + 0.1,
            "ended_s": at + 0.5,
            "response_tokens": tokens,
            "outcome": ["ok" if each is not None else "timeout" for each in tokens],
        }
        record = pl.DataFrame({name: columns.get(name, [None] * n) for name in SCHEMA}, schema=SCHEMA)
        write_record(folder, record, nothing)
        return measured(record, nothing, workload.span_s, course=course)


def served(folder: Path, theirs: list[int], own: list[int | None]) -> Experiment:
    """The experiment in which a trace has the lengths `theirs` and the model answers at `own`."""
    n = len(theirs)
    requests = pl.DataFrame({"request_id": range(n), "response_tokens": theirs}).with_columns(
        at_s=pl.col("request_id").cast(pl.Float64), request_tokens=10 * (pl.col("request_id") + 1)
    )
    requests = requests.with_columns(
        pl.lit(None, kind).alias(name) for name, kind in SENT.items() if name not in requests.columns
    ).select(*SENT)
    load = Workload(requests.cast(SENT), "week", synthetic=False)  # type: ignore[arg-type]
    engine = Recorded(load_preset("llama-2-7b-a100")).answering(own)
    question = Question(
        "responses", {}, {}, "m at x", None, False, [0], 1, {"requests": 1, "cap": 900, "trace": "made"}
    )
    return run(question, responses.trials(load, 0), engine, folder)


def test_both_sides_by_hand(tmp_path: Path) -> None:
    theirs = [100, 200, 300, 400, 500, 600]
    own: list[int | None] = [150, 210, 330, 900, None, 640]
    answers, _ = responses.parts(served(tmp_path / "x", theirs, own))
    trace, model = answers.sides.to_dicts()
    assert trace["n"] == model["n"] == 5, "what failed is on neither side"
    assert trace["mean"] == pytest.approx(320)
    assert model["mean"] == pytest.approx(446)
    assert answers.difference.value == pytest.approx(126)
    assert model["at_cap"] == pytest.approx(0.2)
    # Up to 600 the trace has all 5, the model 3.
    assert answers.distance == pytest.approx(0.4)
    assert model["spearman"] == pytest.approx(0.9)
    assert trace["spearman"] == pytest.approx(1.0)


@pytest.mark.slow
def test_a_planted_difference_is_found_in_every_bin_and_the_statements(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n = 400
    request = 10 * np.arange(1, n + 1)
    theirs = np.maximum(100 + request // 20 + rng.integers(-20, 20, n), 1).tolist()
    own = np.maximum(500 - request // 20 + rng.integers(-20, 20, n), 1).tolist()
    original = findings(served(tmp_path / "x", theirs, own))
    answers = original.parts[0]
    assert isinstance(answers, responses.Answers)
    assert answers.bins.height > 3
    for row in answers.bins.iter_rows(named=True):
        within = (request >= row["request_low"]) & (request < row["request_high"])
        assert row["n"] == within.sum()
        # The noise of a difference has a standard deviation of 16 tokens.
        planted = (400 - 2 * (request[within] // 20)).mean()
        assert row["difference"] == pytest.approx(planted, abs=3 * 16 / np.sqrt(row["n"]))
        assert row["difference_low"] < row["difference"] < row["difference_high"]
    assert original.claims[0].verdict == "agrees", original.claims[0].why
    turned = findings(served(tmp_path / "y", own, theirs))
    assert turned.claims[0].verdict == "differs", turned.claims[0].why


def test_who_has_no_lengths_of_its_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BurstlensError, match="needs a real model"):
        run_responses(None, tmp_path, url=None, prompts=TokenPrompts())
    with pytest.raises(BurstlensError, match="needs prompts of text"):
        run_responses(None, tmp_path, url="http://127.0.0.1:1", prompts=TokenPrompts())


@pytest.mark.parametrize(
    ("logprobs", "mean"),
    [
        ([None, {"7": {"logprob": -2.0}}, {"9": {"logprob": -4.0}}], -3.0),
        ([None, {"7": {"logprob": -1.0}, "8": {"logprob": -0.1}}], -1.0),
        (None, None),
        ([], None),
        ([None], None),
        ("x", None),
    ],
)
def test_likelihoods_are_read_where_a_server_tells_them(logprobs: object, mean: float | None) -> None:
    assert _mean({"choices": [{"prompt_logprobs": logprobs}]}) == mean
    assert _mean({"error": logprobs}) is None
