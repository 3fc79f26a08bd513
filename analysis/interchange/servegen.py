"""ServeGen's client windows: for each client its windows (start, rate, CV, pattern, parameters) and lengths.

A folder holds `chunk-I-trace.csv` and `chunk-I-dataset.json` for each client I. A window runs until the next
row; a row without a pattern has no requests. Patterns are `Gamma,shape,scale` and `Weibull,shape,scale`, the
scale in seconds. Lengths are shares by token count, written as a Python dictionary inside JSON. Source:
alibaba/ServeGen, `servegen/clientpool.py` and its data. Not here: choosing what is written (`fitted`).
"""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy import special

from ..core.arrays import Array, Integers
from ..core.atomic_write import write_text
from ..core.errors import DiskError, InputError, path_text
from ..core.option_names import option
from ..core.units import counted
from ..lengths.joint import Marginal
from ..lengths.part import SIDES, describe_lengths
from ..logs.files.sniff import file_digest
from ..logs.tables import MAX_SELECTIONS
from ..logs.trace_info import TraceInfo
from ..trace.trace import COLUMNS, open_frame
from .exports import FittedExport, FittedWindows, WriteOptions, WriteResult
from .fitted import length_laws, shapes
from .parameter_model import (
    FittedArrivals,
    FittedSelection,
    FittedWindow,
    ParameterFile,
    ParameterSource,
    SelectionKey,
    SourceFile,
)
from .parameters import VERSION, Parameters, validate

FIELDS = ("input_tokens", "output_tokens")
MIN_SHARE = 1e-9
"""Shares below this are left out; the rest is scaled to sum to 1, which ServeGen checks."""
MAX_DRAWS, MIN_DRAWS_PER_CLIENT = 200_000, 2000
"""Lengths drawn, over all clients and of each, when laws are fitted to a folder's shares."""
TRACE, DATASET = "chunk-{}-trace.csv", "chunk-{}-dataset.json"
CHUNK = re.compile(r"chunk-(\d+)-trace\.csv", re.ASCII)

LengthTables = dict[str, list[dict[str, Any]]]
"""`lengths` of a selection in a parameter file: rows by table."""


@dataclass(frozen=True)
class ClientRow:
    """A line of a client's file: a window, which lasts until the next line."""

    start_s: float
    rate_rps: float
    cv: float
    pattern: str
    """`Gamma`, `Weibull`, or empty if the window has no requests."""
    shape: float
    scale: float
    """In seconds."""


Clients = Mapping[int, Sequence[ClientRow]]
"""The rows of each client by its number."""


def write_servegen(fitted: FittedWindows, out: Path, options: WriteOptions) -> WriteResult:
    """Write a ServeGen client for each selection, and a README.txt that says which is which.

    Parameters
    ----------
    fitted : FittedWindows
    out : Path
        A folder.
    options : WriteOptions

    Returns
    -------
    WriteResult

    Raises
    ------
    InputError
        If windows are not whole seconds, or a selection has no laws of lengths.
    DiskError
        If `out` contains other clients that would stay there: ServeGen takes all of a folder.
    """
    file, parts, window_s = fitted.file, fitted.selections, fitted.file.window_s
    starts = sorted({window.start_s for part in parts for window in part.windows})
    if window_s != round(window_s) or any(start != round(start) for start in starts):
        raise InputError(
            f"{file.source.name}: windows of {window_s:g} s, but in ServeGen windows begin at full "
            f"seconds; fit with {option('window_s')} in full seconds"
        )
    # A window lasts until the next row, so the end of the last one before a hole needs a row too.
    rows = sorted({*starts, *(start + window_s for start in starts)})
    if others := [number for number in _numbers(out) if number >= len(parts)]:
        raise DiskError.unwritable(
            out / TRACE.format(others[0]),
            f"the folder has {counted(len(others), 'client')} of another export",
            remedy=f"remove them, or name another folder with {option('out')}",
        )
    laws = [length_laws(file, part, options.tokens) for part in parts]
    unfitted, clients = 0, []
    for number, part in enumerate(parts):
        windows = {window.start_s: window for window in part.windows}
        shape = dict(zip(windows, shapes(part), strict=True))
        lines = []
        for start in rows:
            window, second = windows.get(start), int(start - starts[0])
            if window is None or not window.rate_rps > 0:
                lines.append(f"{second},0,0,,0,0\n")
                continue
            unfitted += window.shape is None
            scale = window.scale or 1 / (shape[start] * window.rate_rps)
            cv = window.cv if window.cv is not None else shape[start] ** -0.5
            lines.append(f"{second},{window.rate_rps!r},{cv!r},Gamma,{shape[start]!r},{scale!r}\n")
        shares = {name: str(_shares(law)) for name, law in zip(FIELDS, laws[number][:2], strict=True)}
        write_text("".join(lines), out / TRACE.format(number))
        write_text(json.dumps({"0": shares}) + "\n", out / DATASET.format(number))
        clients.append(f"client {number}: {part.label}")
    lost = [
        "how request and response lengths go together: ServeGen draws both from one uniform number",
        "gaps across windows: ServeGen fills every window exactly",
        "sessions and failures",
        f"the clock: second 0 is {starts[0]:g} s after midnight of day 0",
    ]
    if unfitted:
        few = counted(unfitted, "window")
        lost.append(f"that {few} had too few gaps for a fit: they get the client's median shape")
    for part, (_, _, label) in zip(parts, laws, strict=True):
        if label != (own := part.label):
            lost.append(f"the lengths of {own}, too few for a law: it gets those of {label}")
    source = f"{file.source.name}{', synthetic' if file.source.synthetic else ''}"
    text = [f"Client windows of {source}, made by burstlens.", *clients, *(f"lost: {each}" for each in lost)]
    write_text("\n".join(text) + "\n", out / "README.txt")
    return WriteResult(sum(len(part.windows) for part in parts), lost)


