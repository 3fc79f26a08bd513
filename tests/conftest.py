"""What several test folders share: the real traces, opened once, and how properties are tried."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from burstlens.analysis.forecast import Forecasts, describe_forecast
from burstlens.analysis.trace import Trace, open_trace
from hypothesis import HealthCheck, settings

# A test tells of the code alone: not of how busy the machine is, nor of what was drawn this time.
settings.register_profile(
    "same", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same")

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
