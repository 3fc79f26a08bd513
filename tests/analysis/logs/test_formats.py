"""What a format file declares is what its SQL uses; the step of a log's clock is found from its stamps."""

from __future__ import annotations

import numpy as np
import pytest

from burstlens.analysis.logs.clock_and_streams import clock_step
from burstlens.analysis.logs.formats.declaration import KINDS, OPTIONAL, TYPES, formats
from burstlens.analysis.trace.parquet import COLUMNS


@pytest.mark.parametrize("name", list(formats()))
def test_a_format_declares_what_its_sql_uses(name: str) -> None:
    format = formats()[name]
    assert format.title
    assert "--" not in format.sql
    assert set(format.kinds) <= set(KINDS)
    assert set(format.needs) | set(format.holds) <= {*COLUMNS, *OPTIONAL}
    assert {c.type for c in format.columns} <= set(TYPES)
    assert (format.refusal is None) == (format.sql.strip() != "")
    for column in format.columns:
        quoted = f'"{column.name}"' in format.sql
        assert quoted == (column.type not in ("UNUSED", "COUNT")), column.name


@pytest.mark.parametrize("step", [1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-7])
def test_clock_step_is_found_over_a_month(step: float) -> None:
    ticks = np.random.default_rng(3).integers(0, round(30 * 86_400 / step), 2000)
    assert clock_step(ticks * step) == step
    assert clock_step(np.round(ticks * step, 9)) == step


def test_the_clock_of_unix_times_is_no_finer_than_doubles_can_tell() -> None:
    origin_s = 1_700_006_400.0
    stamps = origin_s + np.random.default_rng(4).integers(0, 10**9, 2000) / 1e6
    assert clock_step(stamps - origin_s, origin_s) == 1e-6
    assert clock_step(np.floor(stamps) - origin_s, origin_s) == 1.0
