"""Traces side by side: coverage from content, measures equal to those of each part, verdicts on Functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from burstlens.analysis.characterize import Characterization, characterize
from burstlens.analysis.compare.side_by_side import (
    CONVERSATIONS,
    FAILURES,
    PROPERTIES,
    REQUESTS,
    RESPONSES,
    Comparison,
    compare_traces,
    verdict_maf,
)
from burstlens.analysis.lengths.part import Lengths
from burstlens.analysis.stats.renewal import sample_arrivals
from burstlens.analysis.trace.trace import Trace, TraceInfo, open_frame
from burstlens.analysis.traffic.burstiness import Burstiness
from burstlens.analysis.traffic.failures import Failures
from burstlens.analysis.traffic.volume import Volume

REAL = {
    "week": "burstgpt_1_first7days.csv",
    "functions": "maf2_azure_functions_2021_200.csv",
    "azure": "azure_llm_2023_conv.csv",
    "mooncake": "mooncake_conversation_trace.jsonl",
    "sessions": "burstgpt_3_first400.csv",
}


@pytest.fixture(scope="module")
def real(characterized: Callable[[str], Characterization]) -> dict[str, Characterization]:
    return {name: characterized(file) for name, file in REAL.items()}


@pytest.fixture(scope="module")
def comparison(real: dict[str, Characterization]) -> Comparison:
    return compare_traces(list(real.values()))


@pytest.mark.slow
def test_table_1_of_the_real_traces_follows_from_their_columns(comparison: Comparison) -> None:
    coverage = {
        (row["trace"], row["property"]): row["held"] == "yes" for row in comparison.coverage.to_dicts()
    }
    expected = {
        "burstgpt_1_first7days": {REQUESTS, RESPONSES, FAILURES},
        "maf2_azure_functions_2021_200": set(),
        "azure_llm_2023_conv": {REQUESTS, RESPONSES},
        "mooncake_conversation_trace": {REQUESTS, RESPONSES},
        "burstgpt_3_first400": set(PROPERTIES),
    }
    assert coverage == {(t, p): p in has for t, has in expected.items() for p in PROPERTIES}
    assert comparison.coverage["why"].str.len_chars().min() > 10  # type: ignore[operator]
    text = " ".join(comparison.sentences())
    assert "burstgpt_3_first400 has all that Table 1 of the paper asks for" in text
    assert "burstgpt_1_first7days lacks conversation patterns." in text


def test_measures_are_those_of_the_parts(comparison: Comparison, real: dict[str, Characterization]) -> None:
    for characterization in real.values():
        row = _row(comparison.measures, trace=characterization.info.name, selection="all")
        assert row["rows"] == characterization.info.rows
        assert row["covered_s"] == characterization.part(Volume).observed_s
        size = _row(characterization.part(Volume).sizes, selection="all")
        assert row["rate_rps_low"] == size["rate_rps_low"] < row["rate_rps"] < row["rate_rps_high"]
        assert row["rate_rps"] == pytest.approx(row["rows"] / row["covered_s"], rel=0.01)
        assert row["cv"] == _row(characterization.part(Burstiness).gaps, selection="all")["cv"]
        minute = _row(characterization.part(Burstiness).dispersion, selection="all", width_s=60.0)
        assert row["idc_60s"] == minute["idc"]
        assert row["rate_cv2_60s"] == pytest.approx((minute["idc"] - 1) / minute["mean_count"])
        lengths = characterization.part(Lengths).frames["quantiles"].filter(pl.col("selection") == "all")
        assert lengths.is_empty() == (row["request_tokens_p50"] is None)
        for quantiles in lengths.to_dicts():
            assert row[f"{quantiles['column']}_tokens_p50"] == quantiles["p50"]
        if not characterization.info.has_failures:
            assert row["failure_rate"] is None


def test_quantiles_and_failures_of_the_week_equal_plain_polars(
    comparison: Comparison, traces: Callable[[str], Path]
) -> None:
    rows = pl.read_csv(traces(REAL["week"]))
    answered = rows.filter(pl.col("Response tokens") > 0)
    row = _row(comparison.measures, trace="burstgpt_1_first7days", selection="all")
    for side in ("Request", "Response"):
        for name, share in (("p10", 0.1), ("p50", 0.5), ("p90", 0.9)):
            expected = answered[f"{side} tokens"].quantile(share, "lower")
            assert row[f"{side.lower()}_tokens_{name}"] == pytest.approx(expected, abs=1)
    assert row["failure_rate"] == pytest.approx(1 - len(answered) / len(rows))
    assert row["failure_rate_low"] < row["failure_rate"] < row["failure_rate_high"]


def test_services_of_a_trace_are_compared_too(comparison: Comparison) -> None:
    week = comparison.measures.filter(pl.col("trace") == "burstgpt_1_first7days")
    assert week["selection"].to_list() == ["all", "api", "conversation"]
    assert week["rows"][0] == week["rows"][1:].sum()
    assert week["model"].is_null().all()


def test_the_sample_of_functions_is_burstier_than_the_week_and_the_verdict_says_so(
    comparison: Comparison, real: dict[str, Characterization]
) -> None:
    """Invocations of 20 minutes come in clumps; nights of the week do not count against them."""
    both = compare_traces([real["week"], real["functions"]])
    verdict, value, why = verdict_maf(both)
    assert verdict == "differs"
    assert "rate variation per 10 s" in value
    assert "0 lower" in why
    assert "unequal length" in why
    assert any("is less bursty than maf2_azure_functions_2021_200" in s for s in both.sentences())
    assert any("unequal length" in s for s in both.missing)
    # The order of the traces changes nothing, nor do others on the page.
    assert verdict_maf(compare_traces([real["functions"], real["week"]]))[0] == verdict
    assert verdict_maf(comparison) == verdict_maf(both)


def test_even_functions_are_much_less_bursty() -> None:
    """The paper's claim on planted traces of the same length: it agrees where it is true."""
    rng = np.random.default_rng(1)
    n = 72 * 8
    storms = np.exp(rng.normal(-3.5, 1.0, n))
    burst = sample_arrivals(np.arange(n) * 1200.0, np.full(n, 0.3), storms, 1200.0, rng)
    even = sample_arrivals(np.arange(n) * 1200.0, np.full(n, 1.0), np.full(n, 0.2), 1200.0, rng)
    characterizations = [
        characterization_of(_requests(burst), name="bursty", format="burstgpt"),
        characterization_of(
            _requests(even, tokens=False), name="even", format="azure_functions_2021", has_tokens=False
        ),
    ]
    comparison = compare_traces(characterizations)
    verdict, value, why = verdict_maf(comparison)
    assert verdict == "agrees"
    assert "0 higher" in why
    assert "CV of gaps" in value
    assert not comparison.missing
    reversed_roles = [
        replace(one, info=replace(one.info, format=other.info.format))
        for one, other in zip(characterizations, characterizations[::-1], strict=True)
    ]
    assert verdict_maf(compare_traces(reversed_roles))[0] == "differs"


