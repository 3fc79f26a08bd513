"""What every answer about a trace has in common: values with intervals, tables, sentences.

Not the answers themselves (those are in the module that computes each), and nothing about drawing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TYPE_CHECKING, ClassVar

from .exhibit import Displayable, Exhibit

if TYPE_CHECKING:
    import polars as pl

Progress = Callable[[str, float], None]
"""Called with the name of the step at hand and the share of the whole that is done, 0 to 1."""


def silent(_step: str, _share: float) -> None:
    """A `Progress` that shows nothing."""


def number(value: float | None, digits: int = 3) -> str:
    """Format a number for prose, with thousands grouped.

    Parameters
    ----------
    value : float or None
        NaN and None are `unknown`.
    digits : int
        Significant digits of a number below 1,000.

    Returns
    -------
    str
    """
    if value is None or value != value:
        return "unknown"
    if abs(value) >= 1000 or value == int(value):
        text = f"{value:,.0f}"
    else:
        text = f"{value:.{digits}g}"
        text = f"{float(text):.8f}".rstrip("0").rstrip(".") if abs(value) >= 1e-5 else text
    return text.replace("-", "−")


def percent(share: float | None, digits: int = 3) -> str:
    """Format a share of 1 as per cent: `12.3 %`.

    Parameters
    ----------
    share : float or None
        NaN and None are `unknown`.
    digits : int
        Significant digits.

    Returns
    -------
    str
    """
    return "unknown" if share is None or share != share else f"{number(100 * share, digits)} %"


def listing(names: Sequence[str]) -> str:
    """Join names as prose: `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def short_time(seconds: float) -> str:
    """Format a time of seconds or less: `12.3 ms`, `4.5 s`."""
    return f"{number(seconds)} s" if abs(seconds) >= 1 else f"{number(1000 * seconds)} ms"


LEVEL = 0.95
"""Confidence level of every interval in the project."""
Z = NormalDist().inv_cdf(0.5 + LEVEL / 2)
"""Half width of an interval, in standard errors of a normal estimate."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence interval, both in the same unit."""

    value: float
    low: float
    high: float
    level: float = LEVEL

    def __format__(self, spec: str) -> str:
        """Format the three numbers with one `spec`: `value [low, high]`."""
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    def as_dict(self) -> dict[str, float]:
        """Plain numbers, as `report.json` and `parameters.json` hold them."""
        return {"value": self.value, "low": self.low, "high": self.high, "level": self.level}


def estimates(*names: str) -> dict[str, type[pl.Float64]]:
    """Schema of columns of estimates, each with the two ends of its interval."""
    import polars as pl

    return {f"{name}{end}": pl.Float64 for name in names for end in ("", "_low", "_high")}


@dataclass(frozen=True)
class Part(Displayable, ABC):
    """One answer about a trace; each part of the characterization derives from it.

    A subclass is a frozen dataclass; its other fields are frames, intervals and plain values.
    """

    name: ClassVar[str]
    """Short name in the field's words, used as anchor, key and file prefix: `arrivals`."""
    title: ClassVar[str] = ""
    """Heading of its section on a page; empty: made of the name."""
    lead: ClassVar[str] = ""
    """The line under that heading."""

    missing: tuple[str, ...]
    """One sentence for each thing that this trace does not show, and why; empty if it shows everything."""
    marks: tuple[str, ...] = field(default=(), kw_only=True)
    """Marks that every display of it shows next to its name: `synthetic`, `simulated`."""

    @abstractmethod
    def tables(self) -> dict[str, pl.DataFrame]:
        """The part's tables by short name, in the order in which a reader wants them."""

    @abstractmethod
    def sentences(self) -> list[str]:
        """What the part found, in plain sentences computed from the result, most important first."""

    def exhibit(self) -> Exhibit:
        """Its findings and lacks, and its tables."""
        title = self.name.replace("_", " ").capitalize()
        return Exhibit(title, self.marks, (*self.sentences(), *self.missing), self.tables())

    @classmethod
    def heading(cls) -> str:
        """The heading of its section on a page."""
        return cls.title or cls.name.replace("_", " ").capitalize()