def _shares(law: Marginal) -> dict[int, float]:
    """Shares by token count, summing to 1."""
    share = np.diff(law.cumulative, prepend=0.0) / law.cumulative[-1]
    mask = share > MIN_SHARE
    share = share[mask] / share[mask].sum()
    return dict(zip(law.values[mask].tolist(), share.tolist(), strict=True))


def is_servegen(path: Path) -> bool:
    """Return whether a path is a folder of client windows."""
    return path.is_dir() and any(path.glob("chunk-*-trace.csv"))


def _numbers(folder: Path) -> list[int]:
    """The clients of a folder, in order; InputError if a file's name has no number."""
    numbers = []
    for path in folder.glob("chunk-*-trace.csv"):
        named = CHUNK.fullmatch(path.name)
        if named is None:
            raise InputError(f"{path_text(path)}: its name has no client number, as chunk-0-trace.csv has")
        numbers.append(int(named[1]))
    return sorted(numbers)


def read_servegen(folder: Path) -> tuple[Parameters, list[str]]:
    """Read a folder of client windows as the content of a parameter file.

    A client becomes a selection; a Weibull window becomes the Gamma of its rate and the law's CV.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    content : Parameters
    lost : list of str
        What could not be preserved, one sentence each.

    Raises
    ------
    BurstlensError
        If it is not such a folder; one line.
    """
    numbers = _numbers(folder)
    clients = {number: _rows(folder / TRACE.format(number)) for number in numbers}
    if all(rows[-1].pattern == "" and len(rows) > 1 for rows in clients.values()):
        # The row that ends the last window.
        clients = {number: rows[:-1] for number, rows in clients.items()}
    window_s = _window_s(folder, clients)
    lengths = _lengths(folder, clients, window_s)
    weibull = sum(row.pattern == "Weibull" for rows in clients.values() for row in rows)
    selections, total = [], 0
    for number, rows in clients.items():
        label = "all" if len(clients) == 1 else f"client {number}"
        begin = min(row.start_s for row in rows)
        end = max(row.start_s for row in rows) + window_s
        windows = tuple(_window(row, window_s) for row in rows)
        n = sum(window.n for window in windows)
        total += n
        selections.append(
            FittedSelection(
                SelectionKey(label, None if len(clients) == 1 else label, None, begin, end),
                FittedArrivals({"n": n, "rate_rps": n / (end - begin)}, windows),
                lengths=lengths[number],
                conversations={},
                failures=[],
            )
        )
    rows_s = [row.start_s for rows in clients.values() for row in rows]
    if not total:
        raise InputError(f"{path_text(folder)}: no window with requests")
    file = ParameterFile(
        schema_version=VERSION,
        generator="burstlens",
        source=ParameterSource(
            folder.name,
            "servegen",
            tuple(_source_file(folder / name.format(n)) for n in numbers for name in (TRACE, DATASET)),
            rows=total,
            rejected=0,
            span_s=max(rows_s) + window_s - min(rows_s),
            day0=None,
            resolution_s=0.001,
            synthetic="synthetic" in folder.name.casefold(),
        ),
        window_s=window_s,
        estimator="ServeGen's client windows as they are; Weibull windows by their rate and CV",
        selections=tuple(selections),
    )
    content = Parameters(file.as_dict())
    validate(content, str(folder))
    lost = ["how request and response lengths go together: ServeGen has the shares of each separately"]
    if weibull:
        lost.append(
            f"{counted(weibull, 'window')} of Weibull gaps: each became a Gamma of the same rate and CV"
        )
    return content, lost


