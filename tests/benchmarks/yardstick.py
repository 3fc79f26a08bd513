"""The same characterization as a competent person writes it with pandas, SciPy and statsmodels.

Reads a BurstGPT CSV and computes what `burstlens.describe` computes, in the plain way of those libraries:
sorted frames, groupby, histograms of tokens and turns where they save work, the libraries' own fits,
intervals from sums per day or per stretch, loops over windows and bins where a library takes one sample at a
time. What is bounded in `describe` is bounded here: goodness of fit on sixty windows, redraws of four
thousand, the dip
test on twenty thousand rows.

Left out, in its favour: stamps are taken as they are, zeros at a millisecond (no law of whole-second stamps),
gaps over a window's border at their full length, rows that cannot be used, sentences and result tables. The
dip test takes its p-value from the package's table.
"""

from __future__ import annotations

import sys
import warnings
from itertools import combinations

import diptest
import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy import optimize, signal, special, stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint
from statsmodels.tsa.ar_model import ar_select_order
from statsmodels.tsa.seasonal import MSTL
from statsmodels.tsa.stattools import acf

WINDOW_S, DAY_S = 1200, 86_400
FEWEST, SOUND, PROBED, REPLICATES, REDRAWN = 5, 30, 60, 99, 4000
SAMPLE, DIP_SAMPLE = 10_000, 20_000
WIDTHS_S = (1, 10, 60, 600, 3600)
PERIODS_H = (24, 168)
TOKENS_S = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
TAILS = (0.025, 0.975)
LONG_S = (60.0, 300.0, 600.0)
TURN_BINS = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 21, 31, 51, np.inf)


