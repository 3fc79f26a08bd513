"""Conditions on a log's values: which rows are requests (`where`), which requests failed (`failed`).

`status>=400`, `status!=success`, `type=GENERATION|SPAN`, `!is_success`, `error`. Not here: finding the column
(`paths`), reading with them (`select_sql`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ...core.errors import InputError
from .sql_text import literal

CONDITION = re.compile(r"^\s*(!?)\s*(.+?)\s*(?:(>=|<=|!=|=|>|<)\s*(.*?)\s*)?$", re.DOTALL)
TRUE_WORDS = ("true", "t", "yes", "y", "1", "1.0")
FALSE_WORDS = ("false", "f", "no", "n", "0", "0.0")
SUCCESS_WORDS = (
    "success",
    "ok",
    "succeeded",
    "successful",
    "completed",
    "complete",
    "stop",
    "finished",
    "200",
    "passed",
)
"""Values that a column of errors does not have."""
NO_ERROR_WORDS = ("none", "nan", "n/a", "-", "{}", "[]", "<na>", "undefined", "no error")
"""What a column of errors holds where there was none."""
OF_SUCCESS = re.compile(r"(^|[._\]])(is_?)?(success|succeeded|successful|ok)\]?$", re.IGNORECASE)
"""Names of columns that say the opposite of a failure."""
OK_STATUS = re.compile(r"\b(2\d\d|ok)$", re.IGNORECASE)
NULL = "null"
"""Stands for an empty value in a list of values."""
EMPTY = f"(nullif({{0}}, '') IS NULL OR lower({{0}}) = '{NULL}')"


@dataclass(frozen=True)
class Condition:
    """A condition on one column."""

    column: str
    """a path in the log"""
    operator: str
    """`=`, `!=`, `<`, `<=`, `>`, `>=`; `is true`, `is false`, `is given`, or empty if not decided yet"""
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As a user writes it."""
        if self.operator in ("is true", "is false", "is given"):
            return f"{self.column} {self.operator}"
        return f"{self.column}{self.operator}{'|'.join(self.values)}"

    def sql(self, text: str) -> str:
        """Write the condition in SQL.

        Parameters
        ----------
        text : str
            Expression of the column's text, VARCHAR.

        Returns
        -------
        str
            TRUE, FALSE, or NULL for a value that the condition does not cover.
        """
        trimmed = f"trim({text})"
        empty = EMPTY.format(trimmed)
        if self.operator in ("is true", "is false"):
            true, false = _in(trimmed, TRUE_WORDS), _in(trimmed, FALSE_WORDS)
            yes = self.operator == "is true"
            return f"CASE WHEN {true} THEN {yes} WHEN {false} THEN {not yes} END"
        if self.operator == "is given":
            return f"NOT {empty}"
        named = [value for value in self.values if value.casefold() != NULL]
        has_null = len(named) < len(self.values)
        if self.operator in ("=", "!="):
            met = f"{_in(trimmed, named)}" if named else "FALSE"
            numbers = [value for value in named if _is_number(value)]
            if numbers:
                met = f"({met} OR COALESCE(TRY_CAST({trimmed} AS DOUBLE) IN ({', '.join(numbers)}), FALSE))"
            negated = "" if self.operator == "=" else "NOT "
            return f"CASE WHEN {empty} THEN {_of_null(has_null, self.operator)} ELSE {negated}{met} END"
        compared = f"TRY_CAST({trimmed} AS DOUBLE) {self.operator} {float(named[0])!r}"
        return f"CASE WHEN {empty} THEN {'TRUE' if has_null else 'NULL'} ELSE {compared} END"


def _of_null(has_null: bool, operator: str) -> str:
    """What a condition says of an empty value: only a list that names it covers it."""
    if not has_null:
        return "NULL"
    return "TRUE" if operator == "=" else "FALSE"


def _in(text: str, words: Sequence[str]) -> str:
    return f"lower({text}) IN ({', '.join(literal(word.casefold()) for word in words)})"


def _is_number(text: str) -> bool:
    try:
        return float(text) == float(text)
    except ValueError:
        return False


def parse_condition(text: str, option_name: str) -> Condition:
    """Read a condition as a user writes it.

    Parameters
    ----------
    text : str
        `status>=400`, `status!=success`, `type=GENERATION|SPAN`, `!is_success`, `error`.
    option_name : str
        Parameter that it was given in, for the error.

    Returns
    -------
    Condition
        Without an operator where only a column is named.

    Raises
    ------
    InputError
        If it is no condition, or compares with something that is not a number.
    """
    match = CONDITION.match(text)
    if match is None:
        raise InputError.of_option(
            option_name, f"{text!r} is not a condition", remedy="write status>=400 or type=chat|completion"
        )
    negated, column, operator, value = match.groups()
    if operator is None:
        return Condition(column, "is false" if negated else "")
    values = tuple(part.strip() for part in value.split("|"))
    if negated or not value:
        raise InputError.of_option(
            option_name, f"{text!r} is not a condition", remedy="write status!=success or !is_success"
        )
    numbers = [part for part in values if part.casefold() != NULL]
    if operator not in ("=", "!=") and (len(numbers) != 1 or not _is_number(numbers[0])):
        raise InputError.of_option(
            option_name, f"{text!r} compares with {value!r}", remedy=f"give one number after {operator}"
        )
    return Condition(column, operator, values)


