"""What the trials of a sweep say: a part for each question, with its tables and sentences.

Not here: how the parts are computed from trials (`sweep`), pages.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from ...analysis.core.result import Part, number
from ...analysis.core.verdicts import CANNOT_TELL, HIGHER
from .backends import MEASURES
from .contrast import NOISE, SHOWN_IN, Contrast, shown
from .grid import (
    CONSTANT,
    EQUAL,
    EXPONENT,
    FIXED_SCALE,
    LINEAR,
    ORIGIN,
    PARAMETERS,
    QUADRATIC,
    SCALE,
    SHAPE,
    WITH,
    modes_of,
)
from .trials import Label

SMALL = 0.2
"""A change of the shape by no more than this share of the larger value is small."""
SUDDEN = 0.05
"""A rise of the failure rate by more than this within a small change is sudden."""
HARDLY = 0.1
"""A measure that changes by no more than this share hardly moves."""
COMPARED = (
    "token_latency_s",
    "token_latency_p90_s",
    "e2e_s",
    "e2e_p90_s",
    "throughput_tps",
    "failure_rate",
    "kv_cache_use",
    "kv_cache_peak",
)
IN_SENTENCES = {
    "token_latency_s": "token latency",
    "e2e_p90_s": "p90 end to end",
    "throughput_tps": "throughput",
    "failure_rate": "failures",
}
"""What sentences name, in short words."""
LOADED = {"kv_cache_use": "KV-cache use"} | IN_SENTENCES
STEPPED = ("failure_rate", "token_latency_s", "throughput_tps")
THIRDS = ("token_latency_s", "throughput_tps", "failure_rate", "kv_cache_use")
"""Measured in the first and in the last third of a run."""
INTERACTING = ("token_latency_s", "throughput_tps", "failure_rate")
"""Measures for which two parameters together are set against the sum of each alone."""
WAYS = {
    FIXED_SCALE: "scale held, so a smaller shape is also a higher rate",
    EQUAL: "equal rate, the scale adapted: burstiness alone",
}
"""Words for the two modes of a shape."""
HOW = {
    SCALE: "β as a scale; as a rate, β is 1/scale",
    EXPONENT: "a larger one makes shorter prompts and answers",
}
PROFILE_WORDS = {
    CONSTANT: "constant",
    LINEAR: "falling in a line between start and value",
    QUADRATIC: "from the start to the value at half time and back",
}
RANK = {name: i for i, name in enumerate((FIXED_SCALE, EQUAL, CONSTANT, LINEAR, QUADRATIC))}
"""The order in which tables list modes and profiles."""
NO_FAILURE = (
    "No request failed in any trial, so failures were not put to the test: lower the limit of queued "
    "requests or the time limit, or raise the KV-cache use."
)

NamedContrasts = tuple[tuple[Mapping[str, Label], Contrast], ...]
"""Contrasts with what names each."""


@dataclass(frozen=True)
class Ends:
    """KV-cache use at the largest value of a parameter, held constant, against that at the smallest."""

    smallest: float
    largest: float
    found: Contrast


@dataclass(frozen=True)
class Varied(Part):
    """Each parameter alone: every setting's means, and how it differs from the start."""

    name: ClassVar[str] = "parameters"
    title: ClassVar[str] = "What each parameter does"
    lead: ClassVar[str] = "One varied at a time from the paper’s start, its Fig. 15."

    means: pl.DataFrame
    """One row a setting that varies at most one parameter: its labels, then means over seeds."""
    contrasts: pl.DataFrame
    """One row a setting and measure, against the start (see `contrast.table`)."""
    found: NamedContrasts
    ends: Mapping[str, Ends]
    start: Mapping[str, float]
    factor: float
    """What every scale is multiplied by."""

    def tables(self) -> dict[str, pl.DataFrame]:
        """Give a table for each parameter, then the differences from the start."""
        of = {name: self.of(name) for name in PARAMETERS}
        return {name: each for name, each in of.items() if each.height} | {"contrasts": self.contrasts}

    def of(self, parameter: str) -> pl.DataFrame:
        """Means of a parameter by `profile`, value and, of the shape, `mode`; the start is in each series.

        If the mode is `equal rate` the scale is adapted; `sent_rps` is the rate that was sent.
        """
        if self.means.is_empty():
            return self.means
        own = self.means.filter(pl.col("parameter") == parameter)
        begin = self.means.filter(pl.col("parameter") == ORIGIN)
        series = own.select("profile", "mode").unique(maintain_order=True)
        begun = begin.drop("profile", "mode").join(series, how="cross")
        order = ("mode", "profile") if len(modes_of((parameter,))) > 1 else ("profile",)
        measures = [c for c in own.columns if c not in ("parameter", "mode", "profile", *PARAMETERS)]
        both = pl.concat(each.select(*order, parameter, *measures) for each in (own, begun))
        ranks = (pl.col(name).replace_strict(RANK, return_dtype=pl.Int64) for name in order)
        return both.sort(*ranks, parameter)

    def differs(self, parameter: str, profile: str, mode: str, value: float, measure: str) -> Contrast | None:
        """Find a setting's contrast against the start.

        Parameters
        ----------
        parameter
            The parameter that varies.
        profile, mode
            How it varies, and a key of `WAYS`.
        value
            Its value.
        measure
            The measure.

        Returns
        -------
        Contrast or None
            None if it was not run.
        """
        for labels, each in self.found:
            named = (labels["parameter"], labels["profile"], labels["mode"], labels[parameter])
            if named == (parameter, profile, mode, value) and each.measure == measure:
                return each
        return None

    def sentences(self) -> list[str]:
        """Say the start; then each parameter over its range, constant, then linear and quadratic."""
        out = [self._begun()]
        for profile in PROFILE_WORDS:
            for parameter in PARAMETERS:
                out += [self._range(parameter, profile, mode) for mode in modes_of((parameter,))]
        return [sentence for sentence in out if sentence]

    def _begun(self) -> str:
        rows = self.means.filter(pl.col("parameter") == ORIGIN) if self.means.height else self.means
        if rows.is_empty():
            return ""
        row = rows.row(0, named=True)
        values = ", ".join(f"{name} {number(self.start[name])}" for name in PARAMETERS)
        amounts = ", ".join(f"{words} {_amount(m, row[m])}" for m, words in LOADED.items())
        return (
            f"The start ({values}), a scale of 1 being {number(self.factor, 4)} s: "
            f"{number(row['sent_rps'])} requests/s, {amounts}."
        )

    def _range(self, parameter: str, profile: str, mode: str) -> str:
        """A parameter from its smallest to its largest value, and what differs from the start at the ends."""
        own = self.of(parameter)
        if own.is_empty():
            return ""
        here = own.filter(pl.col("profile") == profile)
        here = here.filter(pl.col("mode") == mode) if "mode" in here.columns else here
        if here.height < 2:
            return ""
        ends = [here.row(at, named=True) for at in (0, -1)]
        amounts = [
            f"{words} {' → '.join(_amount(m, end[m]) for end in ends)}" for m, words in IN_SENTENCES.items()
        ]
        how = WAYS[mode] if parameter == SHAPE else HOW[parameter]
        against = [self._against(parameter, profile, mode, end[parameter]) for end in ends]
        return (
            f"{parameter} {' → '.join(number(end[parameter]) for end in ends)}, {PROFILE_WORDS[profile]} "
            f"({how}): {', '.join(amounts)}. Against the start, "
            f"{'; '.join(text for text in against if text)}."
        )

    def _against(self, parameter: str, profile: str, mode: str, value: float) -> str:
        """What is higher, lower or neither at a value."""
        by_word: dict[str, list[str]] = {}
        for m, words in IN_SENTENCES.items():
            found = self.differs(parameter, profile, mode, value, m)
            if found:
                by_word.setdefault(found.word, []).append(words)
        differences = ", ".join(f"{' and '.join(names)} {word}" for word, names in by_word.items())
        return f"at {number(value)} {differences}" if differences else ""


