"""The optional columns of a trace: what only some logs have of a request, and how it is read.

A trace without one of them has no such column, neither in memory nor in its file. Not here: the columns that
every trace has, and prefix blocks (`burstlens.analysis.trace.parquet`).
"""

from __future__ import annotations

OPTIONAL: dict[str, str] = {
    "client": "VARCHAR",
    "cached_tokens": "INTEGER",
    "reasoning_tokens": "INTEGER",
    "ttft_s": "DOUBLE",
    "reason": "VARCHAR",
    "images": "INTEGER",
}
"""The columns in order, with their types in SQL."""

STATUS = (
    "^((http|error|status|code)[ :=/_-]*)*([45][0-9][0-9])([.]0)?"
    "[ :-]*(|bad request|unauthorized|forbidden|not found|too many requests|internal server error"
    "|bad gateway|service unavailable|gateway time-?out)$"
)
"""An HTTP status, alone or with the words that go with it; its third group is the number."""
CAUSES = {
    "429": "^([a-z._-]*(rate.?limit|throttl|too.many.requests)[a-z._-]*$|rate limit|too many requests)",
    "timeout": "^([a-z._-]*(time.?out|deadline.exceeded)[a-z._-]*$|(request )?(time.?out|timed.out))",
    "content filter": "^([a-z._-]*content.?(filter|policy|moderation)[a-z._-]*|safety)$",
    "cancelled": "^([a-z._-]*(cancel|client.?disconnect|client.closed)[a-z._-]*|(request )?(was )?abort(ed)?"
    "|(request )?(was )?cancell?ed( by (the )?(client|user))?)$",
}
"""Names that systems give to the same cause, in small letters; any other text stays as it is."""
CLIENT_CLOSED = "499"
"""What nginx and those after it log where the client went away."""
REASON_LIMIT = 80
"""Characters of a reason that are kept."""


def reason_sql(failed: str = "failed", reason: str = "reason") -> str:
    """Write SQL for the cause of a failure, the same words for what systems call differently.

    Parameters
    ----------
    failed, reason : str
        Expressions for whether the request failed and for the log's own text.

    Returns
    -------
    str
        In DuckDB's dialect: a status as text, a key of `CAUSES`, or the log's own words; NULL where the
        request did not fail or the log gives no reason.
    """
    text = f"LOWER(TRIM({reason}))"
    status = f"REGEXP_EXTRACT({text}, '{STATUS}', 3)"
    whens = [
        f"WHEN NOT COALESCE({failed}, FALSE) OR TRIM({reason}) = '' THEN NULL",
        f"WHEN {status} = '{CLIENT_CLOSED}' THEN 'cancelled'",
        f"WHEN {status} <> '' THEN {status}",
        *(f"WHEN REGEXP_MATCHES({text}, '{pattern}') THEN '{cause}'" for cause, pattern in CAUSES.items()),
    ]
    return f"CASE {' '.join(whens)} ELSE LEFT(TRIM({reason}), {REASON_LIMIT}) END"


def optional_values(own: frozenset[str], held: frozenset[str]) -> list[str]:
    """Write SQL for the optional columns of a log's rows, in order.

    Parameters
    ----------
    own : frozenset of str
        The optional columns that the log has.
    held : frozenset of str
        Those that some log of the trace has.

    Returns
    -------
    list of str
        One for each column of `held`; NULL where only another log has it.
    """
    values = []
    for name, kind in OPTIONAL.items():
        if name in held:
            source = reason_sql() if name == "reason" else name
            values.append(f"TRY_CAST({source if name in own else 'NULL'} AS {kind}) AS {name}")
    return values


def optional_columns(held: frozenset[str] | set[str]) -> list[str]:
    """Write SQL that selects every optional column, in order; NULL for those that the trace does not have."""
    return [name if name in held else f"CAST(NULL AS {kind}) AS {name}" for name, kind in OPTIONAL.items()]
