"""The settings of a sweep: which shape, scale and exponent, one at a time and in pairs, and how each varies.

A grid comes from flags or from a TOML file (`read_grid`), and is checked here. Scales are those of the
paper's start; what a sweep multiplies them by, so that they fit a server, is the sweep's. Not here: the load
of a setting (`sweep_trials`), and what trials of it say (`sweep`).
"""

from __future__ import annotations

import itertools
import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...analysis.core.errors import DiskError, InputError, shown
from ...analysis.core.option_names import option
from .trials import Label

SHAPE, SCALE, EXPONENT = PARAMETERS = ("shape", "scale", "exponent")
START: Mapping[str, float] = {SHAPE: 0.5, SCALE: 2.0, EXPONENT: 1.1}
"""The paper's: α 0.5, β 2 (as a scale, seconds), Zipf exponent λ 1.1."""
VALUES: Mapping[str, tuple[float, ...]] = {
    SHAPE: (0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.6, 0.8, 1.0),
    SCALE: (0.5, 1.0, 1.5, 3.0, 4.0),
    EXPONENT: (0.9, 1.0, 1.2, 1.3, 1.5),
}
"""What is varied where nothing is said: shapes close enough to each other to see small changes."""
PAIRED: Mapping[str, tuple[float, ...]] = {SHAPE: (0.3, 1.0), SCALE: (1.0, 4.0), EXPONENT: (0.9, 1.3)}
"""What is paired where nothing is said; all of it stands in `VALUES` too."""
CONSTANT, LINEAR, QUADRATIC = PROFILES = ("constant", "linear", "quadratic")
"""The value all the time; a straight decline over the run from the larger of value and start to the
smaller; a parabola from the start through the value at half time and back."""
HELD, EQUAL = MODES = ("scale held", "equal rate")
"""The paper's way, in which a smaller shape is also a higher rate since the mean gap is shape × scale; and
the scale adapted, at every instant, so that the rate stays that of the start: burstiness alone."""
ORIGIN = "start"
"""The setting that all others are compared with."""
WITH = " × "
LEAST_SHAPE = 0.01
"""CV 10: below it nearly all requests come at once, and a run tells nothing."""
MOST = 5000
"""More settings than this are no grid but a slip."""


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
        """The value of a parameter."""
        return float(getattr(self, parameter))

    def labels(self) -> dict[str, Label]:
        """What tells trials of it from others. `scale` is the start's where `mode` adapts it."""
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
    """Values of pairs; none where it is empty."""
    start: Mapping[str, float] = field(default_factory=lambda: START)

    def settings(self) -> list[GridPoint]:
        """The start, each parameter alone, then pairs."""
        out = [GridPoint(ORIGIN, CONSTANT, HELD, **self.start)]
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
        """Plain values: two grids are the same where these are equal."""
        return {
            "start": dict(self.start),
            "values": {name: list(values) for name, values in self.values.items()},
            "profiles": list(self.profiles),
            "paired": {name: list(values) for name, values in self.paired.items()},
        }


def modes_of(varied: Sequence[str]) -> tuple[str, ...]:
    """Both where a shape is varied and the scale is free to be adapted, else only the paper's."""
    return MODES if SHAPE in varied and SCALE not in varied else (HELD,)


def grid_of(
    values: Mapping[str, Sequence[Any]] | None = None,
    *,
    profiles: Sequence[Any] | None = None,
    pairs: bool = True,
    paired: Mapping[str, Sequence[Any]] | None = None,
    start: Mapping[str, Any] | None = None,
    said: str = "",
    inside: str = "",
) -> Grid:
    """A checked grid; BurstlensError naming what is wrong: the option, or the key of a file. For a file,
    `said` stands before the name of any key, and `inside` before that of a parameter of `values`.

    Without `values` the default ones are varied; with them only those that they name. `paired` are the
    values of pairs, where they are to be others: those of `values`, or thinner ones by default.
    """
    begin = {**START, **{name: _value(f"{said}start.{name}", name, v) for name, v in (start or {}).items()}}
    alone = _values(said, inside, values if values is not None else VALUES, begin)
    if not any(alone.values()):
        raise InputError(
            f"{_keys(said, inside, *(values or PARAMETERS))}: an empty grid: nothing but the start "
            f"({', '.join(f'{name} {value:g}' for name, value in begin.items())}) is asked for"
        )
    both: Mapping[str, tuple[float, ...]] = {}
    if pairs and paired is not None:
        both = _values(said, "pairs.", paired, begin)
    elif pairs:
        both = alone if values is not None else _values(said, "pairs.", PAIRED, begin)
    chosen = tuple(dict.fromkeys(_profile(_keys(said, "", "profile"), name) for name in profiles or PROFILES))
    made = Grid(alone, chosen, both, begin)
    count = _count(made)
    if count > MOST:
        raise InputError(
            f"{_keys(said, inside, *alone)}: a grid of {count:,} settings, more than {MOST:,}: "
            "give fewer values, or no pairs"
        )
    return made


