"""Keyed hashes in place of names: the same in Python and in DuckDB, a key that only its owner reads."""

from __future__ import annotations

import hmac
import os
import stat
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import pytest

from burstlens.analysis.core.errors import BurstlensError, InputError
from burstlens.analysis.logs.anonymize import anonymize_requests, anonymous_info
from burstlens.analysis.logs.load_duckdb import Loaded
from burstlens.analysis.logs.pseudonyms import Anonymize, Pseudonyms
from burstlens.analysis.logs.rejects import Reject
from burstlens.analysis.logs.trace_info import Source, TraceInfo

KEY = bytes(range(32))
NAMES = ["GPT-4", "a name with ' and \\", "ключ", "", "x" * 1000]


def loaded(day0: date | None = None, rejects: list[Reject] | None = None) -> Loaded:
    return Loaded([("chat", "large")], 1.0, day0, 2, 0, rejects or [], len(rejects or []), True, True)


def requests(columns: str) -> duckdb.DuckDBPyConnection:
    """Two requests, of seconds 90,000 and 90,060."""
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE stamped AS SELECT 1::UTINYINT AS stream_id, (90000 + 60 * i)::UINTEGER AS tick, "
        f"{columns} FROM range(2) AS rows(i)"
    )
    connection.execute("CREATE VIEW requests AS SELECT CAST(tick AS DOUBLE) AS arrival_s FROM stamped")
    return connection


@pytest.mark.parametrize("key", [KEY, b"k" * 64, b"longer than a block of the hash " * 4])
def test_a_pseudonym_is_an_hmac_in_both_languages(key: bytes) -> None:
    names = Pseudonyms(key)
    with duckdb.connect() as connection:
        for name in NAMES:
            sql = f"SELECT {names.sql('session', '$name')}"
            found = connection.execute(sql, {"name": name, **names.sql_parameters}).fetchall()
            assert found == [(names.of("session", name),)]
    digest = hmac.digest(key, b"model\0GPT-4", "sha256").hex()
    assert names.digest("model", "GPT-4") == digest
    assert int(names.digits("model", "GPT-4"), 32) == int(digest[:15], 16) >> 20


def test_pseudonyms_depend_on_kind_name_and_key() -> None:
    names = Pseudonyms(KEY)
    assert names.of("model", "a") == Pseudonyms(KEY).of("model", "a")
    assert names.of("model", "a")[:6] == "model-"
    others = [names.of("service", "a"), names.of("model", "b"), Pseudonyms(KEY[::-1]).of("model", "a")]
    assert len({text.partition("-")[2] for text in [names.of("model", "a"), *others]}) == 4
    assert repr(names).find("x01") == -1


def test_names_that_are_kept_stay() -> None:
    names = Pseudonyms(KEY, ("models",))
    assert names.of("model", "GPT-4") == "GPT-4"
    assert names.of("service", "chat").startswith("service-")
    with pytest.raises(InputError, match="'clients' is not one of models, services"):
        Anonymize(keep=["clients"]).check(None, folder=False)


def test_a_selection_is_given_by_name_or_by_pseudonym() -> None:
    names = Pseudonyms(KEY)
    assert names.selected("model", "GPT-4") == names.selected("model", names.of("model", "GPT-4"))
    assert names.selected("model", None) is None


@pytest.mark.skipif(os.name != "posix", reason="modes of files are those of POSIX")
def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "key"
    first = Anonymize(path).open()
    assert len(path.read_bytes()) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Anonymize(path).open().of("model", "a") == first.of("model", "a")


def test_the_default_key_lies_among_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert Anonymize().key_path == tmp_path / "burstlens" / "anonymize.key"


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 5000])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(BurstlensError, match="is not a key"):
        Anonymize(tmp_path / "key").open()


@pytest.mark.parametrize(
    ("key", "out", "folder"),
    [
        ("out/key", "out", True),
        ("out/below/key", "out", True),
        ("out/key", "out/t.parquet", False),
        ("t.parquet", "t.parquet", False),
    ],
)
def test_the_key_never_lies_where_the_output_does(tmp_path: Path, key: str, out: str, folder: bool) -> None:
    with pytest.raises(InputError, match="lies in the folder of the output"):
        Anonymize(tmp_path / key).check(tmp_path / out, folder=folder)
    assert not (tmp_path / key).exists()
    Anonymize(tmp_path / "keys" / "key").check(tmp_path / out, folder=folder)


