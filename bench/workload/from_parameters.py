"""Load drawn from parameters instead of copied from a log: the paper's modelled scaling (section 4.2).

Arrivals are one time-changed Gamma renewal process (`analysis.stats.renewal`). Its operational time is the
integral of the request rate, one unit an expected request; there the gaps are independent and Gamma
distributed with mean one and the shape of the window in which they begin, and the inverse of that integral
turns them into seconds. So a gap that reaches over a window's border is stretched by the rate of each
window that it passes: the process goes on through borders, and no request is lost or added at one. Scaling
multiplies the rates and leaves windows and shapes as they are, which is to divide the Gamma's scale.

Request and response lengths are drawn together from a copula and two laws (`lengths.joint`). Not here:
the fits, how shape, scale or exponent vary over time (`schedules`), which requests are turns of one
conversation (`conversations`), and the requests of a trace as they are (`from_trace`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from ...analysis.core.arrays import Array, Integers, Mask
from ...analysis.core.errors import InputError, UnknownSelectionError
from ...analysis.core.option_names import option
from ...analysis.interchange.parameter_model import FittedSelection, ParameterFile
from ...analysis.interchange.parameters import read_parameters, validate
from ...analysis.lengths.joint import JointModel, Marginal, sample_lengths
from ...analysis.lengths.part import SIDES, joint_model
from ...analysis.stats.renewal import sample_arrivals
from .conversations import SessionLaws, with_conversations
from .recipe import Recipe
from .schedules import Schedule, pieces
from .table import Workload, requests_frame

Lengths = Literal["winner", "zipf"]
Sessions = Literal["stamps", "think", "off"]

MAX_TOKENS = 2048
"""Longest request and longest response of a workload without a file: together they fit Llama 2's context."""
MAX_REQUESTS = 50_000_000
"""More requests than this are probably a mistake in a unit, and would not fit into memory."""


@dataclass(frozen=True)
class ArrivalWindows:
    """Windows in order, as `renewal.sample_arrivals` takes them; every array has one element a window."""

    start_s: Array
    length_s: Array
    shape: Array
    rate_rps: Array
    not_gamma: Mask
    """Whether the fit is flagged so: its gaps are far from a Gamma."""

    @property
    def requests(self) -> float:
        """Expected requests."""
        return float(self.rate_rps @ self.length_s)

    @property
    def end_s(self) -> float:
        """Where the last window ends."""
        return float(self.start_s[-1] + self.length_s[-1])

    def cut(self, begin_s: float, end_s: float) -> ArrivalWindows:
        """Cut the windows to the part between two instants.

        Parameters
        ----------
        begin_s, end_s
            First and last instant of the part, seconds on the clock of these windows.

        Returns
        -------
        ArrivalWindows
            Its clock starts at `begin_s`.
        """
        begins = np.maximum(self.start_s, begin_s)
        length = np.minimum(self.start_s + self.length_s, end_s) - begins
        mask = length > 1e-9
        shape, rate, not_gamma = self.shape[mask], self.rate_rps[mask], self.not_gamma[mask]
        return ArrivalWindows(begins[mask] - begin_s, length[mask], shape, rate, not_gamma)

    def holding(self, at_s: Array) -> Integers:
        """Find the index of each instant's window."""
        return np.maximum(np.searchsorted(self.start_s, at_s, side="right") - 1, 0)

    def faster(self, factor: float) -> ArrivalWindows:
        """Multiply the rate of every window."""
        return replace(self, rate_rps=self.rate_rps * factor)

    def arrivals(self, rng: np.random.Generator) -> Array:
        """Draw instants of requests, increasing; raises InputError if there are none, or too many."""
        if self.requests > MAX_REQUESTS:
            raise InputError(
                f"{self.requests:,.0f} requests would be drawn, more than {MAX_REQUESTS:,}: lower the rate"
            )
        at_s = sample_arrivals(self.start_s, self.shape, self.rate_rps, self.length_s, rng)
        if not len(at_s):
            raise InputError(
                f"no request was drawn, {self.requests:.3g} are expected: raise the rate or the duration"
            )
        return at_s


