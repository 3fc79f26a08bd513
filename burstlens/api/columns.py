"""The verb `columns`: what an unknown log has in it, and a mapping to try.

Not here: how the mapping is guessed (`burstlens.analysis.logs.formats.proposal`).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ..analysis.core.errors import DiskError

if TYPE_CHECKING:
    from ..analysis.logs.formats.proposal import ColumnsResult
    from .options import Log


def columns(
    log: Log,
    out: Log | None = None,
    *,
    delimiter: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    table: str | None = None,
    sql: str | None = None,
) -> ColumnsResult:
    """Look at the first rows of an unknown log, and propose a mapping of its columns.

    Parameters
    ----------
    log
        Path of the log, or URL of a database.
    out
        File for the mapping, in TOML, for the option `mapping` of the verbs that read logs.
    delimiter, decimal, encoding
        As in `LogOptions`, where they are not recognized.
    table, sql
        As in `LogOptions`, for a database.

    Returns
    -------
    ColumnsResult
        `found` has every value with examples and its likely role, `mapping` the proposal, `command` the
        command line that tries it.

    Raises
    ------
    BurstlensError
        If the file cannot be a log, or `out` cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> _ = Path("mine.csv").write_text("ts,in,out\\n1772438400,10,5\\n1772438460,12,7\\n")
    >>> bl.columns("mine.csv").mapping
    {'arrival': 'ts', 'request_tokens': 'in', 'response_tokens': 'out'}
    """
    from ..analysis.logs.files.databases import databases_named, log_path
    from ..analysis.logs.formats.proposal import propose
    from ..analysis.logs.options import LogOptions
    from ..analysis.logs.select_sql import look_at_log

    options = LogOptions(delimiter=delimiter, encoding=encoding, decimal=decimal, table=table, sql=sql)
    with tempfile.TemporaryDirectory(prefix="burstlens-") as folder, databases_named():
        found = propose(look_at_log(log_path(log), options, Path(folder), head_only=True))
    if out is not None:
        try:
            Path(out).write_text(found.toml(), encoding="utf-8")
        except OSError as fault:
            raise DiskError.unwritable(Path(out), fault) from fault
    return found