def _rows(path: Path) -> list[ClientRow]:
    """The rows of one client; BurstlensError names the line that is not valid."""
    rows = []
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as fault:
        raise DiskError.unreadable(path, fault) from fault
    except UnicodeDecodeError:
        raise InputError(f"{path_text(path)}: is not UTF-8 text") from None
    with io.StringIO(text, newline="") as file:
        for line, cells in enumerate(csv.reader(file), 1):
            try:
                start, rate, cv, pattern, first, second = cells
                row = ClientRow(float(start), float(rate), float(cv), pattern, float(first), float(second))
            except ValueError:
                raise InputError(
                    f"{path_text(path)}:{line}: is not start,rate,cv,pattern,shape,scale"
                ) from None
            if pattern not in ("", "Gamma", "Weibull"):
                raise InputError(
                    f"{path_text(path)}:{line}: no pattern {pattern!r}; Gamma and Weibull are known"
                )
            rows.append(row)
    if not rows:
        raise InputError.empty(path)
    return rows


def _window_s(folder: Path, clients: Clients) -> float:
    """The length of the windows, the same for all; of a single row it is ServeGen's ten minutes."""
    gaps = {
        round(float(gap), 6) for rows in clients.values() for gap in np.diff([row.start_s for row in rows])
    }
    if gaps and min(gaps) <= 0:
        raise InputError(f"{path_text(folder)}: its windows are not in order")
    # A row without requests may stand after a hole of any length, so the shortest step is the length.
    return min(gaps) if gaps else 600.0


def _window(row: ClientRow, window_s: float) -> FittedWindow:
    """A row as a window of a parameter file."""
    fitted = row.pattern != "" and row.rate_rps > 0
    shape, scale = (row.shape, row.scale) if fitted else (None, None)
    if fitted and row.pattern == "Weibull":
        shape = 1 / _weibull_cv2(row.shape)
        scale = 1 / (shape * row.rate_rps)
    return FittedWindow(
        row.start_s,
        n=round(row.rate_rps * window_s) if fitted else 0,
        rate_rps=row.rate_rps if fitted else 0.0,
        shape=shape,
        rate=1 / scale if scale else None,
        scale=scale,
        cv=row.cv if fitted else None,
        shape_interval=None,
        flags=("not_gamma",) if row.pattern == "Weibull" else (),
    )


def _weibull_cv2(shape: float) -> float:
    """Squared CV of a Weibull law of that shape."""
    return float(np.expm1(special.gammaln(1 + 2 / shape) - 2 * special.gammaln(1 + 1 / shape)))