def from_parameters(
    source: Path | str | Mapping[str, Any],
    *,
    selection: str | None = None,
    rate_rps: float | None = None,
    scale: float | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    lengths: Lengths = "winner",
    tokens: tuple[int, int] | None = None,
    sessions: Sessions = "off",
    context: int | None = None,
    seed: int = 0,
) -> Workload:
    """Draw a workload from a parameter file.

    Parameters
    ----------
    source
        The file, or its content.
    selection
        A label of the file; by default the first, which is all requests.
    rate_rps
        Mean rate in requests per second; the rates of all windows are multiplied to reach it.
    scale
        Factor of all rates, instead of `rate_rps`.
    start_s, end_s
        The part of the windows to draw, in seconds since midnight of day 0 on the trace's clock.
    lengths
        Lengths by the best law of each side (`"winner"`) or the bounded Zipf (`"zipf"`), joined by the fitted
        copula.
    tokens
        One length for all requests and one for all responses, instead of the laws.
    sessions
        `"stamps"` or `"think"` make conversations by the fitted laws of turns and intervals: turns are sent
        at their instants, or after the previous answer and a time to think.
    context
        Tokens that a conversation so far may have (see `conversations.with_conversations`).
    seed
        Seed of everything that is drawn.

    Returns
    -------
    Workload
        The requests in order. A window without a fit has the median shape of the others.

    Raises
    ------
    InputError
        If the parameters cannot make that load; it names the file and the field.
    """
    file, name_in_errors = _opened(source)
    if rate_rps is not None and scale is not None:
        raise InputError(
            f"{option('rate_rps')} and {option('scale')} both multiply the rates: give one of them"
        )
    _positive({"rate_rps": rate_rps, "scale": scale})
    chosen = _selection(file, name_in_errors, selection)
    windows = _windows(file, chosen, name_in_errors)
    label = chosen.label
    begin = float(windows.start_s[0]) if start_s is None else start_s
    windows = windows.cut(begin, windows.end_s if end_s is None else end_s)
    if not windows.requests > 0:
        raise InputError(f"{name_in_errors}: {label}: no requests in that part of its windows")
    factor = scale or 1.0
    if rate_rps is not None:
        factor = rate_rps * float(windows.length_s.sum()) / windows.requests
    model = _joint(chosen, name_in_errors, lengths) if tokens is None else None
    arrivals, sizes = _streams(seed)
    at_s = windows.faster(factor).arrivals(arrivals)
    drawn = (
        np.tile(tokens or (1, 1), (len(at_s), 1))
        if model is None
        else sample_lengths(model, len(at_s), sizes)
    )
    recipe: Recipe = {
        "source": file.source.name,
        "sources": [{"name": log.name, "sha256": log.sha256} for log in file.source.files],
        "construction": "time-changed Gamma renewal",
        "selection": label,
        "start_s": begin,
        "duration_s": windows.end_s,
        "scale": factor,
        "not_gamma": float((windows.rate_rps * windows.length_s) @ windows.not_gamma) / windows.requests,
        "lengths": lengths if tokens is None else list(tokens),
        "seed": seed,
    }
    requests = _requests(at_s, drawn, service=chosen.selection.service, model=chosen.selection.model)
    load = Workload(requests, f"{file.source.name}, modelled", file.source.synthetic, recipe)
    if sessions == "off":
        return load
    laws = SessionLaws.of(chosen.conversations, f"{name_in_errors}: {label}")
    return with_conversations(load, laws, think=sessions == "think", context=context, seed=seed)


def constant(
    shape: float,
    scale: float,
    exponent: float,
    *,
    duration_s: float | None = None,
    requests: int | None = None,
    rate_rps: float | None = None,
    max_tokens: tuple[int, int] = (MAX_TOKENS, MAX_TOKENS),
    seed: int = 0,
) -> Workload:
    """Draw a workload of one Gamma and one bounded Zipf, such as the paper's 0.5, 2, 1.1; it needs no file.

    Parameters
    ----------
    shape
        Shape of the Gamma distribution of gaps.
    scale
        Its scale in seconds: the mean gap is shape × scale.
    exponent
        Exponent of the bounded Zipf distribution of lengths.
    duration_s, requests, rate_rps, max_tokens, seed
        As in `varying`.

    Returns
    -------
    Workload
        The requests in order.

    Raises
    ------
    InputError
        If the values cannot make a load.
    """
    given = {"shape": shape, "scale": scale, "exponent": exponent}
    schedules = {name: Schedule.constant(name, value) for name, value in given.items()}
    return varying(
        **schedules,
        duration_s=duration_s,
        requests=requests,
        rate_rps=rate_rps,
        max_tokens=max_tokens,
        seed=seed,
    )


