"""Does the load repeat by the day and by the week: calendars, hour-of-day profiles, tests and verdicts.

Everything uses requests per hour, empty hours included, on the log1p scale if a test needs variances.
A hole of the record never counts as quiet hours.

A verdict comes from two tests at level `ALPHA` that fail in different ways:

- *peak*: the autocorrelation at the period stands above its surroundings, r(P) − (r(P/2) + r(3P/2))/2 > 0,
  with Bartlett's error. A persistent but aperiodic load (storms) has high r(P) and no peak there.
- *spectral*: the Lomb–Scargle power at exactly that period exceeds the spectrum of an autoregression.

Both pass: `periodic`. Neither, over at least `CYCLES_TO_DENY` cycles: `aperiodic`. Else `cannot tell`.
The weekly peak is looked for after the mean of each hour of the day is taken out, since any daily
pattern repeats after a week too. Not here: arrivals within the hour (see `arrivals`, `burstiness`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import polars as pl
from scipy import special

from ..core.arrays import Array, Integers
from ..core.result import LEVEL, Interval
from ..core.units import DAY_H, WEEK_H, time_span
from ..core.wall_clock import WallClock
from ..stats.mstl import mstl
from ..stats.quantiles import normal
from ..stats.spectrum import (
    Segment,
    YuleWalkerFit,
    autocorrelation,
    bartlett,
    fisher_test,
    fit_autoregression,
    lomb_scargle,
)
from ..trace.aggregates import capitalize_sentence, resampled_sums, spread_of
from ..trace.trace import Trace
from ..trace.trace_part import PartInputs, TracePart
from .hourly import (
    CALENDAR,
    DRAWS,
    HOURLY,
    KEYS,
    PROFILE,
    WEEKDAYS,
    Hours,
    calendar_of,
    profile_of,
    selection_frame,
    weekday_ratios,
)

PERIODS_H = (DAY_H, WEEK_H)
HOURS_NEEDED = {DAY_H: 3 * DAY_H, WEEK_H: 2 * WEEK_H}
"""Shortest contiguous record, in hours, in which a period can be tested: three days, two weeks."""

CYCLES_TO_DENY = 4.0
"""Fewer cycles than this cannot show that a pattern is absent."""
ALPHA = 0.01
"""Level of each of the two tests of a verdict."""
MIN_REQUESTS_IN_DAY = 10.0
"""A weekday ratio gets a sentence if a mean weekend day has at least this many requests."""
MIN_PERIOD_H = 6.0
"""Spectra are listed down to this period."""

TESTS = {
    **KEYS,
    "period_h": pl.Int64,
    "cycles": pl.Float64,
    **dict.fromkeys(
        (
            "autocorrelation",
            "autocorrelation_low",
            "autocorrelation_high",
            "band",
            "peak",
            "peak_p",
            "spectral_ratio",
            "spectral_p",
            "strength",
            "strength_low",
            "strength_high",
            "strength_noise",
        ),
        pl.Float64,
    ),
    "verdict": pl.String,
    "reason": pl.String,
}
SPECTRA = {**KEYS, **dict.fromkeys(("period_h", "power", "background", "threshold"), pl.Float64)}
DOMINANT = {
    **KEYS,
    "period_h": pl.Float64,
    "g": pl.Float64,
    "ordinates": pl.Int64,
    "p": pl.Float64,
    "order": pl.Int64,
}


@dataclass(frozen=True)
class Periodicity(TracePart):
    """Calendars, profiles and tests of a trace's hourly counts.

    Every frame starts with `selection`, `service`, `model`.
    """

    name: ClassVar[str] = "periodicity"
    lead: ClassVar[str] = "Days, weeks and whatever else comes back."

    tests: pl.DataFrame
    """A row a selection and period: `cycles` seen; `autocorrelation` at the period with a block-bootstrap
    interval and the `band` (half width) that Bartlett's formula gives at no correlation; `peak` and `peak_p`;
    `spectral_ratio` (power over background) and `spectral_p`; seasonal `strength` with its interval, and
    `strength_noise`, what white noise of that length shows; `verdict` and `reason`."""
    weekdays: pl.DataFrame
    """Requests on a mean weekday over a mean weekend day: `ratio` with interval, from whole days."""
    calendar: pl.DataFrame
    """Requests per `day` since day 0, with its date, ISO week and weekday (1 = Monday) where known;
    `hours` of it lie in the record, `whole` if all do."""
    profile: pl.DataFrame
    """Box plots of requests per hour by `hour_of_day`; `days` is `all`, `weekdays` or `weekend`."""
    dominant: pl.DataFrame
    """Fisher's g for any one period, on the longest segment prewhitened by an autoregression of `order`."""
    spectra: pl.DataFrame
    """Lomb–Scargle `power` (1 on average in white noise), autoregressive `background`, and the `threshold`
    that a frequency named beforehand exceeds by chance with probability `ALPHA`."""
    hourly: pl.DataFrame
    """Requests per `hour` since midnight of day 0, empty ones included; `whole` unless at an edge and
    less than half in the record."""
    clock: WallClock = field(default=WallClock(), kw_only=True)
    """Of the hours of the day and weekdays."""

    @classmethod
    def describe(cls, inputs: PartInputs) -> Periodicity:
        """See `describe_periodicity`."""
        return describe_periodicity(inputs.trace, seed=inputs.seed)

    def tables(self) -> dict[str, pl.DataFrame]:
        """Tests and ratios first, the hourly counts that all comes from last."""
        return {
            "tests": self.tests,
            "weekdays": self.weekdays,
            "calendar": self.calendar,
            "profile": self.profile,
            "dominant": self.dominant,
            "spectra": self.spectra,
            "hourly": self.hourly,
        }

    def sentences(self) -> list[str]:
        """Verdicts by service, then weekday ratios."""
        several = self.tests["service"].is_not_null().any()
        tests = self.tests.filter(pl.col("model").is_null(), pl.col("service").is_not_null() == several)
        ratios = self.weekdays.filter(
            pl.col("model").is_null(),
            pl.col("weekend_mean") >= MIN_REQUESTS_IN_DAY,
            pl.col("ratio").is_finite(),
        )
        return [
            *map(_sentence, tests.iter_rows(named=True)),
            *map(_weekday_sentence, ratios.iter_rows(named=True)),
        ]


