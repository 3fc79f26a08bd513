"""The page of a forecast: the paper's claim, panels of six hours, a table of the methods, identity.

Not here: figures
(`figures.trace.forecast`), layout (`pages.result`).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from ...analysis.core.claims import Claim
from ...analysis.core.exhibit import marks
from ...analysis.core.result import LEVEL, Progress, number, percent, silent
from ...analysis.core.units import DAY_S, bin_name
from ...analysis.forecast.models import LABELS, load_xgboost
from ...analysis.forecast.part import Forecasts
from ...analysis.forecast.series import TARGETS
from ...analysis.forecast.tables import ROLLING
from ..claims.forecast import decided
from ..claims.ledger import BURSTGPT
from ..figures.base import estimate
from .base import block
from .key_numbers import Fact
from .plain_json import plain
from .result import Banner, ResultPage, Section, Table, synthetic_banner, write_result_page

SLUG = "forecast"
METHOD_COLUMNS = (
    "method",
    "NMAE",
    "MSE / variance",
    "MSE / mean square",
    "pinball / mean",
    "in the band",
    "skill",
)
TABLES_LEFT_OUT = ("forecasts",)
"""Too long for `forecast.json`; it lies in `tables/`."""


def write_forecast_page(
    part: Forecasts,
    out: Path,
    *,
    command: str = "",
    images: bool = True,
    progress: Progress | None = None,
) -> Path:
    """Write `index.html`, `forecast.json`, `tables/` and `figures/` into `out`; the page's path."""
    show = progress or silent
    show("drawing figures", 0.0)
    text = json.dumps(forecast_dict(part), indent=1, ensure_ascii=False) + "\n"
    return write_result_page(
        forecast_page(part),
        out,
        command=command,
        images=images,
        show=show,
        texts={"forecast.json": text},
    )


def forecast_dict(part: Forecasts) -> dict[str, Any]:
    """The forecast as plain data for JSON, without the bins themselves."""
    verdict = decided(part)
    return {
        "trace": plain(asdict(part.info)),
        "bins_s": list(part.bins_s),
        "horizon_s": part.horizon_s,
        "seed": part.seed,
        "claim": plain(asdict(verdict)),
        "sentences": part.sentences(),
        "missing": list(part.missing),
        "tables": {
            name: plain(table.to_dicts())
            for name, table in part.tables().items()
            if name not in TABLES_LEFT_OUT
        },
    }


def forecast_page(part: Forecasts) -> ResultPage:
    """What the page of a forecast says."""
    info = part.info
    hopeless = [_verdict(row) for row in part.verdicts.filter(~pl.col("forecastable")).iter_rows(named=True)]
    listed = "; ".join(f"{one['what']} (skill {one['skill']})" for one in hopeless)
    cannot = Banner(
        "Cannot be forecast.", f"No method is shown to beat the best naive one on: {listed}.", "hopeless"
    )
    generated = "A model generated this trace; what is learned here is learned from that model."
    return ResultPage(
        kind="forecast",
        title=f"Forecast of {info.name}",
        blocks=[
            block(
                part,
                slug=SLUG,
                name=info.name if info.synthetic else f"{info.name} · recorded trace",
                marks=marks(None, info.synthetic, "trace"),
                info=info,
            )
        ],
        banners=[
            *synthetic_banner(info.synthetic, "Synthetic.", generated),
            *([cannot] if hopeless else []),
        ],
        facts=_facts(part),
        claims=[_claim(part)],
        claims_lead="The held-out days decide the verdict. The paper’s numbers are from its own days, "
        "which are "
        "not public.",
        after=[_methods(part)],
        sources=[("", source.name, source.sha256) for source in info.sources],
        identity_title="Trace and method",
        identity=_identity(part),
        files=[("forecast.json", ""), ("tables/", "CSV, every bin in forecast-forecasts.csv")],
    )