def varying(
    shape: Schedule,
    scale: Schedule,
    exponent: Schedule,
    *,
    duration_s: float | None = None,
    requests: int | None = None,
    rate_rps: float | None = None,
    max_tokens: tuple[int, int] = (MAX_TOKENS, MAX_TOKENS),
    seed: int = 0,
) -> Workload:
    """Draw a workload whose shape, scale and exponent follow schedules; it needs no file.

    The run is cut into pieces in which nothing varies (`schedules.pieces`); these are the windows of the
    process.

    Parameters
    ----------
    shape, scale, exponent
        Shape and scale (seconds) of the Gamma of gaps, exponent of the bounded Zipf of lengths.
    duration_s
        Length of the load in seconds.
    requests
        Number of requests, instead of `duration_s`; only if nothing varies.
    rate_rps
        Mean rate in requests per second; the scales are multiplied to reach it.
    max_tokens
        Largest request and response; both lengths are drawn from 1 up to these, independently.
    seed
        Seed of everything that is drawn.

    Raises
    ------
    InputError
        If a value is out of range, or both or neither of `duration_s` and `requests` are given.
    """
    if (duration_s is None) == (requests is None):
        raise InputError("a duration and a number of requests both say how long a load lasts: give one")
    _positive({"rate_rps": rate_rps, "end_s": duration_s, "first": requests, "max_tokens": min(max_tokens)})
    schedules = {"shape": shape, "scale": scale, "exponent": exponent}
    changing = [name for name, each in schedules.items() if each.varies]
    if requests is not None and changing:
        raise InputError(
            f"a load whose {changing[0]} varies needs a duration ({option('end_s')}), not a number of "
            "requests"
        )
    start, length, value = pieces(schedules, duration_s or 1.0)
    rate = 1 / (value["shape"] * value["scale"])
    if rate_rps is not None:
        factor = float(rate @ length / length.sum()) / rate_rps
        rate, scale = rate / factor, scale.times(factor)
    if requests is not None:
        # Long enough that fewer requests than this are practically impossible.
        length = (requests + 8 * np.sqrt(requests / value["shape"]) + 25 / value["shape"]) / rate
    arrivals, sizes = _streams(seed)
    windows = ArrivalWindows(start, length, value["shape"], rate, np.zeros(len(start), bool))
    at_s = windows.arrivals(arrivals)[:requests]
    drawn = _zipf_lengths(value["exponent"][windows.holding(at_s)], max_tokens, sizes)
    written = {"shape": shape, "scale_s": scale, "exponent": exponent}
    recipe: Recipe = {
        "source": "varying" if changing else "constant",
        "construction": "time-changed Gamma renewal",
        "shape": shape.text if shape.varies else float(shape.values[0]),
        "scale_s": scale.text if scale.varies else float(scale.values[0]),
        "exponent": exponent.text if exponent.varies else float(exponent.values[0]),
        "max_tokens": list(max_tokens),
        "duration_s": duration_s,
        "requests": requests,
        "rate_rps": rate_rps,
        "seed": seed,
    }
    name = "Gamma {shape}, {scale_s} s, Zipf {exponent}".format(
        **{k: each.text for k, each in written.items()}
    )
    return Workload(_requests(at_s, drawn), name, True, recipe)


def _zipf_lengths(exponent: Array, max_tokens: tuple[int, int], rng: np.random.Generator) -> Integers:
    """Request and response tokens of requests with these exponents, shape (n, 2)."""
    kinds, kind = np.unique(exponent, return_inverse=True)
    out = np.empty((len(exponent), 2), dtype=np.int64)
    for i, value in enumerate(kinds.tolist()):
        laws = [Marginal.of_law("zipf", {"exponent": value}, limit) for limit in max_tokens]
        mine = kind == i
        out[mine] = sample_lengths(JointModel(laws[0], laws[1], 0.0), int(mine.sum()), rng)
    return out