def test_without_both_kinds_of_trace_there_is_no_verdict(real: dict[str, Characterization]) -> None:
    assert verdict_maf(compare_traces([real["week"], real["azure"]])) == (
        "cannot tell", "", "It takes an Azure Functions trace on the same page.",
    )  # fmt: skip
    assert verdict_maf(compare_traces([real["functions"]]))[2].startswith("It takes a BurstGPT trace")
    neither = verdict_maf(compare_traces([]))
    assert neither[0] == "cannot tell"
    assert "a BurstGPT trace and an Azure Functions trace" in neither[2]


def test_a_synthetic_burstgpt_is_named_as_such(real: dict[str, Characterization]) -> None:
    """It stands in where there is no recorded one, and only then."""
    synthetic = characterization_of(
        _requests(np.arange(0.0, 4000.0, 3.0)), name="made", format="synthetic", synthetic=True
    )
    comparison = compare_traces([synthetic, real["functions"]])
    assert comparison.traces["trace"][0] == "made (synthetic)"
    assert verdict_maf(comparison)[2].endswith("The BurstGPT here is synthetic.")
    assert "synthetic" not in verdict_maf(compare_traces([synthetic, real["functions"], real["week"]]))[2]


def test_one_trace_alone_is_described_and_compared_with_nothing(real: dict[str, Characterization]) -> None:
    alone = compare_traces([real["azure"]])
    assert alone.pairs.is_empty()
    assert any("two traces or more" in sentence for sentence in alone.missing)
    assert alone.measures.height == 1
    assert alone.coverage.height == 4
    none = compare_traces([])
    assert [table.height for table in none.tables().values()] == [0] * 5
    assert none.sentences() == []


def test_a_trace_and_itself_differ_by_name_only(real: dict[str, Characterization]) -> None:
    twice = compare_traces([real["azure"], real["azure"]])
    assert twice.traces["trace"].to_list() == ["azure_llm_2023_conv", "azure_llm_2023_conv (2)"]
    assert (twice.pairs["outcome"] == "cannot tell").all()
    assert twice.pairs["ratio"].to_list() == pytest.approx([1.0] * len(twice.pairs))


