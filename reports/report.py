"""The main job: logs in; page, figures, tables, claims and parameters out.

Not here: what the page looks like (`page`), what a claim is checked with (`claims`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..analysis.characterize import Characterization, characterize
from ..analysis.comparison import compare_traces
from ..analysis.errors import BurstlensError
from ..analysis.forecast import describe_forecast
from ..analysis.forecasters import load_xgboost
from ..analysis.parameters import parameters, write_parameters
from ..analysis.result import Progress, silent
from ..analysis.synthetic import open_synthetic
from ..analysis.trace import WHOLE, Cluster, Span, Trace, open_trace
from .claims import Claim, check
from .page import write_page
from .summary import plain, summary

EMBEDDED_DAYS = 61
EMBEDDED_SEED = 7


@dataclass(frozen=True)
class Report:
    """What the main job wrote, and what it found."""

    folder: Path
    page: Path
    characterizations: tuple[Characterization, ...]
    claims: tuple[tuple[Claim, ...], ...]
    """The ledger of each trace, in the order of the traces."""
    rejects: tuple[Path, ...]

    def lines(self) -> list[str]:
        """What a person wants to read when the job is done."""
        out = []
        for said, ledger in zip(self.characterizations, self.claims, strict=True):
            info = said.info
            told = f"{info.name}: {info.rows:,} requests" + (" (synthetic)" if info.synthetic else "")
            if info.rejected:
                told += f", {info.rejected:,} rows rejected"
            if info.resorted:
                told += f", {info.resorted:,} out of order"
            out.append(told)
            verdicts = [claim.verdict for claim in ledger]
            counted = [f"{verdicts.count(v)} {v}" for v in dict.fromkeys(verdicts)]
            out.append(f"  claims of the paper: {', '.join(counted)}")
        out.extend(f"rejected rows: {path}" for path in self.rejects)
        out.append(f"page: {self.page}")
        return out

    def as_dict(self) -> dict[str, Any]:
        """The same for machines: paths, and everything that was found."""
        return {
            "page": str(self.page),
            "folder": str(self.folder),
            "rejects": [str(path) for path in self.rejects],
            "traces": [
                {**summary(said), "claims": [plain(claim.as_dict()) for claim in ledger]}
                for said, ledger in zip(self.characterizations, self.claims, strict=True)
            ],
        }

    def _repr_html_(self) -> str:
        """In a notebook: where the page is."""
        lines = "<br>".join(line.replace("&", "&amp;").replace("<", "&lt;") for line in self.lines())
        return f"<p>{lines}</p>"


def write_report(
    logs: Sequence[Sequence[Path]],
    out: Path,
    *,
    window_s: float,
    seed: int,
    columns: Mapping[str, str] | None,
    strict: bool,
    images: bool,
    command: str,
    progress: Progress | None,
    forecast: bool = False,
    span: Span = WHOLE,
    cluster: Cluster | None = None,
) -> Report:
    """Characterize each log (the embedded synthetic trace without any) and write the folder `out`.

    With `forecast` the characterization has one part more; with `cluster` Spark answers its questions.
    """
    if forecast:
        load_xgboost()
    show = progress or silent
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise BurstlensError(f"{out}: cannot be made a folder: {fault.strerror or fault}") from fault
    count = max(1, len(logs))
    said, rejects = [], []
    for i in range(count):

        def part(step: str, share: float, at: int = i) -> None:
            show(step, 0.5 * (at + share) / count)

        part("reading", 0.0)
        number = i if count > 1 else None
        trace, rejected = _open(logs[i] if logs else None, out, number, columns, strict, span, cluster)
        try:
            one = characterize(
                trace, window_s=window_s, seed=seed, progress=lambda s, f: part(s, 0.4 + 0.6 * f)
            )
            if forecast:
                more = describe_forecast(trace, seed=seed, progress=lambda s, f: part(s, 0.9 + 0.1 * f))
                one = replace(one, parts=(*one.parts, more))
            said.append(one)
        finally:
            trace.engine.close()
        if rejected.exists():
            rejects.append(rejected)
    comparison = compare_traces(said) if count > 1 else None
    ledgers = tuple(tuple(check(each, comparison)) for each in said)
    for i, each in enumerate(said):
        name = "parameters.json" if count == 1 else f"parameters_{i + 1}.json"
        write_parameters(parameters(each), out / name)
    page = write_page(
        out,
        said,
        ledgers,
        command,
        comparison=comparison,
        images=images,
        progress=lambda step, share: show(step, 0.5 + 0.5 * share),
    )
    report = Report(out, page, tuple(said), ledgers, tuple(rejects))
    text = json.dumps(report.as_dict(), indent=1, ensure_ascii=False)
    (out / "report.json").write_text(text + "\n", encoding="utf-8")
    return report


def _open(
    files: Sequence[Path] | None,
    out: Path,
    number: int | None,
    columns: Mapping[str, str] | None,
    strict: bool,
    span: Span,
    cluster: Cluster | None,
) -> tuple[Trace, Path]:
    """The opened trace, and where its rejected rows lie if there are any."""
    rejected = out / ("rejects.csv" if number is None else f"rejects_{number + 1}.csv")
    rejected.unlink(missing_ok=True)
    if files is None:
        if cluster is not None:
            raise BurstlensError("--engine spark: name a log; the embedded trace is made in this process")
        if span != WHOLE:
            raise BurstlensError("--from and --to: name a trace; the embedded one is taken whole")
        return open_synthetic(None, days=EMBEDDED_DAYS, seed=EMBEDDED_SEED), rejected
    trace = open_trace(
        list(files), columns=columns, strict=strict, rejects=rejected, span=span, cluster=cluster
    )
    return trace, rejected
