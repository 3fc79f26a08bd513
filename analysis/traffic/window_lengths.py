"""The Gamma sequence at several lengths of the window, side by side, for a reader who changes the length.

Not here: the fits (see `arrivals`, which fits each length), and which length is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from ..core.result import Part, number
from ..core.units import time_span
from ..trace.trace import Trace
from ..trace.window_gaps import windows_of
from .arrivals import Arrivals, describe_arrivals, shape_sentence

LENGTHS_S = (300.0, 1200.0, 3600.0)
"""Five minutes, the paper's twenty, an hour."""
MAX_EMPTY_WINDOWS = 200_000
"""More windows than that are counted only if a tenth of them can have a request."""
COLUMNS = ("window_s", "selection", "service", "model", "start_s", "n", "rate_rps",
        "shape", "shape_low", "shape_high", "rate", "scale")  # fmt: skip


@dataclass(frozen=True)
class Sequences(Part):
    """Windows of every length that could be fitted."""

    name: ClassVar[str] = "sequences"
    title: ClassVar[str] = "Window, service and model"
    lead: ClassVar[str] = (
        "Shape and rate in windows of another length, of one service or model: choose what is shown."
    )

    window_s: float
    """The length that everything else of the characterization uses."""
    windows: pl.DataFrame
    """Columns of `COLUMNS`, a row a length, selection and fitted window, in order of time."""
    spread: pl.DataFrame
    """`window_s`, then the columns of `arrivals.SPREAD_SCHEMA`: variation beyond chance."""

    def tables(self) -> dict[str, pl.DataFrame]:
        """Both frames."""
        return {"spread": self.spread, "windows": self.windows}

    @property
    def lengths_s(self) -> list[float]:
        """The lengths that have any window, ascending."""
        return self.windows["window_s"].unique().sort().to_list()

    def sentences(self) -> list[str]:
        """The median shape of every selection by length of window."""
        medians = (
            self.windows.group_by("selection", "window_s", maintain_order=True)
            .agg(pl.col("shape").median())
            .sort("window_s")
        )
        out = []
        for selection in self.windows["selection"].unique(maintain_order=True):
            rows = medians.filter(pl.col("selection") == selection)
            each = [
                f"{number(shape)} in windows of {time_span(window_s)}"
                for window_s, shape in rows.select("window_s", "shape").iter_rows()
            ]
            out.append(f"{selection}: the median shape, pulled toward the others, is {', '.join(each)}.")
        return out

    def sentence(self, window_s: float, selection: str) -> str:
        """Say how far the shape of one sequence varies beyond chance, or that it has too few windows.

        Parameters
        ----------
        window_s : float
            Length of its windows in seconds.
        selection : str
            Name of the selection.

        Returns
        -------
        str
        """
        rows = self.spread.filter(
            (pl.col("window_s") == window_s)
            & (pl.col("selection") == selection)
            & (pl.col("quantity") == "shape")
            & (pl.col("scope") == "all hours")
        )
        if rows.height:
            return shape_sentence(rows.row(0, named=True), window_s)
        count = self.windows.filter(
            (pl.col("window_s") == window_s) & (pl.col("selection") == selection)
        ).height
        return (
            f"{selection}: only {count:,} windows of {time_span(window_s)} have enough requests for a fit, "
            "too few "
            "to tell variation from chance."
        )


def describe_sequences(
    trace: Trace, arrivals: Arrivals, lengths_s: Sequence[float] = LENGTHS_S, seed: int = 0
) -> Sequences:
    """Fit windows of several lengths.

    Parameters
    ----------
    trace : Trace
    arrivals : Arrivals
        Its windows are reused, not fitted again.
    lengths_s : sequence of float
        Lengths of windows in seconds.
    seed : int

    Returns
    -------
    Sequences
        For each of `lengths_s` and the length of `arrivals`.
    """
    frames: dict[str, list[pl.DataFrame]] = {"windows": [], "spread": []}
    missing = list(arrivals.missing) if trace.info.spread else []
    for window_s in sorted({*lengths_s, arrivals.window_s}):
        one = arrivals
        if window_s != arrivals.window_s:
            n_windows = len(windows_of(trace, window_s))
            if n_windows > max(MAX_EMPTY_WINDOWS, 10 * trace.info.rows):
                missing.append(
                    f"Too few requests for windows of {time_span(window_s)}: {trace.info.rows:,} requests in "
                    f"{n_windows:,} windows."
                )
                continue
            one = describe_arrivals(trace, window_s=window_s, seed=seed)
        length = pl.lit(window_s, dtype=pl.Float64).alias("window_s")
        fitted = one.windows.filter(~pl.col("unfitted"))
        frames["windows"].append(fitted.with_columns(length).select(COLUMNS))
        frames["spread"].append(one.spread.select(length, pl.all()))
    return Sequences(
        tuple(missing),
        arrivals.window_s,
        *(pl.concat(frames[name]) for name in ("windows", "spread")),
        marks=trace.info.marks,
    )
