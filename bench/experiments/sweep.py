"""Shape, scale and Zipf exponent varied one at a time and in pairs (paper 5.2, Fig. 15): what does each do?

Every setting is compared with the start, and small steps of the shape with the step before, seed by seed.
Not here: which settings there are (`grid`), what each of them sends (`sweep_trials`), running them
(`trials`), pages.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from ...analysis.core.result import Part, number
from ..metrics.seeds import ONE_SEED
from .backends import MEASURES
from .contrast import (
    HIGHER,
    LOWER,
    NOISE,
    SAME,
    SHOWN_IN,
    UNTOLD,
    Contrast,
    contrast,
    means,
    shown,
    table,
)
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
    GridPoint,
    modes_of,
)
from .trials import Experiment, Label

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
"""How the two modes are told of a shape."""
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
        """One a parameter, then the differences from the start."""
        of = {name: self.of(name) for name in PARAMETERS}
        return {name: each for name, each in of.items() if each.height} | {"contrasts": self.contrasts}

    def of(self, parameter: str) -> pl.DataFrame:
        """Means of a parameter by `profile`, value and, of the shape, `mode`; the start is in each series.

        Where the mode is `equal rate` the scale is adapted; `sent_rps` is the rate that was sent.
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
        """One setting's measure against the start; None where there is none."""
        for labels, each in self.found:
            named = (labels["parameter"], labels["profile"], labels["mode"], labels[parameter])
            if named == (parameter, profile, mode, value) and each.measure == measure:
                return each
        return None

    def sentences(self) -> list[str]:
        """The start; each parameter over its range, constant, then linear and quadratic."""
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
        """Whether the failure rate rises by more than `SUDDEN`; None where its interval holds that."""
        ends = self.of["failure_rate"].difference
        if math.isnan(ends.low) or ends.low <= SUDDEN <= ends.high:
            return None
        return ends.low > SUDDEN

    def hardly(self, measure: str) -> bool | None:
        """Whether a measure moves by no more than `HARDLY`; None where its interval reaches over that."""
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
        """The steps."""
        return {"steps": self.contrasts}

    def steepest(self, mode: str) -> Step | None:
        """The step with the largest rise of the failure rate, of equals the one nearest to the start."""
        here = [s for s in self.steps if s.mode == mode and math.isfinite(s.of["failure_rate"].of)]

        def steepness(step: Step) -> tuple[float, float]:
            return step.of["failure_rate"].difference.value, -abs(math.log(step.above / self.start_shape))

        return max(here, key=steepness, default=None)

    def sentences(self) -> list[str]:
        """For each mode how many steps are sudden, then what the steepest one moved."""
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
        """The drifts."""
        return {"drifts": self.drifts}

    def drift(self, mode: str, profile: str, shape: float, measure: str, against: str) -> Contrast | None:
        """One of them; None where there is none."""
        wanted = {"mode": mode, "profile": profile, SHAPE: shape, "against": against}
        for labels, each in self.found:
            if each.measure == measure and dict(labels) == wanted:
                return each
        return None

    def lowest(self, mode: str, profile: str) -> float | None:
        """The smallest shape below the start that was gone to."""
        known = (
            float(labels[SHAPE] or 0.0)
            for labels, _ in self.found
            if (labels["mode"], labels["profile"]) == (mode, profile)
        )
        return min((value for value in known if value < self.start_shape), default=None)

    def degrades(self, mode: str, measure: str) -> bool | None:
        """Whether the deepest decline ends worse than it began, by more than the start drifts by itself."""
        shape = self.lowest(mode, LINEAR)
        if shape is None:
            return None
        both = [self.drift(mode, LINEAR, shape, measure, against) for against in AGAINST]
        words = [found.word if found else UNTOLD for found in both]
        if all(word == HIGHER for word in words):
            return True
        return None if {UNTOLD, NOISE} & set(words) else False

    def sentences(self) -> list[str]:
        """For each mode and profile, the deepest decline and dip."""
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
        """For each pair its heaviest constant setting, and whether both do more than each alone."""
        out: list[str] = []
        if self.means.is_empty():
            return out
        for (pair, mode), rows in self.means.group_by(["pair", "mode"], maintain_order=True):
            both = str(pair).split(WITH)
            off_axis = (pl.col(name) != self.start[name] for name in both)
            here = rows.filter(pl.col("profile") == CONSTANT, *off_axis).drop_nulls("kv_cache_use")
            if here.is_empty():
                continue
            row = here.sort("failure_rate", "kv_cache_use").row(-1, named=True)
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


