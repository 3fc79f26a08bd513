"""The same characterization as a competent person writes it with pandas and SciPy.

Reads a BurstGPT CSV and computes what `burstlens.describe` computes, in the plain way of those libraries:
sorted frames, groupby, token histograms where they save work, SciPy's own fits, loops over windows where
SciPy fits one sample at a time. Left out, in its favour: standard errors of the window fits and their common
prior, the seasonal decomposition, the dip test, mixtures of three, the copula's grid and most intervals.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
from scipy import optimize, signal, special, stats

WINDOW_S = 1200
FEWEST, SOUND, PROBED, REPLICATES, RESAMPLED = 5, 30, 60, 99, 200
WIDTHS_S = (1, 10, 60, 600, 3600)
BINS_PER_E = 3


def selections(log: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Everything, each service, each service and model: the same seven groups."""
    groups = {"all": log}
    for service, rows in log.groupby("Log Type", observed=True):
        groups[str(service)] = rows
        for model, part in rows.groupby("Model", observed=True):
            groups[f"{service} {model}"] = part
    return groups


def periodicity(seconds: np.ndarray) -> dict[str, object]:
    """Hourly counts, their autocorrelation at a day and a week, and their spectrum."""
    hourly = np.log1p(np.bincount(seconds // 3600))
    return {
        "acf": [np.corrcoef(hourly[k:], hourly[:-k])[0, 1] for k in (24, 168) if len(hourly) > 2 * k],
        "spectrum": signal.periodogram(hourly - hourly.mean()),
    }


def gamma(gaps: np.ndarray) -> tuple[float, float]:
    """SciPy's maximum likelihood with the location at zero: shape and scale."""
    shape, _, scale = stats.gamma.fit(gaps, floc=0)
    return shape, scale


def ks_distance(gaps: np.ndarray, shape: float, scale: float) -> float:
    """Kolmogorov-Smirnov distance from a Gamma; by hand, since `stats.kstest` also works out a p-value."""
    law = special.gammainc(shape, np.sort(gaps) / scale)
    steps = np.arange(len(gaps) + 1) / len(gaps)
    return max(np.max(steps[1:] - law), np.max(law - steps[:-1]))


def arrivals(seconds: np.ndarray, rng: np.random.Generator) -> dict[str, object]:
    """A Gamma per window, its goodness of fit on some windows, and what sampling adds to the spread."""
    gaps = np.maximum(np.diff(seconds), 1e-3)
    cuts = np.flatnonzero(np.diff(seconds[:-1] // WINDOW_S)) + 1
    windows = [window for window in np.split(gaps, cuts) if len(window) >= FEWEST]
    fits = [gamma(window) for window in windows]
    sound = [i for i, window in enumerate(windows) if len(window) >= SOUND]
    p_values = []
    for i in rng.permutation(sound)[:PROBED]:
        shape, scale = fits[i]
        observed = ks_distance(windows[i], shape, scale)
        drawn = rng.gamma(shape, scale, (REPLICATES, len(windows[i])))
        farther = sum(ks_distance(sample, *gamma(sample)) >= observed for sample in drawn)
        p_values.append((1 + farther) / (1 + REPLICATES))
    again = [gamma(rng.gamma(*fits[i], len(windows[i])))[0] for i in sound]
    # One Gamma for all gaps, days resampled: sums per day tell its likelihood.
    day = seconds[:-1] // 86_400
    sums = np.stack([np.bincount(day, weights) for weights in (None, gaps, np.log(gaps))])
    weights = rng.multinomial(sums.shape[1], np.full(sums.shape[1], 1 / sums.shape[1]), RESAMPLED)
    overall = []
    for n, total, logs in weights @ sums.T:
        excess = np.log(total / n) - logs / n
        overall.append(optimize.brentq(lambda a, s=excess: np.log(a) - special.digamma(a) - s, 1e-4, 1e4))
    return {
        "fits": fits,
        "p": p_values,
        "sampling sd": np.std(np.log(again) - np.log([fits[i][0] for i in sound])) if sound else None,
        "overall": np.quantile(overall, [0.025, 0.975]),
        "cv": gaps.std() / gaps.mean(),
    }


def dispersion(seconds: np.ndarray) -> list[tuple[float, float]]:
    """Index of dispersion and peak over mean from 1 s to 1 h, empty bins included."""
    out = []
    for width in WIDTHS_S:
        counts = np.bincount(seconds // width)
        out.append((counts.var() / counts.mean(), counts.max() / counts.mean()))
    return out


def lengths(tokens: pd.Series) -> dict[str, object]:
    """Quantiles, and laws by likelihood on the histogram of token counts."""
    counted = tokens.value_counts().sort_index()
    value, n = counted.index.to_numpy(float), counted.to_numpy(float)
    support = np.arange(1, value[-1] + 1)
    log_support, log_value = np.log(support), np.log(value)

    def zipf(theta: np.ndarray) -> float:
        return n @ (theta[0] * log_value + special.logsumexp(-theta[0] * log_support))

    def mandelbrot(theta: np.ndarray) -> float:
        s, q = theta[0], np.exp(theta[1])
        return n @ (s * np.log(value + q) + special.logsumexp(-s * np.log(support + q)))

    def rounded(law: stats.rv_continuous) -> object:
        def cost(theta: np.ndarray) -> float:
            shape, scale = np.exp(theta)
            mass = law.cdf(value + 0.5, shape, 0, scale) - law.cdf(value - 0.5, shape, 0, scale)
            return -n @ np.log(np.maximum(mass, 1e-300))

        return cost

    def two(theta: np.ndarray) -> float:
        share, a, b, u, v = special.expit(theta[0]), *theta[1:3], *np.exp(theta[3:])
        density = share * stats.norm.pdf(log_value, a, u) + (1 - share) * stats.norm.pdf(log_value, b, v)
        return -n @ np.log(np.maximum(density / value, 1e-300))

    middle, spread = np.average(log_value, weights=n), np.log(tokens).std()
    starts = {
        "zipf": (zipf, [1.0]),
        "zipf_mandelbrot": (mandelbrot, [1.5, 3.0]),
        "lognormal": (rounded(stats.lognorm), [np.log(spread), middle]),
        "weibull": (rounded(stats.weibull_min), [0.0, middle]),
        "two lognormals": (two, [0.0, middle - spread, middle + spread, np.log(spread), np.log(spread)]),
    }
    fits = {name: optimize.minimize(cost, start, method="BFGS") for name, (cost, start) in starts.items()}
    return {"quantiles": tokens.quantile([0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99]), "fits": fits}


def responses(request: pd.Series, response: pd.Series) -> dict[str, object]:
    """Response against request: rank correlation, a line, bands by request bin."""
    bins = np.floor(BINS_PER_E * np.log(request))
    return {
        "spearman": stats.spearmanr(request, response).statistic,
        "line": stats.linregress(request, response),
        "bands": response.groupby(bins).quantile([0.05, 0.25, 0.5, 0.75, 0.95]),
    }


def failures(rows: pd.DataFrame, load: pd.Series) -> dict[str, object]:
    """Rates by day and by the load of the same minute."""
    failed = rows["Response tokens"] == 0
    return {
        "days": failed.groupby(rows["Timestamp"] // 86_400).mean().describe(),
        "by load": failed.groupby(load.reindex(rows["Timestamp"] // 60).to_numpy()).agg(["size", "sum"]),
    }


def conversations(rows: pd.DataFrame) -> dict[str, object]:
    """Turns, and intervals between the end of a response and the next request, by number of turns."""
    held = rows.dropna(subset="Session ID").sort_values(["Session ID", "Timestamp"])
    session = held["Session ID"].cat.codes.to_numpy()
    ended = (held["Timestamp"] + held["Elapsed time"]).to_numpy()
    same = session[1:] == session[:-1]
    turns = np.bincount(session)
    intervals = pd.DataFrame(
        {
            "session": session[1:][same],
            "gap": (held["Timestamp"].to_numpy()[1:] - ended[:-1])[same].clip(min=0),
        }
    )
    per_session = intervals.groupby("session")["gap"].mean()
    by_turns = intervals.groupby(turns[intervals["session"]])["gap"]
    fence = intervals["gap"].quantile(0.75) + 1.5 * (
        intervals["gap"].quantile(0.75) - intervals["gap"].quantile(0.25)
    )
    return {
        "turns": pd.Series(turns[turns > 0]).describe(),
        "intervals": by_turns.agg(["size", "mean"]),
        "p90": by_turns.quantile(0.9),
        "long": (intervals["gap"] > fence).mean(),
        "law": stats.lognorm.fit(intervals["gap"] + 0.5, floc=0),
        "per session": per_session.describe(),
        "spearman": stats.spearmanr(turns[per_session.index], per_session).statistic,
    }


def characterize(path: str) -> dict[str, object]:
    """Everything, per selection."""
    kinds = dict.fromkeys(("Model", "Log Type", "Session ID"), "category")
    log = pd.read_csv(path, dtype=kinds).sort_values("Timestamp", kind="stable")
    load = log.groupby(log["Timestamp"] // 60).size()
    rng = np.random.default_rng(0)
    said: dict[str, object] = {}
    for name, rows in selections(log).items():
        seconds = rows["Timestamp"].to_numpy(np.int64)
        ok = rows[rows["Response tokens"] > 0]
        said[name] = {
            "n": len(rows),
            "periodicity": periodicity(seconds),
            "arrivals": arrivals(seconds, rng),
            "dispersion": dispersion(seconds),
            "request": lengths(ok["Request tokens"]),
            "response": lengths(ok["Response tokens"]),
            "responses": responses(ok["Request tokens"], ok["Response tokens"]),
            "failures": failures(rows, load),
        }
        if rows["Session ID"].notna().any():
            said[name]["conversations"] = conversations(rows)  # type: ignore[index]
    return said


if __name__ == "__main__":
    characterize(sys.argv[1])
