"""The parameter file: fitted parameters of a trace as plain JSON, for other benchmarks.

The schema (`parameters.schema.json`) explains every field; a file is checked against it when it is
written and when it is read. Not here: the fits (each part's module) and exports to other formats.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import polars.selectors as cs

from ..characterize import Characterization
from ..conversations.part import Conversations
from ..core.atomic_write import write_atomically
from ..core.errors import DiskError, InputError
from ..core.exhibit import Displayable, Exhibit
from ..lengths.part import Lengths
from ..traffic.arrivals import Arrivals
from ..traffic.failures import Failures
from ..traffic.volume import Volume
from .exports import FittedExport, FittedWindows, WriteOptions, WriteResult

VERSION = "1.0"
FLAGS = ("shrunk", "resolution_limited", "not_gamma")


class Parameters(dict[str, Any], Displayable):
    """The content of a parameter file: a plain dictionary that can show itself."""

    def exhibit(self) -> Exhibit:
        """One line, the windows of every selection, and each selection's Gamma as a whole."""
        source, parts = self["source"], self["selections"]
        windows = [
            {
                "selection": part["selection"]["label"],
                **{key: value for key, value in window.items() if key != "shape_interval"},
                **dict(
                    zip(("shape_low", "shape_high"), window["shape_interval"] or (None, None), strict=True)
                ),
                "flags": ", ".join(window["flags"]),
            }
            for part in parts
            for window in part["arrivals"]["windows"]
        ]
        overall = [{"selection": part["selection"]["label"], **part["arrivals"]["overall"]} for part in parts]
        line = f"{len(parts)} selections, {len(windows):,} windows of {self['window_s']:g} s"
        tables = {
            name: pl.DataFrame(rows, infer_schema_length=None)
            for name, rows in (("overall", overall), ("windows", windows))
        }
        marks = ("synthetic",) if source["synthetic"] else ()
        return Exhibit(f"Parameters of {source['name']}", marks, [line, self["estimator"]], tables)


def schema() -> dict[str, Any]:
    """The JSON Schema of the parameter file (draft 2020-12)."""
    text = resources.files(__package__).joinpath("parameters.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def parameters(characterization: Characterization) -> Parameters:
    """Make the content of `parameters.json` for one characterization, and check it against the schema."""
    info = characterization.info
    arrivals = characterization.part(Arrivals).tables()
    lengths = characterization.part(Lengths).tables()
    conversations = characterization.part(Conversations).tables()
    failures = characterization.part(Failures).tables()
    volume = characterization.part(Volume)
    selections = []
    for name in arrivals["overall"]["selection"]:
        of = pl.col("selection") == name
        overall = arrivals["overall"].filter(of)
        selections.append(
            {
                "selection": {
                    "label": name,
                    "service": overall["service"][0],
                    "model": overall["model"][0],
                    "start_s": volume.segments["start_s"].min(),
                    "end_s": volume.segments["end_s"].max(),
                },
                "arrivals": {
                    "overall": _records(overall.drop("selection", "service", "model"))[0],
                    "windows": [_window(row) for row in _records(arrivals["windows"].filter(of))],
                },
                "lengths": {
                    **{
                        table: _records(_rows_of(lengths[table], name))
                        for table in ("zipf", "fits", "parameters", "joint", "joint_grid")
                    },
                },
                "conversations": {
                    table: _records(_rows_of(conversations[table], name))
                    for table in ("turns_summary", "turn_models", "interval_models")
                    if table in conversations
                },
                "failures": _records(_rows_of(failures["rates"], name)),
                **(
                    {"failure_reasons": _records(_rows_of(failures["reasons"], name))}
                    if "reasons" in failures
                    else {}
                ),
                **({"usage": _records(_rows_of(volume.usage, name))[0]} if volume.usage.height else {}),
            }
        )
    content = {
        "schema_version": VERSION,
        "generator": "burstlens",
        "engine": characterization.engine,
        "source": {
            "name": info.name,
            "format": info.format,
            "files": [{"name": s.name, "sha256": s.sha256, "bytes": s.bytes} for s in info.sources],
            "rows": info.rows,
            "rejected": info.rejected,
            "span_s": volume.span_s,
            "day0": info.day0.isoformat() if info.day0 else None,
            "resolution_s": info.resolution_s,
            "synthetic": info.synthetic,
            **({"timezone": info.timezone} if info.timezone else {}),
        },
        "window_s": characterization.window_s,
        "estimator": _estimator(characterization.part(Arrivals)),
        "selections": selections,
    }
    validate(content, "the fitted parameters")
    return Parameters(content)


def validate(content: Any, what: str) -> None:
    """Check content against the schema of a parameter file.

    Parameters
    ----------
    content
        As read from JSON.
    what : str
        Names the content in an error.

    Raises
    ------
    InputError
        Names `what`, the field and the fault in one line.
    """
    # In plain Python a look at the windows of a year took longer than all fits together.
    import jsonschema_rs

    faults = jsonschema_rs.Draft202012Validator(schema()).iter_errors(content)
    # Of several the outermost: what it holds may be wrong for that reason.
    fault = min(faults, key=lambda fault: len(fault.instance_path), default=None)
    if fault is not None:
        steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in fault.instance_path)
        where = steps.removeprefix(".") or "the whole file"
        raise InputError(f"{what}: {where}: {fault.message[:200]} (see parameters.schema.json)")