def parts(experiment: Experiment) -> tuple[Varied, Steps, Thirds, Paired]:
    """What the trials say; a part that the grid does not touch is empty."""
    done, facts = experiment.trials, experiment.question.facts
    start = {name: float(facts["start"][name]) for name in PARAMETERS}
    missing: tuple[str, ...] = (ONE_SEED,) if len(experiment.question.seeds) < 2 else ()
    if not (done["failure_rate"].fill_null(0.0) > 0).any():
        missing += (NO_FAILURE,)
    alone = done.filter(~pl.col("parameter").str.contains(WITH, literal=True))
    names = list(GridPoint(ORIGIN, CONSTANT, FIXED_SCALE, **start).labels())
    settings = alone.filter(pl.col("parameter") != ORIGIN).select(names).unique(maintain_order=True)
    found = tuple(
        (row, contrast(alone, m, row, {"parameter": ORIGIN}))
        for row in settings.to_dicts()
        for m in COMPARED
        if alone[m].count()
    )
    averaged = means(alone, names) if alone.height else pl.DataFrame()
    varied = Varied(
        missing, averaged, table(found), found, _ends(alone, start), start, float(facts["factor"])
    )
    return varied, _steps(alone, start), _thirds(experiment, start), _paired(done, start)


def _ends(alone: pl.DataFrame, start: Mapping[str, float]) -> dict[str, Ends]:
    """For each parameter that was varied, the load at both ends of its range, the start among its values."""
    out = {}
    for name in PARAMETERS:
        labels: dict[str, Label] = {"parameter": name, "profile": CONSTANT, "mode": FIXED_SCALE}
        here = alone.filter(pl.col(key) == label for key, label in labels.items())
        if here.is_empty():
            continue
        values = [*here[name].to_list(), start[name]]
        sides: list[Mapping[str, Label]] = [
            {"parameter": ORIGIN} if value == start[name] else {**labels, name: value}
            for value in (max(values), min(values))
        ]
        out[name] = Ends(min(values), max(values), contrast(alone, "kv_cache_use", *sides))
    return out


def _steps(alone: pl.DataFrame, start: Mapping[str, float]) -> Steps:
    """Neighbouring shapes no further apart than `SMALL`."""
    out, rows = [], []
    begun = bool((alone["parameter"] == ORIGIN).any())
    for mode, profile in itertools.product(WAYS, (CONSTANT, QUADRATIC)):
        labels: dict[str, Label] = {"parameter": SHAPE, "mode": mode, "profile": profile}
        here = alone.filter(pl.col(key) == label for key, label in labels.items())
        values = sorted({*here[SHAPE].to_list(), *([start[SHAPE]] if begun and here.height else [])})
        for below, above in itertools.pairwise(values):
            if above - below > SMALL * above * (1 + 1e-9):
                continue
            sides: list[Mapping[str, Label]] = [
                {"parameter": ORIGIN} if value == start[SHAPE] else {**labels, SHAPE: value}
                for value in (below, above)
            ]
            of = {m: contrast(alone, m, *sides) for m in STEPPED}
            out.append(Step(mode, profile, above, below, of))
            named = {"mode": mode, "profile": profile, "from_shape": above, "to_shape": below}
            rows += [(named, each) for each in of.values()]
    return Steps((), tuple(out), table(rows), start[SHAPE])


