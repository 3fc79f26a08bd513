"""What several test folders share: the real traces, opened once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from burstlens.analysis.forecast import Forecasts, describe_forecast
from burstlens.analysis.trace import Trace, open_trace

REAL = Path(__file__).parents[2] / "shared" / "traces"


@pytest.fixture(scope="session")
def traces() -> Callable[[str], Path]:
    """Path of a real trace by file name; skips, saying so, where the folder is absent."""

    def find(name: str) -> Path:
        if not (REAL / name).is_file():
            pytest.skip(f"real trace {name} is not in ../shared/traces")
        return REAL / name

    return find


@pytest.fixture(scope="session")
def week(traces: Callable[[str], Path]) -> Trace:
    """The real first week of BurstGPT file 1, opened."""
    return open_trace(traces("burstgpt_1_first7days.csv"))


@pytest.fixture(scope="session")
def week_forecast(week: Trace) -> Forecasts:
    """The real week forecast with default settings; skips, saying so, without XGBoost."""
    pytest.importorskip("xgboost", reason="xgboost is not installed: pip install 'burstlens[forecast]'")
    return describe_forecast(week)
