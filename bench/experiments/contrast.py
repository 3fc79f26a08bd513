"""What trials over several seeds say: means with intervals, and differences beyond noise.

The seeds of two settings are paired: seed k of one and of the other share what a seed decides, so that their
difference has less noise than either. Intervals are Student's, over seeds. Not here: what is compared with
what (the module of each experiment).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from ...analysis.core.arrays import Array
from ...analysis.core.result import Interval, estimates, number
from ...analysis.core.verdicts import CANNOT_TELL, HIGHER, LOWER
from ..metrics.seeds import mean_over_seeds
from .backends import MEASURES
from .trials import Label

SEED = "seed"
SAME, NOISE = "the same", "within noise"
"""What a difference is called: by its interval, `the same` if no seed differs at all, or
`cannot tell` if a single seed gives no interval."""

NUMBERS = ("of", "against", "difference", "difference_low", "difference_high", "relative")
"""Columns of numbers of a table of contrasts."""


@dataclass(frozen=True)
class Contrast:
    """One measure of one setting against that of another, seed by seed."""

    measure: str
    of: float
    """Mean over the seeds that both have."""
    against: float
    difference: Interval
    seeds: int

    @property
    def word(self) -> str:
        """`higher`, `lower`, `the same`, `within noise` or `cannot tell`."""
        low, high = self.difference.low, self.difference.high
        if math.isnan(low) or math.isnan(high):
            return CANNOT_TELL
        if low == high == 0:
            return SAME
        return HIGHER if low > 0 else LOWER if high < 0 else NOISE

    @property
    def relative(self) -> float:
        """The difference as a share of what is compared with; NaN if that is zero."""
        return self.difference.value / abs(self.against) if self.against else math.nan


def contrast(
    trials: pl.DataFrame, measure: str, of: Mapping[str, Label], against: Mapping[str, Label]
) -> Contrast:
    """Compare a measure of trials with that of others, paired by seed.

    Parameters
    ----------
    trials
        One row a trial: labels and measures.
    measure
        Column of the measure.
    of, against
        Labels of the trials on either side.

    Returns
    -------
    Contrast
        Both means, and the mean difference over the seeds that both sides have.
    """
    one, other = (_where(trials, labels).select(SEED, measure).drop_nulls() for labels in (of, against))
    both = one.join(other, on=SEED, suffix="_other").drop_nulls()
    a, b = both[measure].to_numpy(), both[f"{measure}_other"].to_numpy()
    return Contrast(measure, _mean(a), _mean(b), mean_over_seeds(a - b), both.height)


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else math.nan


def _where(trials: pl.DataFrame, labels: Mapping[str, Label]) -> pl.DataFrame:
    for name, value in labels.items():
        trials = trials.filter(pl.col(name).is_null() if value is None else pl.col(name) == value)
    return trials


def means(trials: pl.DataFrame, by: Sequence[str], measures: Sequence[str] = tuple(MEASURES)) -> pl.DataFrame:
    """Average every measure over the seeds of each setting.

    Parameters
    ----------
    trials
        One row a trial: labels and measures.
    by
        Labels that make a setting.
    measures
        Columns of the measures.

    Returns
    -------
    pl.DataFrame
        One row a setting: `by`, `seeds`, then `m`, `m_low` and `m_high` of each measure m.
    """
    rows = []
    for key, group in trials.group_by(by, maintain_order=True):
        row: dict[str, object] = {**dict(zip(by, key, strict=True)), "seeds": group.height}
        for name in measures:
            interval = mean_over_seeds(group[name].drop_nulls().to_numpy())
            for end, value in (("", interval.value), ("_low", interval.low), ("_high", interval.high)):
                row[f"{name}{end}"] = value if math.isfinite(value) else None
        rows.append(row)
    return pl.DataFrame(rows, schema_overrides=estimates(*measures), infer_schema_length=None)


def table(contrasts: Sequence[tuple[Mapping[str, Label], Contrast]]) -> pl.DataFrame:
    """Contrasts as a table: what names each, then measure, both means, difference, relative, word."""
    schema = {
        "measure": pl.String,
        **dict.fromkeys(NUMBERS, pl.Float64),
        "seeds": pl.Int64,
        "word": pl.String,
    }
    rows = []
    for names, each in contrasts:
        numbers = {
            "of": each.of,
            "against": each.against,
            "difference": each.difference.value,
            "difference_low": each.difference.low,
            "difference_high": each.difference.high,
            "relative": each.relative,
        }
        known = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
        rows.append({**names, "measure": each.measure, **known, "seeds": each.seeds, "word": each.word})
    return pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None)


@dataclass(frozen=True)
class PairedContrast:
    """One setting against another in one measure, among the trials of one place, such as a rate."""

    at: Label
    of: str
    against: str
    found: Contrast


@dataclass(frozen=True)
class PairedContrasts:
    """Settings set against each other, two and two, at each place."""

    place: str
    """Label of the places."""
    setting: str
    """Label of the settings."""
    all: tuple[PairedContrast, ...]

    @classmethod
    def of_trials(
        cls,
        trials: pl.DataFrame,
        place: str,
        setting: str,
        pairs: Sequence[tuple[str, str]],
        measures: Sequence[str],
    ) -> PairedContrasts:
        """Compare the pairs of settings that were run, in every measure that a place has.

        Parameters
        ----------
        trials
            One row a trial: labels and measures.
        place
            Label of the places in which settings are compared.
        setting
            Label of the settings.
        pairs
            Settings to compare, each with the one against which.
        measures
            Columns of the measures.
        """
        found = []
        for at in trials[place].unique(maintain_order=True) if trials.height else []:
            here = trials.filter(pl.col(place) == at)
            run = set(here[setting])
            found += [
                PairedContrast(at, of, against, contrast(here, measure, {setting: of}, {setting: against}))
                for of, against in pairs
                if {of, against} <= run
                for measure in measures
                if here[measure].count()
            ]
        return cls(place, setting, tuple(found))

    def of(self, at: Label, of: str, against: str, measure: str) -> Contrast | None:
        """Find one contrast.

        Parameters
        ----------
        at
            The place.
        of, against
            The settings on either side.
        measure
            The measure.

        Returns
        -------
        Contrast or None
            None if it was not run.
        """
        for pair in self.all:
            if (pair.at, pair.of, pair.against, pair.found.measure) == (at, of, against, measure):
                return pair.found
        return None

    def table(self) -> pl.DataFrame:
        """Tabulate the place, the setting, `compared_with`, then the columns of `table`."""
        return table(
            [
                ({self.place: pair.at, self.setting: pair.of, "compared_with": pair.against}, pair.found)
                for pair in self.all
            ]
        )


def shown(found: Contrast) -> str:
    """`25.2 against 24.2 ms, difference 1 [0.4, 1.6]`, in units for people."""
    factor, unit = SHOWN_IN.get(MEASURES[found.measure][1], (1.0, MEASURES[found.measure][1]))
    ends = [number(factor * end) for end in (found.difference.low, found.difference.high)]
    text = f"{number(factor * found.of)} against {number(factor * found.against)} {unit}".rstrip()
    return f"{text}, difference {number(factor * found.difference.value)} [{ends[0]}, {ends[1]}]"


SHOWN_IN = {"s": (1000.0, "ms"), "share": (100.0, "%")}
"""Units in which measures are shown, and the factors of their values."""
