"""The page of a forecast: the paper's claim, panels of six hours, a table of the methods, identity.

One file that needs no network, made of the same pieces as the page of a trace. Not here: figures
(`figures.trace.forecast`), layout (`templates/forecast.html`).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from ...analysis.core.errors import DiskError
from ...analysis.core.exhibit import marks
from ...analysis.core.result import Progress, number, silent
from ...analysis.core.units import DAY_S, bin_name
from ...analysis.forecast.models import LABELS, load_xgboost
from ...analysis.forecast.part import Forecasts
from ...analysis.forecast.series import TARGETS
from ...analysis.forecast.tables import ROLLING
from ..claims.forecast import decided
from ..claims.ledger import LEDGER
from ..figures.base import estimate, percent
from .base import Block, block, render, sections, write_images, write_tables
from .key_numbers import Fact
from .plain_json import plain

SLUG = "forecast"
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
    info = part.info
    show("drawing figures", 0.0)
    one = block(
        part,
        slug=SLUG,
        name=info.name if info.synthetic else f"{info.name} · recorded trace",
        marks=marks(None, info.synthetic, "trace"),
        info=info,
    )
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_tables(out / "tables", [one])
        text = json.dumps(told(part), indent=1, ensure_ascii=False)
        (out / "forecast.json").write_text(text + "\n", encoding="utf-8")
        if images:
            write_images(out / "figures", one.drawn, show)
        show("writing the page", 0.95)
        page = out / "index.html"
        page.write_text(_html(part, one, command, images), encoding="utf-8")
    except OSError as fault:
        raise DiskError.unwritable(out, fault) from fault
    return page


def told(part: Forecasts) -> dict[str, Any]:
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


def _html(part: Forecasts, one: Block, command: str, images: bool) -> str:
    entry = next(line for line in LEDGER if line.id == "forecast")
    verdict = decided(part)
    target = f"fig-{SLUG}-{part.name}-{verdict.figure}"
    hopeless = part.verdicts.filter(~pl.col("forecastable"))
    return render(
        "forecast.html",
        f"Forecast of {part.info.name}",
        [one],
        synthetic=part.info.synthetic,
        hopeless=[_verdict(row) for row in hopeless.iter_rows(named=True)],
        facts=_facts(part),
        claim=(entry, verdict, target if target in {each.anchor for each in one.drawn} else one.anchor),
        sections=sections([one], several=False),
        models=_models(part),
        identity=_identity(part),
        sources=part.info.sources,
        command=command,
        images=images,
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


def _models(part: Forecasts) -> list[tuple[str, list[list[str]]]]:
    """A table of methods for each series over the rolling origins: its heading and its rows."""
    out = []
    rolling = part.scores.filter(pl.col("split") == ROLLING)
    for row in part.verdicts.iter_rows(named=True):
        keys = ("selection", "target", "bin_s")
        own = rolling.filter(*(pl.col(key) == row[key] for key in keys)).sort("mae")
        out.append((_verdict(row)["what"], [_cells(each) for each in own.iter_rows(named=True)]))
    return out


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
