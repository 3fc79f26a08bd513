"""What each figure draws: marks, columns on axes, domains that hold the data, the part's numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from burstlens.analysis.characterize import Characterization
from burstlens.analysis.compare.side_by_side import compare_traces
from burstlens.analysis.core.result import Part
from burstlens.analysis.forecast.part import Forecasts
from burstlens.analysis.trace.trace import Trace
from burstlens.analysis.traffic.arrivals import Arrivals
from burstlens.analysis.traffic.window_lengths import describe_sequences
from burstlens.api.disaggregate import read as read_search
from burstlens.bench.experiments import sweep
from burstlens.bench.experiments.findings import findings
from burstlens.bench.experiments.grid import grid_of
from burstlens.bench.experiments.trials import read
from burstlens.bench.metrics.summary import write_summary
from burstlens.reports.figures import theme
from burstlens.reports.figures.base import Figure
from burstlens.reports.figures.registry import figures_of
from burstlens.reports.parts.run import parts as run_parts
from tests.helpers import burstlens
from tests.reports.figures.test_sweep import planted_experiment


@dataclass(frozen=True)
class Expected:
    """What a figure has to draw."""

    marks: str
    """Kinds of marks, in alphabetical order."""
    x: str
    y: str
    colour: str
    numbers: str = ""
    """`column=column of the part's table`, or one name for both; a factor may follow (`ms=s*1000`)."""


EXPECTED = {
    "volume/shares": Expected("bar text", "share", "selection", "selection"),
    "volume/rates": Expected(
        "point rule", "rate_rps", "selection", "selection", "rate_rps rate_rps_low rate_rps_high n"
    ),
    "periodicity/hourly": Expected("area", "time", "requests", "selection", "requests=n"),
    "periodicity/calendar": Expected("rect text", "weekday", "week", "share", "requests=n"),
    "periodicity/hour-of-day": Expected(
        "point rule", "hour", "median", "selection", "hour=hour_of_day low q1 median q3 high mean"
    ),
    "periodicity/spectrum": Expected("line rule", "period_h", "value", "series", "period_h"),
    "periodicity/tests": Expected("point rule tick", "value", "selection", "verdict", "cycles"),
    "periodicity/weekday-ratio": Expected(
        "point rule", "ratio", "selection", "selection", "ratio ratio_low ratio_high"
    ),
    "arrivals/shape-sequence": Expected(
        "area circle line rule", "window", "value", "selection", "value=shape requests=n"
    ),
    "arrivals/rate-sequence": Expected(
        "area circle line rule", "window", "value", "selection", "value=rate requests=n"
    ),
    "arrivals/shape-by-hour": Expected("area line rule", "hour", "median", "selection"),
    "arrivals/spread": Expected("point rule", "factor", "selection", "series", "windows"),
    "arrivals/cv": Expected(
        "point rule", "from fit", "own", "agreement", "from fit=cv_seen own=cv requests=n"
    ),
    "burstiness/dispersion": Expected("area line", "width_s", "value", "series", "width_s"),
    "burstiness/peak-to-mean": Expected("area line", "width_s", "value", "series", "width_s"),
    "burstiness/gaps": Expected(
        "point rule",
        "CV",
        "selection",
        "selection",
        "CV=cv low=cv_low high=cv_high Poisson=cv_poisson gaps=n",
    ),
    "lengths/request-zipf": Expected("line point", "tokens", "density", "series", "low high count=n"),
    "lengths/response-zipf": Expected("line point", "tokens", "density", "series", "low high count=n"),
    "lengths/request-modes": Expected("area line rule", "tokens", "share", "series", "low high count=n"),
    "lengths/response-modes": Expected("area line rule", "tokens", "share", "series", "low high count=n"),
    "lengths/laws": Expected("point", "distance", "selection", "law", "distance=ks delta_bic"),
    "lengths/response-by-request": Expected("area line", "request", "response", "series", "p5 p25 p75 p95 n"),
    "lengths/ridges": Expected("area", "response", "top", "selection", "density count=n"),
    "lengths/ranks": Expected("rect", "request from", "response from", "against chance", "share"),
    "conversations/turns": Expected(
        "line point rule", "turns", "value", "series", "turns low=share_low high=share_high sessions"
    ),
    "conversations/intervals": Expected(
        "area line", "turns", "value", "measure", "turns_low intervals sessions"
    ),
    "conversations/long-intervals": Expected(
        "line", "turns", "value", "bound", "bound_s turns_low sessions intervals"
    ),
    "conversations/relations": Expected(
        "point rule",
        "value",
        "of",
        "",
        "value=correlation low=correlation_low high=correlation_high sessions",
    ),
    "failures/rates": Expected(
        "point rule",
        "rate",
        "selection",
        "selection",
        "rate rate_low rate_high rate_days_low rate_days_high n failed",
    ),
    "failures/days": Expected("circle rule tick", "rate", "selection", "selection", "rate n failed"),
    "failures/load": Expected("area line", "load", "rate", "selection", "load=load_mean rate n failed"),
    "sequences/sequence": Expected("area circle line rule", "day", "shape", "", "requests=n"),
    "comparison/variation": Expected(
        "area line", "width_s", "variation", "trace", "variation=rate_cv2 low=rate_cv2_low high=rate_cv2_high"
    ),
    "comparison/coverage": Expected("rect text", "property", "trace", "held"),
    "comparison/measures": Expected("point rule", "value", "trace", "trace"),
    "comparison/lengths": Expected("bar point rule", "median", "trace", "trace"),
    "forecast/six-hours": Expected("area line", "hour", "value", "series", "seen forecast low high"),
    "forecast/six-hours-bins": Expected("area line", "hour", "value", "series", "seen forecast low high"),
    "forecast/skill": Expected("point rule", "skill", "series", "forecast", "skill skill_high"),
    "forecast/methods": Expected("point rule", "nmae", "method", "kind", "nmae nmae_low nmae_high"),
    "forecast/widths": Expected("line rule", "minutes", "nmae", "method", "nmae"),
    "over_time/requests": Expected("circle line", "time", "value", "series", "time"),
    "over_time/token-latency": Expected("circle line", "time", "value", "series", "time"),
    "over_time/throughput": Expected("circle line", "time", "value", "series", "time value=throughput_tps"),
    "over_time/kv-cache": Expected("circle line", "time", "value", "series", "time value=kv_cache_use"),
    "over_time/in-flight": Expected("circle line", "time", "value", "series", "time"),
    "over_time/failures": Expected("bar", "time", "value", "series", "time"),
    "latency/distributions": Expected("circle line", "ms", "share", "latency", "ms share"),
    "load/gaps": Expected("circle line", "gap_s", "share", "load", "share"),
    "loads/measures": Expected("point rule", "value", "workload", "workload", "seeds"),
    "loads/differences": Expected("point rule", "percent", "measure", "word", "seeds"),
    "courses/over-time": Expected("circle line", "time", "value", "workload"),
    "policies/measures": Expected("circle rule", "policy", "value", "policy"),
    "waits/waits": Expected("circle rule", "wait", "seconds", "policy", "seconds"),
    "parameters/measures": Expected("area line rule", "at", "value", "profile", "seeds"),
    "steps/steps": Expected("circle rule", "step", "value", "profile"),
    "thirds/thirds": Expected("area line rule", "shape", "value", "profile", "shape"),
    "pairs/map-1": Expected("rect text", "shape", "scale", "value", "shape scale"),
    "ratios/switch": Expected("circle line text", "hours", "goodput_rps", "kind"),
    "sequence/policies": Expected("circle rule", "goodput_rps", "policy", "kind"),
    "sequence/course": Expected("line", "hours", "value", "policy"),
}

PRESET = "llama-2-13b-a100"
UNCOLOURED_ROWS = {"mode"}
"""Rows of the data that have a mark of their own, without a colour."""
INTERVALS = (
    ("low", "high"),
    ("rate_low", "rate_high"),
    ("shape_low", "shape_high"),
    ("p5", "p95"),
    ("p25", "p75"),
)


@pytest.fixture(scope="module")
def parts(
    traces: Callable[[str], Path],
    characterized: Callable[[str], Characterization],
    synthetic_characterization: Callable[..., Characterization],
    week: Trace,
    week_forecast: Forecasts,
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Part]:
    """Parts of every kind: real traces, synthetic days, a simulated run, three experiments, a search."""
    real = characterized("burstgpt_1_first7days.csv")
    azure = characterized("azure_llm_2023_conv.csv")
    sessions = characterized("burstgpt_3_first400.csv")
    folder = tmp_path_factory.mktemp("drawn")
    calls = {
        "run": ["replay", traces("azure_llm_2023_conv.csv"), "--simulate", PRESET, "--first", 400,
                "--rate", 1.5],
        "maf2": ["experiment", "maf2", "--first", 120, "--seeds", 2, "--rate", 1],
        "schedulers": ["experiment", "schedulers", "--requests", 120, "--seeds", 2, "--rate", 1],
        "search": ["disaggregate", "--turnover", "--first", 400, "--total", 3, "--seeds", 2, "--window", "2h",
                   "--beam", 2, "--tolerance", 0.2, "--no-images"],
    }  # fmt: skip
    for name, words in calls.items():
        done = burstlens(*words, "-o", folder / name, "-q")
        assert done.returncode == 0, done.stderr
    return [
        *real.parts,
        describe_sequences(week, real.part(Arrivals), seed=0),
        *sessions.parts,
        *synthetic_characterization(2, 1).parts,
        compare_traces([real, azure]),
        week_forecast,
        *run_parts(write_summary(folder / "run")),
        *(part for kind in ("maf2", "schedulers") for part in findings(read(folder / kind)).parts),
        *sweep.parts(planted_experiment(grid_of(), 2)),
        *read_search(folder / "search").parts,
    ]


@dataclass(frozen=True)
class Drawn:
    """A figure with what it is drawn from."""

    part: Part
    figure: Figure
    layers: list[tuple[str, dict[str, Any], bool]]
    """Each mark, its encoding with that of the layers around it, and whether the axes may cut it off."""

    def fields(self, *channels: str) -> set[str]:
        """Columns on these channels, of whichever mark."""
        return {
            encoding[channel]["field"]
            for _, encoding, _ in self.layers
            for channel in channels
            if "field" in encoding.get(channel, {})
        }

    def channels(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every channel that shows a column, with its definition."""
        for _, encoding, _ in self.layers:
            for channel, definition in encoding.items():
                if isinstance(definition, dict) and "field" in definition:
                    yield channel, definition


