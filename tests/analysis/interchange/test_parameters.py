"""The parameter file: what another benchmark reads from it, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import numpy as np
import pytest

from burstlens.analysis.characterize import Characterization
from burstlens.analysis.core.errors import BurstlensError
from burstlens.analysis.interchange import parameter_model as model
from burstlens.analysis.interchange.exports import DEFAULT_OPTIONS, FittedExport, FittedWindows, export_named
from burstlens.analysis.interchange.fitted import select_fitted
from burstlens.analysis.interchange.parameters import parameters, read_parameters, schema, write_parameters


@pytest.fixture(scope="module")
def characterization(synthetic_characterization: Callable[..., Characterization]) -> Characterization:
    """Two synthetic days, characterized with hourly windows."""
    return synthetic_characterization(2, 5, 3600.0)


@pytest.fixture(scope="module")
def fitted(characterization: Characterization) -> dict[str, Any]:
    return parameters(characterization)


def test_the_schema_is_valid_and_explains_every_field_of_a_window() -> None:
    jsonschema_rs.meta.validate(schema())
    for field in schema()["$defs"]["window"]["properties"].values():
        assert len(field["description"]) > 20


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        (model.ParameterFile, ()),
        (model.ParameterSource, ("properties", "source")),
        (model.SourceFile, ("properties", "source", "properties", "files", "items")),
        (model.FittedSelection, ("$defs", "selection")),
        (model.SelectionKey, ("$defs", "selection", "properties", "selection")),
        (model.FittedArrivals, ("$defs", "selection", "properties", "arrivals")),
        (model.FittedWindow, ("$defs", "window")),
    ],
)
def test_the_types_have_the_fields_of_the_schema(kind: type[msgspec.Struct], place: tuple[str, ...]) -> None:
    described = schema()
    for key in place:
        described = described[key]
    assert set(kind.__struct_fields__) == set(described["properties"])


def test_the_typed_view_is_the_file_and_windows_of_a_span_are_written_as_they_were(
    fitted: dict[str, Any], tmp_path: Path
) -> None:
    write_parameters(fitted, tmp_path / "parameters.json")
    content = read_parameters(tmp_path / "parameters.json")
    file = model.ParameterFile.of(content)
    assert json.loads(msgspec.json.encode(file)) == content
    export = export_named("parameters")
    assert isinstance(export, FittedExport)
    export.write(
        FittedWindows(content, file, list(file.selections), None), tmp_path / "again.json", DEFAULT_OPTIONS
    )
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "parameters.json").read_bytes()
    part = select_fitted(file, service="api", start_s=7200.0, end_s=14_400.0)
    export.write(FittedWindows(content, file, part, None), tmp_path / "part.json", DEFAULT_OPTIONS)
    (written,) = read_parameters(tmp_path / "part.json")["selections"]
    original = next(one for one in content["selections"] if one["selection"]["label"] == "api")
    assert written["arrivals"]["windows"] == original["arrivals"]["windows"][2:4]
    assert written["lengths"] == original["lengths"]


def test_what_is_written_is_what_is_read(fitted: dict[str, Any], tmp_path: Path) -> None:
    write_parameters(fitted, tmp_path / "deep" / "parameters.json")
    assert read_parameters(tmp_path / "deep" / "parameters.json") == json.loads(json.dumps(fitted))


def test_it_says_where_it_comes_from(fitted: dict[str, Any], characterization: Characterization) -> None:
    assert fitted["source"]["synthetic"] is True
    assert fitted["source"]["rows"] == characterization.info.rows
    assert fitted["window_s"] == 3600
    labels = [selection["selection"]["label"] for selection in fitted["selections"]]
    assert labels[0] == "all"
    assert {"conversation", "api", "conversation · GPT-4"} <= set(labels)


def test_windows_hold_the_rates_from_which_arrivals_can_be_drawn(fitted: dict[str, Any]) -> None:
    for selection in fitted["selections"]:
        windows = selection["arrivals"]["windows"]
        starts = [window["start_s"] for window in windows]
        assert starts == sorted(starts)
        fitted_windows = [window for window in windows if window["shape"] is not None]
        for window in fitted_windows:
            assert window["scale"] == pytest.approx(1 / window["rate"])
        # shape × scale is the mean gap, whose inverse is the rate of busy windows.
        busy = [window for window in fitted_windows if window["n"] >= 300]
        ratio = [window["rate_rps"] * window["shape"] * window["scale"] for window in busy]
        if len(ratio) >= 5:
            assert np.median(ratio) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda c: c["selections"][0]["arrivals"]["windows"][0].update(n=-1), "windows[0].n"),
        (lambda c: c.pop("window_s"), "window_s"),
        (lambda c: c.update(schema_version="0.1"), "schema_version"),
        (lambda c: c["source"]["files"].append({"name": "x", "sha256": "no", "bytes": 1}), "sha256"),
    ],
)
def test_a_spoilt_file_is_refused_in_one_line_that_names_the_field(
    fitted: dict[str, Any], tmp_path: Path, spoil: Any, named: str
) -> None:
    content = json.loads(json.dumps(fitted))
    spoil(content)
    path = tmp_path / "spoilt.json"
    path.write_text(json.dumps(content))
    with pytest.raises(BurstlensError) as refused:
        read_parameters(path)
    text = str(refused.value)
    assert "\n" not in text
    assert "spoilt.json" in text
    assert named in text


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"arrival_s,service\n1,api\n"])
def test_what_is_no_parameter_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.txt"
    path.write_bytes(content)
    with pytest.raises(BurstlensError, match="not a parameter file"):
        read_parameters(path)


def test_a_missing_file_and_an_unwritable_place_are_one_line(fitted: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(BurstlensError, match=r"nowhere\.json: cannot be read"):
        read_parameters(tmp_path / "nowhere.json")
    (tmp_path / "file").touch()
    with pytest.raises(BurstlensError, match="cannot be written"):
        write_parameters(fitted, tmp_path / "file" / "parameters.json")