def decided(condition: Condition, values: Collection[str | None], option_name: str) -> Condition:
    """Decide what a column alone means, and check that the condition covers all of its values.

    Parameters
    ----------
    condition : Condition
    values : collection of str or None
        Different values of the column in the log.
    option_name : str
        Parameter that the condition was given in, for the error.

    Returns
    -------
    Condition
        With an operator.

    Raises
    ------
    InputError
        If some values are not covered; the message names values and a condition that fits.

    Examples
    --------
    >>> str(decided(Condition("error", ""), [None, "timeout"], "failed"))
    'error is given'
    >>> str(decided(Condition("f", ""), ["yes", "no"], "failed"))
    'f is true'
    """
    given = sorted({text for value in values if (text := (value or "").strip()) and text.casefold() != NULL})
    words = {text.casefold() for text in given}
    is_boolean = words <= {*TRUE_WORDS, *FALSE_WORDS}
    is_numeric = all(map(_is_number, given))
    has_empty = len(given) < len({(value or "").strip() for value in values})
    if condition.operator == "":
        if is_boolean and given and OF_SUCCESS.search(condition.column) and option_name == "failed":
            name = condition.column
            raise InputError.of_option(
                option_name,
                f"{name!r} seems to say which requests succeeded",
                remedy=f"write failed=!{name}, or failed={name}={given[-1]} if it does not",
            )
        if is_boolean and given:
            return Condition(condition.column, "is true")
        if nothing := [value for value in given if value.casefold() in NO_ERROR_WORDS]:
            if not words & set(SUCCESS_WORDS) and not is_numeric:
                return Condition(condition.column, "!=", (*nothing, NULL))
        elif not given or (has_empty and not words & set(SUCCESS_WORDS) and not is_numeric):
            return Condition(condition.column, "is given")
    elif (condition.operator in ("=", "!=")) or (
        is_boolean if condition.operator == "is false" else is_numeric
    ):
        return condition
    raise InputError.of_option(
        option_name,
        f"{condition.column!r} has the values {_listed(given)}, which say neither yes nor no"
        if condition.operator in ("", "is false")
        else f"{condition.column!r} has the values {_listed(given)}, which are not all numbers",
        remedy=f"give a rule: {_fitting(condition.column, given, option_name)}",
    )


def _listed(values: Sequence[str], limit: int = 8) -> str:
    more = f" and {len(values) - limit} more" if len(values) > limit else ""
    return ", ".join(repr(value[:40]) for value in values[:limit]) + more


def _fitting(column: str, values: Sequence[str], option_name: str) -> str:
    """A condition that fits the values of a column."""
    prefix = f"{option_name}=" if option_name == "failed" else ""
    if values and all(map(_is_number, values)):
        return f"{prefix}{column}>=400"
    good = [
        value
        for value in values
        if value.casefold() in (*SUCCESS_WORDS, *NO_ERROR_WORDS, *FALSE_WORDS) or OK_STATUS.search(value)
    ]
    if good:
        return f"{prefix}{column}!={'|'.join(good)}"
    if len(values) > 1:
        # Which of them are failures, only the user knows.
        return f"{prefix}{column}={values[0]}|… with every value of a failed request"
    return f"{prefix}{column}={values[0] if values else '…'}"


def reason_sql(text: str) -> str:
    """Write SQL for the reason of a failure, from a status or an error message.

    Parameters
    ----------
    text : str
        Expression of the text, VARCHAR.

    Returns
    -------
    str
        `429`, `5xx`, `timeout`, `content filter`, `cancelled`, or the text itself; NULL where it is empty or
        only says that something is true or false.
    """
    trimmed = f"trim({text})"
    lower = f"lower({trimmed})"
    number = f"TRY_CAST({trimmed} AS INTEGER)"
    return (
        f"CASE WHEN {EMPTY.format(trimmed)} OR {_in(trimmed, (*TRUE_WORDS, *FALSE_WORDS))} THEN NULL "
        f"WHEN {number} BETWEEN 500 AND 599 THEN '5xx' "
        f"WHEN {number} IS NOT NULL THEN CAST({number} AS VARCHAR) "
        f"WHEN regexp_matches({lower}, 'timeout|timed[ _-]?out|deadline') THEN 'timeout' "
        f"WHEN regexp_matches({lower}, 'content[ _-]?(filter|policy)|moderation') THEN 'content filter' "
        f"WHEN regexp_matches({lower}, 'cancel|abort|disconnect') THEN 'cancelled' "
        f"WHEN regexp_matches({lower}, 'rate[ _-]?limit|too many requests|throttl|\\b429\\b') THEN '429' "
        f"WHEN regexp_matches({lower}, 'internal[ _-]?server|unavailable|bad gateway|\\b5\\d\\d\\b') "
        "THEN '5xx' "
        f"ELSE left({trimmed}, 80) END"
    )
