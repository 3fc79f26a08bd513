"""The settings of a sweep: which shape, scale and exponent, one at a time and in pairs, and how each varies.

A grid comes from Python (`grid_of`), or a TOML file (`read_grid`). Scales
are those of the paper's start; the sweep multiplies them so that they fit a server. Not here: the load of a
setting (`sweep_trials`), and what trials of it say (`sweep`).
"""

from __future__ import annotations

import itertools
import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, structs

from ...analysis.core.errors import DiskError, InputError, path_text
from ...analysis.core.option_names import option
from ..record.checked_input import brief, checked
from .trials import Label

SHAPE, SCALE, EXPONENT = PARAMETERS = ("shape", "scale", "exponent")
START: Mapping[str, float] = {SHAPE: 0.5, SCALE: 2.0, EXPONENT: 1.1}
"""The paper's: α 0.5, β 2 (as a scale, seconds), Zipf exponent λ 1.1."""
VALUES: Mapping[str, tuple[float, ...]] = {
    SHAPE: (0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.6, 0.8, 1.0),
    SCALE: (0.5, 1.0, 1.5, 3.0, 4.0),
    EXPONENT: (0.9, 1.0, 1.2, 1.3, 1.5),
}
"""What varies by default: shapes close enough to each other to see small changes."""
PAIRED: Mapping[str, tuple[float, ...]] = {SHAPE: (0.3, 1.0), SCALE: (1.0, 4.0), EXPONENT: (0.9, 1.3)}
"""What is paired by default; all of it is in `VALUES` too."""
CONSTANT, LINEAR, QUADRATIC = PROFILES = ("constant", "linear", "quadratic")
"""The value all the time; a straight decline over the run from the larger of value and start to the
smaller; a parabola from the start through the value at half time and back."""
FIXED_SCALE, EQUAL = MODES = ("scale held", "equal rate")
"""The paper's way, in which a smaller shape is also a higher rate since the mean gap is shape × scale; and
the scale adapted, at every instant, so that the rate stays that of the start: burstiness alone."""
ORIGIN = "start"
"""The setting that all others are compared with."""
WITH = " × "
MIN_SHAPE = 0.01
"""CV 10: below it nearly all requests come at once, and a run shows nothing."""
MAX_POINTS = 5000
"""A grid of more points is a slip."""


@dataclass(frozen=True)
class GridPoint:
    """One point of a grid: what is varied, how it goes over time, and the values that it is varied to."""

    parameter: str
    """`start`, a parameter, or two of them such as `shape × scale`."""
    profile: str
    mode: str
    shape: float
    scale: float
    exponent: float

    def of(self, parameter: str) -> float:
        """Look up the value of a parameter."""
        return float(getattr(self, parameter))

    def labels(self) -> dict[str, Label]:
        """Give the labels of its trials; `scale` is the start's if `mode` adapts it."""
        return {
            "parameter": self.parameter,
            "profile": self.profile,
            "mode": self.mode,
            SHAPE: self.shape,
            SCALE: self.scale,
            EXPONENT: self.exponent,
        }


@dataclass(frozen=True)
class Grid:
    """What is varied to which values, checked; values equal to the start's are left out."""

    values: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: VALUES)
    profiles: tuple[str, ...] = PROFILES
    paired: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: PAIRED)
    """Values of pairs; no pairs if it is empty."""
    start: Mapping[str, float] = field(default_factory=lambda: START)

    def settings(self) -> list[GridPoint]:
        """List the start, each parameter alone, then pairs."""
        out = [GridPoint(ORIGIN, CONSTANT, FIXED_SCALE, **self.start)]
        for varied in (*((name,) for name in PARAMETERS), *itertools.combinations(PARAMETERS, 2)):
            table = self.values if len(varied) == 1 else self.paired
            for profile, mode in itertools.product(self.profiles, modes_of(varied)):
                out += [
                    GridPoint(
                        WITH.join(varied),
                        profile,
                        mode,
                        **{**self.start, **dict(zip(varied, values, strict=True))},
                    )
                    for values in itertools.product(*(table.get(name, ()) for name in varied))
                ]
        return out

    def as_dict(self) -> dict[str, Any]:
        """Give plain values: two grids are the same if these are equal."""
        return {
            "start": dict(self.start),
            "values": {name: list(values) for name, values in self.values.items()},
            "profiles": list(self.profiles),
            "paired": {name: list(values) for name, values in self.paired.items()},
        }


def modes_of(varied: Sequence[str]) -> tuple[str, ...]:
    """Choose the modes: both if a shape varies and the scale may be adapted, else only the paper's."""
    return MODES if SHAPE in varied and SCALE not in varied else (FIXED_SCALE,)