def test_more_traces_than_four_are_each_compared_with_the_first(comparison: Comparison) -> None:
    sentences = [sentence for sentence in comparison.sentences() if sentence.startswith("At equal mean rate")]
    assert len(sentences) == 4
    assert all("burstgpt_1_first7days" in sentence for sentence in sentences)
    assert comparison.pairs.select("trace", "other").unique().height == 10


def test_counts_per_minute_are_compared_by_minute_and_marked_as_counts() -> None:
    rng = np.random.default_rng(5)
    times = np.sort(rng.uniform(0, 2 * 86_400, 6000))
    characterizations = [
        characterization_of(_requests(times), name="fine", format="burstgpt"),
        characterization_of(
            _requests(np.floor(times / 60) * 60, tokens=False),
            name="counts", format="azure_functions_2019", spread=True, has_tokens=False,
        ),
    ]  # fmt: skip
    comparison = compare_traces(characterizations)
    assert any("counts requests per minute" in sentence for sentence in comparison.missing)
    row = _row(comparison.measures, trace="counts", selection="all")
    assert row["cv"] is None
    assert row["rate_rps"] > 0
    assert comparison.pairs["width_s"].drop_nulls().min() == 60
    assert _row(comparison.coverage, trace="counts", property=REQUESTS)["held"] == "no"


def test_what_a_log_does_not_say_is_not_assumed() -> None:
    """Neither tokens nor models nor a known format: nobody knows whether a language model was asked."""
    characterization = characterization_of(
        _requests(np.arange(0.0, 4000.0, 2.0), tokens=False), format="canonical", has_tokens=False
    )
    coverage = compare_traces([characterization]).coverage
    assert _row(coverage, property=REQUESTS)["held"] == "cannot tell"
    assert _row(coverage, property=CONVERSATIONS)["held"] == "no"
    assert _row(coverage, property=RESPONSES)["held"] == "no"


def test_a_handful_of_requests_is_no_error(real: dict[str, Characterization]) -> None:
    few = compare_traces([characterization_of(_requests(np.array([0.0, 30.0, 31.0]))), real["week"]])
    assert few.measures["rows"][0] == 3
    assert all(np.isfinite(row["value"]) for row in few.pairs.to_dicts())


def test_the_failure_rate_takes_days_as_independent_where_there_are_enough(
    real: dict[str, Characterization],
) -> None:
    rates = _row(real["week"].part(Failures).rates, selection="all")
    row = _row(compare_traces([real["week"]]).measures, selection="all")
    assert (row["failure_rate_low"], row["failure_rate_high"]) == (
        rates["rate_days_low"], rates["rate_days_high"],
    )  # fmt: skip
    assert row["failure_rate_high"] - row["failure_rate_low"] > rates["rate_high"] - rates["rate_low"]


def _row(table: pl.DataFrame, **labels: Any) -> dict[str, Any]:
    for name, value in labels.items():
        table = table.filter(pl.col(name) == value)
    assert table.height == 1
    return table.row(0, named=True)


def _requests(times: Sequence[float] | np.ndarray, tokens: bool = True) -> pl.DataFrame:
    """Requests of one service at these times, in whole seconds; lengths are log-normal if any."""
    stamps = np.floor(np.asarray(times, dtype=float))
    drawn = np.random.default_rng(7).lognormal(5, 1, (len(stamps), 2)).astype(int) + 1
    return pl.DataFrame({"arrival_s": stamps}).with_columns(
        pl.lit("conversation").alias("service"),
        pl.lit(None, dtype=pl.String).alias("model"),
        pl.lit(None, dtype=pl.String).alias("session"),
        pl.Series("request_tokens", drawn[:, 0] if tokens else [None] * len(drawn), dtype=pl.Int32),
        pl.Series("response_tokens", drawn[:, 1] if tokens else [None] * len(drawn), dtype=pl.Int32),
        pl.lit(None, dtype=pl.Float64).alias("elapsed_s"),
        pl.lit(False).alias("failed"),
    )


def characterization_of(frame: pl.DataFrame, **fields: Any) -> Characterization:
    """The characterization of planted requests; `fields` replace those of its identity."""
    info = TraceInfo(
        "planted", "planted", (), len(frame), 0, 0, 1.0, date(2024, 1, 1), False, has_failures=False
    )
    trace: Trace = open_frame(frame, replace(info, **fields))
    # The identity holds what the file's columns cannot tell.
    trace = replace(trace, info=replace(trace.info, **fields))
    characterization = characterize(trace)
    trace.engine.close()
    return characterization
