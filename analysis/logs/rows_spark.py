"""A log's rows on Spark: each file read by Spark's own reader, under the names that its format's SELECT asks.

The expressions here are bound to Spark, as those of `reading` are to DuckDB; the SELECT between them is the
same file. A row is a line. Not here: which rows can be used (`load_spark`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...queries.dialect import in_spark
from ...queries.spark import SparkEngine
from ..core.errors import InputError
from .files.csv_layout import NULL_CELLS
from .files.sniff import LogFile, parquet_files
from .formats.declaration import STAMPS_S
from .select_sql import (
    ALL_TIME,
    BLOCKS,
    DATES,
    NO_BLOCKS,
    OPTIONAL_TYPES,
    SQL_TYPES,
    Reading,
    Use,
    span_condition,
)
from .values.stamps import PER_SECOND, UNIX_FROM_S, UNIX_TO_S

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

UNPARSEABLE = "unparseable"
"""Column after a format's own: number of the `faults` of a row that cannot be parsed, else NULL."""
ROW_TEXT = "row_text"
"""The row's text, or its values joined again."""
PLACE = "place"
"""The file, and the byte of it where the row's piece begins: pieces in order are the log in order."""

CORRUPT = "corrupt row"


def read_rows(engine: SparkEngine, reading: Reading, i: int, known: Mapping[str, Any]) -> DataFrame:
    """Read the log's rows as trace columns, followed by `UNPARSEABLE`, `ROW_TEXT` and `PLACE`.

    Parameters
    ----------
    engine : SparkEngine
    reading : Reading
    i : int
        Number of the log; names its views.
    known : mapping
        Values that the format's SELECT asks for.

    Returns
    -------
    DataFrame
        Of Spark.

    Raises
    ------
    InputError
        If Spark cannot read the format or the compression.
    """
    log = reading.log
    if log.data is not None or log.wrap or log.skip or log.decimal != ".":
        raise InputError.not_on_spark(log.path, "; ".join(log.notes) or "a file that is converted first")
    if "UNPIVOT" in reading.format.sql or reading.has_line_no or any(_is_nested(use) for use in reading.uses):
        raise InputError.not_on_spark(log.path, f"the format {reading.format.title}")
    if log.packed == "zstd" or (log.packed == "gzip" and log.path.suffix != ".gz"):
        raise InputError.not_on_spark(log.path, f"{log.packed} data in a file of this name")
    if reading.is_lenient or reading.filters:
        raise InputError.not_on_spark(log.path, "a log of mixed forms")
    frame, names = _lines(engine, log, reading)
    engine.view(f"lines_{i}", frame)
    listed = [f"{_value(log, use, names)} AS {quote_name(use.column.name)}" for use in reading.uses]
    text = f"CONCAT_WS('{log.delimiter or ','}', {', '.join(names.values())})"
    if log.kind == "csv":
        text = f"COALESCE({quote_name(CORRUPT)}, {text})"
    elif log.kind == "jsonl":
        text = "line"
    listed += [f"{_fault_number(reading, names)} AS {UNPARSEABLE}", f"{text} AS {ROW_TEXT}", PLACE]
    engine.view(f"log_{i}", engine.run(f"SELECT {', '.join(listed)} FROM lines_{i}", **known))
    frame = engine.run(in_spark(reading.format.sql, f"log_{i}", (UNPARSEABLE, ROW_TEXT, PLACE)), **known)
    for name, kind in OPTIONAL_TYPES.items():
        if name not in frame.columns:
            spark_type = {"VARCHAR": "STRING", "BIGINT[]": "ARRAY<BIGINT>"}.get(kind, kind)
            frame = frame.selectExpr("*", f"CAST(NULL AS {spark_type}) AS {name}")
    return frame if reading.span == ALL_TIME else frame.where(span_condition(reading.span))


def faults(reading: Reading) -> list[tuple[str, str | None]]:
    """Why a row cannot be parsed, and the column at fault if any; `UNPARSEABLE` numbers them from 1."""
    if reading.log.kind == "jsonl":
        return [("not JSON", None)]
    if reading.log.kind == "csv":
        n = len(reading.log.header)
        numbers = [("not a number", use.source) for use in reading.uses if _is_number(use)]
        return [(f"not {n} columns, as the header has", None), *numbers]
    return []


def location(path: Path, log: LogFile | None = None) -> str:
    """Write a path as Spark's readers want it: with the characters of patterns escaped.

    Parameters
    ----------
    path : Path
        A log, or a file of the folder that is the log.
    log : LogFile, optional
        The log; needed if it is at a URL.

    Returns
    -------
    str
    """
    if log is None or log.url is None:
        place = f"file://{path.absolute()}"
    else:
        inside = path.relative_to(log.path).as_posix()
        place = log.url if inside == "." else f"{log.url.rstrip('/')}/{inside}"
    return re.sub(r"([\\*?\[\]{}])", r"\\\1", place)


def quote_name(name: str) -> str:
    """A name as an identifier of Spark's."""
    return "`" + name.replace("`", "``") + "`"


def _is_nested(use: Use) -> bool:
    return use.column.type == "JSON" or (use.place is not None and bool(use.place.steps))


def _is_number(use: Use) -> bool:
    is_stamp = use.column.type in STAMPS_S and use.plain not in DATES
    return use.source is not None and (
        use.column.type in ("DOUBLE", "TOKENS", "DURATION", "BOOLEAN") or is_stamp
    )