def _lengths(folder: Path, clients: Clients, window_s: float) -> dict[int, LengthTables]:
    """Laws of lengths of each client, fitted to lengths drawn from its shares, each side separately.

    In groups of `MAX_SELECTIONS` clients, the limit of services in a trace.
    """
    each = max(MIN_DRAWS_PER_CLIENT, MAX_DRAWS // len(clients))
    rng = np.random.default_rng(0)
    numbers = list(clients)
    out: dict[int, LengthTables] = {}
    for first in range(0, len(numbers), MAX_SELECTIONS):
        some = {number: clients[number] for number in numbers[first : first + MAX_SELECTIONS]}
        out |= _length_tables(folder, some, window_s, each, rng)
    return out


def _length_tables(
    folder: Path,
    clients: Clients,
    window_s: float,
    each: int,
    rng: np.random.Generator,
) -> dict[int, LengthTables]:
    """Those of a few clients, by `each` draws of either length."""
    frames = []
    for number, rows in clients.items():
        drawn = {
            f"{side}_tokens": rng.permutation(law.quantile((np.arange(each) + 0.5) / each))
            for side, law in zip(SIDES, _laws(folder / DATASET.format(number), rows, window_s), strict=True)
        }
        frames.append(pl.DataFrame({"service": [str(number)] * each, **drawn}))
    stacked = pl.concat(frames)
    frame = stacked.with_columns(
        arrival_s=pl.int_range(pl.len()).cast(pl.Float64),
        failed=pl.lit(False),
        **{name: pl.lit(None) for name in ("model", "session", "elapsed_s")},
    ).select(pl.col(name).cast(kind) for name, kind in COLUMNS.items())
    info = TraceInfo(folder.name, "servegen", (), len(frame), 0, 0, 1.0, None, True)
    trace = open_frame(frame, info)
    try:
        tables = describe_lengths(trace).tables()
    finally:
        trace.engine.close()
    written = ("zipf", "fits", "parameters", "joint", "joint_grid")
    only = len(clients) == 1
    out = {}
    for number in clients:
        of = pl.col("selection") == ("all" if only else str(number))
        out[number] = {
            name: tables[name].filter(of).drop("selection", "service", "model", strict=False).to_dicts()
            for name in written
        }
    return out


def _laws(path: Path, rows: Sequence[ClientRow], window_s: float) -> list[Marginal]:
    """Shares of request and of response tokens over all windows, weighted by their requests."""
    try:
        shares_by_start = {
            int(start): shares for start, shares in json.loads(path.read_text("utf-8")).items()
        }
        parsed = {
            start: [_parse_shares(shares[name]) for name in FIELDS]
            for start, shares in shares_by_start.items()
            if all(name in shares for name in FIELDS)
        }
    except OSError as fault:
        raise DiskError.unreadable(path, fault) from fault
    except (ValueError, SyntaxError, AttributeError, TypeError) as fault:
        raise InputError(f"{path_text(path)}: has no shares of {' and '.join(FIELDS)}: {fault}") from fault
    parsed = {start: shares for start, shares in parsed.items() if all(len(each[0]) for each in shares)}
    if not parsed:
        raise InputError(f"{path_text(path)}: has no shares of {' and '.join(FIELDS)}")
    starts = sorted(parsed)
    weight = dict.fromkeys(starts, 0.0)
    for row in rows:
        earlier = [start for start in starts if start <= row.start_s]
        weight[earlier[-1] if earlier else starts[0]] += row.rate_rps * window_s
    laws = []
    for side in range(len(FIELDS)):
        total: dict[int, float] = {}
        for start in starts:
            values, share = parsed[start][side]
            for value, part in zip(values.tolist(), share.tolist(), strict=True):
                # No request has length 0; ServeGen's own shares begin at 0 because they come from a list.
                total[max(value, 1)] = total.get(max(value, 1), 0.0) + part * weight[start]
        lengths = np.array(sorted(total), dtype=np.float64)
        counts = np.array([total[value] for value in sorted(total)])
        laws.append(Marginal.of_counts(lengths, counts if counts.sum() > 0 else np.ones(len(counts))))
    return laws


def _parse_shares(text: Any) -> tuple[Integers, Array]:
    """Values and shares of `{12: 0.5, 13: 0.5}`; never evaluated as code."""
    share_by_tokens = ast.literal_eval(text) if isinstance(text, str) else text
    pairs = sorted((int(value), float(share)) for value, share in share_by_tokens.items())
    return np.array([value for value, _ in pairs], dtype=np.int64), np.array([share for _, share in pairs])


def _source_file(path: Path) -> SourceFile:
    return SourceFile(path.name, file_digest(path, ""), path.stat().st_size)


SERVEGEN = FittedExport(
    "client windows of ServeGen, a folder",
    "",
    write_servegen,
    "servegen.ClientPool(servegen.Category.LANGUAGE, NAME), where data/language/NAME in the working folder "
    "is {path}",
)