def _layers(node: dict[str, Any], around: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], bool]]:
    encoding = around | node.get("encoding", {})
    if "mark" in node:
        mark = {"type": node["mark"]} if isinstance(node["mark"], str) else node["mark"]
        yield str(mark["type"]), dict(encoding), bool(mark.get("clip", False))
    for key in ("layer", "vconcat", "hconcat"):
        for child in node.get(key, []):
            yield from _layers(child, encoding)
    if "spec" in node:
        yield from _layers(node["spec"], encoding)


@pytest.fixture(scope="module")
def drawn(parts: list[Part]) -> dict[str, list[Drawn]]:
    """Every figure by part and name, once for each source that has it."""
    out: dict[str, list[Drawn]] = {}
    for part in parts:
        for figure in figures_of(part):
            layers = list(_layers(figure.chart.to_dict(), {}))
            out.setdefault(f"{part.name}/{figure.name}", []).append(Drawn(part, figure, layers))
    return out


@pytest.mark.slow
def test_each_figure_that_is_drawn_is_expected(drawn: dict[str, list[Drawn]]) -> None:
    assert {name for name in drawn if not name.startswith("pairs/map-")} <= EXPECTED.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_marks_and_columns(name: str, drawn: dict[str, list[Drawn]]) -> None:
    expected = EXPECTED[name]
    assert name in drawn
    # Marks for what some sources lack, such as a break between days, may be missing in one of them.
    assert {mark for each in drawn[name] for mark, _, _ in each.layers} == set(expected.marks.split())
    for each in drawn[name]:
        assert expected.x in each.fields("x")
        assert expected.y in each.fields("y")
        if expected.colour:
            assert expected.colour in each.fields("color", "fill")


