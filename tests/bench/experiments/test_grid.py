"""The grid of a sweep: each setting once, from flags and from TOML the same, and every slip named."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burstlens.analysis.core.errors import BurstlensError, InputError
from burstlens.api.experiments.sweep import chosen_grid
from burstlens.bench.experiments.grid import (
    CONSTANT,
    EQUAL,
    FIXED_SCALE,
    MAX_POINTS,
    ORIGIN,
    PAIRED,
    PARAMETERS,
    PROFILES,
    START,
    VALUES,
    WITH,
    Grid,
    grid_of,
    read_grid,
)

VALUE = st.floats(0.01, 50, allow_subnormal=False)
SOME = st.dictionaries(st.sampled_from(PARAMETERS), st.lists(VALUE, min_size=1, max_size=4), min_size=1)


def read(tmp_path: Path, text: str) -> Grid:
    file = tmp_path / "grid.toml"
    file.write_text(text, encoding="utf-8")
    return read_grid(file)


def plain(grid: Grid) -> str:
    """The grid as TOML."""
    start, values, paired = (
        "\n".join(f"{name} = {list(v) if isinstance(v, tuple) else v!r}" for name, v in table.items())
        for table in (grid.start, grid.values, grid.paired)
    )
    return f"profiles = {list(grid.profiles)}\n[start]\n{start}\n[values]\n{values}\n[pairs]\n{paired}\n"


@given(values=SOME, profiles=st.sets(st.sampled_from(PROFILES), min_size=1), pairs=st.booleans())
def test_every_setting_is_there_once(values: dict[str, list[float]], profiles: set[str], pairs: bool) -> None:
    if all(set(v) <= {START[name]} for name, v in values.items()):
        with pytest.raises(BurstlensError, match="the grid is empty"):
            grid_of(values)
        return
    grid = grid_of(values, profiles=sorted(profiles), pairs=pairs)
    settings = grid.settings()
    assert len(set(settings)) == len(settings)
    assert settings[0].parameter == ORIGIN
    assert [settings[0].of(name) for name in PARAMETERS] == list(START.values())
    alone = {name: set(v) - {START[name]} for name, v in values.items()}
    expected = sum(len(v) * (2 if name == "shape" else 1) for name, v in alone.items())
    for a, b in itertools.combinations(PARAMETERS, 2):
        if pairs and a in alone and b in alone:
            expected += len(alone[a]) * len(alone[b]) * (2 if (a, b) == ("shape", "exponent") else 1)
    assert len(settings) == 1 + expected * len(profiles)
    for setting in settings[1:]:
        varied = setting.parameter.split(WITH)
        assert [name for name in PARAMETERS if setting.of(name) != START[name]] == varied
        assert setting.mode == FIXED_SCALE or ("shape" in varied and "scale" not in varied)


def test_the_default_is_about_what_the_paper_shows() -> None:
    grid = grid_of()
    settings = grid.settings()
    assert 100 <= len(settings) <= 150
    assert {s.profile for s in settings} == set(PROFILES)
    assert {s.mode for s in settings} == {FIXED_SCALE, EQUAL}
    assert all(set(PAIRED[name]) <= set(VALUES[name]) for name in PARAMETERS), "axes of a pair are run alone"


@given(values=SOME, start=st.fixed_dictionaries(dict.fromkeys(PARAMETERS, VALUE)))
def test_a_grid_survives_toml(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, list[float]], start: dict[str, float]
) -> None:
    try:
        grid = grid_of(values, start=start, profiles=["quadratic", "constant"])
    except BurstlensError:
        return
    assert read(tmp_path_factory.mktemp("grid"), plain(grid)) == grid


def test_options_and_file_make_the_same_grid(tmp_path: Path) -> None:
    by_options = chosen_grid((0.2, 1.0, 0.5), None, (0.9,), ("constant",), True, None)
    file = read(tmp_path, 'profiles = ["constant"]\n[values]\nshape = [1, 0.2]\nexponent = [0.9]\n')
    assert by_options == file
    assert by_options.values == {"shape": (0.2, 1.0), "exponent": (0.9,)}
    assert by_options.paired == by_options.values
    path = tmp_path / "grid.toml"
    none = chosen_grid(None, None, None, None, False, path)
    assert not none.paired
    assert not read(tmp_path, "pairs = false").paired
    assert read(tmp_path, "") == grid_of()
    assert read(tmp_path, "[pairs]\nshape = [0.3]\nscale = [4]\n").paired == {
        "shape": (0.3,),
        "scale": (4.0,),
    }


@pytest.mark.parametrize(
    ("parameters", "profile", "line"),
    [
        ({"shape": (0.5, -1.0)}, None, "shape: -1 is not above 0"),
        ({"shape": (0.0,)}, None, "shape: 0 is not above 0"),
        ({"shape": (0.001,)}, None, "shape: 0.001 is below 0.01"),
        ({"exponent": (math.nan,)}, None, "exponent: nan is not a finite number"),
        ({"scale": (math.inf,)}, None, "scale: inf is not a finite number"),
        ({"shape": (0.5,)}, None, "shape: the grid is empty"),
        (
            {"shape": (0.2,)},
            ("constant", "cubic"),
            'profile: no profile "cubic"; there are constant, linear',
        ),
    ],
)
def test_a_wrong_option_is_named(
    parameters: dict[str, tuple[float, ...]], profile: tuple[str, ...] | None, line: str
) -> None:
    with pytest.raises(InputError) as error:
        chosen_grid(
            parameters.get("shape"), parameters.get("scale"), parameters.get("exponent"), profile, True, None
        )
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[values]\nshape = [0.2, -1]", "values.shape: -1 is not above 0"),
        ("[values]\nshape = [true]", "values.shape: a number is needed, not true"),
        ("[values]\nscale = ['2']", 'values.scale: a number is needed, not "2"'),
        ("[values]\nscale = 2", "values.scale: a list of numbers is needed, not 2"),
        ("[values]\nexponent = [inf]", "values.exponent: inf is not a finite number"),
        (f"[values]\nexponent = [1{'0' * 400}]", "values.exponent: a number is needed, not 1000"),
        ("[values]\nshape = []", "values.shape: the grid is empty"),
        ("[values]\nrate = [2]", "values.rate: no such field; there are shape, scale, exponent"),
        ("[pairs]\nshape = [-2]\nscale = [1]", "pairs.shape: -2 is not above 0"),
        ("pairs = 3", "pairs: true or false or a table is needed, not 3"),
        ("[start]\nscale = 0", "start.scale: 0 is not above 0"),
        ("values = 3", "values: a table is needed, not 3"),
        ("profiles = ['cubic']", 'profiles: no profile "cubic"'),
        ("profiles = []", "profiles: a list of texts is needed, not []"),
        ("profiles = 'constant'", 'profiles: a list of texts is needed, not "constant"'),
        ("shape = [0.2]", "shape: no such field; there are start, profiles, values, pairs"),
        ("[values", "is not TOML"),
    ],
)
def test_a_slip_in_a_file_is_named_by_file_key_and_value(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(BurstlensError) as raised:
        read(tmp_path, text)
    assert str(raised.value).startswith(f"{tmp_path / 'grid.toml'}: {line}")
    assert "\n" not in str(raised.value)


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(BurstlensError, match="no such file"):
        read_grid(tmp_path / "nowhere.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BurstlensError, match="is not TOML"):
        read_grid(tmp_path / "binary.toml")
    with pytest.raises(BurstlensError, match="cannot be read"):
        read_grid(tmp_path)
    with pytest.raises(BurstlensError, match="grid and shape both say"):
        chosen_grid((0.2,), None, None, None, True, tmp_path / "nowhere.toml")


def test_too_many_settings_are_refused_without_being_made() -> None:
    many = [0.01 * i for i in range(1, 2000)]
    with pytest.raises(BurstlensError, match=rf"a grid of [\d,]+ settings, more than {MAX_POINTS:,}"):
        grid_of({"shape": many, "scale": many})
    assert MAX_POINTS // 2 < len(grid_of({"shape": many}, profiles=[CONSTANT]).settings()) <= MAX_POINTS
