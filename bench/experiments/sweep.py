"""Shape, scale and Zipf exponent varied one at a time and in pairs (paper 5.2, Fig. 15): what does each do?

Every setting is compared with the start, and small steps of the shape with the step before, seed by seed.
Not here: what the parts say (`sweep_parts`), which settings there are (`grid`), what each of them sends
(`sweep_trials`), running them (`trials`), pages.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import polars as pl

from ...analysis.core.result import number
from ...analysis.core.verdicts import HIGHER, LOWER
from ..metrics.seeds import ONE_SEED
from .backends import MEASURES
from .contrast import SAME, Contrast, contrast, means, shown, table
from .facts import SweepFacts
from .grid import (
    CONSTANT,
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
from .sweep_parts import (
    COMPARED,
    FIRST_THIRD,
    INTERACTING,
    NO_FAILURE,
    RANK,
    SMALL,
    START_DRIFT,
    STEPPED,
    THIRDS,
    WAYS,
    Ends,
    Paired,
    Step,
    Steps,
    Thirds,
    Varied,
)
from .trials import Experiment, Label


def parts(experiment: Experiment) -> tuple[Varied, Steps, Thirds, Paired]:
    """Make the parts of the findings; a part that the grid does not touch is empty."""
    done, facts = experiment.trials, experiment.question.typed_facts(SweepFacts)
    start = {name: facts.start[name] for name in PARAMETERS}
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
    varied = Varied(missing, averaged, table(found), found, _ends(alone, start), start, facts.factor)
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
    """Compare neighbouring shapes that differ by at most `SMALL`."""
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
    """Compare the last third of each course with the first, and that with the start's."""
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
    """Judge what the paper says of α, β and λ.

    Parameters
    ----------
    varied, steps, thirds
        The parts of the sweep.

    Returns
    -------
    dict
        By statement: it holds (True), does not (False), or noise hides it or it was not run (None).
    """
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
    """Write the measured values of the statements, with their intervals.

    Parameters
    ----------
    varied, steps, thirds
        The parts of the sweep.
    """
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