@pytest.mark.parametrize("name", EXPECTED)
def test_titles(name: str, drawn: dict[str, list[Drawn]]) -> None:
    for each in drawn[name]:
        assert 8 <= len(each.figure.title) <= 150
        heading = each.figure.heading("a trace")
        assert " ".join(heading["text"]) == each.figure.title
        assert heading["subtitle"].startswith("a trace")
        for channel, definition in each.channels():
            # Panels of several measures name each in their headers.
            several = {"panel", "measure", "side", "q1"} & set(each.figure.data.columns)
            if channel in ("x", "y") and definition["type"] == "quantitative" and not several:
                assert definition.get("title"), definition


@pytest.mark.parametrize("name", EXPECTED)
def test_domains_hold_the_data(name: str, drawn: dict[str, list[Drawn]]) -> None:
    for each in drawn[name]:
        for mark, encoding, clipped in each.layers:
            for channel, definition in encoding.items():
                if not isinstance(definition, dict):
                    continue
                scale = definition.get("scale") or {}
                domain, field = scale.get("domain"), definition.get("field")
                if not isinstance(domain, list) or field not in each.figure.data.columns:
                    continue
                values = each.figure.data[field].drop_nulls().to_list()
                if definition["type"] == "nominal" and channel in ("color", "fill", "shape"):
                    assert set(values) - UNCOLOURED_ROWS <= set(domain), (channel, field)
                    assert len(scale.get("range", domain)) == len(domain)
                elif channel in ("x", "y"):
                    low, high = domain
                    assert low < high
                    if scale.get("type") == "log":
                        assert low > 0
                        values = [value for value in values if value > 0]
                    if not clipped:
                        inside = [
                            low - 1e-9 * abs(low) <= value <= high + 1e-9 * abs(high) for value in values
                        ]
                        assert all(inside), (mark, channel, field)