def _claim(part: Forecasts) -> Claim:
    """The paper's claim about forecasts, decided by this one."""
    line = next(line for line in BURSTGPT.entries if line.id == "forecast")
    decision = decided(part)
    return Claim(
        line.id,
        line.where,
        line.claim,
        decision.verdict,
        decision.value,
        decision.why,
        part.name,
        decision.figure,
    )


def _verdict(row: dict[str, Any]) -> dict[str, str]:
    """One series and its verdict in words."""
    return {
        "what": f"{row['selection']}, {TARGETS[row['target']]} per {bin_name(row['bin_s'])}",
        "method": LABELS[row["method"]],
        "nmae": number(row["nmae"]),
        "against": LABELS[row["against"]],
        "naive_nmae": number(row["naive_nmae"]),
        "skill": estimate(row, "skill"),
        "verdict": "can be forecast" if row["forecastable"] else "cannot be forecast",
    }


def _methods(part: Forecasts) -> Section:
    """A table of methods for each series over the rolling origins."""
    tables = []
    rolling = part.scores.filter(pl.col("split") == ROLLING)
    for row in part.verdicts.iter_rows(named=True):
        keys = ("selection", "target", "bin_s")
        own = rolling.filter(*(pl.col(key) == row[key] for key in keys)).sort("mae")
        rows = [_cells(each) for each in own.iter_rows(named=True)]
        tables.append(Table(METHOD_COLUMNS, rows, range(1, len(METHOD_COLUMNS)), title=_verdict(row)["what"]))
    return Section(
        anchor="models",
        title="Methods",
        lead="All rolling origins together, the smallest error first. Skill is against the best naive "
        "method in "
        f"hindsight; intervals are at {100 * LEVEL:g} %.",
        tables=tables,
    )


def _cells(row: dict[str, Any]) -> list[str]:
    """A method's line: name, errors, band, skill."""
    coverage = "–" if row["coverage"] is None else percent(row["coverage"], 2)
    errors = [number(row[name]) for name in ("nmse_variance", "nmse_mean_square", "pinball")]
    return [LABELS[row["method"]], estimate(row, "nmae"), *errors, coverage, estimate(row, "skill")]


def _facts(part: Forecasts) -> list[Fact]:
    """The few numbers for the head of the page."""
    can = int(part.verdicts["forecastable"].sum())
    return [
        ("Series", f"{part.verdicts.height}", "target, bin, service"),
        ("Can be forecast", f"{can}", "better than naively"),
        ("Requests", f"{part.info.rows:,}", ""),
        ("Bins", ", ".join(map(bin_name, part.bins_s)), ""),
        ("Origins", f"{_origins(part)}", "rolling"),
    ]


def _origins(part: Forecasts) -> int:
    """How many of them; each bin width has its own instants."""
    counted = part.origins.group_by("bin_s").agg(pl.col("origin_s").n_unique())["origin_s"]
    return max(counted.to_list(), default=0)


def _identity(part: Forecasts) -> list[tuple[str, str]]:
    """What was asked of what, as label and text."""
    info = part.info
    ahead = "one bin" if part.horizon_s is None else f"{bin_name(part.horizon_s)} before the bin’s end"
    return [
        ("Trace", info.name),
        ("Origin", "synthetic: generated by a model" if info.synthetic else "recorded from a service"),
        ("Rows", f"{info.rows:,} read, {info.rejected:,} rejected"),
        (
            "Day 0",
            f"{info.day0:%A}, {info.day0.isoformat()}" if info.day0 else "unknown: days count modulo 7",
        ),
        *([("Hours", f"by {info.timezone}")] if info.timezone else []),
        ("Horizon", ahead),
        ("Seed", str(part.seed)),
        ("XGBoost", str(load_xgboost().__version__)),
        *(
            (f"Held out per {bin_name(row['bin_s'])}, {row['split']}", _span(row))
            for row in part.cuts.iter_rows(named=True)
        ),
    ]


def _span(row: dict[str, Any]) -> str:
    return f"day {number(row['origin_s'] / DAY_S)} to day {number(row['end_s'] / DAY_S)}"
