"""One look for every figure and page: colours for light and dark, type, and the chart configuration.

Charts are drawn in the light colours. Each of those is unique, so that a page can put the CSS variable of
the same name in its place and every chart follows the reader's theme, and the printer's, without being
drawn again. Not here: any figure (see `registry`) and the layout of the page (see `templates/`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from zlib import crc32

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'

LIGHT = {
    "ground": "#ffffff",
    "panel": "#f6f8fa",
    "ink": "#151a21",
    "soft": "#535d6b",
    "line": "#d5dbe3",
    "grid": "#e8ecf1",
    "accent": "#0a5ca0",
    # Categories after Okabe and Ito, darkened until each stands 3:1 or more against its ground.
    "blue": "#0069ad",
    "vermillion": "#c64f00",
    "green": "#00805b",
    "purple": "#a2458a",
    "amber": "#8d6400",
    "sky": "#23809f",
    "neutral": "#5d6673",
    # Six steps of one hue, for heat maps; the lightness alone carries the order.
    "step1": "#e4eefa",
    "step2": "#bcd6f0",
    "step3": "#86b7e3",
    "step4": "#4a91cf",
    "step5": "#1e6ab0",
    "step6": "#0b4583",
    "on_low": "#16202c",
    "on_high": "#fefefe",
    "good": "#0b7a4b",
    "bad": "#b3261e",
    "mixed": "#865f00",
}

DARK = {
    "ground": "#0f1318",
    "panel": "#161b22",
    "ink": "#e9edf3",
    "soft": "#a6b0be",
    "line": "#2c343f",
    "grid": "#222933",
    "accent": "#6db6f2",
    "blue": "#58a9e8",
    "vermillion": "#f2854b",
    "green": "#3fc598",
    "purple": "#e091c8",
    "amber": "#dcae3a",
    "sky": "#6cc5dd",
    "neutral": "#9aa5b3",
    "step1": "#15253a",
    "step2": "#1b3b61",
    "step3": "#23588f",
    "step4": "#3a7fc2",
    "step5": "#76b0e6",
    "step6": "#bcdcf9",
    "on_low": "#f3f6fa",
    "on_high": "#0c1117",
    "good": "#4fcf97",
    "bad": "#ff8a80",
    "mixed": "#e3b341",
}

CATEGORIES = [LIGHT[name] for name in ("blue", "vermillion", "green", "purple", "amber", "sky")]
STEPS = [LIGHT[f"step{i}"] for i in range(1, 7)]
NEUTRAL = LIGHT["neutral"]
INK = LIGHT["ink"]
SOFT = LIGHT["soft"]
ALL = "all"
"""The selection that holds every request: always drawn in the neutral colour."""

SEPARATOR = " · "
"""Between service and model in a label (see `burstlens.analysis.trace.trace.Selection`)."""
KNOWN = {"conversation": LIGHT["blue"], "api": LIGHT["vermillion"]}
"""Services that keep their colour in whatever company they stand, so that pages can be compared."""


def colours(labels: Iterable[str]) -> dict[str, str]:
    """A colour for each selection label: that of its service, with `all` in the neutral one.

    A service has the same colour on every page; only where two unknown services would share one does
    the alphabetically later take the next that is free.
    """
    given = list(labels)
    taken = dict(KNOWN)
    free = [colour for colour in CATEGORIES if colour not in KNOWN.values()]
    for service in sorted({label.split(SEPARATOR)[0] for label in given} - {ALL} - set(KNOWN)):
        start = crc32(service.encode())
        tried = [free[(start + step) % len(free)] for step in range(len(free))]
        taken[service] = next((colour for colour in tried if colour not in taken.values()), tried[0])
    return {label: NEUTRAL if label == ALL else taken[label.split(SEPARATOR)[0]] for label in given}


def config() -> dict[str, Any]:
    """The Vega-Lite configuration of every chart, in light colours."""
    return {
        "background": LIGHT["ground"],
        "font": FONT,
        "padding": {"left": 2, "right": 6, "top": 4, "bottom": 2},
        "aria": False,
        "view": {"stroke": None},
        "range": {"category": CATEGORIES, "ordinal": STEPS, "ramp": STEPS, "heatmap": STEPS},
        "title": {
            "anchor": "start",
            "frame": "group",
            "color": INK,
            "fontSize": 15,
            "fontWeight": 600,
            "subtitleColor": SOFT,
            "subtitleFontSize": 12,
            "subtitlePadding": 4,
            "lineHeight": 19,
            "offset": 14,
        },
        "axis": {
            "domainColor": LIGHT["line"],
            "gridColor": LIGHT["grid"],
            "tickColor": LIGHT["line"],
            "labelColor": SOFT,
            "titleColor": SOFT,
            "labelFontSize": 11.5,
            "titleFontSize": 12,
            "titleFontWeight": 500,
            "titlePadding": 8,
            "labelPadding": 4,
            "tickSize": 4,
            "labelOverlap": "greedy",
        },
        "axisY": {"domain": False, "ticks": False, "titleAnchor": "end", "tickCount": 5, "minExtent": 40},
        "axisX": {"grid": False, "labelFlush": True, "tickCount": 8},
        "header": {
            "labelColor": INK,
            "labelFontSize": 12.5,
            "labelFontWeight": 600,
            "labelAnchor": "start",
            "labelPadding": 6,
            "title": None,
        },
        "legend": {
            "orient": "top",
            "direction": "horizontal",
            "title": None,
            "labelColor": INK,
            "labelFontSize": 12,
            "labelLimit": 260,
            "symbolSize": 90,
            "symbolStrokeWidth": 2,
            "offset": 6,
            "rowPadding": 4,
            "columnPadding": 16,
        },
        "circle": {"opacity": 1},
        "tick": {"opacity": 1},
        "line": {"strokeWidth": 1.8, "strokeJoin": "round", "strokeCap": "round"},
        "area": {"line": False},
        "rule": {"color": SOFT},
        "text": {"color": INK, "fontSize": 11},
        "point": {"filled": True, "size": 32, "opacity": 1},
        "facet": {"spacing": 22},
        "concat": {"spacing": 22},
        "boxplot": {"size": 14},
        "numberFormat": ",.4~r",
    }


def css_variables(palette: dict[str, str]) -> str:
    """One theme's colours as CSS declarations."""
    return " ".join(f"--{name.replace('_', '-')}: {value};" for name, value in palette.items())


def variables() -> dict[str, str]:
    """Light colour to CSS variable, by which a page makes a chart follow its theme."""
    return {value: f"var(--{name.replace('_', '-')})" for name, value in LIGHT.items()}


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb`, 0 to 1 (WCAG 2.2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def sequence(names: Sequence[str]) -> list[str]:
    """The light colours of these names, in order."""
    return [LIGHT[name] for name in names]