def _thirds(experiment: Experiment, start: Mapping[str, float]) -> Thirds:
    """The last third of each kept course against the first, and against what the start does."""
    if experiment.courses.is_empty():
        return Thirds((), table([]), (), start[SHAPE])
    by = ["parameter", "mode", "profile", SHAPE, "seed"]
    measured = pl.DataFrame(
        [
            {**dict(zip(by, key, strict=True)), "third": third, **values}
            for key, course in experiment.courses.group_by(by, maintain_order=True)
            for third, values in thirds_of(course).items()
        ],
        infer_schema_length=None,
        schema_overrides=dict.fromkeys(THIRDS, pl.Float64),
    )
    first, last = (measured.filter(pl.col("third") == third) for third in ("first", "last"))
    drift = last.join(first, on=by, suffix="_first").select(
        *by, *(pl.col(m) - pl.col(f"{m}_first") for m in THIRDS)
    )
    own = measured.filter(pl.col("parameter") == SHAPE)
    found: list[tuple[Mapping[str, Label], Contrast]] = []
    for row in own.select("mode", "profile", SHAPE).unique(maintain_order=True).to_dicts():
        for m in THIRDS:
            ended = contrast(own, m, {**row, "third": "last"}, {**row, "third": "first"})
            beyond = contrast(drift, m, {"parameter": SHAPE, **row}, {"parameter": ORIGIN})
            found += [({**row, "against": FIRST_THIRD}, ended), ({**row, "against": START_DRIFT}, beyond)]
    return Thirds((), table(found), tuple(found), start[SHAPE])


def thirds_of(course: pl.DataFrame) -> dict[str, dict[str, float | None]]:
    """Measures of `THIRDS` in the `first` and the `last` third of the time in which a course sends."""
    sending = course.filter(pl.col("sent") > 0)["at_s"]
    if sending.is_empty():
        return {}
    begin, span_s = float(sending[0]), float(sending[-1] - sending[0])
    out = {}
    for third, low, high in (("first", 0, 1), ("last", 2, 3)):
        rows = course.filter(pl.col("at_s").is_between(begin + span_s * low / 3, begin + span_s * high / 3))
        known = rows.drop_nulls("token_latency_s")
        sent, tokens = float(rows["sent"].sum()), float(known["throughput_tps"].sum())
        waited = float((known["token_latency_s"] * known["throughput_tps"]).sum())
        out[third] = {
            "token_latency_s": waited / tokens if tokens else None,
            "throughput_tps": _mean(rows["throughput_tps"]),
            "failure_rate": float(rows["failed"].sum()) / sent if sent else None,
            "kv_cache_use": _mean(rows["kv_cache_use"]),
        }
    return out


def _mean(values: pl.Series) -> float | None:
    mean = values.mean()
    return float(mean) if isinstance(mean, int | float) else None


def _paired(done: pl.DataFrame, start: Mapping[str, float]) -> Paired:
    """Every pair with its axes: the settings that vary one of the two, and the start."""
    frames, found = [], []
    own = done.filter(pl.col("parameter").str.contains(WITH, literal=True))
    for (pair, mode, profile), here in own.group_by(["parameter", "mode", "profile"], maintain_order=True):
        both = str(pair).split(WITH)
        axes = [done.filter(pl.col("parameter") == ORIGIN)]
        for name in both:
            # A parameter that has no equal rate of its own is the same in both modes.
            axes.append(
                done.filter(
                    pl.col("parameter") == name,
                    pl.col("mode") == (mode if mode in modes_of((name,)) else FIXED_SCALE),
                    pl.col("profile") == profile,
                    pl.col(name).is_in(here[name].unique().to_list()),
                )
            )
        named = {"pair": pair, "mode": mode, "profile": profile}
        frame = pl.concat([here, *axes]).with_columns(pl.lit(v).alias(k) for k, v in named.items())
        frames.append(frame)
        found += _interactions(frame, both, start)
    if not frames:
        return Paired((), pl.DataFrame(), table([]), (), start)
    order = RANK | {pair: i for i, pair in enumerate(dict.fromkeys(own["parameter"]))}
    names = ("pair", "mode", "profile")
    ranks = (pl.col(name).replace_strict(order, return_dtype=pl.Int64) for name in names)
    cells = means(pl.concat(frames), [*names, *PARAMETERS]).sort(*ranks, *PARAMETERS)
    return Paired((), cells, table(found), tuple(found), start)


