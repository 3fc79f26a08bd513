"""Lengths of the real traces against plain NumPy, planted traces, and what a trace may lack."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from burstlens.analysis.lengths.by_request import first_tokens, line, merge_cells
from burstlens.analysis.lengths.joint import sample_lengths
from burstlens.analysis.lengths.part import Lengths, describe_lengths, joint_model
from burstlens.analysis.lengths.schemas import QUANTILES, SCHEMAS
from burstlens.analysis.trace.trace import Trace, open_trace

MakeTrace = Callable[..., Trace]
SELECTED = {
    "all": pl.lit(True),
    "conversation": pl.col("Log Type") == "Conversation log",
    "conversation · GPT-4": (pl.col("Log Type") == "Conversation log") & (pl.col("Model") == "GPT-4"),
    "api": pl.col("Log Type") == "API log",
}


@pytest.fixture(scope="module")
def log(traces: Callable[[str], Path]) -> pl.DataFrame:
    """The successful requests of the real week, as the log has them."""
    return pl.read_csv(traces("burstgpt_1_first7days.csv")).filter(pl.col("Response tokens") > 0)


@pytest.fixture(scope="module")
def lengths(week: Trace) -> Lengths:
    return describe_lengths(week)


@pytest.fixture(scope="module")
def azure(traces: Callable[[str], Path]) -> Lengths:
    return describe_lengths(open_trace(traces("azure_llm_2023_conv.csv")))


def row(table: pl.DataFrame, **of: str) -> dict:
    found = table.filter(*[pl.col(column) == value for column, value in of.items()])
    assert len(found) == 1, found
    return found.row(0, named=True)


def sides(log: pl.DataFrame, selection: str) -> tuple[np.ndarray, np.ndarray]:
    rows = log.filter(SELECTED[selection])
    return rows["Request tokens"].to_numpy(), rows["Response tokens"].to_numpy()


@pytest.mark.parametrize("selection", list(SELECTED))
def test_quantiles_of_the_week_are_those_of_numpy(
    lengths: Lengths, log: pl.DataFrame, selection: str
) -> None:
    for column, tokens in zip(("request", "response"), sides(log, selection), strict=True):
        found = row(lengths.frames["quantiles"], selection=selection, column=column)
        assert found["n"] == len(tokens)
        assert found["mean"] == pytest.approx(tokens.mean())
        assert found["max"] == tokens.max()
        expected = np.quantile(tokens, list(QUANTILES.values()), method="inverted_cdf")
        assert [found[name] for name in QUANTILES] == expected.tolist()


@pytest.mark.parametrize("selection", ["all", "conversation · GPT-4"])
def test_responses_by_request_bin_are_those_of_numpy(
    lengths: Lengths, log: pl.DataFrame, selection: str
) -> None:
    request, response = sides(log, selection)
    bins = lengths.frames["by_request"].filter(pl.col("selection") == selection)
    assert len(bins) > 15
    for found in bins.to_dicts():
        in_bin = response[(request >= found["request_low"]) & (request < found["request_high"])]
        request_in_bin = request[(request >= found["request_low"]) & (request < found["request_high"])]
        assert found["n"] == len(in_bin)
        assert found["request_mean"] == pytest.approx(request_in_bin.mean())
        assert found["mean"] == pytest.approx(in_bin.mean())
        assert found["sd"] == pytest.approx(in_bin.std(ddof=1))
        scale = (1 - 1 / len(in_bin)) ** 1.5
        assert found["skewness"] == pytest.approx(stats.skew(in_bin) * scale, abs=1e-6)
        expected = np.quantile(in_bin, [0.05, 0.25, 0.5, 0.75, 0.95], method="inverted_cdf")
        assert [found[name] for name in ("p5", "p25", "median", "p75", "p95")] == expected.tolist()
    in_bin = lengths.frames["ridges"].filter(pl.col("selection") == selection)
    width = pl.col("response_high") - pl.col("response_low")
    total = in_bin.group_by("request_low").agg((pl.col("density") * width).sum().alias("share"))["share"]
    assert total.is_between(0.9, 1 + 1e-9).all()


@pytest.mark.parametrize("selection", list(SELECTED))
def test_slope_and_rank_correlation_of_the_week_are_those_of_scipy(
    lengths: Lengths, log: pl.DataFrame, selection: str
) -> None:
    request, response = sides(log, selection)
    inside = (request >= 300) & (request <= 2000)
    for about, in_range in (("300 to 2,000 request tokens", inside), ("all", request > 0)):
        found = row(lengths.frames["slope"], selection=selection, range=about)
        expected = stats.linregress(request[in_range], response[in_range])
        assert found["n"] == in_range.sum()
        assert found["slope"] == pytest.approx(expected.slope)
        assert found["intercept"] == pytest.approx(expected.intercept)
        assert found["r_squared"] == pytest.approx(expected.rvalue**2)
    joint = row(lengths.frames["joint"], selection=selection)
    assert joint["spearman"] == pytest.approx(stats.spearmanr(request, response).statistic, abs=3e-3)
    assert joint["spearman_low"] < joint["spearman"] < joint["spearman_high"]


def test_every_query_is_what_numpy_counts(week: Trace, log: pl.DataFrame) -> None:
    ask, members = week.engine.ask, week.engine.table("streams")
    streams = {(r["service"], r["model"]): r["stream_id"] for r in members.to_dicts()}
    service = {"Conversation log": "conversation", "API log": "api"}
    stream = np.array([streams[service[kind], model] for kind, model in log[["Log Type", "Model"]].rows()])
    request, response = log["Request tokens"].to_numpy(), log["Response tokens"].to_numpy()
    cell, fine = np.floor(4.0 * np.log(request)), np.floor(32.0 * np.log(request))

    def counted(*keys: np.ndarray) -> dict[tuple, int]:
        found, n = np.unique(np.stack(keys, axis=1).astype(int), axis=0, return_counts=True)
        return {tuple(key): count for key, count in zip(found.tolist(), n.tolist(), strict=True)}

    def counts_by(answered: pl.DataFrame, *keys: str) -> dict[tuple, int]:
        return {tuple(r[:-1]): r[-1] for r in answered.select(*keys, "n").rows()}

    histograms = ask("length_histograms")
    expected = counted(np.tile(stream, 2), np.repeat([1, 2], len(log)), np.concatenate([request, response]))
    assert counts_by(histograms, "stream_id", "side", "tokens") == expected
    joint = ask("joint_lengths", cells_per_e=32.0)
    assert counts_by(joint, "stream_id", "request_cell", "response_tokens") == counted(stream, fine, response)
    assert joint["request_sum"].sum() == request.sum()
    by_request, both = merge_cells(joint)
    assert counts_by(by_request, "stream_id", "request_cell", "response_tokens") == counted(
        stream, cell, response
    )
    assert by_request["request_sum"].sum() == request.sum()
    expected = counted(stream, fine, np.floor(32.0 * np.log(response)))
    assert counts_by(both, "stream_id", "request_cell", "response_cell") == expected

    blocks = ask(
        "length_blocks", start_tick=0.0, block_ticks=7200.0, range_low=300, range_high=2000, cells_per_e=2.0
    )
    block = log["Timestamp"].to_numpy() // 7200
    inside = (request >= 300) & (request <= 2000)
    coarse = [np.floor(2.0 * np.log(side)) for side in (request, response)]
    keys = ("stream_id", "block", "in_range", "request_cell", "response_cell")
    assert counts_by(blocks, *keys) == counted(stream, block, inside, *coarse)
    summed = blocks.filter(pl.col("in_range") == 1)
    x, y = request[inside].astype(float), response[inside].astype(float)
    sums = {"x": x.sum(), "y": y.sum(), "xx": x @ x, "xy": x @ y, "yy": y @ y}
    assert {name: summed[name].sum() for name in sums} == pytest.approx(sums)


def test_published_statistics_of_the_week_hold(lengths: Lengths, azure: Lengths) -> None:
    assert row(lengths.frames["rows"], selection="all", column="request")["n"] == 19_431
    # The exponents that are known of Azure's conversation trace.
    exponents = azure.frames["zipf"].select("column", "exponent").rows()
    assert dict(exponents) == pytest.approx({"request": 0.72, "response": 0.53}, abs=0.01)


def test_zipf_loses_on_every_column_of_azure_by_any_measure(azure: Lengths) -> None:
    for found in azure.frames["zipf"].to_dicts():
        assert found["winner"].startswith("log_normal")
        assert found["ks"] > 0.2 > found["winner_ks"]
        assert found["tv"] > found["winner_tv"]
    fits = azure.frames["fits"]
    best = fits.filter(pl.col("winner"))
    assert best["delta_bic"].to_list() == [0, 0]
    assert (fits.filter(~pl.col("winner"))["delta_bic"] > 0).all()


def test_drawn_histograms_hold_every_row_and_their_curves_all_the_probability(lengths: Lengths) -> None:
    width = pl.col("high") - pl.col("low")
    for (selection, column), bins in lengths.frames["histograms"].group_by("selection", "column"):
        known = row(lengths.frames["quantiles"], selection=str(selection), column=str(column))
        assert bins["n"].sum() == known["n"]
        assert bins["low"][0] == 1
        assert bins["high"][-1] == known["max"] + 1
        shares = bins.select((pl.col(c) * width).sum() for c in ("density", "zipf_density", "winner_density"))
        few = known["n"] < 50
        assert shares.row(0) == pytest.approx((1, 0, 0) if few else (1, 1, 1), abs=1e-6)


def test_planted_zipf_lengths_have_a_zipf_verdict(make_trace: MakeTrace) -> None:
    rng, x = np.random.default_rng(0), np.arange(1, 3001)
    mass = x**-0.9 / np.sum(x**-0.9)
    request = rng.choice(x, 8000, p=mass)
    trace = make_trace(np.arange(8000.0), request_tokens=request, response_tokens=rng.choice(x, 8000, p=mass))
    found = describe_lengths(trace)
    zipf = row(found.frames["zipf"], column="request")
    assert zipf["exponent_low"] < 0.9 < zipf["exponent_high"]
    assert zipf["ks"] < 0.02
    sentence = found.sentences()[0]
    assert "are within 5% of a bounded Zipf law" in sentence


def test_planted_line_is_found_and_called_straight(make_trace: MakeTrace) -> None:
    rng = np.random.default_rng(1)
    request = rng.integers(300, 2001, 6000)
    response = np.maximum(np.rint(100 + 0.2 * request + rng.normal(0, 0.05 * request)), 1).astype(int)
    arrival = np.sort(rng.uniform(0, 86_400, 6000)).round()
    found = describe_lengths(make_trace(arrival, request_tokens=request, response_tokens=response))
    slope = row(found.frames["slope"], range="all")
    assert slope["slope"] == pytest.approx(0.2, abs=1.5 * (slope["slope_high"] - slope["slope"]))
    assert slope["straightness"] > 0.99
    spread = row(found.frames["spread"], range="all")
    # Inside a bin the line adds to the noise, which grows as the request does.
    assert spread["growth_low"] < 1 < spread["growth_high"] + 0.1
    assert spread["ks_normal"] < 0.05
    assert abs(spread["skewness"]) < 0.2
    assert any("grow with the request" in sentence for sentence in found.sentences())


def test_slope_interval_covers_though_requests_of_a_stretch_are_alike() -> None:
    rng = np.random.default_rng(2)
    covered, narrow = [], []
    for _ in range(200):
        x = rng.gamma(2, 300, (60, 20)) + rng.gamma(2, 200, (60, 1))
        y = 50 + 0.3 * x + rng.normal(0, 100, (60, 1)) + rng.normal(0, 0.3 * x)
        sums = [[20, a.sum(), b.sum(), a @ a, a @ b, b @ b] for a, b in zip(x, y, strict=True)]
        found = line(np.array(sums))
        assert found is not None
        covered.append(found.slope.low <= 0.3 <= found.slope.high)
        plain = stats.linregress(x.ravel(), y.ravel())
        narrow.append(abs(plain.slope - 0.3) <= 1.96 * plain.stderr)
    assert 0.88 <= np.mean(covered) <= 0.99
    assert np.mean(narrow) < np.mean(covered)


def test_line_needs_spread_and_stretches() -> None:
    assert line(np.zeros((0, 6))) is None
    assert line(np.array([[5, 50, 20, 500, 200, 90.0]])) is None
    few = line(np.array([[2, 30, 30, 500, 500, 500.0], [2, 40, 20, 1000, 300, 250.0]]))
    assert few is not None
    assert np.isnan(few.slope.low)


def test_joint_model_of_the_week_draws_lengths_like_it(lengths: Lengths, log: pl.DataFrame) -> None:
    request, response = sides(log, "conversation")
    model = lengths.joint_model("conversation")
    drawn = sample_lengths(model, 50_000, np.random.default_rng(3))
    for side, truth in zip(drawn.T, (request, response), strict=True):
        assert stats.ks_2samp(side, truth).statistic < 0.03
        assert side.max() <= truth.max()
    assert stats.spearmanr(drawn).statistic == pytest.approx(
        stats.spearmanr(request, response).statistic, abs=0.02
    )

    def binned(pairs: np.ndarray) -> np.ndarray:
        edges = [np.arange(0, 19), np.arange(0, 17)]
        return np.histogram2d(*np.floor(2 * np.log(pairs)).T, bins=edges)[0] / len(pairs)

    seen = binned(np.stack([request, response], axis=1))
    shuffled = np.stack([drawn[:, 0], np.random.default_rng(4).permutation(drawn[:, 1])], axis=1)
    assert np.abs(binned(drawn) - seen).sum() < 0.6 * np.abs(binned(shuffled) - seen).sum()


def test_joint_model_comes_from_plain_rows_too(lengths: Lengths) -> None:
    of = pl.col("selection") == "conversation"
    plain = {
        name: lengths.frames[name].filter(of).drop("selection", "service", "model").to_dicts()
        for name in ("fits", "parameters", "joint", "joint_grid")
    }
    one, other = joint_model(plain), lengths.joint_model("conversation")
    assert np.array_equal(one.request.cumulative, other.request.cumulative)
    assert (one.correlation, one.grid is None) == (other.correlation, other.grid is None)
    with pytest.raises(KeyError):
        lengths.joint_model("api · GPT-4")


def test_failures_and_zero_lengths_are_left_out_and_counted(make_trace: MakeTrace) -> None:
    rng = np.random.default_rng(5)
    n = 400
    failed = np.arange(n) < 30
    request, response = rng.integers(1, 90, n), rng.integers(1, 500, n)
    response[failed] = 0
    request[[40, 41]] = 0
    columns = {"request_tokens": request, "response_tokens": response, "failed": failed}
    found = describe_lengths(make_trace(np.arange(n), info={"has_failures": True}, **columns))
    sides = {r["column"]: r for r in found.frames["rows"].to_dicts()}
    requests, responses = sides["request"], sides["response"]
    assert (requests["failed"], requests["zero"], requests["used"]) == (30, 2, 368)
    assert (responses["zero"], responses["used"]) == (0, 370)
    assert row(found.frames["joint"], selection="all")["n"] == 368
    assert found.sentences()[-1] == "Left out: 30 failed requests, 2 zero request lengths."


def test_a_trace_without_tokens_says_so_and_has_every_column(traces: Callable[[str], Path]) -> None:
    found = describe_lengths(open_trace(traces("maf2_azure_functions_2021_200.csv")))
    assert len(found.missing) == 2
    assert all("has no" in sentence for sentence in found.missing)
    assert found.sentences() == []
    for name, table in found.tables().items():
        assert table.is_empty()
        assert table.columns == list(SCHEMAS[name])


def test_a_trace_with_one_side_only_tells_that_side(make_trace: MakeTrace) -> None:
    request = np.random.default_rng(6).integers(1, 900, 300)
    found = describe_lengths(make_trace(np.arange(300), request_tokens=request, response_tokens=[None] * 300))
    assert len(found.missing) == 1
    assert "no response lengths" in found.missing[0]
    assert found.frames["zipf"]["column"].to_list() == ["request"]
    assert found.frames["joint"].is_empty()
    assert found.sentences()


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2, 5, 49, 50, 300])
def test_short_traces_and_lengths_all_alike_are_no_error(make_trace: MakeTrace, n: int) -> None:
    varied = make_trace(
        np.arange(n), request_tokens=np.arange(1, n + 1), response_tokens=np.arange(1, n + 1) % 7 + 1
    )
    for trace in (varied, make_trace(np.arange(n))):
        found = describe_lengths(trace)
        assert row(found.frames["quantiles"], column="request")["n"] == n
        assert all(isinstance(sentence, str) for sentence in found.sentences())
        assert bool(found.missing) == (n < 50)
        for table in found.tables().values():
            for values in table.select(pl.selectors.float()):
                assert not values.is_nan().any()


def test_the_same_seed_says_the_same(week: Trace, lengths: Lengths) -> None:
    again = describe_lengths(week)
    for name, table in lengths.tables().items():
        assert table.equals(again.tables()[name]), name
        assert table.schema == pl.Schema(SCHEMAS[name])
    assert again.sentences() == lengths.sentences()


def test_tables_stay_small(lengths: Lengths) -> None:
    assert sum(len(table) for table in lengths.tables().values()) < 6000


def test_first_token_of_a_cell_is_the_first_that_the_query_puts_there() -> None:
    cells = np.arange(0, 48)
    first = first_tokens(cells, 4)
    assert (np.floor(4 * np.log(first)) >= cells).all()
    assert (np.floor(4 * np.log(np.maximum(first - 1, 1)))[first > 1] < cells[first > 1]).all()