@pytest.mark.parametrize("name", [name for name, expected in EXPECTED.items() if expected.numbers])
def test_the_data_are_the_numbers_of_the_part(name: str, drawn: dict[str, list[Drawn]]) -> None:
    for each in drawn[name]:
        table = each.part.tables()[each.figure.table_name]
        for pair in EXPECTED[name].numbers.replace("from fit", "from_fit").split():
            column, _, source = pair.replace("from_fit", "from fit").partition("=")
            values = set(each.figure.data[column].fill_nan(None).drop_nulls())
            assert values <= set(table[source or column].fill_nan(None).drop_nulls()), pair


@pytest.mark.parametrize("name", EXPECTED)
def test_intervals_are_in_order(name: str, drawn: dict[str, list[Drawn]]) -> None:
    for each in drawn[name]:
        for low, high in INTERVALS:
            if {low, high} <= set(each.figure.data.columns):
                rows = each.figure.data.drop_nulls([low, high])
                assert rows.filter(pl.col(low) > pl.col(high)).is_empty(), (low, high)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_service_has_its_colour_in_every_figure(name: str, drawn: dict[str, list[Drawn]]) -> None:
    for each in drawn[name]:
        for channel, definition in each.channels():
            if channel == "color" and definition["field"] == "selection" and "range" in definition["scale"]:
                scale = definition["scale"]
                fixed = theme.colours(scale["domain"])
                assert scale["range"] == [fixed[label] for label in scale["domain"]]
                for label, colour in zip(scale["domain"], scale["range"], strict=True):
                    if label in ("conversation", "api"):
                        assert colour == theme.colours(["conversation", "api"])[label]
