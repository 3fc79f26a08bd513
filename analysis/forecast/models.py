"""Ways to forecast, behind one interface: naive ones to beat, a regression, the paper's boosted trees.

A `Forecaster` learns from the rows of a series and then forecasts others, from their features alone. The
statistical model is a log-linear autoregression of counts (Fokianos and Tjøstheim, 2011), a Poisson GLM on
logarithms of the features and on harmonics of the day and the week: exponential smoothing and SARIMAX would
carry a season of 1,440 minutes in their state, take the night's zeros for Gaussian, and cost minutes a fit,
where this is one regression. Its pseudo-likelihood needs only the mean to be right, so it serves means and
token sums too. Not here: bands (`scores.calibrate_band`), evaluation (`forecast.part`).
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any, ClassVar

import numpy as np

from ..core.arrays import Array
from ..core.errors import MissingExtraError
from ..core.units import DAY_H, DAY_S, WEEK_S
from .scores import QUANTILES
from .series import LAGS, Series

Forecast = Callable[[Series], Array]
"""Forecasts of a series' bins: one number each, or one a quantile, shape (rows, 3)."""

_QUIET = Lock()
"""Filters of warnings are the whole process's: one thread at a time may set them."""

WEEKS_TO_LEARN = 2
"""So many weeks of training make a weekly harmonic more than a memory of single days."""


class Forecaster(ABC):
    """One way to forecast."""

    name: ClassVar[str]
    label: ClassVar[str]
    naive: ClassVar[bool] = False

    @abstractmethod
    def fit(self, known: Series) -> Forecast | None:
        """Learn from these rows; None if they are not enough."""


class Constant(Forecaster):
    """The median of the training, whatever the time: the constant with the least absolute error."""

    name, label, naive = "constant", "training median", True

    def fit(self, known: Series) -> Forecast:
        """The median."""
        median = float(np.median(known.value))
        return lambda rows: np.full(len(rows), median)


class LastValue(Forecaster):
    """The newest value that is known."""

    name, label, naive = "last_value", "last value", True

    def fit(self, known: Series) -> Forecast:
        """The last known value; the only thing to learn is a substitute for unknown ones."""
        mean = float(known.value.mean())

        def forecast(rows: Series) -> Array:
            tried = [rows.column(name) for name in (*(f"lag_{i + 1}" for i in range(LAGS)), "mean_long")]
            return _first_known([*tried, np.full(len(rows), mean)])

        return forecast


class HourMean(Forecaster):
    """The mean of the training's bins at the same hour of day."""

    name, label, naive = "hour_mean", "hour-of-day mean", True

    def fit(self, known: Series) -> Forecast:
        """A mean per hour of day; the overall mean for hours without data."""
        hour = known.column("hour").astype(int)
        n, total = np.bincount(hour, minlength=DAY_H), np.bincount(hour, known.value, minlength=DAY_H)
        mean = np.where(n > 0, total / np.maximum(n, 1), known.value.mean())
        return lambda rows: mean[rows.column("hour").astype(int)]


class Seasonal(Forecaster):
    """The value at the same time a season ago; if that is unknown, the training's mean at that hour."""

    naive = True
    season: ClassVar[str]
    season_s: ClassVar[float]

    def fit(self, known: Series) -> Forecast | None:
        """None if the training does not contain a season."""
        span_s = known.start_s[-1] - known.start_s[0] + known.bin_s
        # The first bins of a segment have no features: they shorten a whole season a little.
        if span_s < self.season_s - 0.05 * DAY_S:
            return None
        instead = HourMean().fit(known)
        return lambda rows: _first_known([rows.column(self.season), instead(rows)])


class DayAgo(Seasonal):
    """Yesterday's value."""

    name, label, season, season_s = "day_ago", "seasonal naive, a day", "day_ago", DAY_S


class WeekAgo(Seasonal):
    """Last week's value."""

    name, label, season, season_s = "week_ago", "seasonal naive, a week", "week_ago", WEEK_S


