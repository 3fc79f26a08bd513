"""Load drawn from parameters: a refit gives them back, per window and in total; scaling does what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from burstlens.analysis.characterize import Characterization
from burstlens.analysis.core.errors import BurstlensError
from burstlens.analysis.interchange.parameters import parameters, write_parameters
from burstlens.analysis.lengths.families import Zipf, fit_lengths
from burstlens.analysis.lengths.part import describe_lengths
from burstlens.analysis.logs.trace_info import TraceInfo
from burstlens.analysis.stats.likelihood import Histogram
from burstlens.analysis.trace.trace import COLUMNS, Trace, open_frame
from burstlens.analysis.traffic.arrivals import describe_arrivals
from burstlens.bench.workload.from_parameters import constant, from_parameters
from burstlens.bench.workload.table import SCHEMA, Workload, notes_on

Content = dict[str, Any]

WINDOW_S = 600.0


def as_trace(loads: dict[str, Workload], step_s: float = 1e-3) -> Trace:
    """Workloads as a log of whole steps, each under its own service."""
    frames = [
        load.requests.select(
            arrival_s=(pl.col("at_s") / step_s).floor() * step_s,
            service=pl.lit(name),
            model=pl.lit("m"),
            session=pl.lit(None),
            request_tokens="request_tokens",
            response_tokens="response_tokens",
            elapsed_s=pl.lit(None),
            failed=pl.lit(False),
        )
        for name, load in loads.items()
    ]
    frame = pl.concat(frames).sort("arrival_s").cast(COLUMNS)  # type: ignore[arg-type]
    info = TraceInfo("drawn", "frame", (), len(frame), 0, 0, step_s, None, synthetic=True)
    return open_frame(frame, info)


def refit(loads: dict[str, Workload], step_s: float = 1e-3) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Windows and totals of each of the workloads, not of all together."""
    found = describe_arrivals(as_trace(loads, step_s), WINDOW_S)
    own = pl.col("service").is_not_null() | (len(loads) == 1)
    return found.windows.filter(own), found.overall.filter(own)


def covered(table: pl.DataFrame, name: str, truth: Any) -> float:
    """Share of intervals that hold the truth."""
    return float(((table[f"{name}_low"] <= truth) & (truth <= table[f"{name}_high"])).mean())


def known(shape: Any, rate_rps: Any, correlation: float = 0.5, exponents: Any = (0.8, 1.2)) -> Content:
    """A parameter file of known windows, Zipf lengths and a Gaussian copula."""
    count = len(shape)
    windows = [
        {
            "start_s": WINDOW_S * i,
            "n": round(r * WINDOW_S),
            "rate_rps": float(r),
            "shape": None if np.isnan(a) else float(a),
            "rate": None if np.isnan(a) else float(a * r) or None,
            "scale": None if np.isnan(a) else float(1 / (a * r)) if r else None,
            "cv": None,
            "shape_interval": None,
            "flags": [],
        }
        for i, (a, r) in enumerate(zip(shape, rate_rps, strict=True))
    ]
    sides = list(zip(("request", "response"), exponents, (2000, 800), strict=True))
    lengths = {
        "zipf": [{"column": c, "exponent": s, "maximum": m} for c, s, m in sides],
        "fits": [{"column": c, "family": "zipf", "maximum": m, "winner": True} for c, _, m in sides],
        "parameters": [
            {"column": c, "family": "zipf", "parameter": "exponent", "value": s} for c, s, _ in sides
        ],
        "joint": [{"copula": "gaussian", "correlation": correlation, "grid_size": None}],
        "joint_grid": [],
    }
    named = {"label": "all", "service": None, "model": None, "start_s": 0.0, "end_s": WINDOW_S * count}
    return {
        "schema_version": "1.0",
        "generator": "a test",
        "source": {
            "name": "known", "format": "none", "files": [], "rows": 1, "rejected": 0, "span_s": 1.0,
            "day0": None, "resolution_s": 1.0, "synthetic": True,
        },
        "window_s": WINDOW_S,
        "estimator": "none: the truth",
        "selections": [
            {
                "selection": named,
                "arrivals": {"overall": {}, "windows": windows},
                "lengths": lengths,
                "conversations": {},
                "failures": [],
            }
        ],
    }  # fmt: skip


