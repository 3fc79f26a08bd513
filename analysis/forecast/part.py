"""How well the load of a trace can be forecast: each target, bin width and method, from several origins.

Methods learn from everything before an origin and forecast what follows, bin by bin, each from features that
end before it; origins walk through the second half of the record, in addition to the paper's one
split, five sevenths against two. Bands are conformal: fitted on the first part of the training, calibrated
on its last. Not here: features (`series`), methods (`models`), measures (`scores`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from ..core.arrays import Array
from ..core.cpu import cores
from ..core.errors import BurstlensError, InputError
from ..core.option_names import option
from ..core.result import Part, Progress, silent
from ..core.units import DAY_S, MINUTE_S, bin_name, time_span
from ..trace.aggregates import capitalize_sentence
from ..trace.trace import Selection, Trace, TraceInfo
from .models import Forecaster, forecasters, load_xgboost
from .scores import calibrate_band, errors, plain_row
from .sentences import sentences
from .series import TARGETS, Series, load_series
from .tables import PAPER, ROLLING, WIDTHS_S, Cut, HeldOutForecast, TableRows

BINS_S = (MINUTE_S, 10 * MINUTE_S)
ORIGINS = 4
FIRST_ORIGIN = 3 / 7
"""Share of the record before the first origin: three days of a week."""
PAPER_SHARE = 5 / 7
"""Five days against two."""
CALIBRATION = 0.25
"""Last share of the training that bands are calibrated on."""
MIN_TRAINING_BINS = 40
MAX_TRAINING_BINS = 20_160
"""Methods learn from the newest bins before the origin, up to this number: two weeks of minutes. More of them
cost minutes per fit and describe a load that has changed since."""
MIN_TEST_BINS = 10


@dataclass(frozen=True)
class Forecasts(Part):
    """What of a trace's load can be forecast, by which method, and how well."""

    name: ClassVar[str] = "forecast"
    lead: ClassVar[str] = "How well the load of the next minutes can be forecast from the load before."

    info: TraceInfo
    bins_s: tuple[float, ...]
    horizon_s: float | None
    """How long before the end of a bin it is forecast; None for one bin."""
    seed: int
    cuts: pl.DataFrame
    """`bin_s`, `split`, `origin_s`, `end_s`: what is held out after which instant."""
    verdicts: pl.DataFrame
    """Per selection, target and bin: whether the best method that learns beats the best naive one, over all
    rolling origins: the interval of its `skill` lies above zero."""
    scores: pl.DataFrame
    """Per method, on the paper's split and over all rolling origins together. `skill` is `against` the best
    naive method in hindsight; intervals resample stretches of `resampled_s`."""
    origins: pl.DataFrame
    """The same errors, origin by origin."""
    widths: pl.DataFrame
    """Errors of request counts over bin widths, on the paper's split."""
    forecasts: pl.DataFrame
    """What was seen and what was forecast on the paper's split, with the band, by each method."""

    def tables(self) -> dict[str, pl.DataFrame]:
        """Verdicts first."""
        return {
            "verdicts": self.verdicts,
            "scores": self.scores,
            "origins": self.origins,
            "widths": self.widths,
            "cuts": self.cuts,
            "forecasts": self.forecasts,
        }

    def score(
        self, selection: str, target: str, bin_s: float, method: str, split: str = PAPER
    ) -> dict[str, Any]:
        """Look up one row of `scores`.

        Parameters
        ----------
        selection, target, method, split : str
            As the table's columns name them.
        bin_s : float
            Width of the bins in seconds.

        Returns
        -------
        dict

        Raises
        ------
        KeyError
            If there is no such row.
        """
        wanted = {"selection": selection, "target": target, "bin_s": bin_s, "method": method, "split": split}
        row = self.scores.filter(*(pl.col(name) == value for name, value in wanted.items()))
        if row.is_empty():
            raise KeyError(f"no score of {wanted}")
        return row.row(0, named=True)

    def lead_method(self, selection: str, target: str, bin_s: float) -> str:
        """Name the learning method with the least error over the rolling origins.

        Parameters
        ----------
        selection, target : str
            As the columns of `verdicts` name them.
        bin_s : float
            Width of the bins in seconds.

        Returns
        -------
        str

        Raises
        ------
        KeyError
            If no method forecast this.
        """
        keys = {"selection": selection, "target": target, "bin_s": bin_s}
        row = self.verdicts.filter(*(pl.col(name) == value for name, value in keys.items()))
        if row.is_empty():
            raise KeyError(f"no forecast of {keys}")
        return str(row["method"][0])

    def sentences(self) -> list[str]:
        """What can be forecast and what cannot, target by target, then the bands."""
        return [capitalize_sentence(sentence) for sentence in sentences(self)]