class Autoregression(Forecaster):
    """Log-linear autoregression with harmonics of the day, and of the week if the training has two."""

    name, label = "autoregression", "log-linear autoregression"
    daily, weekly = 4, 3
    """Harmonics."""

    def fit(self, known: Series) -> Forecast | None:
        """Poisson pseudo-likelihood by iterated least squares; None if it finds no finite optimum."""
        from statsmodels.genmod.families import Poisson
        from statsmodels.genmod.generalized_linear_model import GLM

        mean = float(known.value.mean())
        span_s = known.start_s[-1] - known.start_s[0]
        seasons = [(WEEK_S, self.weekly)] if span_s >= WEEKS_TO_LEARN * WEEK_S - DAY_S else []
        if span_s >= 0.9 * DAY_S:
            seasons.append((DAY_S, self.daily))
        design = self._design(known, mean, seasons)
        try:
            # Columns that add up to each other share their weight; an exact forecast is not an error.
            with _QUIET, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fitted = GLM(known.value / mean, design, family=Poisson()).fit(maxiter=50)
        except (ValueError, np.linalg.LinAlgError):
            return None
        weight = np.asarray(fitted.params)
        if not np.isfinite(weight).all():
            return None
        # Far outside what was learned a log-linear forecast grows without bound: the training's peak ends it.
        ceiling = 2 * float(known.value.max())

        def forecast(rows: Series) -> Array:
            log_mean = self._design(rows, mean, seasons) @ weight
            return np.asarray(np.minimum(mean * np.exp(np.minimum(log_mean, 50.0)), ceiling))

        return forecast

    def _design(self, rows: Series, mean: float, seasons: list[tuple[float, int]]) -> Array:
        """A one, logarithms of lags and rolling means over the training's mean, harmonics."""
        levels = [*(f"lag_{i + 1}" for i in range(LAGS)), "mean_short", "mean_middle", "mean_long"]
        columns = [np.ones(len(rows))]
        columns += [np.log(np.nan_to_num(rows.column(name) / mean, nan=1.0) + 0.25) for name in levels]
        for season_s, harmonics in seasons:
            turn = 2 * np.pi * rows.start_s / season_s
            columns += [wave(k * turn) for k in range(1, harmonics + 1) for wave in (np.sin, np.cos)]
        return np.column_stack(columns)


@dataclass(frozen=True)
class Trees:
    """Settings of the boosted trees, the same for every trace and target: nothing is tuned to one."""

    rounds: int = 300
    eta: float = 0.03
    depth: int = 3
    rows_per_leaf: int = 20
    row_share: float = 0.8


class Boosted(Forecaster):
    """XGBoost on the paper's features."""

    objective: ClassVar[dict[str, Any]]
    default_trees: ClassVar[Trees] = Trees()

    def __init__(self, trees: Trees | None = None, seed: int = 0) -> None:
        self.trees, self.seed = trees or self.default_trees, seed

    def fit(self, known: Series) -> Forecast:
        """Grow the trees, on one thread: several would compete for shared cores."""
        xgboost = load_xgboost()
        trees = self.trees
        settings = {
            **self.objective,
            "eta": trees.eta,
            "max_depth": trees.depth,
            "min_child_weight": min(trees.rows_per_leaf, max(1, len(known) // 20)),
            "subsample": trees.row_share,
            "colsample_bytree": trees.row_share,
            "nthread": 1,
            "seed": self.seed,
        }
        # Trees know no unit: at a mean of one, leaf weights and regularisation mean the same for all targets.
        mean = float(known.value.mean())
        grown = xgboost.train(settings, self._matrix(xgboost, known, known.value / mean), trees.rounds)

        def forecast(rows: Series) -> Array:
            return np.asarray(np.maximum(grown.predict(self._matrix(xgboost, rows)), 0.0) * mean, dtype=float)

        return forecast

    def _matrix(self, xgboost: Any, rows: Series, value: Array | None = None) -> Any:
        return xgboost.DMatrix(rows.matrix(), value, nthread=1)


class BoostedSquared(Boosted):
    """The paper's: squared error."""

    name, label = "xgboost_squared", "XGBoost, squared error"
    objective: ClassVar[dict[str, Any]] = {"objective": "reg:squarederror"}


class BoostedPoisson(Boosted):
    """Poisson likelihood, the law of counts."""

    name, label = "xgboost_poisson", "XGBoost, Poisson"
    objective: ClassVar[dict[str, Any]] = {"objective": "count:poisson"}


class BoostedQuantiles(Boosted):
    """Quantiles by pinball loss; the median is the point forecast."""

    name, label = "xgboost_quantile", "XGBoost, quantiles"
    objective: ClassVar[dict[str, Any]] = {
        "objective": "reg:quantileerror",
        "quantile_alpha": list(QUANTILES),
    }
    # A round is a tree a quantile: a third of the rounds, in steps three times as wide, lose nothing.
    default_trees = Trees(rounds=100, eta=0.09)

    def fit(self, known: Series) -> Forecast:
        """Three quantiles from one model, put in order if trees let them cross."""
        forecast = super().fit(known)
        return lambda rows: np.sort(forecast(rows).reshape(len(rows), len(QUANTILES)), axis=1)


def load_xgboost() -> Any:
    """The package, or one line that says how to get it."""
    try:
        import xgboost
    except ImportError as absent:
        raise MissingExtraError.of("forecast", "xgboost", "forecast") from absent
    return xgboost


def forecasters(seed: int = 0) -> tuple[Forecaster, ...]:
    """All of them, naive ones first."""
    return (
        Constant(),
        LastValue(),
        HourMean(),
        DayAgo(),
        WeekAgo(),
        Autoregression(),
        BoostedSquared(seed=seed),
        BoostedPoisson(seed=seed),
        BoostedQuantiles(seed=seed),
    )


LABELS = {each.name: each.label for each in forecasters()}
"""How prose and figures name each method."""


def _first_known(tried: list[Array]) -> Array:
    """The first of these that is a number, by place."""
    out = tried[0].copy()
    for each in tried[1:]:
        out = np.where(np.isnan(out), each, out)
    return out
