"""How a parameter of a drawn load varies while it runs: constant, in steps, linear, quadratic, or by a table.

A schedule is written as text: `0.5`, `steps:0.3..1..0.3`, `linear:0.3..2`, `quadratic:0.3..2..0.3`, or the
name of a CSV file. Not here: drawing requests by it (`from_parameters`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

import numpy as np
import polars as pl

from ...analysis.core.arrays import Array
from ...analysis.core.errors import DiskError, InputError, path_text

Kind = Literal["constant", "steps", "linear", "quadratic", "table"]

PIECES = 1000
"""Pieces into which a run is cut if something varies smoothly; in each of them nothing varies."""
QUANTITIES = ("shape", "scale", "exponent")
POSITIVE = ("shape", "scale")
"""What cannot be zero or less; an exponent of a bounded law may be anything."""
FORMS = "write a number, steps:A..B.., linear:A..B, quadratic:A..B or quadratic:A..B..C, or the name of a CSV"


@dataclass(frozen=True)
class Schedule:
    """Values over the time of a run."""

    quantity: str
    kind: Kind
    values: Array
    """The values that it has or passes: at equal parts of the run, or at `starts_s`."""
    starts_s: Array | None = None
    """Of a table: instants from which each value applies, the first from 0, the last one to the end."""
    text: str = ""
    """As it was written."""

    @classmethod
    def constant(cls, quantity: str, value: float) -> Schedule:
        """Make a schedule that has one value all the time.

        Parameters
        ----------
        quantity
            Name of the parameter, such as one of `QUANTITIES`.
        value
            Its value.

        Raises
        ------
        InputError
            If the quantity cannot have that value.
        """
        return _checked(cls(quantity, "constant", np.array([float(value)]), text=f"{value:g}"))

    @property
    def varies(self) -> bool:
        """Whether it has more than one value."""
        return bool(np.any(self.values != self.values[0]))

    @property
    def smooth(self) -> bool:
        """Whether it changes all the time, not only at instants."""
        return self.varies and self.kind in ("linear", "quadratic")

    def times(self, factor: float) -> Schedule:
        """Multiply every value."""
        if not self.varies:
            return Schedule.constant(self.quantity, float(self.values[0] * factor))
        return replace(self, values=self.values * factor, text=f"{self.text} × {factor:g}")

    def jumps_s(self, duration_s: float) -> Array:
        """List the instants at which the value jumps in a run of `duration_s`."""
        if not self.varies:
            return np.zeros(0)
        if self.kind == "steps":
            return np.asarray(np.arange(1, len(self.values)) * duration_s / len(self.values))
        starts = np.zeros(0) if self.starts_s is None else self.starts_s
        return np.asarray(starts[(starts > 0) & (starts < duration_s)])

    def at(self, at_s: Array, duration_s: float) -> Array:
        """Compute the value at each instant of a run.

        Steps last for equal parts of the run. A line passes its values at equal distances, from the first
        instant to the last. A parabola of two values leaves the first one level and ends at the second, a +
        (b − a)·u² at the share u of the run; one of three passes start, middle and end.

        Parameters
        ----------
        at_s
            Seconds after the start of the run, any shape.
        duration_s
            Length of the run in seconds.

        Returns
        -------
        Array
            The values, in the shape of `at_s`.
        """
        share = np.clip(np.asarray(at_s, dtype=float) / duration_s, 0.0, 1.0)
        values = self.values
        if self.starts_s is not None:
            return np.asarray(values[np.maximum(np.searchsorted(self.starts_s, at_s, side="right") - 1, 0)])
        if self.kind == "linear":
            return np.asarray(np.interp(share, np.linspace(0, 1, len(values)), values))
        if self.kind == "quadratic" and len(values) == 2:
            return np.asarray(values[0] + (values[1] - values[0]) * share**2)
        if self.kind == "quadratic":
            first, middle, last = values
            return np.asarray(
                first * (1 - share) * (1 - 2 * share) + 4 * middle * share * (1 - share)
                + last * share * (2 * share - 1)
            )  # fmt: skip
        return np.asarray(values[np.minimum((share * len(values)).astype(int), len(values) - 1)])


def parse_schedule(quantity: str, text: str) -> Schedule:
    """Read a schedule from a text.

    Parameters
    ----------
    quantity
        Name of the parameter that varies, such as one of `QUANTITIES`.
    text
        A number, `steps:A..B..C`, `linear:A..B` (or through more values), `quadratic:A..B`,
        `quadratic:A..B..C`, or the name of a CSV file (see `read_table`).

    Raises
    ------
    InputError
        If the text is not a schedule, or has a value that the quantity cannot have.
    DiskError
        If the CSV file cannot be read.
    """
    kind, colon, rest = text.strip().partition(":")
    if not colon and _number(text) is not None:
        return Schedule.constant(quantity, float(text))
    if kind not in ("steps", "linear", "quadratic") or not colon:
        if text.strip().lower().endswith(".csv"):
            return read_table(quantity, Path(text.strip()))
        raise InputError(f"{quantity}: {text!r} is not a schedule; {FORMS}")
    values = [_number(part) for part in rest.split("..")]
    if None in values:
        wrong = rest.split("..")[values.index(None)]
        raise InputError(f"{quantity}: {text!r}: {wrong!r} is not a number; {FORMS}")
    max_values = 3 if kind == "quadratic" else len(values)
    if not 2 <= len(values) <= max_values:
        needs = "two or three values" if kind == "quadratic" else "two values or more"
        raise InputError(f"{quantity}: {text!r}: {kind} needs {needs}, between two dots (..)")
    found = np.array(cast("list[float]", values))
    return _checked(Schedule(quantity, cast("Kind", kind), found, text=text.strip()))


def parse_schedules(text: str) -> tuple[Schedule, Schedule, Schedule]:
    """Shape, scale and exponent as `modelled.varying` takes them, from `shape=…,scale=…,exponent=…`.

    Each is a schedule's text. Raises InputError if one is missing, given twice, unknown, or not a schedule.
    """
    form = "write shape=0.5,scale=2,exponent=1.1 (scale in seconds), each a number or a schedule"
    found: dict[str, Schedule] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        name = name.strip()
        if not equals or name not in QUANTITIES:
            raise InputError(f"{text}: {part.strip()!r} is not one of {', '.join(QUANTITIES)}; {form}")
        if name in found:
            raise InputError(f"{text}: {name} is given twice; {form}")
        found[name] = parse_schedule(name, value)
    lacking = [name for name in QUANTITIES if name not in found]
    if lacking:
        raise InputError(f"{text}: no {' and no '.join(lacking)}; {form}")
    return found["shape"], found["scale"], found["exponent"]


def read_table(quantity: str, path: Path) -> Schedule:
    """Read a schedule from a CSV file: each row has an instant and the value from then on.

    Parameters
    ----------
    quantity
        Name of the parameter that varies.
    path
        A CSV file with the column `at_s`, seconds after the start of the run, and a column with the name of
        the quantity, or `value`; so one file may have several quantities. The first row is at 0, instants
        increase, and the last value lasts to the end of the run.

    Raises
    ------
    InputError
        If the file is not such a table.
    DiskError
        If the file cannot be read.
    """
    try:
        table = pl.read_csv(path)
    except OSError as fault:
        raise DiskError.unreadable(path, fault) from fault
    except pl.exceptions.NoDataError:
        raise InputError.empty(path) from None
    except pl.exceptions.PolarsError as fault:
        raise InputError.unparsable(path, str(fault)) from fault
    name = "value" if "value" in table.columns and quantity not in table.columns else quantity
    for column in ("at_s", name):
        if column not in table.columns:
            raise InputError(
                f"{path_text(path)}: no column {column!r}; the first line of a schedule is at_s,{quantity}"
            )
    if table.is_empty():
        raise InputError.no_rows(path)
    at_s, values = (_floats(path, table[column]) for column in ("at_s", name))
    if at_s[0] != 0:
        raise InputError(f"{path_text(path)}:2: at_s is {at_s[0]:g}; a schedule starts at 0")
    late = np.flatnonzero(np.diff(at_s) <= 0)
    if len(late):
        raise InputError(
            f"{path_text(path)}:{late[0] + 3}: at_s {at_s[late[0] + 1]:g} is not after the row above"
        )
    return _checked(Schedule(quantity, "table", values, at_s, text=str(path)))


def pieces(schedules: Mapping[str, Schedule], duration_s: float) -> tuple[Array, Array, dict[str, Array]]:
    """Cut a run where a schedule jumps, and finely (`PIECES`) where one varies smoothly.

    Parameters
    ----------
    schedules
        Schedules by the names of their quantities.
    duration_s
        Length of the run in seconds.

    Returns
    -------
    tuple of (Array, Array, dict)
        Start and length of each piece in seconds, and each schedule's value at the middle of each piece;
        every array has the shape (pieces,).
    """
    cuts = [np.array([0.0, duration_s]), *(each.jumps_s(duration_s) for each in schedules.values())]
    if any(each.smooth for each in schedules.values()):
        cuts.append(np.linspace(0, duration_s, PIECES + 1))
    edges = np.unique(np.concatenate(cuts))
    start, length = edges[:-1], np.diff(edges)
    mask = length > duration_s * 1e-9
    start, length = start[mask], length[mask]
    return start, length, {name: each.at(start + length / 2, duration_s) for name, each in schedules.items()}


def _checked(schedule: Schedule) -> Schedule:
    """The schedule itself; raises InputError if it passes a value that the quantity cannot have."""
    if not np.all(np.isfinite(schedule.values)):
        raise InputError(f"{schedule.quantity}: {schedule.text} is not a finite number")
    if schedule.quantity in POSITIVE:
        passed = schedule.at(np.linspace(0, 1, PIECES + 1), 1.0) if schedule.smooth else schedule.values
        lowest = float(passed.min())
        if not lowest > 0:
            passes = f" passes {lowest:.3g}, which" if schedule.varies else ""
            raise InputError(f"{schedule.quantity}: {schedule.text}{passes} is not above 0")
    return schedule


def _number(text: str) -> float | None:
    """A finite number, if the text is one."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _floats(path: Path, column: pl.Series) -> Array:
    """Convert a column to numbers; raises InputError with the first line that does not have one."""
    found = [_number(str(value)) for value in column]
    if None in found:
        at = found.index(None)
        raise InputError(f"{path_text(path)}:{at + 2}: {column.name} {column[at]!r} is not a number")
    return np.array(cast("list[float]", found))
