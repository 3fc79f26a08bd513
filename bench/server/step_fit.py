"""The constants of the simulated engine's step time, from steps that were measured on a real server.

    T = max(h, a + b·N + c·Σ n(2·ctx + n)) + d·ΣL + e·B    where N > 0, else a_d + d·ΣL + e·B

for N prefill tokens (chunks of n after ctx), and B decoding requests that attend to ΣL tokens, with a the
larger of a_d and a_p, or a_p if there is an h. Least squares of relative residuals, no constant below zero;
h only if it explains more than it costs (Schwarz's criterion). What the equation does not explain is stored
with it, step by step. Not here: measuring steps (`step_probe`), using the constants (`simulated`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from msgspec import structs

from ...analysis.core.arrays import Array
from ...analysis.core.errors import InputError
from ...analysis.core.result import number
from ..record.versioned_json import to_dict
from ..simulated.presets import KvBlocks, Limits, PresetFile, StepCosts, parse_preset

STEPS: dict[str, type[pl.DataType]] = {
    "prefill_tokens": pl.Int64,
    "prefill_attention": pl.Float64,
    "decoding": pl.Int64,
    "context_tokens": pl.Float64,
    "step_ms": pl.Float64,
}
"""Columns of measured steps: N, Σ n(2·ctx + n), B, ΣL and T of the equation."""
FEWEST = 8
"""Fewer steps, or all of one kind, fit nothing."""
AFFINE = 3
"""Least number of prompt lengths that the terms have to explain."""
EXACT = 1e-9
"""A mean relative residual below this counts as zero."""


@dataclass(frozen=True)
class StepFit:
    """Constants, and what they leave of the steps that they were fitted to."""

    latency: StepCosts
    steps: pl.DataFrame
    """Columns of `STEPS`, `fitted_ms` and `residual`, the relative one."""
    left_out: int = 0
    """Steps with prefill that took less than the same decoding without: what was measured was no step."""

    @property
    def bias(self) -> float:
        """Mean relative residual."""
        return float(self.steps["residual"].mean())  # type: ignore[arg-type]

    @property
    def p50(self) -> float:
        """Median of the relative residuals' sizes."""
        return float(self.steps["residual"].abs().median())  # type: ignore[arg-type]

    @property
    def p90(self) -> float:
        """Nine tenths of the relative residuals are as small."""
        return float(self.steps["residual"].abs().quantile(0.9))  # type: ignore[arg-type]

    def __str__(self) -> str:
        """Constants and residuals in one line."""
        constants = ", ".join(f"{name} {value:.3g}" for name, value in structs.asdict(self.latency).items())
        return (
            f"{constants}; {self.steps.height} steps ({self.left_out} left out), relative residual p50 "
            f"{number(100 * self.p50)} %, p90 {number(100 * self.p90)} %"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "latency": structs.asdict(self.latency),
            "steps": self.steps.height,
            "left_out": self.left_out,
            "residual": {"mean": self.bias, "p50": self.p50, "p90": self.p90},
        }

    def preset(
        self,
        *,
        model: str,
        gpu: str,
        source: str,
        block_size: int,
        num_blocks: int,
        limits: Mapping[str, int],
        async_scheduling: bool,
        outside_ms: float,
    ) -> dict[str, Any]:
        """Make the content of a preset file with these constants, and check it as a file that is read.

        Parameters
        ----------
        model, gpu
            Names of what was measured.
        source
            Where the constants come from; the fit's own words follow it.
        block_size
            Tokens of a KV block.
        num_blocks
            KV blocks of the server.
        limits
            Limits of the server by the names in `presets.Limits`.
        async_scheduling
            Whether the server plans a step while the one before it runs.
        outside_ms
            Milliseconds that a request spends outside of its steps; below 0 counts as 0.

        Returns
        -------
        dict
            Plain values, for JSON.

        Raises
        ------
        InputError
            If the content is not a valid preset.
        """
        rounded = {name: float(f"{ms:.5g}") for name, ms in structs.asdict(self.latency).items()}
        content = to_dict(
            PresetFile(
                model=model,
                gpu=gpu,
                source=f"{source}; {self}",
                latency=StepCosts(**rounded),
                kv_cache=to_dict(KvBlocks(block_size, num_blocks)),
                limits=Limits(**limits),
                async_scheduling=async_scheduling,
                outside_ms=float(f"{max(outside_ms, 0.0):.4g}"),
            )
        )
        parse_preset("the measured preset", content)
        return content


