"""The page about the parameter file: its reader draws the law of the file, and it explains every field."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import burstlens as bl
from burstlens.analysis.interchange.parameters import schema
from burstlens.bench.metrics.distances import ArrivalLaw, from_law
from burstlens.bench.workload.from_parameters import from_parameters

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "parameters.md"

Reader = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def reader() -> Reader:
    """The function of the page, run as it stands there."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    imported = set(re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE))
    assert imported == {"json", "pathlib", "numpy"}
    body = code[code.index("def ") :].strip().splitlines()
    assert len(body) <= 20
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    found: Reader = names["arrivals"]
    return found


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parameters of three days of the embedded synthetic trace."""
    folder = tmp_path_factory.mktemp("fitted")
    bl.synth(folder / "synthetic.parquet", days=3, seed=5).engine.close()
    bl.fit(folder / "synthetic.parquet", folder / "parameters.json")
    return folder / "parameters.json"


def law(content: dict[str, Any], begin_s: float) -> ArrivalLaw:
    """The windows of the first selection on a clock that starts at `begin_s`."""
    rows = content["selections"][0]["arrivals"]["windows"]
    usual = float(np.median([row["shape"] for row in rows if row["shape"] is not None]))
    start = np.array([row["start_s"] for row in rows])
    named, clock = content["selections"][0]["selection"], content["source"]["resolution_s"]
    end = np.minimum(start + content["window_s"], named["end_s"] + clock)
    return ArrivalLaw(
        np.maximum(start, named["start_s"]) - begin_s,
        end - begin_s,
        np.array([row["rate_rps"] for row in rows]),
        np.array([row["shape"] or usual for row in rows]),
    )


@pytest.mark.slow
def test_the_reader_of_the_page_draws_the_law_of_the_file(reader: Reader, fitted: Path) -> None:
    content = json.loads(fitted.read_text())
    at_s = reader(fitted, seed=1)
    _, p = from_law(at_s, law(content, 0.0))
    assert p > 0.001
    # The same instants are no draw of a law with other shapes, so the test can fail.
    windows = law(content, 0.0)
    _, other = from_law(
        at_s, ArrivalLaw(windows.start_s, windows.end_s, windows.rate_rps, windows.shape * 1.5)
    )
    assert other < 0.001


@pytest.mark.slow
def test_the_reader_of_the_page_and_ours_draw_alike(reader: Reader, fitted: Path) -> None:
    content = json.loads(fitted.read_text())
    theirs = [reader(fitted, seed=seed) for seed in range(5)]
    ours = [
        from_parameters(content, tokens=(1, 1), seed=seed).requests["at_s"].to_numpy() for seed in range(5)
    ]
    gaps = [np.concatenate([np.diff(each) for each in side]) for side in (theirs, ours)]
    assert stats.ks_2samp(*gaps).pvalue > 0.001
    counts = [np.array([len(each) for each in side]) for side in (theirs, ours)]
    assert counts[0].mean() == pytest.approx(counts[1].mean(), rel=0.05)


def keys(value: Any) -> Iterator[str]:
    """Every key in a JSON value."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from keys(item)
    elif isinstance(value, list):
        for item in value:
            yield from keys(item)


def properties(value: Any) -> Iterator[str]:
    """Every property that a JSON Schema names."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "properties":
                yield from item
            yield from properties(item)
    elif isinstance(value, list):
        for item in value:
            yield from properties(item)


def test_the_page_explains_every_field(fitted: Path, traces: Callable[[str], Path]) -> None:
    documented = set(re.findall(r"`([a-z_0-9.]+)`", PAGE.read_text(encoding="utf-8")))
    documented |= {part for name in documented for part in name.split(".")}
    sessions = bl.fit(traces("burstgpt_3_first400.csv"))
    known = {*keys(json.loads(fitted.read_text())), *keys(sessions), *properties(schema())}
    ends = ("_low", "_high")
    lacking = {
        key
        for key in known
        if key not in documented and not (key.endswith(ends) and key.rsplit("_", 1)[0] in documented)
    }
    assert not lacking