def _amount(measure: str, value: float | None) -> str:
    """A value with its unit, for people: seconds from one second on."""
    own = MEASURES[measure][1]
    factor, unit = (1.0, own) if own == "s" and (value or 0.0) >= 1 else SHOWN_IN.get(own, (1.0, own))
    return f"{number(None if value is None else factor * value)} {unit}".rstrip()


@dataclass(frozen=True)
class Step:
    """One small change of the shape, from a larger to the next smaller value."""

    mode: str
    profile: str
    above: float
    below: float
    of: Mapping[str, Contrast]
    """By measure of `STEPPED`: at the smaller shape against at the larger."""

    def sudden(self) -> bool | None:
        """Check whether the failure rate rises by more than `SUDDEN`; None if its interval includes that."""
        ends = self.of["failure_rate"].difference
        if math.isnan(ends.low) or ends.low <= SUDDEN <= ends.high:
            return None
        return ends.low > SUDDEN

    def hardly(self, measure: str) -> bool | None:
        """Check whether a measure moves by at most `HARDLY`; None if its interval reaches beyond that."""
        found = self.of[measure]
        if math.isnan(found.difference.low) or not found.against > 0:
            return None
        low, high = (end / found.against for end in (found.difference.low, found.difference.high))
        if low >= -HARDLY and high <= HARDLY:
            return True
        return False if low > HARDLY or high < -HARDLY else None