@pytest.mark.slow
def test_a_refit_of_a_constant_load_gives_back_its_shape_rate_and_intervals() -> None:
    """The paper's 0.5, 2 in 330 loads of 20 minutes, in total and window by window."""
    totals, windows = [], []
    for trial in range(22):
        loads = {f"load {i}": constant(0.5, 2, 1.1, duration_s=1200, seed=15 * trial + i) for i in range(15)}
        window, total = refit(loads)
        windows.append(window)
        totals.append(total)
    total, window = pl.concat(totals), pl.concat(windows)
    assert len(total) == 330
    for table in (total, window):
        assert table["shape"].mean() == pytest.approx(0.5, rel=0.05)
        assert table["rate_rps"].mean() == pytest.approx(1.0, rel=0.05)
        assert (table["shape"] * table["scale"]).mean() == pytest.approx(1.0, rel=0.05)
        assert 0.90 <= covered(table, "shape", 0.5) <= 0.97
    assert 0.90 <= covered(total, "rate_rps", 1.0) <= 0.97


@pytest.mark.slow
def test_a_refit_of_fitted_windows_gives_back_every_window_and_the_total() -> None:
    """240 windows whose shapes and rates all differ, stamped in whole seconds as BurstGPT is."""
    rng = np.random.default_rng(11)
    windows, ratios = [], []
    for trial in range(4):
        shape = np.exp(rng.normal(np.log(0.6), 0.4, 60))
        rate = np.exp(rng.normal(np.log(0.5), 0.5, 60))
        load = from_parameters(known(shape, rate), seed=trial)
        found, _ = refit({"load": load}, 1.0)
        windows.append(found.with_columns(true_shape=pl.Series(shape), true_rate=pl.Series(rate)))
        ratios.append(len(load.requests) / (rate.sum() * WINDOW_S))
    table = pl.concat(windows)
    assert len(table) == 240
    for name, truth in (("shape", "true_shape"), ("rate_rps", "true_rate")):
        off = np.log(table[name] / table[truth])
        assert abs(off.mean()) < 0.05
        # Not only on average: the ones that are high come out high.
        assert np.corrcoef(np.log(table[name]), np.log(table[truth]))[0, 1] > 0.9
    assert 0.90 <= covered(table, "shape", table["true_shape"]) <= 0.97
    assert np.mean(ratios) == pytest.approx(1.0, rel=0.05)


def test_a_refit_gives_back_the_zipf_exponent_and_its_interval() -> None:
    found = []
    for seed in range(150):
        drawn = constant(0.5, 2, 1.1, requests=1500, seed=seed).requests
        for side in ("request_tokens", "response_tokens"):
            fit = fit_lengths(Zipf(2048), Histogram.of(drawn[side].to_numpy().astype(float)))
            exponent = fit.parameters["exponent"]
            found.append((exponent.value, exponent.low <= 1.1 <= exponent.high))
    value, inside = np.mean(found, axis=0)
    assert value == pytest.approx(1.1, rel=0.05)
    assert 0.90 <= inside <= 0.97


def test_a_refit_gives_back_the_laws_of_lengths_and_how_they_go_together() -> None:
    load = from_parameters(known([0.5] * 30, [1.0] * 30), seed=3)
    found = describe_lengths(as_trace({"load": load})).tables()
    zipf, joint = found["zipf"].to_dicts(), found["joint"].to_dicts()[0]
    assert zipf[0]["exponent"] == pytest.approx(0.8, rel=0.05)
    assert zipf[1]["exponent"] == pytest.approx(1.2, rel=0.05)
    assert joint["correlation"] == pytest.approx(0.5, rel=0.05)


def test_the_process_goes_on_through_borders() -> None:
    """Equal windows of twelve requests leave no trace of their borders: gaps over one are as any other."""
    load = from_parameters(known([0.5] * 400, [0.02] * 400), seed=1)
    gaps = np.diff(load.requests["at_s"].to_numpy())
    assert stats.kstest(gaps, stats.gamma(0.5, scale=100).cdf).pvalue > 0.001
    assert np.sum(gaps > 300) > 10