def write_parameters(content: dict[str, Any], out: Path) -> None:
    """Validate and write a parameter file; it appears complete or not at all.

    Parameters
    ----------
    content : dict
    out : Path

    Raises
    ------
    InputError
        If the content does not fit the schema.
    DiskError
        If the file cannot be written.
    """
    validate(content, str(out))
    # Many times faster than the standard library: its indenting writer is plain Python.
    text = orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    write_atomically(out, lambda draft: draft.write_bytes(text))


def read_parameters(path: Path) -> Parameters:
    """Read and validate a parameter file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Parameters

    Raises
    ------
    InputError
        If it is not a parameter file; one line.
    DiskError
        If it cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as fault:
        raise DiskError.unreadable(path, fault) from fault
    except (UnicodeDecodeError, json.JSONDecodeError) as fault:
        raise InputError(f"{path}: not a parameter file: {fault}") from fault
    validate(content, str(path))
    return Parameters(content)


def _estimator(part: Arrivals) -> str:
    """The law of the gaps in words, and what small windows are drawn towards."""
    laws = sorted(part.windows["law"].drop_nulls().unique().to_list())
    return (
        f"maximum likelihood of Gamma gaps, {' and '.join(laws) or 'no'} law; "
        "shapes drawn towards a log-normal prior fitted over the windows (empirical Bayes)"
    )


def _window(row: dict[str, Any]) -> dict[str, Any]:
    """One window as the schema wants it: the interval as a pair, the flags as names."""
    interval = [row["shape_low"], row["shape_high"]] if row["shape"] is not None else None
    fields = ("start_s", "n", "rate_rps", "shape", "rate", "scale", "cv")
    return {
        **{field: row[field] for field in fields},
        "shape_interval": interval,
        "flags": [flag for flag in FLAGS if row.get(flag)],
    }


def _rows_of(table: pl.DataFrame, selection: str) -> pl.DataFrame:
    """The rows of one selection, without the columns that name it."""
    return table.filter(pl.col("selection") == selection).drop("selection", "service", "model", strict=False)


def _records(table: pl.DataFrame) -> list[dict[str, Any]]:
    """Plain dictionaries, one a row; null for NaN and infinities: JSON has no word for them."""
    numbers = cs.float()
    return table.with_columns(pl.when(numbers.is_finite()).then(numbers)).to_dicts()


def _write_selections(fitted: FittedWindows, out: Path, _options: WriteOptions) -> WriteResult:
    """Write the rows of the file that were selected, as they were read."""
    starts = {part.label: {window.start_s for window in part.windows} for part in fitted.selections}
    selections = []
    for part in fitted.content["selections"]:
        label, arrivals = part["selection"]["label"], part["arrivals"]
        if label in starts:
            windows = [row for row in arrivals["windows"] if row["start_s"] in starts[label]]
            selections.append({**part, "arrivals": {**arrivals, "windows": windows}})
    write_parameters({**fitted.content, "selections": selections}, out)
    return WriteResult(sum(len(part.windows) for part in fitted.selections), [])


PARAMETERS = FittedExport(
    "parameters.json of burstlens", ".json", _write_selections, default_selections="every"
)