@dataclass(frozen=True)
class Steps(Part):
    """Small changes of the shape, each setting against its neighbour."""

    name: ClassVar[str] = "steps"
    title: ClassVar[str] = "Small steps of the shape"
    lead: ClassVar[str] = "Each shape against the next larger one, at most 20 % away."

    steps: tuple[Step, ...]
    contrasts: pl.DataFrame
    """`mode`, `profile`, `from_shape`, `to_shape`, then as `contrast.table` has it."""
    start_shape: float

    def tables(self) -> dict[str, pl.DataFrame]:
        """Give the steps."""
        return {"steps": self.contrasts}

    def steepest(self, mode: str) -> Step | None:
        """Find the step with the largest rise of the failure rate, of equals the one nearest to the start."""
        here = [s for s in self.steps if s.mode == mode and math.isfinite(s.of["failure_rate"].of)]

        def steepness(step: Step) -> tuple[float, float]:
            return step.of["failure_rate"].difference.value, -abs(math.log(step.above / self.start_shape))

        return max(here, key=steepness, default=None)

    def sentences(self) -> list[str]:
        """Say for each mode how many steps are sudden, then what the steepest one moved."""
        out = []
        for mode, way in WAYS.items():
            here = [s for s in self.steps if s.mode == mode]
            steep = self.steepest(mode)
            if steep is None:
                continue
            count = sum(s.sudden() is True for s in here)
            moves = "; ".join(f"{MEASURES[m][0]} {shown(steep.of[m])}" for m in STEPPED)
            out += [
                f"Shape ({way}): {count or 'none'} of {len(here)} changes by at most {100 * SMALL:g} % "
                f"raises the failure rate by more than {100 * SUDDEN:g} points beyond noise.",
                f"The steepest ({mode}, {steep.profile}), shape {number(steep.above)} → "
                f"{number(steep.below)}: {moves}.",
            ]
        return out


FIRST_THIRD, START_DRIFT = AGAINST = ("its first third", "the start's drift")
"""What a last third is compared with: the run's own first third; and how much more it gained on that than the
start does, whose first third is better too since the server begins empty."""