def test_scaling_multiplies_rates_and_leaves_shapes_and_windows() -> None:
    truth = known([0.5, 2.0, 0.5, 2.0], [0.5, 1.0, 2.0, 4.0])
    plain, tripled = from_parameters(truth), from_parameters(truth, scale=3.0)
    scaled = from_parameters(truth, rate_rps=20.0)
    assert len(tripled.requests) / len(plain.requests) == pytest.approx(3.0, rel=0.1)
    assert len(scaled.requests) / 2400 == pytest.approx(20.0, rel=0.05)
    assert scaled.span_s == pytest.approx(plain.span_s, rel=0.02)
    counts = np.histogram(scaled.requests["at_s"], bins=np.arange(5) * WINDOW_S)[0]
    assert counts / counts.sum() == pytest.approx(np.array([1, 2, 4, 8]) / 15, rel=0.15)
    window, _ = refit({"asked": scaled})
    assert window["shape"].to_numpy() == pytest.approx([0.5, 2.0, 0.5, 2.0], rel=0.15)


def test_a_part_of_the_windows_starts_at_zero() -> None:
    truth = known([1.0] * 10, np.arange(1.0, 11.0))
    part = from_parameters(truth, start_s=4.5 * WINDOW_S, end_s=5.5 * WINDOW_S)
    at_s = part.requests["at_s"].to_numpy()
    assert 0 <= at_s[0] < 5
    assert at_s[-1] < WINDOW_S
    assert np.sum(at_s < 300) == pytest.approx(5 * 300, rel=0.1)
    assert np.sum(at_s >= 300) == pytest.approx(6 * 300, rel=0.1)


def test_windows_without_a_fit_have_the_middle_shape_and_silent_ones_hold_nothing() -> None:
    truth = known([4.0, np.nan, np.nan, 4.0], [1.0, 1.0, 0.0, 1.0])
    load = from_parameters(truth, scale=5.0)
    counts = np.histogram(load.requests["at_s"], bins=np.arange(5) * WINDOW_S)[0]
    assert counts[2] == 0
    assert counts[[0, 1, 3]] == pytest.approx(3000, rel=0.05)
    window, _ = refit({"load": load})
    assert window["shape"][1] == pytest.approx(4.0, rel=0.2)


def test_holes_in_the_record_stay_holes_of_their_own_length() -> None:
    """The record breaks off 200 s into a window and goes on 100 s before the end of a later one."""
    truth = known([1.0] * 6, [2.0] * 6)
    rows = truth["selections"][0]["arrivals"]["windows"]
    rows[1]["n"], rows[4]["n"] = 400, 200
    truth["selections"][0]["arrivals"]["windows"] = [rows[i] for i in (0, 1, 4, 5)]
    at_s = from_parameters(truth, scale=5.0).requests["at_s"].to_numpy()
    assert not np.any((at_s > 800) & (at_s < 2900))
    assert np.sum((at_s > 600) & (at_s <= 800)) == pytest.approx(2000, rel=0.1)
    assert np.sum((at_s >= 2900) & (at_s < 3000)) == pytest.approx(1000, rel=0.1)


def test_a_workload_is_the_same_for_the_same_seed_and_lengths_do_not_move_arrivals() -> None:
    truth = known([0.5] * 3, [1.0] * 3)
    first, again, other = (from_parameters(truth, seed=seed) for seed in (1, 1, 2))
    assert first.sha256 == again.sha256 != other.sha256
    assert dict(first.requests.schema) == {name: kind() if isinstance(kind, type) else kind
                                           for name, kind in SCHEMA.items()}  # fmt: skip
    even = from_parameters(truth, seed=1, tokens=(300, 20))
    assert even.requests["at_s"].equals(first.requests["at_s"])
    assert even.requests.select("request_tokens", "response_tokens").unique().rows() == [(300, 20)]
    assert json.loads(json.dumps(first.recipe)) == first.recipe


def test_a_constant_load_has_the_given_duration() -> None:
    assert len(constant(0.1, 2, 1.1, requests=777).requests) == 777
    timed = constant(0.5, 2, 1.1, duration_s=500, rate_rps=40)
    assert timed.span_s <= 500
    assert timed.rate_rps == pytest.approx(40, rel=0.05)
    assert timed.recipe["scale_s"] == pytest.approx(0.05)
    sides = constant(0.5, 2, -0.5, requests=5000, max_tokens=(50, 7)).requests
    assert (sides["request_tokens"].max(), sides["response_tokens"].max()) == (50, 7)
    assert min(a <= b for a, b in pairwise(sides["at_s"].to_list()))


