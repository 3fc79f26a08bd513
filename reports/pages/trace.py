"""The main job: logs in; page, figures, tables, claims and parameters out.

Not here: what the page looks like (`base`), what a claim is checked with (`claims.ledger`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from ...analysis.characterize import Characterization, characterize
from ...analysis.compare.side_by_side import compare_traces
from ...analysis.core.atomic_write import make_folder
from ...analysis.core.claims import Claim
from ...analysis.core.cpu import cores
from ...analysis.core.errors import InputError
from ...analysis.core.exhibit import Displayable, Exhibit
from ...analysis.core.option_names import option
from ...analysis.core.result import Part, Progress, silent
from ...analysis.forecast.models import load_xgboost
from ...analysis.forecast.part import describe_forecast
from ...analysis.interchange.parameters import parameters, write_parameters
from ...analysis.logs.options import LogOptions
from ...analysis.logs.pseudonyms import Anonymize
from ...analysis.trace.trace import ALL_TIME, Cluster, Span, Trace, open_trace
from ...analysis.traffic.arrivals import Arrivals
from ...analysis.traffic.window_lengths import describe_sequences
from ...bench.provisioning.of_trace import search_trace
from ...bench.provisioning.result import Disaggregation
from ..claims.ledger import check
from .base import PAPER, write_page
from .plain_json import plain, summary


@dataclass(frozen=True)
class Report(Displayable):
    """What the verb `report` wrote, and what it found in traces."""

    folder: Path
    page: Path
    characterizations: tuple[Characterization, ...]
    """Of each trace; none where the page is of a run, an experiment or a search of ratios."""
    claims: tuple[tuple[Claim, ...], ...]
    """The ledger of each trace, in the order of the traces."""
    rejects: tuple[Path, ...]

    def lines(self) -> list[str]:
        """What a person wants to read when the job is done."""
        if not self.characterizations:
            return [str(self.page)]
        out = []
        for characterization, ledger in zip(self.characterizations, self.claims, strict=True):
            info = characterization.info
            line = f"{info.name}: {info.rows:,} requests" + (" (synthetic)" if info.synthetic else "")
            if info.rejected:
                line += f", {info.rejected:,} rows rejected"
            if info.resorted:
                line += f", {info.resorted:,} out of order"
            out.append(line)
            out += [f"  {each}" for each in characterization.rejects.lines(str(self.folder))]
            for name in dict.fromkeys(claim.ledger for claim in ledger):
                verdicts = [claim.verdict for claim in ledger if claim.ledger == name]
                counted = [f"{verdicts.count(v)} {v}" for v in dict.fromkeys(verdicts)]
                out.append(f"  claims of {'the paper' if name == PAPER else name}: {', '.join(counted)}")
        out.append(f"page: {self.page}")
        return out

    def as_dict(self) -> dict[str, Any]:
        """The same for machines: paths, and everything that was found."""
        return {
            "page": str(self.page),
            "folder": str(self.folder),
            "rejects": [str(path) for path in self.rejects],
            "traces": [
                {**summary(characterization), "claims": [plain(claim.as_dict()) for claim in ledger]}
                for characterization, ledger in zip(self.characterizations, self.claims, strict=True)
            ],
        }

    def exhibit(self) -> Exhibit:
        """Where the page is, the ledger of the paper's claims, every trace."""
        ledger = [
            {
                "trace": characterization.info.name,
                **{key: plain(claim.as_dict())[key] for key in ("id", "verdict", "value", "claim")},
            }
            for characterization, claims in zip(self.characterizations, self.claims, strict=True)
            for claim in claims
        ]
        marks = tuple(
            dict.fromkeys(
                mark for characterization in self.characterizations for mark in characterization.info.marks
            )
        )
        return Exhibit(
            "Report", marks, self.lines(), {"claims": pl.DataFrame(ledger)}, self.characterizations
        )


