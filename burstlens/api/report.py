"""The verb `report`: the page of traces, and of every folder that another verb wrote.

Not here: what is on a page (`burstlens.reports.pages`).
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..analysis.core.errors import InputError
from ..analysis.core.option_names import option
from .options import Log, ReadOptions, check_positive, paths

if TYPE_CHECKING:
    from ..analysis.core.result import Progress
    from ..analysis.logs.options import LogOptions
    from ..analysis.logs.pseudonyms import Anonymize
    from ..reports.pages.trace import Report

FolderKind = Literal["run", "experiment", "search"]

FOLDER_KINDS: dict[str, FolderKind] = {
    "experiment.json": "experiment",
    "disaggregate.json": "search",
    "run.json": "run",
}
"""Which verb wrote a folder, by the file that marks it."""
KIND_NAMES: dict[FolderKind, str] = {
    "run": "a run",
    "experiment": "an experiment",
    "search": "a search of the prefill:decode ratio",
}
LOG_OPTIONS = (
    "mapping",
    "log_format",
    "where",
    "time_format",
    "timezone",
    "delimiter",
    "decimal",
    "encoding",
    "table",
    "sql",
)
"""Fields of `LogOptions` that are flags of the command line."""
TRACE_OPTIONS = (
    "window_s", "seed", "columns", "reading", *LOG_OPTIONS, "strict", "forecast", "disaggregate", "engine",
    "master", "conf", "start_s", "end_s", "anonymize", "key", "shift", "keep",
)  # fmt: skip
"""Options that the page of a folder does not take."""
ANONYMIZED_COMMAND = "burstlens report --anonymize"
"""What an anonymized page says it was made by: the names of its logs are not for others."""
MERGED_FOLDER = "whole"
"""Name of the folder for the run of all shards, next to theirs, without `out`."""


def report(
    logs: Log | Sequence[Log | Sequence[Log]] = (),
    out: Log | None = None,
    *,
    window_s: float = 1200.0,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
    reading: LogOptions | None = None,
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
    anonymize: Anonymize | None = None,
    progress: Progress | None = None,
) -> Report:
    """Write page, figures, tables, claims and parameters of each log into folder `out`.

    For a folder that `replay`, `experiment` or `disaggregate` wrote, only the page, with its tables and
    figures, is written again. The folders of all shards of one replay become one run.

    Parameters
    ----------
    logs
        Paths of logs; several are compared on one page. A list of paths among them is one trace in several
        files. Without any log the embedded synthetic trace is used. Or one folder of another verb, or the
        folders of all shards of a replay.
    out
        Folder to write, by default `reports/build` for traces and the folder itself for any other; for
        shards, `whole` next to the first of them.
    window_s, seed, columns, reading, strict, start_s, end_s, engine, master, conf, anonymize
        As in `describe`.
    images
        Also write each figure as SVG and PNG.
    forecast
        Also forecast the load.
    disaggregate
        Also search the prefill:decode ratio, simulated, on the busiest day, or on a part of it with at most
        5,000 requests.
    command
        What the page says it was made by; an anonymized page does not show it.

    Returns
    -------
    Report
        Where the page is. Characterizations and claims are those of the traces; a folder of another verb has
        none.

    Raises
    ------
    BurstlensError
        If a log cannot be read, `out` cannot be written, or an option is for traces and `logs` has none.

    Examples
    --------
    >>> done = bl.report(["synthetic.csv"], "page", images=False)
    >>> done.page.name, done.to_frame("claims")["id"][0]
    ('index.html', 'size')
    """
    from ..reports.pages.trace import write_report

    groups = [paths(log) for log in ([logs] if isinstance(logs, str | PathLike) else logs)]
    written = written_folder(groups)
    if written is not None:
        values: dict[str, object] = {
            "window_s": window_s, "seed": seed, "columns": columns, "reading": reading,
            "strict": strict, "forecast": forecast,
            "disaggregate": disaggregate, "engine": engine, "master": master, "conf": conf,
            "start_s": start_s, "end_s": end_s, "anonymize": anonymize,
        }  # fmt: skip
        defaults = inspect.signature(report).parameters
        written.refuse(
            name for name, value in values.items() if value not in (defaults[name].default, None, (), {})
        )
        return _folder_report(written, None if out is None else Path(out), images, command, progress)
    check_positive("window_s", window_s)
    read = ReadOptions(columns, strict, start_s, end_s, engine, master, conf, reading, anonymize)
    folder = Path("reports/build" if out is None else out)
    if anonymize is not None:
        if not groups:
            raise InputError.of_option("anonymize", "name a log; the embedded trace is synthetic")
        anonymize.check(folder, folder=True)
        _refuse_older(folder)
        command = ANONYMIZED_COMMAND
    return write_report(
        groups,
        folder,
        window_s=window_s,
        seed=seed,
        options=read.log,
        strict=strict,
        images=images,
        forecast=forecast,
        disaggregate=disaggregate,
        command=command,
        span=read.span,
        cluster=read.cluster,
        anonymize=anonymize,
        progress=progress,
    )


def _refuse_older(folder: Path) -> None:
    """InputError if the folder of an anonymized page has something in it that is not anonymized."""
    try:
        if not folder.is_dir() or not any(folder.iterdir()):
            return
        older = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        anonymized = all(each["trace"]["anonymized"] for each in older["traces"])
    except (OSError, ValueError, KeyError, TypeError):
        anonymized = False
    if not anonymized:
        raise InputError.unwritable(
            folder,
            "it has files that are not anonymized",
            remedy=f"name a new folder with {option('out')}",
        )


@dataclass(frozen=True)
class WrittenFolder:
    """A folder that another verb wrote, or the shards of one replay."""

    kind: FolderKind
    folder: Path
    what: str
    """The folder and its kind, for a message."""
    shards: tuple[Path, ...] = ()

    def refuse(self, given: Iterable[str]) -> None:
        """InputError for a given option that is about traces: the page shows what was measured, as it was."""
        for name in given:
            if name in TRACE_OPTIONS:
                raise InputError.of_option(name, f"is for traces, but {self.what}", remedy="leave it out")


def written_folder(groups: Sequence[Sequence[Path]]) -> WrittenFolder | None:
    """The folder of another verb that is to be reported; None for traces."""
    if any(len(group) != 1 for group in groups):
        return None
    folders = [group[0] for group in groups]
    if len(folders) == 1:
        for file, kind in FOLDER_KINDS.items():
            if (folders[0] / file).is_file():
                return WrittenFolder(kind, folders[0], f"{folders[0]} is {KIND_NAMES[kind]}")
    from ..analysis.logs.files.run_folders import shards_of

    shards = tuple(part.folder for part in shards_of(folders))
    if not shards:
        return None
    return WrittenFolder("run", shards[0], f"{folders[0]} and others are shards of a run", shards)


def _folder_report(
    written: WrittenFolder, out: Path | None, images: bool, command: str, progress: Progress | None
) -> Report:
    """Write the page of a folder that another verb wrote, into it or into `out`."""
    from ..reports.pages.trace import Report

    folder = written.folder
    if written.shards:
        from .replay import gather

        folder, out = out or folder.parent / MERGED_FOLDER, None
        gather(written.shards, folder)
    if written.kind == "run":
        from ..reports.pages.run import write_run_page

        page = write_run_page(folder, out, images=images, command=command, progress=progress)
    elif written.kind == "experiment":
        from ..reports.pages.experiment import write_experiment_page

        page = write_experiment_page(folder, out, images=images, command=command, progress=progress)
    else:
        from .disaggregate import read

        page = read(folder).report(out, images=images, command=command)
    return Report(page.parent, page, (), (), ())