@dataclass(frozen=True)
class Thirds(Part):
    """How the shape's linear declines and temporary dips go on: the last third of a run against the first."""

    name: ClassVar[str] = "thirds"
    title: ClassVar[str] = "How it goes on"
    lead: ClassVar[str] = "The last third of a run against the first, where the shape varies over time."

    drifts: pl.DataFrame
    """`mode`, `profile`, `shape`, `against` (see `AGAINST`), then as `contrast.table` has it. Latency weighs
    seconds by their tokens; failures are those of the third over what was sent in it."""
    found: NamedContrasts
    start_shape: float

    def tables(self) -> dict[str, pl.DataFrame]:
        """Give the drifts."""
        return {"drifts": self.drifts}

    def drift(self, mode: str, profile: str, shape: float, measure: str, against: str) -> Contrast | None:
        """Find a contrast of the last third.

        Parameters
        ----------
        mode, profile
            Key of `WAYS`, and how the shape varies.
        shape
            The shape that it varies to.
        measure
            The measure.
        against
            One of `AGAINST`.

        Returns
        -------
        Contrast or None
            None if it was not run.
        """
        wanted = {"mode": mode, "profile": profile, SHAPE: shape, "against": against}
        for labels, each in self.found:
            if each.measure == measure and dict(labels) == wanted:
                return each
        return None

    def lowest(self, mode: str, profile: str) -> float | None:
        """Find the smallest shape below the start to which a load went.

        Parameters
        ----------
        mode, profile
            Key of `WAYS`, and how the shape varies.

        Returns
        -------
        float or None
            None if no load went below the start.
        """
        known = (
            float(labels[SHAPE] or 0.0)
            for labels, _ in self.found
            if (labels["mode"], labels["profile"]) == (mode, profile)
        )
        return min((value for value in known if value < self.start_shape), default=None)

    def degrades(self, mode: str, measure: str) -> bool | None:
        """Judge whether the deepest decline ends worse than it began, by more than the start drifts.

        Parameters
        ----------
        mode
            Key of `WAYS`.
        measure
            The measure.

        Returns
        -------
        bool or None
            None if noise hides it or it was not run.
        """
        shape = self.lowest(mode, LINEAR)
        if shape is None:
            return None
        both = [self.drift(mode, LINEAR, shape, measure, against) for against in AGAINST]
        words = [found.word if found else CANNOT_TELL for found in both]
        if all(word == HIGHER for word in words):
            return True
        return None if {CANNOT_TELL, NOISE} & set(words) else False

    def sentences(self) -> list[str]:
        """Say the deepest decline and dip of each mode and profile."""
        out = []
        for mode, profile in itertools.product(WAYS, (LINEAR, QUADRATIC)):
            shape = self.lowest(mode, profile)
            if shape is None:
                continue
            found = [
                self.drift(mode, profile, shape, m, FIRST_THIRD)
                for m in ("token_latency_s", "failure_rate", "throughput_tps")
            ]
            drifts = [f"{MEASURES[each.measure][0]} {shown(each)}" for each in found if each]
            how = "declining in a line" if profile == LINEAR else "dipping at half time and coming back"
            out.append(
                f"Shape {how}, {number(self.start_shape)} and {number(shape)} ({mode}), last third of the "
                f"run against the first: {'; '.join(drifts)}."
            )
        return out


@dataclass(frozen=True)
class Paired(Part):
    """Two parameters at a time, with the settings that vary one of them as the axes."""

    name: ClassVar[str] = "pairs"
    title: ClassVar[str] = "Two at a time"
    lead: ClassVar[str] = "What both do together, and what that is beyond the sum of both alone."

    means: pl.DataFrame
    """`pair`, `mode`, `profile`, `shape`, `scale`, `exponent`, then means over seeds."""
    interactions: pl.DataFrame
    """`pair`, `mode`, `profile`, the values, then as `contrast.table` has it: the change by both together
    against the sum of the changes by each alone."""
    found: NamedContrasts
    start: Mapping[str, float]

    def tables(self) -> dict[str, pl.DataFrame]:
        """Means and interactions."""
        return {"means": self.means, "interactions": self.interactions}

    def sentences(self) -> list[str]:
        """Say for each pair its heaviest constant setting, and whether both do more than each alone."""
        out: list[str] = []
        if self.means.is_empty():
            return out
        for (pair, mode), rows in self.means.group_by(["pair", "mode"], maintain_order=True):
            both = str(pair).split(WITH)
            off_axis = (pl.col(name) != self.start[name] for name in both)
            here = rows.filter(pl.col("profile") == CONSTANT, *off_axis).drop_nulls("kv_cache_use")
            if here.is_empty():
                continue
            row = here.sort("failure_rate", "kv_cache_use", maintain_order=True).row(-1, named=True)
            at = " and ".join(f"{name} {number(row[name])}" for name in both)
            amounts = ", ".join(f"{words} {_amount(m, row[m])}" for m, words in LOADED.items())
            out.append(f"{pair}, {mode}, heaviest at {at}: {amounts}{self._more(row)}.")
        return out

    def _more(self, row: Mapping[str, Any]) -> str:
        """What the two do together beyond the sum of each alone."""
        wanted = {name: row[name] for name in ("pair", "mode", "profile", *PARAMETERS)}
        differences = [
            f"{IN_SENTENCES[each.measure]} {each.word}" for labels, each in self.found if labels == wanted
        ]
        return f"; beyond the sum of both alone: {', '.join(differences)}" if differences else ""
