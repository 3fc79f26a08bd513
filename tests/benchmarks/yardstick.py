"""The same characterization as a competent person writes it with pandas and SciPy.

Reads a BurstGPT CSV and computes what `burstlens.describe` computes: volumes, hourly series and their
autocorrelation, a Gamma per 20-minute window and selection, dispersion from 1 s to 1 h, length
quantiles, Zipf and log-normal fits, request against response, failure rates. Vectorised where pandas
offers it; the fits are SciPy's own.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
from scipy import optimize, special, stats

TOKENS = ("Request tokens", "Response tokens")


def selections(log: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Everything, each service, each service and model: the same seven groups."""
    groups = {"all": log}
    for service, rows in log.groupby("Log Type", observed=True):
        groups[str(service)] = rows
        for model, part in rows.groupby("Model", observed=True):
            groups[f"{service} {model}"] = part
    return groups


def window_shapes(arrivals: pd.Series) -> list[tuple[float, float]]:
    """SciPy's maximum likelihood for each window, zeros clipped to a millisecond."""
    gaps = arrivals.diff().clip(lower=1e-3)
    out = []
    for _, window in gaps.groupby(arrivals // 1200):
        window = window.dropna()
        if len(window) >= 5:
            shape, _, scale = stats.gamma.fit(window, floc=0)
            out.append((shape, scale))
    return out


def dispersion(arrivals: pd.Series) -> list[float]:
    """Index of dispersion of counts from 1 s to 1 h, empty bins included."""
    out = []
    for width in (1, 10, 60, 600, 3600):
        counts = np.bincount((arrivals // width).astype(int))
        out.append(counts.var() / counts.mean())
    return out


def zipf_exponent(tokens: pd.Series) -> float:
    """Bounded Zipf by maximum likelihood."""
    support = np.log(np.arange(1, tokens.max() + 1))
    mean_log = np.log(tokens).mean()
    found = optimize.minimize_scalar(
        lambda s: s * mean_log + special.logsumexp(-s * support), bounds=(-1, 5), method="bounded"
    )
    return float(found.x)


def characterize(path: str) -> dict[str, object]:
    """Everything, per selection."""
    log = pd.read_csv(path, dtype={"Model": "category", "Log Type": "category"}).sort_values("Timestamp")
    said: dict[str, object] = {}
    for name, rows in selections(log).items():
        arrivals = rows["Timestamp"]
        hourly = np.log1p(np.bincount((arrivals // 3600).astype(int)))
        ok = rows[rows["Response tokens"] > 0]
        failed = rows["Response tokens"] == 0
        said[name] = {
            "n": len(rows),
            "acf": [np.corrcoef(hourly[k:], hourly[:-k])[0, 1] for k in (24, 168) if len(hourly) > 2 * k],
            "windows": window_shapes(arrivals),
            "idc": dispersion(arrivals),
            "quantiles": ok[list(TOKENS)].quantile([0.1, 0.25, 0.5, 0.75, 0.9, 0.99]),
            "zipf": [zipf_exponent(ok[c]) for c in TOKENS],
            "lognormal": [stats.lognorm.fit(ok[c], floc=0) for c in TOKENS],
            "spearman": stats.spearmanr(ok["Request tokens"], ok["Response tokens"]).statistic,
            "failures": failed.groupby(arrivals // 86_400).mean(),
        }
    return said


if __name__ == "__main__":
    characterize(sys.argv[1])