@pytest.fixture(scope="module")
def real_file(
    synthetic_characterization: Callable[..., Characterization], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Parameters as `burstlens fit` writes them, of two synthetic days."""
    path = tmp_path_factory.mktemp("fit") / "parameters.json"
    write_parameters(parameters(synthetic_characterization(2, 5, 3600.0)), path)
    return path


@pytest.mark.parametrize("lengths", ["winner", "zipf"])
def test_a_file_of_a_fit_can_be_drawn_from(real_file: Path, lengths: Any) -> None:
    content = json.loads(real_file.read_text())
    for part in content["selections"]:
        load = from_parameters(real_file, selection=part["selection"]["label"], lengths=lengths)
        expected = part["arrivals"]["overall"]["n"]
        # Bursts make the number of requests of a draw scatter.
        assert len(load.requests) == pytest.approx(expected, rel=0.25)
        assert load.synthetic
        for side, row in zip(("request_tokens", "response_tokens"), part["lengths"]["zipf"], strict=True):
            assert 1 <= load.requests[side].min() <= load.requests[side].max() <= row["maximum"]  # type: ignore[operator]
        assert set(load.requests["service"].unique()) == {part["selection"]["service"]}


def _spoil(change: Callable[[Content], Any]) -> Content:
    truth = known([1.0, 1.0], [1.0, 1.0])
    change(truth["selections"][0])
    return truth


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: from_parameters(known([1.0], [1.0]), selection="chat"), "no selection 'chat'; it has: all"),
        (lambda: from_parameters(known([1.0], [1.0]), rate_rps=1, scale=2), "rate_rps and scale"),
        (lambda: from_parameters(known([1.0], [1.0]), scale=0), "scale: 0 is not above 0"),
        (lambda: from_parameters(known([1.0], [1.0]), scale=1e9), "requests would be drawn"),
        (lambda: from_parameters(known([1.0], [1.0]), start_s=9e9), "no requests in that part"),
        (lambda: from_parameters(known([1.0], [0.0])), "no requests in that part"),
        (lambda: from_parameters(_spoil(lambda c: c["lengths"].update(joint=[]))), "with tokens"),
        (lambda: from_parameters(_spoil(lambda c: c["lengths"].update(fits=[]))), "fewer than 50"),
        (lambda: from_parameters(_spoil(lambda c: c["arrivals"].update(windows=[]))), "windows is empty"),
        (lambda: from_parameters(_spoil(lambda c: c["arrivals"]["windows"].reverse())), "not in order"),
        (lambda: from_parameters({"schema_version": "1.0"}), "the parameters: "),
        (lambda: from_parameters("/no/such.json"), "/no/such.json: cannot be read"),
        (lambda: constant(0, 2, 1.1, requests=5), "shape: 0 is not above 0"),
        (lambda: constant(1, 2, 1.1), "a duration and a number of requests"),
        (lambda: constant(1, 2, 1.1, requests=5, duration_s=5), "a duration and a number of requests"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(make: Callable[[], Workload], message: str) -> None:
    with pytest.raises(BurstlensError) as refused:
        make()
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("flagged", "share"), [(0, None), (1, "25 %"), (2, "100 %")])
def test_a_load_drawn_from_windows_that_are_no_gamma_says_so(flagged: int, share: str | None) -> None:
    content = known([1.0, 1.0], [0.1, 0.3])
    for window in content["selections"][0]["arrivals"]["windows"][:flagged]:
        window["flags"] = ["not_gamma"]
    notes = notes_on(from_parameters(content), None)
    assert len(notes) == (share is not None)
    assert all(f"{share} of the load" in note for note in notes)


def test_requests_that_do_not_fit_the_model_are_counted_before_they_are_sent() -> None:
    load = from_parameters(known([1.0], [0.2]), tokens=(100, 50))
    n = len(load.requests)
    assert notes_on(load, 150) == notes_on(load, None) == []
    (cut,) = notes_on(load, 149)
    assert cut.startswith(f"{n:,} answers do not fit into the model's 149 tokens")
    (refused,) = notes_on(load, 100)
    assert refused.startswith(f"{n:,} of {n:,} prompts leave no room for an answer in the model's 100 tokens")