def write_report(
    logs: Sequence[Sequence[Path]],
    out: Path,
    *,
    window_s: float,
    seed: int,
    options: LogOptions,
    strict: bool,
    images: bool,
    command: str,
    progress: Progress | None,
    forecast: bool = False,
    disaggregate: bool = False,
    span: Span = ALL_TIME,
    cluster: Cluster | None = None,
    anonymize: Anonymize | None = None,
) -> Report:
    """Characterize each log (the embedded synthetic trace without any) and write the folder `out`.

    With `forecast`, and with `disaggregate`, the characterization has one part more; with `cluster`
    Spark answers its questions.
    """
    if forecast:
        load_xgboost()
    show = progress or silent
    make_folder(out)
    count = max(1, len(logs))
    characterizations, rejects = [], []
    for i in range(count):

        def part(step: str, share: float, at: int = i) -> None:
            show(step, 0.5 * (at + share) / count)

        part("reading", 0.0)
        number = i if count > 1 else None
        trace, rejected = _open(
            logs[i] if logs else None, out, number, options, strict, span, cluster, anonymize
        )
        more: list[Part] = []
        steps = _shares(forecast, disaggregate)
        try:
            # What has the most to ask of a trace comes first: it is told at once where it cannot be had.
            if disaggregate:
                content = search_trace(trace, seed=seed, workers=cores(), progress=steps("ratios", part))
                more.append(Disaggregation.of(content))
            if forecast:
                more.insert(0, describe_forecast(trace, seed=seed, progress=steps("forecast", part)))
            one = characterize(trace, window_s=window_s, seed=seed, progress=steps("", part))
            sequences = describe_sequences(trace, one.part(Arrivals), seed=seed)
            listed = replace(one.rejects, file=rejected if rejected.exists() else None)
            characterizations.append(replace(one, parts=(*one.parts, sequences, *more), rejects=listed))
        finally:
            trace.engine.close()
        if rejected.exists():
            rejects.append(rejected)
    comparison = compare_traces(characterizations) if count > 1 else None
    ledgers = tuple(tuple(check(each, comparison)) for each in characterizations)
    for i, each in enumerate(characterizations):
        name = "parameters.json" if count == 1 else f"parameters_{i + 1}.json"
        write_parameters(parameters(each), out / name)
    page = write_page(
        out,
        characterizations,
        ledgers,
        command,
        comparison=comparison,
        images=images,
        progress=lambda step, share: show(step, 0.5 + 0.5 * share),
    )
    report = Report(out, page, tuple(characterizations), ledgers, tuple(rejects))
    text = json.dumps(report.as_dict(), indent=1, ensure_ascii=False)
    (out / "report.json").write_text(text + "\n", encoding="utf-8")
    return report


LASTS = {"": 1.0, "forecast": 10.0, "ratios": 4.0}
"""How long the parts take beside the characterization, about; its own name is empty."""


def _shares(forecast: bool, disaggregate: bool) -> Callable[[str, Progress], Progress]:
    """How far the reading of a trace's parts has come, from how far each of them has."""
    names = [
        name for name, wanted in (("ratios", disaggregate), ("forecast", forecast), ("", True)) if wanted
    ]
    total = sum(LASTS[name] for name in names)

    def within(name: str, show: Progress) -> Progress:
        begun = sum(LASTS[each] for each in names[: names.index(name)])
        return lambda step, share: show(step, 0.2 + 0.8 * (begun + LASTS[name] * share) / total)

    return within


def _open(
    files: Sequence[Path] | None,
    out: Path,
    number: int | None,
    options: LogOptions,
    strict: bool,
    span: Span,
    cluster: Cluster | None,
    anonymize: Anonymize | None,
) -> tuple[Trace, Path]:
    """The opened trace, and where its rejected rows lie if there are any."""
    rejected = out / ("rejects.csv" if number is None else f"rejects_{number + 1}.csv")
    rejected.unlink(missing_ok=True)
    if files is None:
        if cluster is not None:
            raise InputError.of_option(
                "engine", "name a log; the embedded trace is made in this process", value="spark"
            )
        if span != ALL_TIME:
            raise InputError(
                f"{option('start_s')} and {option('end_s')}: name a trace; all of the embedded one is read"
            )
        from ...analysis.synthetic.trace import open_synthetic

        return open_synthetic(), rejected
    trace = open_trace(
        list(files),
        options=options,
        strict=strict,
        rejects=rejected,
        span=span,
        cluster=cluster,
        anonymize=anonymize,
    )
    return trace, rejected
