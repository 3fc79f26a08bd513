"""The verb `report` for traces: page, figures, tables, claims and parameters in a folder.

Not here: the pages (`burstlens.reports.pages`). A run, an experiment and a search have `.report()`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .options import Log, ReadOptions, paths

if TYPE_CHECKING:
    from ..analysis.core.result import Progress
    from ..reports.pages.trace import Report


def report(
    logs: Sequence[Log | Sequence[Log]] = (),
    out: Log | None = None,
    *,
    window_s: float = 1200.0,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
    strict: bool = False,
    images: bool = True,
    forecast: bool = False,
    disaggregate: bool = False,
    command: str = "burstlens.report()",
    start_s: float | None = None,
    end_s: float | None = None,
    engine: str = "duckdb",
    master: str | None = None,
    conf: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Write page, figures, tables, claims and parameters of each log into folder `out`.

    Parameters
    ----------
    logs
        Paths of logs; several are compared on one page. A list of paths among them is one trace in several
        files. Without any log the embedded synthetic trace is used.
    out
        Folder to write, by default `reports/build`.
    window_s, seed, columns, strict, start_s, end_s, engine, master, conf
        As in `describe`.
    images
        Also write each figure as SVG and PNG.
    forecast
        Also forecast the load.
    disaggregate
        Also search the prefill:decode ratio, simulated, on the busiest day, or on a part of it with at most
        5,000 requests.
    command
        What the page says it was made by.

    Examples
    --------
    >>> done = bl.report(["synthetic.csv"], "page", images=False)
    >>> done.page.name, done.to_frame("claims")["id"][0]
    ('index.html', 'size')
    """
    from ..reports.pages.trace import write_report

    read = ReadOptions(columns, strict, start_s, end_s, engine, master, conf)
    return write_report(
        [paths(log) for log in logs],
        Path("reports/build" if out is None else out),
        window_s=window_s,
        seed=seed,
        columns=columns,
        strict=strict,
        images=images,
        forecast=forecast,
        disaggregate=disaggregate,
        command=command,
        span=read.span,
        cluster=read.cluster,
        progress=progress,
    )