def describe_forecast(
    trace: Trace,
    *,
    service: str | None = None,
    model: str | None = None,
    bins_s: Sequence[float] = BINS_S,
    horizon_s: float | None = None,
    origins: int = ORIGINS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Forecasts:
    """Forecast each service of an opened trace, or the one named, and score every method.

    Parameters
    ----------
    trace : Trace
    service, model : str, optional
        Forecast only these requests.
    bins_s : sequence of float
        Widths of the bins in seconds.
    horizon_s : float, optional
        How long before its bin ends a forecast is made, in seconds; one bin by default.
    origins : int
        Rolling origins.
    seed : int
    progress : callable, optional

    Returns
    -------
    Forecasts

    Raises
    ------
    BurstlensError
        If nothing can be forecast: the record is too short, or has no load.
    """
    load_xgboost()
    show = progress or silent
    bins = tuple(dict.fromkeys(bins_s))
    selections = selections_of(trace, service, model)
    methods = forecasters(seed)
    refusals: list[str] = []
    missing: list[str] = []
    found = TableRows()
    # At one bin ahead, bins that are forecast anyway give the error at their width too.
    swept = [w for w in WIDTHS_S if w >= trace.info.resolution_s and w not in bins]
    widths = swept if horizon_s is None else []
    # A bin of a minute takes as long as ten of ten: progress goes by bins.
    jobs = [(s, b, False) for s in selections for b in bins] + [
        (s, w, True) for s in selections for w in widths
    ]
    weights = [(0.2 if sweep else 1.0) / bin_s for _, bin_s, sweep in jobs]
    # The matrices are small: OpenBLAS on several threads would only spin.
    with threadpool_limits(1, "blas"):
        for i, (selection, bin_s, sweep) in enumerate(jobs):
            begun, own = sum(weights[:i]) / sum(weights), weights[i] / sum(weights)
            step = f"{selection.label}, {bin_name(bin_s)}"
            try:
                series = load_series(trace, selection, bin_s, horizon_s)
                if sweep:
                    show(f"{step}, bin widths", begun)
                    found.widths += list(_widths(trace, series, selection, methods))
                    continue
                cuts = _cuts(trace, series, selection, bin_s, origins)
            except BurstlensError as why:
                if not sweep:
                    missing.append(str(why))
                    refusals.append(why.marked_text)
                continue
            found.cuts.update({(bin_s, *cut): None for cut in cuts})
            for j, (target, one) in enumerate(series.items()):

                def within(share: float, at: int = j, begun: float = begun, own: float = own) -> None:
                    show(step, begun + own * (at + share) / len(series))  # noqa: B023

                try:
                    by_cut = _evaluated(one, cuts, methods, within)
                except BurstlensError as why:
                    missing.append(f"{selection.label}, {TARGETS[target]}: {why}")
                    continue
                found.add(by_cut, selection, target, bin_s, seed)
                if all(split != ROLLING for split, _, _ in by_cut):
                    missing.append(
                        f"{selection.label}, {TARGETS[target]} per {bin_name(bin_s)}: no verdict and no "
                        f"figures, because fewer than {MIN_TRAINING_BINS} bins are before each origin. Use "
                        "shorter bins, more origins or a longer trace."
                    )
            missing += [
                f"{selection.label}: no {TARGETS[target]} in the log to forecast."
                for target in TARGETS
                if target not in series and bin_s == bins[0]
            ]
    if not found.scores:
        raise InputError([*refusals, *missing, f"{trace.info.name}: no load to forecast"][0])
    return Forecasts(
        missing=tuple(dict.fromkeys(missing)),
        info=trace.info,
        bins_s=bins,
        horizon_s=horizon_s,
        seed=seed,
        **found.tables(),
    )


def selections_of(trace: Trace, service: str | None, model: str | None) -> list[Selection]:
    """Find the selections to forecast, by default each service, the busiest first.

    Selections are found by their streams: a service that is all of its trace has no selection of its own
    next to that of all.

    Parameters
    ----------
    trace : Trace
    service, model : str or None
        None means each service, or all its models.

    Returns
    -------
    list of Selection

    Raises
    ------
    BurstlensError
        If there is no such service or model; the message names the known ones.
    """
    streams = trace.engine.table("streams").rows(named=True)
    members = trace.engine.table("members")
    holding: dict[frozenset[int], Selection] = {}
    for each in trace.selections:
        own = members.filter(pl.col("selection_id") == each.selection_id)["stream_id"]
        holding.setdefault(frozenset(own.to_list()), each)
    selected = []
    for name in dict.fromkeys(row["service"] for row in streams if service in (None, row["service"])):
        matching = [row for row in streams if row["service"] == name and model in (None, row["model"])]
        selected += [s for ids, s in holding.items() if ids == {row["stream_id"] for row in matching}]
    if not selected:
        known = ", ".join(" · ".join(filter(None, (row["service"], row["model"]))) for row in streams[:20])
        named = " · ".join(filter(None, (service, model)))
        raise InputError(f"{trace.info.name}: no service or model {named!r}; it has: {known}")
    return sorted(selected, key=lambda selection: -selection.n)


def _cuts(
    trace: Trace, series: Mapping[str, Series], selection: Selection, bin_s: float, origins: int
) -> list[Cut]:
    """What to hold out: the paper's split, and after each of the rolling origins up to the next."""
    span_s = trace.end_s - trace.start_s + trace.info.resolution_s
    requests = series.get("requests")
    n_bins = 0 if requests is None else len(requests)
    fewest = math.ceil(max(MIN_TRAINING_BINS / PAPER_SHARE, MIN_TEST_BINS / (1 - PAPER_SHARE)))
    if requests is None:
        raise InputError(
            f"{selection.label}: no complete bin of {bin_name(bin_s)} with a request that can be forecast "
            f"in the record of {time_span(span_s)}; use shorter {option('bins_s')}, a shorter "
            f"{option('horizon_s')}, or a longer trace"
        )
    if n_bins < fewest:
        raise InputError(
            f"{selection.label}: the record has {n_bins} bins of {bin_name(bin_s)} that can be forecast, "
            f"but {fewest} are needed; use shorter {option('bins_s')} or a longer trace"
        )
    starts = requests.start_s
    days = n_bins * bin_s / DAY_S >= 3

    def at(share: float) -> float:
        instant = float(starts[min(round(share * n_bins), n_bins - 1)])
        # Midnight by the clock of the trace; without a zone `ahead_s` is 0.
        ahead_s = float(trace.info.clock.seconds(np.array([instant]))[0]) - instant
        near = round((instant + ahead_s) / DAY_S) * DAY_S - ahead_s
        return near if days and abs(near - instant) < DAY_S / 4 else instant

    end_s = float(starts[-1]) + bin_s
    walk = [at(FIRST_ORIGIN + (1 - FIRST_ORIGIN) * i / origins) for i in range(origins)] + [end_s]
    cuts = [(PAPER, at(PAPER_SHARE), end_s)]
    for begun, ended in pairwise(walk):
        n_before = int(np.searchsorted(starts + bin_s, begun + 1e-6, side="right"))
        n_after = int(np.searchsorted(starts + bin_s, ended + 1e-6, side="right")) - n_before
        if n_before >= MIN_TRAINING_BINS and n_after >= 1:
            cuts.append((ROLLING, begun, ended))
    return cuts


def _evaluated(
    series: Series, cuts: Sequence[Cut], methods: Sequence[Forecaster], show: Any
) -> dict[Cut, list[HeldOutForecast]]:
    """Every method's forecasts of what each cut holds out; one fit serves all cuts of one origin.

    Fits need nothing of each other and are made on as many threads as there are cores: trees grow outside of
    Python's lock.
    """
    by_origin: dict[float, list[Cut]] = {}
    for cut in cuts:
        by_origin.setdefault(cut[1], []).append(cut)
    jobs: list[tuple[list[Cut], list[Series], Forecaster, Future[list[MethodForecast | None]]]] = []
    pool = ThreadPoolExecutor(cores())
    try:
        for origin_s, own in by_origin.items():
            known = _training_rows(series, origin_s)
            if len(known) < MIN_TRAINING_BINS or not known.value.max() > 0:
                continue
            early, late = known.split(len(known) - int(CALIBRATION * len(known)))
            ahead = [series.between(origin_s, end_s) for _, _, end_s in own]
            for method in methods:
                jobs.append((own, ahead, method, pool.submit(_forecasts, method, known, early, late, ahead)))
        out: dict[Cut, list[HeldOutForecast]] = {}
        for i, (own, ahead, method, job) in enumerate(jobs):
            show(i / len(jobs))
            for cut, rows, forecast in zip(own, ahead, job.result(), strict=True):
                if forecast is not None and len(rows):
                    out.setdefault(cut, []).append(HeldOutForecast(method, rows, *forecast))
    finally:
        pool.shutdown(cancel_futures=True)
    if not out:
        raise InputError("no bin before the origins has a value to learn from")
    return out


def _training_rows(series: Series, origin_s: float) -> Series:
    """What is learned from at an origin."""
    before = series.between(-np.inf, origin_s)
    return before.split(max(0, len(before) - MAX_TRAINING_BINS))[1]


MethodForecast = tuple[Array, tuple[Array, Array] | None]
"""Point forecasts, and the ends of a band if there is one."""


def _forecasts(
    method: Forecaster, known: Series, early: Series, late: Series, ahead: Sequence[Series]
) -> list[MethodForecast | None]:
    """Point forecasts from all that is known, bands from its early part, calibrated on the late one."""
    fitted = method.fit(known)
    if fitted is None:
        return [None for _ in ahead]
    part = method.fit(early) if early.value.max() > 0 else None
    before = None if part is None else _ends(part(late))
    out: list[MethodForecast | None] = []
    for rows in ahead:
        if not len(rows):
            out.append(None)
            continue
        values = fitted(rows)
        band = None
        if part is not None and before is not None:
            band = calibrate_band(late.value, *before, *_ends(part(rows)))
        out.append((values if values.ndim == 1 else values[:, 1], band))
    return out


def _ends(forecast: Array) -> tuple[Array, Array]:
    """Lower and upper end of a forecast: of a point forecast both are the point."""
    return (forecast, forecast) if forecast.ndim == 1 else (forecast[:, 0], forecast[:, -1])


def _widths(
    trace: Trace, series: Mapping[str, Series], selection: Selection, methods: Sequence[Forecaster]
) -> Iterator[dict[str, Any]]:
    """Errors of request counts on the paper's split at one bin width, without bands."""
    requests = series.get("requests")
    bin_s = 0.0 if requests is None else requests.bin_s
    _, origin_s, end_s = _cuts(trace, series, selection, bin_s, 1)[0]
    assert requests is not None
    known, rows = _training_rows(requests, origin_s), requests.between(origin_s, end_s)
    for method in methods:
        fitted = method.fit(known) if known.value.max() > 0 else None
        if fitted is None or not len(rows):
            continue
        values = fitted(rows)
        yield plain_row(
            selection=selection.label,
            bin_s=bin_s,
            method=method.name,
            naive=method.naive,
            bins=len(rows),
            mean=float(rows.value.mean()),
            **errors(rows.value, values if values.ndim == 1 else values[:, 1]),
        )
