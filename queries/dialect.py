"""The SQL files in Spark's dialect: written once for DuckDB, translated by sqlglot.

Not here: running them (`burstlens.queries.duckdb`, `burstlens.queries.spark`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot.expressions import Expression

NAMED_PARAMETER = re.compile(r":(\w+)\b")


@lru_cache(maxsize=256)
def in_spark(sql: str, log: str | None = None, also: tuple[str, ...] = ()) -> str:
    """Translate one statement from DuckDB to Spark, with its parameters still open as `:name`.

    Parameters
    ----------
    sql : str
        In DuckDB's dialect.
    log : str, optional
        What the table `log` of a format's SELECT is called in Spark.
    also : tuple of str
        Columns of `log` that the SELECT passes on next to its own.

    Returns
    -------
    str
    """
    import sqlglot
    from sqlglot import exp

    tree = sqlglot.parse_one(sql, read="duckdb")
    if log is not None:
        for table in tree.find_all(exp.Table):
            if table.name == "log":
                table.set("this", exp.to_identifier(log))
        assert isinstance(tree, exp.Select)
        tree = tree.select(*also)
    text: str = tree.transform(_adapted).sql("spark", comments=False)
    return text


def _adapted(node: Expression) -> Expression:
    """What sqlglot leaves as DuckDB means it and Spark would take otherwise."""
    from sqlglot import exp

    # 16.0 is a decimal in Spark, and its division rounds; DuckDB divides as doubles.
    if isinstance(node, exp.Literal) and not node.is_string and "." in node.this and "e" not in node.this:
        return exp.Literal.number(f"{node.this}e0")
    # Both sort NULLs last here; no key of ours holds one, and Spark sorts faster by its own order.
    if isinstance(node, exp.Ordered):
        node.set("nulls_first", True)
        return node
    # Spark's PERCENTILE is DuckDB's QUANTILE_CONT.
    if isinstance(node, exp.PercentileCont):
        return exp.Quantile(this=node.this, quantile=node.expression)
    # Spark has no test for infinity.
    if isinstance(node, exp.IsInf):
        return exp.EQ(
            this=exp.Abs(this=node.this.copy()), expression=exp.cast(exp.Literal.string("inf"), "double")
        )
    return node


def parameters_of(sql: str) -> frozenset[str]:
    """List the parameters of a statement in Spark's dialect."""
    return frozenset(NAMED_PARAMETER.findall(re.sub(r"'(?:[^'\\]|\\.|'')*'|`[^`]*`", "", sql)))