def grid_of(
    values: Mapping[str, Sequence[float]] | None = None,
    *,
    profiles: Sequence[str] | None = None,
    pairs: bool = True,
    paired: Mapping[str, Sequence[float]] | None = None,
    start: Mapping[str, float] | None = None,
    name_of: Callable[[str], str] = option,
) -> Grid:
    """Make a grid and check it.

    Parameters
    ----------
    values
        Values of each parameter that is varied; the defaults of all three if it is None.
    profiles
        How a value is reached over a run; all of `PROFILES` if it is None.
    pairs
        Whether two parameters are varied at a time, too.
    paired
        Values of pairs. By default those of `values`, or thinner ones if `values` is None, too.
    start
        The point from which all of them depart.
    name_of
        How a message names a key, such as `values.shape` of a file.

    Raises
    ------
    InputError
        A value or profile that cannot be, an empty grid, or one of more than `MAX_POINTS` points.
    """

    def named(name: str) -> str:
        return name_of(name if name_of is option else f"values.{name}")

    begin = {**START}
    for name, value in (start or {}).items():
        begin[name] = _value(name_of(f"start.{name}"), name, value)
    alone = _values(named, VALUES if values is None else values, begin)
    if not any(alone.values()):
        where = ", ".join(f"{name} {value:g}" for name, value in begin.items())
        raise InputError(
            f"{'/'.join(named(name) for name in values or PARAMETERS)}: the grid is empty: it has only "
            f"the start ({where})"
        )
    both: Mapping[str, tuple[float, ...]] = {}
    if pairs and paired is None and values is not None:
        both = alone
    elif pairs:
        thin = PAIRED if paired is None else paired
        both = _values(lambda name: name_of(f"pairs.{name}"), thin, begin)
    chosen = tuple(dict.fromkeys(_profile(name_of("profile"), name) for name in profiles or PROFILES))
    grid = Grid(alone, chosen, both, begin)
    points = _count(grid)
    if points > MAX_POINTS:
        raise InputError(
            f"{'/'.join(named(name) for name in alone)}: a grid of {points:,} settings, more than "
            f"{MAX_POINTS:,}: give fewer values, or no pairs"
        )
    return grid


def _count(grid: Grid) -> int:
    """How many settings there are, without making them."""
    alone = sum(len(values) * len(modes_of((name,))) for name, values in grid.values.items())
    both = sum(
        len(grid.paired[a]) * len(grid.paired[b]) * len(modes_of((a, b)))
        for a, b in itertools.combinations(PARAMETERS, 2)
        if a in grid.paired and b in grid.paired
    )
    return 1 + len(grid.profiles) * (alone + both)


def _values(
    name_of: Callable[[str], str], values: Mapping[str, Sequence[float]], start: Mapping[str, float]
) -> dict[str, tuple[float, ...]]:
    """The values of each parameter in order, each once, without the start's."""
    out = {}
    for name in PARAMETERS:
        if name in values:
            checked_values = {_value(name_of(name), name, value) for value in values[name]}
            out[name] = tuple(sorted(checked_values - {start[name]}))
    return out


def _value(where: str, parameter: str, value: float) -> float:
    """A value that the parameter can have."""
    number = float(value)
    if not math.isfinite(number):
        raise InputError(f"{where}: {number:g} is not a finite number")
    if parameter != EXPONENT and not number > 0:
        raise InputError(f"{where}: {number:g} is not above 0")
    if parameter == SHAPE and number < MIN_SHAPE:
        raise InputError(
            f"{where}: {number:g} is below {MIN_SHAPE:g}: nearly all requests would arrive at once"
        )
    return number


def _profile(where: str, name: str) -> str:
    if name not in PROFILES:
        raise InputError(f"{where}: no profile {brief(name)}; there are {', '.join(PROFILES)}")
    return name


class StartTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[start]` of a grid file."""

    shape: float | UnsetType = UNSET
    scale: float | UnsetType = UNSET
    exponent: float | UnsetType = UNSET


class ValuesTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[values]` and `[pairs]` of a grid file."""

    shape: list[float] | UnsetType = UNSET
    scale: list[float] | UnsetType = UNSET
    exponent: list[float] | UnsetType = UNSET


class GridFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A grid in TOML; every key may be left out."""

    start: StartTable | UnsetType = UNSET
    profiles: Annotated[list[str], Meta(min_length=1)] | UnsetType = UNSET
    values: ValuesTable | UnsetType = UNSET
    pairs: bool | ValuesTable = True
    """Whether there are pairs, or their values."""


def read_grid(path: Path) -> Grid:
    """Read the grid of a TOML file (see `GridFile`).

    Raises
    ------
    InputError
        The file is not a grid; the message names file, key and value.
    DiskError
        The file cannot be read.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError.missing_file(path) from None
    except OSError as fault:
        raise DiskError.unreadable(path, fault) from fault
    except ValueError as fault:
        raise InputError(f"{path_text(path)}: is not TOML: {fault}") from fault
    file = checked(GridFile, content, path_text(path), table="a table")
    pairs = file.pairs
    return grid_of(
        None if file.values is UNSET else _given(file.values),
        profiles=None if file.profiles is UNSET else file.profiles,
        pairs=pairs is not False,
        paired=None if isinstance(pairs, bool) else _given(pairs),
        start=None if file.start is UNSET else _given(file.start),
        name_of=lambda key: f"{path_text(path)}: {'profiles' if key == 'profile' else key}",
    )


def _given(table: Struct) -> dict[str, Any]:
    """What a table gives, by parameter."""
    return {name: value for name, value in structs.asdict(table).items() if value is not UNSET}