def selections(log: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Everything, each service, each service and model: the same seven groups."""
    groups = {"all": log}
    for service, rows in log.groupby("Log Type", observed=True):
        groups[str(service)] = rows
        for model, part in rows.groupby("Model", observed=True):
            groups[f"{service} {model}"] = part
    return groups


def resampled(sums: np.ndarray, rng: np.random.Generator, draws: int = 400) -> np.ndarray:
    """Sums over blocks (blocks, columns) drawn with replacement, shape (draws, columns)."""
    return rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), draws) @ sums


def sums_by(block: np.ndarray, *columns: np.ndarray) -> np.ndarray:
    """Rows, then the sum of each column, by block."""
    return np.stack([np.bincount(block), *(np.bincount(block, c) for c in columns)], axis=1)


def volume(rows: pd.DataFrame, rng: np.random.Generator) -> dict[str, object]:
    """Totals, and the rate with days resampled."""
    tokens = rows[["Request tokens", "Response tokens"]]
    daily = np.bincount(rows["Timestamp"] // DAY_S)[:, None]
    return {
        "n": len(rows),
        "failed": (rows["Response tokens"] == 0).sum(),
        "tokens": tokens.sum(),
        "both": tokens.notna().all(axis=1).sum(),
        "rate": np.quantile(resampled(daily, rng) / len(daily) / DAY_S, TAILS),
    }


def periodicity(seconds: np.ndarray, rng: np.random.Generator) -> dict[str, object]:
    """Calendar and profile of hourly counts, autocorrelation, spectrum, Fisher's g, seasonal strength."""
    counts = np.bincount(seconds // 3600)
    hours = pd.DataFrame({"n": counts}, index=pd.date_range("2023-11-01", periods=len(counts), freq="h"))
    daily = hours.resample("D")["n"].sum()
    weekend = daily.index.weekday >= 5
    weekly = daily.groupby([daily.index.isocalendar().week.to_numpy(), weekend]).agg(["sum", "size"])
    drawn = resampled(weekly.unstack(fill_value=0).to_numpy(float), rng)
    level = np.log1p(counts)
    flat = level - pd.Series(level).groupby(np.arange(len(level)) % 24).transform("mean").to_numpy()
    out: dict[str, object] = {
        "profile": hours.groupby(hours.index.hour)["n"].describe(),
        "profile by day": hours.groupby([hours.index.weekday >= 5, hours.index.hour])["n"].describe(),
        "weekday ratio": np.quantile(drawn[:, 0] / drawn[:, 2] * drawn[:, 3] / drawn[:, 1], TAILS),
        "spectrum": signal.periodogram(level - level.mean()),
    }
    periods = [p for p in PERIODS_H if len(level) > 2 * p]
    if not periods:
        return out
    for period, series in zip(periods, (level, flat), strict=False):
        out[f"acf {period}"] = acf(series, nlags=period + period // 2, bartlett_confint=True, alpha=0.05)
        centred = level - level.mean()
        product = np.append(centred[:-period] * centred[period:], np.zeros(period))
        sums = resampled(sums_by(np.arange(len(level)) // period, product, centred**2), rng)
        out[f"acf {period} resampled"] = np.quantile(sums[:, 1] / sums[:, 2], TAILS)
    order = ar_select_order(flat, 3).model.fit()
    power = signal.periodogram(order.resid)[1][1:]
    out["background"], out["fisher"] = order.params, power.max() / power.sum()
    for name, series in (("strength", level), ("noise", rng.normal(size=len(level)))):
        parts = MSTL(series, periods=tuple(periods)).fit()
        for i, period in enumerate(periods):
            seasonal = parts.seasonal if parts.seasonal.ndim == 1 else parts.seasonal[:, i]
            both, left = seasonal + parts.resid, parts.resid
            sums = resampled(sums_by(np.arange(len(level)) // period, left, left**2, both, both**2), rng).T
            n, mean, square, mean_both, square_both = sums
            share = (square / n - (mean / n) ** 2) / (square_both / n - (mean_both / n) ** 2)
            out[f"{name} {period}"] = (1 - left.var() / both.var(), np.quantile(1 - share, TAILS))
    return out


def gamma(gaps: np.ndarray) -> tuple[float, float]:
    """SciPy's maximum likelihood with the location at zero: shape and scale."""
    shape, _, scale = stats.gamma.fit(gaps, floc=0)
    return shape, scale


def ks_distance(gaps: np.ndarray, shape: float, scale: float) -> float:
    """Kolmogorov-Smirnov distance from a Gamma; by hand, since `stats.kstest` also works out a p-value."""
    law = special.gammainc(shape, np.sort(gaps) / scale)
    steps = np.arange(len(gaps) + 1) / len(gaps)
    return max(np.max(steps[1:] - law), np.max(law - steps[:-1]))


def bootstrapped(gaps: np.ndarray, shape: float, scale: float, rng: np.random.Generator) -> float:
    """P-value of the distance: redraw from the fit, refit, compare."""
    observed = ks_distance(gaps, shape, scale)
    drawn = rng.gamma(shape, scale, (REPLICATES, len(gaps)))
    farther = sum(ks_distance(sample, *gamma(sample)) >= observed for sample in drawn)
    return (1 + farther) / (1 + REPLICATES)


def arrivals(seconds: np.ndarray, rng: np.random.Generator) -> dict[str, object]:
    """A Gamma per window with its error, shrunk by the common prior, its fit, the spread beyond chance; one
    Gamma for all."""
    gaps = np.maximum(np.diff(seconds), 1e-3)
    cuts = np.flatnonzero(np.diff(seconds[:-1] // WINDOW_S)) + 1
    start = seconds[np.concatenate([[0], cuts])] // WINDOW_S * WINDOW_S
    every = np.split(gaps, cuts)
    full = [i for i, window in enumerate(every) if len(window) >= FEWEST]
    windows, start = [every[i] for i in full], start[full]
    fits = np.array([gamma(window) for window in windows]).reshape(-1, 2)
    n = np.array([len(window) for window in windows])
    cv = np.array([window.std(ddof=1) / window.mean() for window in windows])
    zeros = np.array([np.mean(window <= 1e-3) for window in windows])
    shape, log_shape = fits[:, 0], np.log(fits[:, 0])
    error = 1 / np.sqrt(n * shape * (shape * special.polygamma(1, shape) - 1))
    sound = np.flatnonzero(n >= SOUND)
    out: dict[str, object] = {"fits": fits, "cv": cv, "zeros": zeros}
    if len(sound) >= 10:
        variance = max(log_shape[sound].var(ddof=1) - np.mean(error[sound] ** 2), 0.05**2)
        centre = np.average(log_shape[sound], weights=1 / (variance + error[sound] ** 2))
        shrunk = (log_shape / error**2 + centre / variance) / (1 / error**2 + 1 / variance)
        half = 1.96 / np.sqrt(1 / error**2 + 1 / variance)
        out["shrunk"] = np.exp([shrunk, shrunk - half, shrunk + half])
        out["p"] = [
            bootstrapped(windows[i], fits[i][0], fits[i][1], rng) for i in rng.permutation(sound)[:PROBED]
        ]
        redrawn = rng.permutation(sound)[:REDRAWN]
        again = np.log([gamma(rng.gamma(*fits[i], n[i])) for i in redrawn])
        away = again - np.log(fits[redrawn])
        working = (start // DAY_S + 2) % 7 < 5
        working &= (start % DAY_S >= 9 * 3600) & (start % DAY_S < 18 * 3600)
        for scope in (np.ones(len(n), bool), working):
            for values, errors in (
                (log_shape, away[:, 0]),
                (-np.log(fits[:, 1]), away[:, 1]),
                (-np.log(fits.prod(axis=1)), away.sum(axis=1)),
            ):
                own = values[sound][scope[sound]]
                if len(own) < 10:
                    continue
                seen, chance = (own - own.mean()) ** 2, (errors - errors.mean()) ** 2
                beyond, by = seen.mean() - chance.mean(), np.sqrt(seen.var() / len(own))
                out.setdefault("spread", []).append((np.quantile(own, [0.25, 0.5, 0.75]), beyond, by))  # type: ignore[attr-defined]
            out.setdefault("cv against fit", []).append(stats.spearmanr(cv[scope], shape[scope] ** -0.5))  # type: ignore[attr-defined]
    # One Gamma for all gaps, days resampled: sums per day tell its likelihood.
    drawn = resampled(sums_by(seconds[:-1] // DAY_S, gaps, np.log(gaps), gaps**2), rng, 200)
    overall = []
    for many, total, logs, _ in drawn:
        excess = np.log(total / many) - logs / many
        overall.append(optimize.brentq(lambda a, s=excess: np.log(a) - special.digamma(a) - s, 1e-4, 1e4))
    mean = drawn[:, 1] / drawn[:, 0]
    some = rng.choice(gaps, min(SAMPLE, len(gaps)), replace=False)
    fit = gamma(gaps)
    return out | {
        "overall": (fit, np.quantile(overall, TAILS)),
        "overall cv": np.quantile(np.sqrt(drawn[:, 3] / drawn[:, 0] - mean**2) / mean, TAILS),
        "overall fit": (ks_distance(gaps, *fit), bootstrapped(some, *fit, rng)),
        "windows": (start, n, fits),
    }


def dispersion(seconds: np.ndarray, fitted: tuple[np.ndarray, ...], rng: np.random.Generator) -> list[object]:
    """Index of dispersion and peak over mean from 1 s to 1 h with days resampled, beside Poisson and beside
    a trace drawn from the fitted windows."""
    start, n, fits = fitted
    drawn = rng.gamma(np.repeat(fits[:, 0], n), np.repeat(fits[:, 1], n))
    before = np.repeat(np.cumsum(n) - n, n)
    total = np.concatenate([[0], np.cumsum(drawn)])
    again = (np.repeat(start, n) + total[1:] - total[before]).astype(np.int64)
    out: list[object] = []
    for width in WIDTHS_S:
        rows = []
        for stamps in (seconds, again):
            counts = np.bincount(stamps // width).astype(float)
            rows.append((counts.var() / counts.mean(), counts.max() / counts.mean()))
        counts = np.bincount(seconds // width).astype(float)
        day = np.arange(len(counts)) * width // DAY_S
        sums = sums_by(day, counts, counts**2)
        peak = np.maximum.reduceat(counts, np.flatnonzero(np.diff(day, prepend=-1)))
        weights = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), 400)
        bins, many, square = (weights @ sums).T
        mean = many / bins
        bins = len(counts)
        out.append(
            (
                rows,
                np.quantile(square / sums[:, 0].sum() / mean - mean, TAILS),
                np.quantile((peak * (weights > 0)).max(axis=1) / mean, TAILS),
                stats.chi2.ppf(TAILS, bins - 1) / (bins - 1),
                stats.poisson.ppf(np.array([0.5, *TAILS]) ** (1 / bins), counts.mean()),
            )
        )
    return out


def lengths(tokens: pd.Series, rng: np.random.Generator) -> dict[str, object]:
    """Quantiles, laws by likelihood on the histogram of token counts with errors, criteria and distances, the
    dip test on two scales, and the modes of the best mixture."""
    counted = tokens.value_counts().sort_index()
    value, n = counted.index.to_numpy(float), counted.to_numpy(float)
    share, many = n / n.sum(), n.sum()
    support = np.arange(1, value[-1] + 1)
    log_support, log_value = np.log(support), np.log(value)

    def zipf(theta: np.ndarray) -> np.ndarray:
        return -theta[0] * log_value - special.logsumexp(-theta[0] * log_support)

    def mandelbrot(theta: np.ndarray) -> np.ndarray:
        s, q = theta[0], np.exp(theta[1])
        return -s * np.log(value + q) - special.logsumexp(-s * np.log(support + q))

    def lognormal(theta: np.ndarray) -> np.ndarray:
        z = [(np.log(value + half) - theta[1]) / np.exp(theta[0]) for half in (0.5, -0.5)]
        return np.log(np.maximum(special.ndtr(z[0]) - special.ndtr(z[1]), 1e-300))

    def weibull(theta: np.ndarray) -> np.ndarray:
        shape, scale = np.exp(theta)
        h = [((value + half) / scale) ** shape for half in (0.5, -0.5)]
        return np.log(np.maximum(np.exp(-h[1]) - np.exp(-h[0]), 1e-300))

    def mixture(theta: np.ndarray, at: np.ndarray) -> np.ndarray:
        k = (len(theta) + 1) // 3
        weight = special.softmax(np.append(theta[: k - 1], 0.0))[:, None]
        mu, sigma = theta[k - 1 : 2 * k - 1, None], np.exp(theta[2 * k - 1 :, None])
        return (weight * np.exp(-(((at - mu) / sigma) ** 2) / 2) / sigma).sum(axis=0) / np.sqrt(2 * np.pi)

    def mixed(theta: np.ndarray) -> np.ndarray:
        return np.log(np.maximum(mixture(theta, log_value) / value, 1e-300))

    middle = share @ log_value
    spread = np.sqrt(share @ (log_value - middle) ** 2)
    width = np.log(spread / 2)
    laws = {
        "zipf": (zipf, [1.0]),
        "zipf_mandelbrot": (mandelbrot, [1.5, 3.0]),
        "lognormal": (lognormal, [np.log(spread), middle]),
        "weibull": (weibull, [np.log(1.28 / spread), middle + 0.5]),
        "two": (mixed, [0.0, middle - spread, middle + spread, width, width]),
        "three": (mixed, [0.0, 0.0, middle - spread, middle, middle + spread, width, width, width]),
    }
    fits = {}
    for name, (law, begin) in laws.items():
        found = optimize.minimize(lambda theta, law=law: -(share @ law(theta)), begin, method="BFGS")
        likelihood, size = -found.fun * many, len(begin)
        mass = np.exp(law(found.x))
        fits[name] = {
            "theta": found.x,
            "error": np.sqrt(np.diag(found.hess_inv) / many),
            "aic": 2 * size - 2 * likelihood,
            "bic": size * np.log(many) - 2 * likelihood,
            "ks": np.abs(np.cumsum(mass) - np.cumsum(share)).max(),
            "tv": np.abs(mass - share).sum() / 2,
        }
    sample = tokens.to_numpy(float)
    if len(sample) > DIP_SAMPLE:
        sample = rng.choice(sample, DIP_SAMPLE, replace=False)
    sample = sample + rng.uniform(-0.5, 0.5, len(sample))
    best = min(("two", "three"), key=lambda name: fits[name]["bic"])
    grid = np.linspace(0, np.log(value[-1]), 1200)
    density = mixture(fits[best]["theta"], grid)
    return {
        "quantiles": tokens.quantile(list(TOKENS_S)),
        "histogram": np.histogram(tokens, np.unique(np.geomspace(1, value[-1] + 1, 60).astype(int))),
        "fits": fits,
        "dip": [diptest.diptest(view) for view in (sample, np.log(sample))],
        "modes": [signal.find_peaks(view) for view in (density, density * np.exp(-grid))],
    }


def responses(rows: pd.DataFrame, rng: np.random.Generator) -> dict[str, object]:
    """Response against request: rank correlation and line with stretches of time resampled, bands, moments
    and shape by request bin, ridges, and copulas."""
    x, y = (rows[c].to_numpy(float) for c in ("Request tokens", "Response tokens"))
    seconds = rows["Timestamp"].to_numpy()
    block = (seconds - seconds[0]) * 100 // (seconds[-1] - seconds[0] + 1)
    ranks = [stats.rankdata(v) / len(v) for v in (x, y)]

    def correlated(u: np.ndarray, v: np.ndarray, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sums = sums_by(block, u, v, u * u, u * v, v * v)
        n, a, b, aa, ab, bb = np.concatenate([sums.sum(axis=0)[None], resampled(sums, rng, 200)]).T
        slope = (ab - a * b / n) / (aa - a * a / n)
        return slope, slope * np.sqrt((aa - a * a / n) / (bb - b * b / n))

    inside = (x >= 300) & (x <= 2000)
    rho = correlated(ranks[0], ranks[1], block)[1]
    bins = np.floor(4 * np.log(x)).astype(int)
    frame = pd.DataFrame({"bin": bins, "x": x, "y": y, "log": np.log(y)})
    grouped = frame.groupby("bin")
    moments = grouped["y"].agg(["size", "mean", "std", "skew"])
    shapes = {}
    for name, part in grouped:
        if len(part) >= 20:
            value, many = np.unique(part["y"].to_numpy(), return_counts=True)
            reached = np.cumsum(many) / many.sum()
            normal = special.ndtr((value + 0.5 - part["y"].mean()) / part["y"].std())
            lognormal = special.ndtr((np.log(value + 0.5) - part["log"].mean()) / part["log"].std())
            off = [np.abs(law - reached).max() for law in (normal, lognormal)]
            shapes[name] = (stats.kurtosis(part["y"]), stats.mode(part["y"] // 10), off)
    large = moments[moments["size"] >= 100]
    middles = grouped["x"].mean()
    wide = frame["bin"] // 2
    # Copulas compared on cells of equal width in log tokens.
    cells = [np.unique(np.floor(4 * np.log(v)), return_inverse=True)[1] for v in (x, y)]
    table = sparse_counts(*cells)
    r = 2 * np.sin(np.pi / 6 * rho[0])
    edges = [
        special.ndtri(np.clip(np.cumsum(table.sum(axis=1 - i)) / len(x), 1e-9, 1 - 1e-9)) for i in (0, 1)
    ]
    corners = np.stack(np.meshgrid(*edges, indexing="ij"), axis=-1)
    joint = stats.multivariate_normal([0, 0], [[1, r], [r, 1]]).cdf(corners)
    gaussian = np.diff(np.diff(np.pad(joint, ((1, 0), (1, 0))), axis=0), axis=1)
    grids = {k: np.histogram2d(*ranks, bins=k, range=[[0, 1], [0, 1]])[0] / len(x) for k in (2, 4, 8, 16)}
    scores = {}
    for k, grid in grids.items():
        cut = [
            np.minimum((np.cumsum(table.sum(axis=1 - i)) / len(x) * k - 1e-9).astype(int), k - 1)
            for i in (0, 1)
        ]
        margins = np.outer(table.sum(axis=1), table.sum(axis=0)) / len(x) ** 2
        scores[k] = (k - 1) ** 2 * np.log(len(x)) - 2 * (
            table * np.log(np.maximum(grid[np.ix_(*cut)] * k * k * margins, 1e-12))
        ).sum()
    return {
        "spearman": (rho[0], np.quantile(rho[1:], TAILS)),
        "line": [
            (s[0], np.quantile(s[1:], TAILS))
            for s in (correlated(x, y, block)[0], correlated(x[inside], y[inside], block[inside])[0])
        ],
        "bands": grouped["y"].quantile([0.05, 0.25, 0.5, 0.75, 0.95]),
        "moments": moments,
        "shapes": shapes,
        "growth": stats.linregress(np.log(middles[large.index]), np.log(large["std"]))
        if len(large) > 3
        else None,
        "ridges": [np.histogram(part, 40, (0, np.quantile(y, 0.99))) for _, part in frame.groupby(wide)["y"]],
        "gaussian": (
            r,
            np.abs(gaussian - table / len(x)).sum() / 2,
            (table * np.log(np.maximum(gaussian, 1e-12))).sum(),
        ),
        "grid": (grids, scores),
    }


def sparse_counts(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Counts of pairs of cell numbers as a table."""
    shape = int(first.max()) + 1, int(second.max()) + 1
    return np.bincount(first * shape[1] + second, minlength=shape[0] * shape[1]).reshape(shape)


def failures(rows: pd.DataFrame, load: pd.Series, rng: np.random.Generator) -> dict[str, object]:
    """Rates with intervals, over days with overdispersion, and by the load of the same minute."""
    failed = (rows["Response tokens"] == 0).to_numpy()
    day = (rows["Timestamp"] // DAY_S).to_numpy()
    daily = sums_by(day, failed)
    daily = daily[daily[:, 0] >= 20]
    n, k = daily.T
    sums = np.stack([np.ones_like(n), k / n, n, n**2, k, k**2 / n], axis=1)
    days, rates, many, squares, hits, explained = resampled(sums, rng).T
    between = (explained - hits**2 / many) / (days - 1)
    within = (hits - explained) / (many - days)
    size = (many - squares / many) / (days - 1)
    placed = pd.DataFrame(
        {"day": day, "load": load.reindex(rows["Timestamp"] // 60).to_numpy(), "failed": failed}
    )
    cells = placed.groupby(["day", "load"])["failed"].agg(["size", "sum"]).reset_index()
    slope = None
    if 0 < failed.sum() < len(failed):
        model = sm.GLM(
            np.stack([cells["sum"], cells["size"] - cells["sum"]], axis=1),
            sm.add_constant(np.log2(cells["load"].to_numpy(float))),
            family=sm.families.Binomial(),
        )
        slope = model.fit(cov_type="cluster", cov_kwds={"groups": cells["day"].to_numpy()}).params
    by_load = cells.groupby(pd.qcut(cells["load"], 10, duplicates="drop"), observed=True)[
        ["size", "sum"]
    ].sum()
    return {
        "rate": proportion_confint(failed.sum(), len(failed), method="wilson"),
        "rate by days": np.quantile(hits / many, TAILS),
        "daily": pd.Series(k / n).describe(),
        "daily rates": proportion_confint(k, n, method="wilson"),
        "daily mean": np.quantile(rates / days, TAILS),
        "overdispersion": np.quantile((between - within) / (between + (size - 1) * within), TAILS),
        "by load": proportion_confint(by_load["sum"], by_load["size"], method="wilson"),
        "slope": slope,
    }


def compared(log: pd.DataFrame, rng: np.random.Generator) -> list[object]:
    """Failure rates of one model against another, in all and in each service."""
    out: list[object] = []
    for rows in (log, *(part for _, part in log.groupby("Log Type", observed=True))):
        failures = {}
        for model, part in rows.groupby("Model", observed=True):
            failures[model] = sums_by((part["Timestamp"] // DAY_S).to_numpy(), part["Response tokens"] == 0)
        for first, second in combinations(failures.values(), 2):
            days = min(len(first), len(second))
            (n, k), (m, j) = first.sum(axis=0), second.sum(axis=0)
            drawn = resampled(np.concatenate([first[:days], second[:days]], axis=1), rng)
            difference = drawn[:, 1] / drawn[:, 0] - drawn[:, 3] / drawn[:, 2]
            out.append(
                (confint_proportions_2indep(k, n, j, m, method="newcomb"), np.quantile(difference, TAILS))
            )
    return out


def conversations(rows: pd.DataFrame, rng: np.random.Generator) -> dict[str, object]:
    """Turns and their laws, intervals since request and since response by number of turns, long intervals,
    and how the one goes with the other; sessions are the independent thing."""
    in_sessions = rows.dropna(subset="Session ID").sort_values(["Session ID", "Timestamp"])
    session = in_sessions["Session ID"].cat.codes.to_numpy()
    stamp = in_sessions["Timestamp"].to_numpy()
    ended = stamp + in_sessions["Elapsed time"].to_numpy()
    same = session[1:] == session[:-1]
    turns = np.bincount(session)
    owner = session[1:][same]
    intervals = pd.DataFrame(
        {
            "turns": turns[owner],
            "gap": np.diff(stamp)[same].astype(float),
            "idle": (stamp[1:] - ended[:-1])[same],
        }
    )
    gap, present = intervals["gap"].to_numpy(), turns > 0
    first, last = in_sessions.groupby(session)["Timestamp"].agg(["first", "last"]).to_numpy().T
    near = np.quantile(gap, 0.9)
    cut = (first - first.min() < near) | (last.max() - last < near)
    value, n = np.unique(turns[present], return_counts=True)
    drawn = rng.multinomial(n.sum(), n / n.sum(), 1000)
    reached = np.cumsum(drawn, axis=1)
    measures = {
        "single": drawn[:, 0] / n.sum(),
        "median": value[(reached >= n.sum() / 2).argmax(axis=1)],
        "mean": drawn @ value / n.sum(),
        "four": drawn[:, value <= 4].sum(axis=1) / n.sum(),
    }
    laws = {
        "geometric": (lambda t: stats.geom.logpmf(value, special.expit(t[0])), [-1.0]),
        "power law": (lambda t: stats.zipf.logpmf(value, 1 + np.exp(t[0])), [0.0]),
        "negative binomial": (
            lambda t: stats.nbinom.logpmf(value - 1, np.exp(t[0]), special.expit(t[1])),
            [0.0, 0.0],
        ),
    }
    turn_laws = {
        name: optimize.minimize(lambda t, law=law: -(n @ law(t)) / n.sum(), begin, method="BFGS")
        for name, (law, begin) in laws.items()
    }

    def clustered(values: np.ndarray, owner: np.ndarray) -> tuple[float, float]:
        """Mean over intervals and its error with sessions as clusters."""
        total, many = np.bincount(owner, values), np.bincount(owner)
        mean = total.sum() / many.sum()
        return mean, np.sqrt(np.sum((total - mean * many) ** 2)) / many.sum()

    quartiles = np.quantile(gap, [0.25, 0.75])
    logs = np.log(np.maximum(quartiles, 0.5))
    fences = quartiles[1] + 1.5 * np.ptp(quartiles), np.exp(logs[1] + 1.5 * np.ptp(logs))
    by_turns, long = {}, {}
    bins = np.digitize(intervals["turns"], TURN_BINS)
    for at in np.unique(bins):
        here = bins == at
        for since in ("gap", "idle"):
            values = intervals[since].to_numpy()[here]
            estimates = [clustered(values, owner[here])]
            for q in (0.5, 0.9):
                middle = np.quantile(values, q, method="inverted_cdf")
                error = clustered((values <= middle).astype(float), owner[here])[1]
                ends = np.clip([q - 1.96 * error, q + 1.96 * error], 0, 1)
                estimates.append((middle, *np.quantile(values, ends)))
            by_turns[since, at] = estimates
        for bound in (*LONG_S, *fences):
            long[bound, at] = clustered((gap[here] > bound).astype(float), owner[here])
    several = np.unique(owner)
    many = np.bincount(owner)[several]
    per_session = {"mean": np.bincount(owner, gap)[several] / many}
    per_session["rank"] = np.bincount(owner, stats.rankdata(gap))[several] / many
    for bound in (*LONG_S, *fences):
        over = np.bincount(owner, gap > bound)[several]
        per_session |= {f"number {bound}": stats.rankdata(over), f"share {bound}": over / many}
    rank = sm.add_constant(stats.rankdata(turns[several]))
    return {
        "measures": {name: np.quantile(values, TAILS) for name, values in measures.items()},
        "cut": proportion_confint(cut.sum(), len(cut), method="wilson"),
        "turn laws": turn_laws,
        "overlap": clustered((intervals["idle"] < 0).to_numpy(float), owner),
        "intervals": by_turns,
        "long": long,
        "laws": [law.fit(gap + 0.5, floc=0) for law in (stats.lognorm, stats.weibull_min)],
        "relations": {k: sm.OLS(v, rank).fit(cov_type="HC0").conf_int() for k, v in per_session.items()},
    }


def characterize(path: str) -> dict[str, object]:
    """Everything, per selection."""
    kinds = dict.fromkeys(("Model", "Log Type", "Session ID"), "category")
    log = pd.read_csv(path, dtype=kinds).sort_values("Timestamp", kind="stable")
    load = log.groupby(log["Timestamp"] // 60).size()
    rng = np.random.default_rng(0)
    services = set(log["Log Type"].cat.categories)
    results: dict[str, object] = {"compared": compared(log, rng)}
    for name, rows in selections(log).items():
        seconds = rows["Timestamp"].to_numpy(np.int64)
        ok = rows[(rows["Response tokens"] > 0) & (rows["Request tokens"] > 0)]
        fitted = arrivals(seconds, rng)
        results[name] = {
            "volume": volume(rows, rng),
            "periodicity": periodicity(seconds, rng),
            "arrivals": fitted,
            "dispersion": dispersion(seconds, fitted["windows"], rng),  # type: ignore[arg-type]
            "request": lengths(ok["Request tokens"], rng),
            "response": lengths(ok["Response tokens"], rng),
            "responses": responses(ok, rng),
            "failures": failures(rows, load, rng),
        }
        # One service holds the sessions, so it is asked once, as `describe` does.
        if name in services and rows["Session ID"].notna().any():
            results[name]["conversations"] = conversations(rows, rng)  # type: ignore[index]
    return results


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    characterize(sys.argv[1])