def _interactions(
    frame: pl.DataFrame, both: Sequence[str], start: Mapping[str, float]
) -> list[tuple[Mapping[str, Label], Contrast]]:
    """For each cell off the axes: both together against the sum of the changes by each alone, by seed."""
    a, b = both
    at_a, at_b = pl.col(a) == start[a], pl.col(b) == start[b]
    cells = (
        frame.filter(~at_a, ~at_b)
        .join(frame.filter(~at_a, at_b), on=[a, "seed"], suffix="_a")
        .join(frame.filter(at_a, ~at_b), on=[b, "seed"], suffix="_b")
        .join(frame.filter(at_a, at_b), on="seed", suffix="_start")
    )
    alone = [(pl.col(f"{m}_a") + pl.col(f"{m}_b") - pl.col(f"{m}_start")).alias(m) for m in INTERACTING]
    out: list[tuple[Mapping[str, Label], Contrast]] = []
    for _, rows in cells.group_by([a, b], maintain_order=True):
        sides = pl.concat(
            rows.select("seed", pl.lit(side).alias("side"), *columns)
            for side, columns in (("together", [pl.col(m) for m in INTERACTING]), ("alone", alone))
        )
        labels = rows.select("pair", "mode", "profile", *PARAMETERS).row(0, named=True)
        out += [(labels, contrast(sides, m, {"side": "together"}, {"side": "alone"})) for m in INTERACTING]
    return out


def statements(varied: Varied, steps: Steps, thirds: Thirds) -> dict[str, bool | None]:
    """What the paper says of α, β and λ: holds, does not, or None where noise hides it or it was not run."""
    out: dict[str, bool | None] = {}
    for mode in WAYS:
        here = [s.sudden() for s in steps.steps if s.mode == mode]
        steep = steps.steepest(mode)
        out[f"a change of α by at most {100 * SMALL:g} % brings sudden failures ({mode})"] = (
            True if any(here) else False if here and None not in here else None
        )
        for words, m in (("mean latency", "token_latency_s"), ("throughput", "throughput_tps")):
            out[f"the small change of α with most new failures hardly moves {words} ({mode})"] = (
                steep.hardly(m) if steep else None
            )
        for words, m in (("latency", "token_latency_s"), ("failures", "failure_rate")):
            out[f"a linear decline of α ends with more {words} ({mode})"] = thirds.degrades(mode, m)
    for claim, parameter, word in (
        ("a larger β as a rate (a smaller scale)", SCALE, LOWER),
        ("a larger β as a scale", SCALE, HIGHER),
        ("a smaller λ", EXPONENT, LOWER),
    ):
        ends = varied.ends.get(parameter)
        decided = ends is not None and ends.found.word in (HIGHER, LOWER, SAME)
        out[f"{claim} loads more"] = ends.found.word == word if ends and decided else None
    return out


def value(varied: Varied, steps: Steps, thirds: Thirds) -> str:
    """The measured values of the statements, with their intervals."""
    out = []
    for mode in WAYS:
        steep = steps.steepest(mode)
        if steep:
            moves = ", ".join(f"{MEASURES[m][0]} {shown(steep.of[m])}" for m in STEPPED)
            out.append(
                f"α {number(steep.above)} → {number(steep.below)} ({mode}, {steep.profile}, the small change "
                f"with most new failures): {moves}"
            )
        shape = thirds.lowest(mode, LINEAR)
        for m in ("token_latency_s", "failure_rate"):
            found = None if shape is None else thirds.drift(mode, LINEAR, shape, m, FIRST_THIRD)
            if found:
                out.append(
                    f"α declining to {number(shape)} ({mode}), last third against first: {MEASURES[m][0]} "
                    f"{shown(found)}"
                )
    for parameter, words in ((SCALE, "β as a scale"), (EXPONENT, "λ")):
        ends = varied.ends.get(parameter)
        if ends:
            out.append(
                f"{words} {number(ends.largest)} against {number(ends.smallest)}: KV-cache use "
                f"{shown(ends.found)}"
            )
    return "; ".join(out)