def fit_steps(steps: pl.DataFrame) -> StepFit:
    """Fit the constants to measured steps.

    A server that sends the tokens of two steps together makes the gap before a short prompt's first token
    less than a step: what took less than the same batch without prefill is left out.

    Parameters
    ----------
    steps
        Columns of `STEPS`, one row a step.

    Raises
    ------
    InputError
        If there are too few steps, none with prefill or none without, or they fit no least time of a step.
    """
    measured_steps = len(steps)
    steps = _possible(steps)
    mixed = steps["prefill_tokens"].to_numpy() > 0
    if len(steps) < FEWEST or mixed.all() or not mixed.any():
        raise InputError(
            f"{len(steps)} steps were measured, {int(mixed.sum())} of them with prefill: a fit needs "
            f"{FEWEST} steps, with and without prefill"
        )
    sizes = np.sort(np.unique(steps["prefill_tokens"].to_numpy()[mixed]))
    fits = [_fit(steps, int(floor_below)) for floor_below in (0, *sizes[1 : len(sizes) - AFFINE + 1])]
    measured = steps["step_ms"].to_numpy()
    latency, fitted = min(fits, key=lambda fit: _score(measured, *fit))
    if latency.a_d_ms <= 0:
        raise InputError(
            "the fitted time of a step without tokens is not above 0: the steps do not fit the model"
        )
    residuals = steps.select(*STEPS).with_columns(
        fitted_ms=pl.Series(fitted), residual=pl.Series(measured / fitted - 1)
    )
    return StepFit(latency, residuals, measured_steps - len(steps))


def _fit(steps: pl.DataFrame, floor_below: int) -> tuple[StepCosts, Array]:
    """Constants and fitted steps; prefill of fewer tokens than `floor_below`, if it is above 0, takes h."""
    from scipy.optimize import nnls

    n, attention, decoding, context, measured = (steps[name].to_numpy().astype(float) for name in STEPS)
    mixed, floored = n > 0, (n > 0) & (n < floor_below)
    affine = mixed & ~floored
    # Without h a step with prefill takes a_d, and a_p what it is above that.
    least = [~mixed, affine, floored] if floor_below else [np.full(len(n), True), mixed, floored]
    terms = np.column_stack([*least, n * affine, attention * affine, context, decoding]).astype(float)
    # Relative residuals: a step of 5 ms is to be met as well as one of 200 ms. Columns of one size, since
    # Σ n² is ten million times B.
    rows = terms / measured[:, None]
    size = np.linalg.norm(rows, axis=0)
    size[size == 0] = 1.0
    found = nnls(rows / size, np.ones(len(rows)))[0] / size
    a_d, a_p, h, b, c, d, e = (float(value) for value in found)
    latency = StepCosts(a_p if floor_below else a_d + a_p, b, c, a_d, 1000 * d, 1000 * e, h)
    prefill = np.maximum(latency.h_ms, latency.a_ms + b * n + c * attention)
    return latency, np.where(mixed, prefill, a_d) + d * context + e * decoding


def _score(measured: Array, latency: StepCosts, fitted: Array) -> float:
    """Schwarz's criterion; h counts as two, itself and where it ends.

    Of the residuals' sizes, not their squares: steps that the host holds up scatter several times as much.
    """
    n = len(measured)
    spread = float(np.mean(np.abs(fitted / measured - 1))) + EXACT
    return 2 * n * float(np.log(spread)) + (2 * float(np.log(n)) if latency.h_ms else 0.0)


def _possible(steps: pl.DataFrame) -> pl.DataFrame:
    """Steps without those with prefill that are shorter than the shortest of the same batch without."""
    least = steps.filter(prefill_tokens=0).group_by("decoding").agg(pl.col("step_ms").min().alias("least_ms"))
    known = steps.join(least, on="decoding", how="left", maintain_order="left")
    short = (pl.col("prefill_tokens") > 0) & (pl.col("step_ms") < pl.col("least_ms"))
    return known.filter(~short.fill_null(False)).drop("least_ms")
