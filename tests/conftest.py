"""What several test folders share: traces opened and characterized once, and how properties are tried."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from burstlens.analysis.characterize import Characterization, characterize
from burstlens.analysis.forecast.part import Forecasts, describe_forecast
from burstlens.analysis.synthetic.trace import open_synthetic
from burstlens.analysis.trace.trace import Trace, open_trace

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
def characterized(traces: Callable[[str], Path]) -> Callable[[str], Characterization]:
    """What a real trace says, by file name; asked once for all tests, which only read it."""

    @cache
    def characterization(name: str) -> Characterization:
        with open_trace(traces(name)) as trace:
            return characterize(trace)

    return characterization


@pytest.fixture(scope="session")
def week_characterization(characterized: Callable[[str], Characterization]) -> Characterization:
    """What the real week says."""
    return characterized("burstgpt_1_first7days.csv")


@pytest.fixture(scope="session")
def synthetic_characterization() -> Callable[..., Characterization]:
    """What synthetic days say, by number, seed and window; asked once for all tests, which only read it."""

    @cache
    def characterization(days: int, seed: int, window_s: float = 1200.0) -> Characterization:
        with open_synthetic(days=days, seed=seed) as trace:
            return characterize(trace, window_s=window_s)

    return characterization


@pytest.fixture(scope="session")
def week_forecast(week: Trace) -> Forecasts:
    """The real week forecast with default settings; skips, saying so, without XGBoost."""
    pytest.importorskip("xgboost", reason="xgboost is not installed: pip install 'burstlens[forecast]'")
    return describe_forecast(week)