def _keys(said: str, inside: str, *names: str) -> str:
    """How a message names options of Python, or keys of a file."""
    return "/".join(option(name) for name in names) if not said else f"{said}{inside}{'/'.join(names)}"


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
    said: str, inside: str, given: Mapping[str, Sequence[Any]], start: Mapping[str, float]
) -> dict[str, tuple[float, ...]]:
    """The values of each parameter in order, each once, without the start's."""
    out = {}
    for name in PARAMETERS:
        if name in given:
            found = {_value(_keys(said, inside, name), name, value) for value in given[name]}
            out[name] = tuple(sorted(found - {start[name]}))
    return out


def _value(said: str, parameter: str, value: Any) -> float:
    """A value that the parameter can have; BurstlensError that names it otherwise."""
    try:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"{said}: {_brief(value)} is not a finite number")
    if parameter != EXPONENT and not number > 0:
        raise InputError(f"{said}: {_brief(value)} is not above 0")
    if parameter == SHAPE and number < LEAST_SHAPE:
        raise InputError(
            f"{said}: {value!r} is below {LEAST_SHAPE:g}: nearly all requests would come at once"
        )
    return number


def _brief(value: Any) -> str:
    """A value as it was written, cut where it is endless."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _profile(said: str, name: Any) -> str:
    if name not in PROFILES:
        raise InputError(f"{said}: no profile {_brief(name)}; there are {', '.join(PROFILES)}")
    return str(name)


def read_grid(path: Path) -> Grid:
    """The grid of a TOML file; BurstlensError naming file, key and value where it is none.

    Every key may be left out: `[start]` with `shape`, `scale`, `exponent`; `profiles`, a list;
    `[values]` with a list of numbers for each parameter that is varied; `pairs`, which is `false` for none,
    `true`, or a table as `[values]` is one.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError.missing_file(path) from None
    except OSError as fault:
        raise DiskError.unreadable(path, fault) from fault
    except ValueError as fault:
        raise InputError(f"{shown(path)}: is not TOML: {fault}") from fault
    said = f"{shown(path)}: "
    _known(said, "", content, ("start", "profiles", "values", "pairs"))
    pairs = content.get("pairs", True)
    if not isinstance(pairs, bool | dict):
        raise InputError(f"{said}pairs: {_brief(pairs)} is neither true, false nor a table of values")
    profiles = content.get("profiles")
    if profiles is not None and not (isinstance(profiles, list) and profiles):
        raise InputError(f"{said}profiles: {_brief(profiles)} is not a list of {', '.join(PROFILES)}")
    for name in profiles or ():
        _profile(f"{said}profiles", name)
    return grid_of(
        _table(said, "values", content, lists=True),
        profiles=profiles,
        pairs=pairs is not False,
        paired=_table(said, "pairs", content, lists=True) if isinstance(pairs, dict) else None,
        start=_table(said, "start", content, lists=False),
        said=said,
        inside="values.",
    )


def _table(said: str, key: str, content: Mapping[str, Any], *, lists: bool) -> dict[str, Any] | None:
    """A table by parameter of a file, or None where there is none."""
    table = content.get(key)
    if table is None:
        return None
    if not isinstance(table, dict):
        raise InputError(f"{said}{key}: {_brief(table)} is not a table; write [{key}] and values under it")
    _known(said, f"{key}.", table, PARAMETERS)
    for name, value in table.items():
        if lists and not isinstance(value, list):
            raise InputError(f"{said}{key}.{name}: {_brief(value)} is not a list; write [0.2, 0.5, 1]")
    return table


def _known(said: str, inside: str, keys: Iterable[str], known: Sequence[str]) -> None:
    for key in keys:
        if key not in known:
            raise InputError(f"{said}{inside}{key}: no such key; there are {', '.join(known)}")