def _streams(seed: int) -> tuple[np.random.Generator, np.random.Generator]:
    """Generators of arrivals and of lengths: neither changes what the other one draws."""
    first, second = np.random.SeedSequence(seed).spawn(2)
    return np.random.default_rng(first), np.random.default_rng(second)


def _positive(values: Mapping[str, float | None]) -> None:
    """Raise InputError for the first given value that is not above zero."""
    for name, value in values.items():
        if value is not None and not 0 < value < np.inf:
            raise InputError(f"{option(name)}: {value:g} is not above 0")


def _opened(source: Path | str | Mapping[str, Any]) -> tuple[ParameterFile, str]:
    """The content of a parameter file, checked, and what to call it."""
    if isinstance(source, Mapping):
        validate(dict(source), "the parameters")
        return ParameterFile.of(source), "the parameters"
    return ParameterFile.of(read_parameters(Path(source))), str(source)


def _selection(file: ParameterFile, source: str, label: str | None) -> FittedSelection:
    """Find the selection of a label, or the first; raises UnknownSelectionError with all labels."""
    known = {part.label: part for part in file.selections}
    if label is None:
        return file.selections[0]
    if label not in known:
        raise UnknownSelectionError(f"{source}: no selection {label!r}; it has: {', '.join(known)}")
    return known[label]


def _windows(file: ParameterFile, chosen: FittedSelection, source: str) -> ArrivalWindows:
    """The fitted windows, each as long as the record covers it."""
    windows, label, window_s = chosen.windows, chosen.label, file.window_s
    if not windows:
        raise InputError(
            f"{source}: {label}: arrivals.windows is empty, because its log had no gaps; draw a constant load"
        )
    start = np.array([window.start_s for window in windows])
    rate = np.array([window.rate_rps for window in windows])
    n = np.array([float(window.n) for window in windows])
    if np.any(np.diff(start) < window_s - 1e-6):
        raise InputError(f"{source}: {label}: arrivals.windows are not in order, or overlap")
    fitted = [window.shape for window in windows if window.shape is not None]
    fallback = float(np.median(fitted)) if fitted else chosen.arrivals.overall.get("shape") or 1.0
    shape = np.array([fallback if window.shape is None else window.shape for window in windows], dtype=float)
    begin = np.maximum(start, chosen.selection.start_s)
    end = np.minimum(start + window_s, chosen.selection.end_s + file.source.resolution_s)
    # Next to a hole in the record a window is covered in part: for its count divided by its rate.
    with np.errstate(divide="ignore", invalid="ignore"):
        covered_s = np.where((n > 0) & (rate > 0), n / rate, np.inf)
    hole = np.diff(start) > window_s + 1e-6
    before, after = np.append(False, hole), np.append(hole, False)
    begin = np.where(before, np.maximum(begin, end - covered_s), begin)
    end = np.where(after, np.minimum(end, begin + covered_s), end)
    length = end - begin
    mask = length > 0
    not_gamma = np.array(["not_gamma" in window.flags for window in windows])
    return ArrivalWindows(begin[mask], length[mask], shape[mask], rate[mask], not_gamma[mask])


def _joint(chosen: FittedSelection, source: str, lengths: Lengths) -> JointModel:
    """Read the fitted laws of lengths and their copula; raises InputError if there are none."""
    fitted, label = chosen.lengths, chosen.label
    try:
        model = joint_model(fitted)
        if lengths == "winner":
            return model
        sides = [next(row for row in fitted["zipf"] if row["column"] == side) for side in SIDES]
        laws = [Marginal.of_law("zipf", {"exponent": row["exponent"]}, row["maximum"]) for row in sides]
    except (KeyError, StopIteration) as fault:
        raise InputError(
            f"{source}: {label}: lengths have no joint law of requests and responses"
            f"{f' ({fault.args[0]})' if fault.args else ''}; choose another selection, or give the lengths "
            f"of request and response with {option('tokens')}"
        ) from fault
    return JointModel(laws[0], laws[1], model.correlation, model.grid)


def _requests(
    at_s: Array, tokens: Integers, service: str | None = None, model: str | None = None
) -> pl.DataFrame:
    """The workload's columns."""
    drawn = pl.DataFrame({"at_s": at_s, "request_tokens": tokens[:, 0], "response_tokens": tokens[:, 1]})
    return requests_frame(drawn.with_columns(service=pl.lit(service), model=pl.lit(model)))
