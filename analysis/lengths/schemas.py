"""The columns of every table of `lengths`, and rows put into them.

Units: lengths, modes, bounds and standard deviations are tokens, densities are shares per token, `ks` and
`tv` distances are shares of requests, a slope is response tokens per request token. A bin has the token
counts from `low` up to, not including, `high`.
"""

from __future__ import annotations

from typing import Any

import polars as pl

QUANTILES = {"p10": 0.1, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99}
"""Columns of quantiles, and their probabilities."""

_NAMED = {"selection": pl.String, "service": pl.String, "model": pl.String}
_SIDED = {**_NAMED, "column": pl.String}


def _floats(*names: str) -> dict[str, Any]:
    return dict.fromkeys(names, pl.Float64)


def _counts(*names: str) -> dict[str, Any]:
    return dict.fromkeys(names, pl.Int64)


SCHEMAS: dict[str, dict[str, Any]] = {
    "rows": {**_SIDED, **_counts("n", "failed", "absent", "zero", "used")},
    "quantiles": {**_SIDED, **_counts("n"), **_floats("mean", *QUANTILES), **_counts("max")},
    "zipf": {
        **_SIDED,
        **_counts("n"),
        **_floats("exponent", "exponent_low", "exponent_high"),
        **_counts("maximum"),
        **_floats("ks", "tv"),
        "winner": pl.String,
        **_floats("winner_ks", "winner_tv"),
    },
    "fits": {
        **_SIDED,
        "family": pl.String,
        **_counts("maximum", "free_parameters"),
        **_floats("log_likelihood_per_row", "aic", "bic", "delta_bic", "ks", "tv"),
        "winner": pl.Boolean,
        "converged": pl.Boolean,
    },
    "parameters": {
        **_SIDED,
        "family": pl.String,
        "parameter": pl.String,
        **_floats("value", "low", "high"),
        "at_bound": pl.Boolean,
    },
    "histograms": {
        **_SIDED,
        **_counts("low", "high", "n"),
        **_floats("density", "zipf_density", "winner_density"),
    },
    "bimodality": {
        **_SIDED,
        "scale": pl.String,
        **_counts("n_tested"),
        **_floats("dip", "p_value"),
        **_counts("components"),
        **_floats("delta_bic"),
        **_counts("modes"),
        **_floats("mode_1", "mode_2", "mode_3", "valley"),
        "verdict": pl.String,
    },
    "by_request": {
        **_NAMED,
        **_counts("request_low", "request_high", "n"),
        **_floats(
            *("request_mean", "mean", "p5", "p25", "median", "p75", "p95", "sd"),
            *("skewness", "excess_kurtosis", "mode", "ks_normal", "ks_log_normal"),
        ),
    },
    "slope": {
        **_NAMED,
        "range": pl.String,
        **_counts("n"),
        **_floats("slope", "slope_low", "slope_high", "intercept", "r_squared", "straightness"),
        **_counts("blocks"),
    },
    "spread": {
        **_NAMED,
        "range": pl.String,
        **_counts("bins", "n"),
        **_floats(
            "growth", "growth_low", "growth_high", "asymmetry", "skewness", "ks_normal", "ks_log_normal"
        ),
    },
    "ridges": {
        **_NAMED,
        **_counts("request_low", "request_high", "response_low", "response_high", "n"),
        **_floats("density"),
    },
    "joint": {
        **_NAMED,
        **_counts("n"),
        **_floats("spearman", "spearman_low", "spearman_high"),
        **_floats("correlation", "correlation_low", "correlation_high"),
        "copula": pl.String,
        **_counts("grid_size"),
        **_floats("delta_bic", "tv_independent", "tv_gaussian", "tv_grid", "tv_chance"),
    },
    "joint_grid": {**_NAMED, **_counts("request_rank", "response_rank"), **_floats("share")},
}
