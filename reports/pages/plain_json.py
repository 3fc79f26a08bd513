"""A characterization as plain data for JSON: the one rendering that page and terminal share with machines.

Not here: parameters for load generators (`burstlens.analysis.interchange.parameters`).
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from ...analysis.characterize import Characterization

ROWS_SHOWN = 400
"""Longer tables are left to the CSV files beside the page; their length is said."""


def summary(characterization: Characterization) -> dict[str, Any]:
    """Identity, then each part's sentences, lacks and tables (long ones by length only)."""
    return {
        "trace": plain(asdict(characterization.info)),
        "rejects": characterization.rejects.as_dict(),
        "window_s": characterization.window_s,
        "engine": characterization.engine,
        **{
            part.name: {
                "sentences": part.sentences(),
                "missing": list(part.missing),
                "tables": {
                    name: plain(table.to_dicts()) if table.height <= ROWS_SHOWN else {"rows": table.height}
                    for name, table in part.tables().items()
                },
            }
            for part in characterization.parts
        },
    }


def plain(value: Any) -> Any:
    """The same as JSON knows it: no NaN, no infinity, no date objects."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)