def test_every_column_of_text_is_hashed_even_an_unknown_one() -> None:
    columns = (
        "'s' || i AS session, 'Ann' AS client, CASE i WHEN 0 THEN 'Ann asked' ELSE '429' END AS reason, "
        "'Ann again' AS remark, ['Ann'] AS words, {'who': 'Ann'} AS nested, [7, 8 + i]::BIGINT[] AS prefix, "
        "i::INTEGER AS request_tokens, NULL::VARCHAR AS empty, 'Ann'::ENUM ('Ann', 'Bob') AS one_of, "
        "DATE '2026-03-02' AS day"
    )
    with requests(columns) as connection:
        anonymize_requests(connection, loaded(), Pseudonyms(KEY))
        rows = connection.execute("SELECT * FROM stamped ORDER BY tick").fetchall()
        names = [column[0] for column in connection.description]
        assert connection.execute("SELECT * FROM requests").fetchall() == [(90000.0,), (90060.0,)]
    first, second = (dict(zip(names, row, strict=True)) for row in rows)
    assert "Ann" not in str(rows)
    assert first["client"] == second["client"] == Pseudonyms(KEY).of("client", "Ann")
    assert first["session"] != second["session"]
    assert first["reason"].startswith("reason-")
    assert second["reason"] == "429"
    assert first["empty"] is first["day"] is None
    assert first["one_of"] != Pseudonyms(KEY).of("client", "Ann")
    assert [first["request_tokens"], second["request_tokens"]] == [0, 1]
    assert first["prefix"][0] == second["prefix"][0] != 7
    assert first["prefix"][1] != second["prefix"][1]


def test_a_random_shift_keeps_weekdays_and_hours() -> None:
    day0 = date(2026, 3, 2)
    with requests("NULL AS elapsed_s") as connection:
        found = anonymize_requests(connection, loaded(day0), Pseudonyms(KEY, shift="random"))
        assert found.day0 is not None
        assert found.day0 < day0
        assert found.day0.weekday() == day0.weekday()
        assert connection.execute("SELECT MIN(arrival_s) FROM requests").fetchall() == [(90000.0,)]
        again = anonymize_requests(connection, loaded(day0), Pseudonyms(KEY, shift="random"))
    assert again.day0 == found.day0


@pytest.mark.parametrize(
    ("shift_s", "day0", "first_s"),
    [(86400, date(2026, 3, 3), 90000.0), (-3600, date(2026, 3, 1), 172800 - 3600 + 3600.0)],
)
def test_a_shift_moves_the_date_by_whole_days_and_the_stamps_by_the_rest(
    shift_s: int, day0: date, first_s: float
) -> None:
    with requests("NULL AS elapsed_s") as connection:
        found = anonymize_requests(connection, loaded(date(2026, 3, 2)), Pseudonyms(KEY, shift=shift_s))
        assert found.day0 == day0
        assert connection.execute("SELECT MIN(arrival_s) FROM requests").fetchall() == [(first_s,)]


def test_stamps_without_dates_do_not_become_negative() -> None:
    with requests("NULL AS elapsed_s") as connection:
        with pytest.raises(InputError, match="negative"):
            anonymize_requests(connection, loaded(), Pseudonyms(KEY, shift=-100_000))
        anonymize_requests(connection, loaded(), Pseudonyms(KEY, shift=-90_000))
        assert connection.execute("SELECT MIN(arrival_s) FROM requests").fetchall() == [(0.0,)]


@pytest.mark.parametrize("shift", ["soon", 0.5])
def test_a_shift_is_whole_seconds_or_random(shift: float | str) -> None:
    with pytest.raises(InputError, match="shift"):
        Anonymize(shift=shift).check(None, folder=False)


def test_rejects_keep_line_and_reason_only() -> None:
    rejects = [
        Reject("ann.csv", 3, "not a number: ann", "ann's column", "ann,1"),
        Reject("ann.csv", 4, "missing", "model", "ann"),
        Reject("ann.csv", 5, "3 columns, but the header has 4", None, "ann"),
        Reject("ann.csv", 6, "new words about ann", None, "ann"),
    ]
    with requests("NULL AS elapsed_s") as connection:
        found = anonymize_requests(connection, loaded(rejects=rejects), Pseudonyms(KEY)).rejects
    assert [(each.line, each.reason, each.column, each.text) for each in found] == [
        (3, "not a number", None, ""),
        (4, "missing", "model", ""),
        (5, "3 columns, but the header has 4", None, ""),
        (6, "cannot be used", None, ""),
    ]
    assert {each.file for each in found} == {Pseudonyms(KEY).of("log", "ann.csv")}


def test_an_identity_keeps_only_what_is_known_to_be_no_text() -> None:
    info = TraceInfo(
        "ann", "ann + mooncake", (Source("ann.csv", "0" * 64, 9),), 2, 0, 0, 1.0, date(2026, 3, 2), False,
        block_tokens=512, failure_rule="ann is true",
    )  # fmt: skip
    found = anonymous_info(info, Pseudonyms(KEY, shift=86_400))
    assert "ann" not in found.to_json().replace("anonymized", "")
    assert found.format == "other + mooncake"
    assert found.sources[0].sha256 != "0" * 64
    assert found.block_tokens == 512
    assert found.anonymized == "names are keyed hashes, dates are shifted"
    undated = replace(info, day0=None)
    said = [anonymous_info(undated, Pseudonyms(KEY, shift=each)).anonymized for each in (None, "random", 60)]
    assert said == [
        "names are keyed hashes",
        "names are keyed hashes, no dates to shift",
        "names are keyed hashes, stamps are shifted",
    ]
