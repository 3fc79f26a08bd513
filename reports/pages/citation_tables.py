"""A table to cite: the means of an experiment with their intervals, as text for a page, Markdown and LaTeX.

Numbers are rounded to what their interval leaves certain. Not here: the means themselves (see
`burstlens.bench.experiments.contrast`); the CSV files beside a page have every digit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from ...analysis.core.result import number
from ...bench.experiments.backends import MEASURES
from ...bench.experiments.contrast import SEED
from ..figures.bench.contrast import unit

CITED = (
    "token_latency_s",
    "jitter_s",
    "e2e_p90_s",
    "ttft_p99_s",
    "throughput_tps",
    "kv_cache_use",
    "kv_cache_peak",
    "failure_rate",
)
"""What stands in the table: the paper's four, tails and the KV cache."""
SEEDS = f"{SEED}s"
LATEX = {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
         "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}",
         "−": "$-$", "σ": r"$\sigma$", "α": r"$\alpha$", "β": r"$\beta$", "λ": r"$\lambda$"}  # fmt: skip


@dataclass(frozen=True)
class Cited:
    """Rows of text under a header; the first `labels` columns name the setting."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    labels: int

    def markdown(self) -> str:
        """A pipe table."""
        ruler = ["---"] * self.labels + ["---:"] * (len(self.header) - self.labels)
        lines = [
            [_pipe(cell) for cell in self.header],
            ruler,
            *([_pipe(c) for c in row] for row in self.rows),
        ]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"

    def latex(self) -> str:
        """A `tabular` with the rules of booktabs."""
        shape = "l" * self.labels + "r" * (len(self.header) - self.labels)
        head, *body = (" & ".join(_tex(cell) for cell in row) + r" \\" for row in (self.header, *self.rows))
        lines = [rf"\begin{{tabular}}{{{shape}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule"]
        return "\n".join([*lines, r"\end{tabular}"]) + "\n"


def cited(means: pl.DataFrame) -> Cited | None:
    """The table of a frame as `contrast.means` makes it; None for any other."""
    shown = [name for name in CITED if {name, f"{name}_low", f"{name}_high"} <= set(means.columns)]
    shown = [name for name in shown if means[name].count()]
    if SEEDS not in means.columns or not shown:
        return None
    labels = means.columns[: means.columns.index(SEEDS)]
    units = {name: unit(name) for name in shown}
    header = [label.replace("_rps", ", requests/s").replace("_", " ") for label in labels] + [SEEDS]
    header += [f"{MEASURES[name][0]}, {units[name][1]}" for name in shown]
    rows = [
        (
            *(_label(row[label]) for label in labels),
            str(row[SEEDS]),
            *(_scaled(row, name, units[name][0]) for name in shown),
        )
        for row in means.iter_rows(named=True)
    ]
    return Cited(tuple(header), tuple(rows), len(labels))


def _label(value: Any) -> str:
    if value is None:
        return "–"
    return number(value, 4) if isinstance(value, int | float) else str(value)


def _scaled(row: dict[str, Any], name: str, factor: float) -> str:
    return rounded(
        *(None if (v := row[f"{name}{end}"]) is None else factor * v for end in ("", "_low", "_high"))
    )


def rounded(value: float | None, low: float | None, high: float | None) -> str:
    """`25.5 [24.7, 26.3]`: two digits of the half width, the same for all three."""
    if value is None:
        return "–"
    if low is None or high is None:
        return number(value, 4)
    half = (high - low) / 2
    if half <= 0:
        return f"{number(value, 4)} [{number(low, 4)}, {number(high, 4)}]"
    digits = min(max(1 - math.floor(math.log10(half)), 0), 6)
    digits_shown = [f"{each:,.{digits}f}".replace("-", "−") for each in (value, low, high)]
    return f"{digits_shown[0]} [{digits_shown[1]}, {digits_shown[2]}]"


def _pipe(text: str) -> str:
    """Text that stays in its cell and is no markup."""
    return re.sub(r"([\\|`*_<>\[\]])", r"\\\1", " ".join(text.split()))


def _tex(text: str) -> str:
    return "".join(LATEX.get(letter, letter) for letter in " ".join(text.split()))


def all_cited(tables: Sequence[pl.DataFrame]) -> list[Cited]:
    """Those of these tables that are means."""
    return [cited_table for table in tables if (cited_table := cited(table)) is not None]