def describe_periodicity(trace: Trace, seed: int = 0) -> Periodicity:
    """Test the hourly load of every selection for daily and weekly patterns.

    Parameters
    ----------
    trace : Trace
    seed : int
        Of the bootstrap intervals.
    """
    rng = np.random.default_rng(seed)
    hours = Hours.of(trace)
    tests, dominant, spectra = _tests(hours, rng)
    calendar = calendar_of(hours, trace.info.clock)
    return Periodicity(
        missing=_missing(hours, trace),
        tests=hours.named(tests, TESTS),
        weekdays=hours.named(weekday_ratios(hours, calendar, rng), WEEKDAYS),
        calendar=hours.named(calendar, CALENDAR),
        profile=hours.named(profile_of(hours, trace.info.day0), PROFILE),
        dominant=hours.named(dominant, DOMINANT),
        spectra=hours.named(spectra, SPECTRA),
        hourly=hours.named(hours.frame(), HOURLY),
        clock=trace.info.clock,
    )


def _missing(hours: Hours, trace: Trace) -> tuple[str, ...]:
    """What the record is too short for, and whether it has dates."""
    out = []
    length = hours.longest()
    span = time_span(float((trace.segments["end_s"] - trace.segments["start_s"]).max()))  # type: ignore[arg-type]
    if length < HOURS_NEEDED[DAY_H]:
        out.append(
            "Too short for daily or weekly patterns: the longest part of the record without a hole is "
            f"{span} "
            "long. A daily pattern needs three days, a weekly one two weeks."
        )
    elif length < HOURS_NEEDED[WEEK_H]:
        out.append(
            f"Too short for weekly patterns: the longest part of the record without a hole is {span} long. "
            "A weekly pattern needs two weeks."
        )
    if trace.info.day0 is None:
        out.append(
            "The log has no dates, so weekdays are unknown and hours of the day count from its second 0."
        )
    return tuple(out)


def _tests(hours: Hours, rng: np.random.Generator) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Tests per selection and period, Fisher's test per selection, spectra."""
    segments = [s for s in hours.segments() if s.stop - s.start >= HOURS_NEEDED[DAY_H]]
    tests: list[dict[str, object]] = []
    dominant: list[dict[str, object]] = []
    spectra: list[pl.DataFrame] = []
    if not segments:
        return selection_frame(tests, hours), selection_frame(dominant, hours), pl.DataFrame()
    level = np.log1p(hours.n.astype(float))
    strengths = _strengths(level, segments, rng)
    hour_of_day = hours.clock_hour % DAY_H
    for i, selection_id in enumerate(hours.names["selection_id"]):
        series = [Segment(int(hours.hour[s.start]), level[i, s]) for s in segments]
        flat = [
            Segment(s.start, values)
            for s, values in zip(series, _without_profile(level[i], hour_of_day, segments), strict=True)
        ]
        study = _Study.of(series, flat)
        longest = max(flat, key=lambda s: len(s.values))
        found = fisher_test(max(series, key=lambda s: len(s.values)).values, study.background)
        dominant.append(
            {
                "selection_id": selection_id,
                "period_h": found.period,
                "g": found.g,
                "ordinates": found.ordinates,
                "p": found.p,
                "order": len(study.background.weights),
            }
        )
        spectra.append(study.spectrum().with_columns(selection_id=pl.lit(selection_id, dtype=pl.Int16)))
        for period in PERIODS_H:
            if len(longest.values) >= HOURS_NEEDED[period]:
                strength, noise = strengths[period]
                tests.append(
                    {"selection_id": selection_id, **study.test(period, rng)}
                    | {"strength": strength[i].value, "strength_low": strength[i].low}
                    | {"strength_high": strength[i].high, "strength_noise": noise}
                )
    return selection_frame(tests, hours), selection_frame(dominant, hours), pl.concat(spectra)