def _lines(engine: SparkEngine, log: LogFile, reading: Reading) -> tuple[DataFrame, dict[str, str]]:
    """Read the file with Spark, with the column `place`; also return how Spark names its columns."""
    reader, place = engine.session.read, location(log.path, log)
    if log.kind == "parquet":
        frame = reader.parquet(*(location(file, log) for file in parquet_files(log.path, *reading.span)))
        names = {name: quote_name(name) for name in log.header}
    elif log.kind == "jsonl":
        used = dict.fromkeys(use.source for use in reading.uses if use.source is not None)
        schema = ", ".join(f"{quote_name(name)} STRING" for name in (*used, CORRUPT))
        engine.view("text_lines", reader.text(place).selectExpr("*", "_metadata"))
        frame = engine.run(
            "SELECT value AS line, _metadata, "
            f"FROM_JSON(value, :schema, MAP('columnNameOfCorruptRecord', '{CORRUPT}')) AS fields "
            "FROM text_lines WHERE TRIM(value) <> ''",
            schema=schema,
        )
        names = {name: f"fields.{quote_name(name)}" for name in used}
    else:
        listed = [f"c{k} STRING" for k in range(len(log.header))]
        frame = reader.schema(f"{', '.join(listed)}, {quote_name(CORRUPT)} STRING").csv(
            place,
            sep=log.delimiter,
            quote='"',
            escape='"',
            header=True,
            mode="PERMISSIVE",
            columnNameOfCorruptRecord=CORRUPT,
        )
        names = {name: f"c{k}" for k, name in reversed(list(enumerate(log.header)))}
    where = "CONCAT(_metadata.file_path, ' ', LPAD(_metadata.file_block_start, 20, '0'))"
    return frame.selectExpr("*", f"{where} AS {PLACE}"), names


def _value(log: LogFile, use: Use, names: Mapping[str, str]) -> str:
    """The expression of a declared column over what Spark's reader gives."""
    kind = SQL_TYPES.get(use.column.type, use.column.type).replace("VARCHAR", "STRING")
    if use.source is None:
        return f"CAST(NULL AS {'ARRAY<BIGINT>' if use.column.type == 'BLOCKS' else kind})"
    source = names[use.source]
    if use.column.type == "BLOCKS":
        if log.kind == "parquet" and log.first[use.source].endswith("[]"):
            return f"CAST({source} AS ARRAY<BIGINT>)"
        none = f"ARRAY({NO_BLOCKS.strip('[]')})"
        listed = f"COALESCE(FROM_JSON({source}, 'ARRAY<BIGINT>'), {none})"
        good = f"CASE WHEN {source} RLIKE r'^{BLOCKS}$' THEN {listed} ELSE {none} END"
        return f"CASE WHEN {source} IS NOT NULL THEN {good} END"
    if use.column.type in STAMPS_S and use.plain not in DATES:
        return _stamp(source, use)
    if use.column.type == "INSTANT" or use.column.type in STAMPS_S:
        # Spark's own time ends at microseconds; the rest of the digits are read as a number.
        text = f"CAST({source} AS STRING)"
        seconds = f"UNIX_SECONDS(TRY_CAST(REGEXP_REPLACE({text}, '[.][0-9]+', '') AS TIMESTAMP))"
        fraction = f"CAST(RPAD(REGEXP_EXTRACT({text}, '[.]([0-9]{{1,9}})', 1), 9, '0') AS BIGINT)"
        ns = f"({seconds} * 1000000000 + {fraction})"
        return ns if use.column.type == "INSTANT" else f"({ns} - :day0_ns) / 1e9"
    if kind == "STRING":
        if log.kind == "csv":
            return f"CASE WHEN {source} NOT IN ({_null_cells()}) THEN {source} END"
        return f"CAST({source} AS STRING)"
    return f"TRY_CAST({source} AS {kind})"


def _null_cells() -> str:
    """The cells of a CSV file that hold nothing, as literals without escapes."""
    return ", ".join(f"r'{cell}'" for cell in NULL_CELLS)


def _stamp(source: str, use: Use) -> str:
    """Seconds from a column of plain numbers; of numbers since 1970, seconds since then."""
    number = f"TRY_CAST({source} AS DOUBLE)"
    if use.plain.endswith("since 1970"):
        seconds = number if use.plain.startswith("seconds") else f"({number} / 1000e0)"
        return f"CASE WHEN {seconds} >= {UNIX_FROM_S} AND {seconds} < {UNIX_TO_S} THEN {seconds} END"
    per_second = 1 if use.stamp is None else PER_SECOND[use.stamp.unit]
    return number if per_second == 1 else f"({number} / {per_second}e0)"


def _fault_number(reading: Reading, names: Mapping[str, str]) -> str:
    """The number of a row's fault, in the order of `faults`."""
    log = reading.log
    if log.kind == "parquet":
        return "CAST(NULL AS INT)"
    corrupt = f"fields.{quote_name(CORRUPT)}" if log.kind == "jsonl" else quote_name(CORRUPT)
    whens = [f"WHEN {corrupt} IS NOT NULL THEN 1"]
    if log.kind == "csv":
        for k, use in enumerate([use for use in reading.uses if _is_number(use)], start=2):
            text = names[use.source or ""]
            whens.append(
                f"WHEN {text} NOT IN ({_null_cells()}) AND {_value(log, use, names)} IS NULL THEN {k}"
            )
    return f"CASE {' '.join(whens)} END"