def _without_profile(level: Array, hour_of_day: Integers, segments: list[slice]) -> list[Array]:
    """Take the mean of each hour of the day out of the whole hours of one selection."""
    at = np.concatenate([np.arange(s.start, s.stop) for s in segments])
    mean = np.bincount(hour_of_day[at], level[at], DAY_H) / np.maximum(
        np.bincount(hour_of_day[at], None, DAY_H), 1
    )
    return [level[s] - mean[hour_of_day[s]] for s in segments]


@dataclass(frozen=True)
class _Study:
    """One selection's series with what its tests share."""

    series: list[Segment]
    flat: list[Segment]
    """The series without its mean hour-of-day profile."""
    plain_r: Array
    flat_r: Array
    background: YuleWalkerFit
    scale: float
    """Variance of the flat series over that of the series, the profile's degrees of freedom given back."""
    power: Array
    size: int

    @classmethod
    def of(cls, series: list[Segment], flat: list[Segment]) -> _Study:
        """Autocorrelations, autoregressive background and spectrum."""
        lags = WEEK_H + WEEK_H // 2
        plain_r, flat_r = autocorrelation(series, lags), autocorrelation(flat, lags)
        n = sum(len(s.values) for s in series)
        span = series[-1].start + len(series[-1].values) - series[0].start
        size = -(-span // WEEK_H) * WEEK_H
        return cls(
            series=series,
            flat=flat,
            plain_r=plain_r,
            flat_r=flat_r,
            background=fit_autoregression(flat_r, n),
            scale=_variance(flat) / max(_variance(series), 1e-12) * n / (n - DAY_H),
            power=lomb_scargle(series, size),
            size=size,
        )

    @property
    def n(self) -> int:
        """Hours in all segments."""
        return sum(len(s.values) for s in self.series)

    def test(self, period: int, rng: np.random.Generator) -> dict[str, object]:
        """One row of `tests` without the strength."""
        r = self.plain_r if period < WEEK_H else self.flat_r
        peak = float(r[period] - (r[period // 2] + r[period + period // 2]) / 2)
        # Three correlations with weights 1, ½, ½: their errors add as √1.5 if they are independent.
        peak_p = float(special.ndtr(-peak / (np.sqrt(1.5) * bartlett(r, period, self.n))))
        level = self.scale * float(self.background.spectrum(np.array([1 / period]))[0])
        ratio = float(self.power[self.size // period - 1]) / max(level, 1e-12)
        constant = self.plain_r[1:].any() == np.False_
        spectral_p = 1.0 if constant else float(np.exp(-ratio))
        cycles = self.n / period
        verdict, reason = _verdict(cycles, 1.0 if constant else peak_p, spectral_p, constant)
        correlation = self._correlation(period, rng)
        return {
            "period_h": period,
            "cycles": cycles,
            "autocorrelation": correlation.value,
            "autocorrelation_low": correlation.low,
            "autocorrelation_high": correlation.high,
            "band": normal(0.5 + LEVEL / 2) * bartlett(self.plain_r, period, self.n),
            "peak": peak,
            "peak_p": peak_p,
            "spectral_ratio": ratio,
            "spectral_p": spectral_p,
            "verdict": verdict,
            "reason": reason,
        }

    def _correlation(self, period: int, rng: np.random.Generator) -> Interval:
        """Autocorrelation at the period, resampling blocks one period long."""
        blocks = []
        for segment in self.series:
            x = segment.values - segment.values.mean()
            product = np.zeros_like(x)
            product[: max(len(x) - period, 0)] = x[:-period] * x[period:] if len(x) > period else 0.0
            starts = np.arange(0, len(x), period)
            blocks.append(
                np.stack([np.add.reduceat(product, starts), np.add.reduceat(x * x, starts)], axis=1)
            )
        drawn = resampled_sums(rng, np.concatenate(blocks), DRAWS)
        with np.errstate(divide="ignore", invalid="ignore"):
            return spread_of(float(self.plain_r[period]), drawn[:, 0] / drawn[:, 1])

    def spectrum(self) -> pl.DataFrame:
        """Rows of `spectra`, longest period first."""
        k = np.arange(1, int(self.size / MIN_PERIOD_H) + 1)
        background = self.scale * self.background.spectrum(k / self.size)
        return pl.DataFrame(
            {
                "period_h": self.size / k,
                "power": self.power[k - 1],
                "background": background,
                "threshold": -np.log(ALPHA) * background,
            }
        )


def _variance(segments: list[Segment]) -> float:
    """Variance about each segment's own mean."""
    n = sum(len(s.values) for s in segments)
    return sum(float(np.var(s.values)) * len(s.values) for s in segments) / n


def _verdict(cycles: float, peak_p: float, spectral_p: float, constant: bool) -> tuple[str, str]:
    """The rule of the module's first lines, with what decided."""
    peak, spectral = peak_p < ALPHA, spectral_p < ALPHA
    numbers = f"p = {peak_p:.2g} for the autocorrelation's peak, p = {spectral_p:.2g} for the spectral power"
    if constant:
        return "cannot tell", "the count never changes"
    if peak and spectral:
        return "periodic", f"both tests pass ({numbers})"
    if peak or spectral:
        return "cannot tell", f"only one of the two tests passes ({numbers})"
    if cycles < CYCLES_TO_DENY:
        return "cannot tell", f"{cycles:.1f} cycles are too few to call a pattern absent ({numbers})"
    return "aperiodic", f"neither test passes ({numbers})"


def _strengths(
    level: Array, segments: list[slice], rng: np.random.Generator
) -> dict[int, tuple[list[Interval], float]]:
    """Seasonal strength by period: an interval per selection, and what noise of that length shows."""
    blocks: dict[int, list[Array]] = {}
    noise: dict[int, float] = {}
    for segment in sorted(segments, key=lambda s: s.start - s.stop):
        n = segment.stop - segment.start
        periods = tuple(p for p in PERIODS_H if n >= HOURS_NEEDED[p])
        parts = mstl(level[:, segment], periods)
        for period in periods:
            left, both = parts.remainder, parts.seasonal[period] + parts.remainder
            sums = np.stack([np.ones_like(left), left, left**2, both, both**2], axis=-1)
            blocks.setdefault(period, []).append(np.add.reduceat(sums, np.arange(0, n, period), axis=1))
            noise.setdefault(period, _noise_strength(n, periods)[period])
    out = {}
    for period, pieces in blocks.items():
        block_sums = np.concatenate(pieces, axis=1)
        value, drawn = _strength(block_sums.sum(axis=1)), _strength(resampled_sums(rng, block_sums, DRAWS))
        out[period] = ([spread_of(float(v), d) for v, d in zip(value, drawn, strict=True)], noise[period])
    return out


def _strength(sums: Array) -> Array:
    """max(0, 1 − Var(R) / Var(S + R)) from sums of 1, R, R², S + R, (S + R)², shape (..., 5)."""
    n = sums[..., 0]
    left = sums[..., 2] / n - (sums[..., 1] / n) ** 2
    both = sums[..., 4] / n - (sums[..., 3] / n) ** 2
    share = 1 - np.divide(left, both, out=np.ones_like(both), where=both > 1e-12)
    return np.asarray(np.maximum(0.0, share))


@lru_cache(maxsize=16)
def _noise_strength(n: int, periods: tuple[int, ...]) -> dict[int, float]:
    """Mean strength of white noise of `n` hours, from a few draws (their spread is about 0.02)."""
    parts = mstl(np.random.default_rng(0).normal(size=(2, n)), periods)
    return {period: float(parts.strength(period).mean()) for period in periods}


def _sentence(row: dict[str, Any]) -> str:
    """One verdict in words."""
    who = "requests" if row["service"] is None else f"{row['selection']} requests"
    period = "daily" if row["period_h"] == DAY_H else "weekly"
    strength = Interval(row["strength"], row["strength_low"], row["strength_high"])
    numbers = (
        f"autocorrelation {row['autocorrelation']:.2f} at {row['period_h']} h, "
        f"seasonal strength {strength:.2f} against {row['strength_noise']:.2f} for noise; "
        f"{row['cycles']:.1f} cycles"
    )
    if row["verdict"] == "periodic":
        return capitalize_sentence(f"{who} follow a {period} pattern ({numbers}).")
    if row["verdict"] == "aperiodic":
        return capitalize_sentence(f"{who} do not follow a {period} pattern ({numbers}).")
    return capitalize_sentence(f"cannot tell whether {who} follow a {period} pattern: {row['reason']}.")


def _weekday_sentence(row: dict[str, Any]) -> str:
    """One weekday ratio in words."""
    ratio = Interval(row["ratio"], row["ratio_low"], row["ratio_high"])
    who = "all services" if row["service"] is None else row["selection"]
    return capitalize_sentence(
        f"{who}: a weekday has {ratio:.2f} times the requests of a weekend day "
        f"({row['weekdays']} weekdays, {row['weekend_days']} weekend days)."
    )
