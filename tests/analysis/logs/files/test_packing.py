"""Packed and recoded logs are the log; archives of several files and damaged ones are refused."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
import zstandard

from burstlens.analysis.core.errors import InputError
from burstlens.analysis.logs.files.sniff import file_digest, inspect_log

LOG = ("at,in,model\n" + "".join(f"{i},{i * 7919 % 1009},m\n" for i in range(5000))).encode()


def zipped(**members: bytes) -> bytes:
    """A zip archive; `_` stands for the dot of a name, `__` for a slash."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), data)
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        LOG,
        gzip.compress(LOG),
        zstandard.compress(LOG),
        bz2.compress(LOG),
        lzma.compress(LOG),
        zipped(log_csv=LOG),
        zipped(folder__log_csv=LOG, MACOSX__log_csv=b"x").replace(b"MACOSX/log", b"MACOSX/.og"),
        zipped(log_csv_gz=gzip.compress(LOG)),
        bz2.compress(gzip.compress(LOG)),
    ],
)
def test_a_packed_log_is_the_log(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "log").write_bytes(data)
    log = inspect_log(tmp_path / "log", tmp_path)
    assert (log.kind, log.header, len(log.sample), log.path) == (
        "csv",
        ("at", "in", "model"),
        500,
        tmp_path / "log",
    )
    assert (log.data is None) == (log.packed != "none" or data == LOG)
    if log.data is not None:
        assert log.data.read_bytes() == LOG
    assert file_digest(log.path, log.packed)


def test_parquet_may_be_packed_too(tmp_path: Path) -> None:
    pl.DataFrame({"at": [1.0, 2.0]}).write_parquet(tmp_path / "t.parquet")
    for data in (gzip.compress((tmp_path / "t.parquet").read_bytes()), zipped(t_parquet=b"PAR1")):
        (tmp_path / "packed").write_bytes(data)
        if b"PK" in data[:2]:
            with pytest.raises(InputError, match="damaged or cut short, its Parquet data"):
                inspect_log(tmp_path / "packed", tmp_path)
        else:
            log = inspect_log(tmp_path / "packed", tmp_path)
            assert (log.kind, log.sample) == ("parquet", ({"at": 1.0}, {"at": 2.0}))
            assert log.readable != log.path


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (
            zipped(a_csv=LOG, b_csv=LOG),
            "is a zip archive of 2 files: 'a.csv', 'b.csv'; unpack it (unzip) and name the logs",
        ),
        (zipped(folder__=b""), "is a zip archive without a file"),
        (zipped(log_csv=LOG)[:100], "damaged or cut short, its zip data is not complete"),
        (bz2.compress(LOG)[:-2000], "damaged or cut short, its bz2 data is not complete"),
        (lzma.compress(LOG)[:-2000], "damaged or cut short, its xz data is not complete"),
        (b"\x04\x22\x4d\x18" + bytes(90), "is packed with lz4; unpack it first (lz4 -d)"),
        (b"SQLite format 3\0" + bytes(90), "is an SQLite database; export its table as CSV"),
        (gzip.compress(bytes(257) + b"ustar" + bytes(250)), "is a tar archive; unpack it (tar -xf)"),
    ],
)
def test_what_is_not_one_log_is_refused_with_the_way_out(tmp_path: Path, data: bytes, problem: str) -> None:
    (tmp_path / "log").write_bytes(data)
    with pytest.raises(InputError) as wrong:
        inspect_log(tmp_path / "log", tmp_path)
    assert problem in str(wrong.value)


ACCENTS = "at,in,model\n" + "1,2,modèle-é\n3,4,l’été – à 5 €\n" * 9


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (ACCENTS.encode(), None),
        (ACCENTS.encode("utf-8-sig"), None),
        (ACCENTS.encode("utf-16"), "UTF-16"),
        (codecs.BOM_UTF16_BE + ACCENTS.encode("utf-16-be"), "UTF-16"),
        (ACCENTS.encode("utf-16-le"), "UTF-16"),
        (ACCENTS.encode("utf-16-be"), "UTF-16"),
        (ACCENTS.encode("utf-32"), "UTF-32"),
        (ACCENTS.encode("cp1252"), "Windows-1252"),
        (bz2.compress(ACCENTS.encode("cp1252")), "Windows-1252"),
    ],
)
def test_the_encoding_is_found_out_and_told(tmp_path: Path, data: bytes, note: str | None) -> None:
    (tmp_path / "log.csv").write_bytes(data)
    log = inspect_log(tmp_path / "log.csv", tmp_path)
    assert log.notes == (() if note is None else (f"read as {note}",))
    assert log.header == ("at", "in", "model")
    assert [row["model"] for row in log.sample[:2]] == ["modèle-é", "l’été – à 5 €"]


@pytest.mark.parametrize(
    "data",
    [
        b"at,model\n" + b"1,m\n" * 8 + b"2,mod\xe8le\n",
        "at,model\n1,modèle\n".encode() + b"2,mod\xe8le\n" * 3,
        b"at,model\n" + b"1,m\n" * 8 + b"2,\xe8\xa0\n2,5\xb2\n",
    ],
)
def test_a_few_bad_bytes_are_no_other_encoding(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "log.csv").write_bytes(data)
    log = inspect_log(tmp_path / "log.csv")
    assert (log.data, log.notes) == (None, ())


def test_an_encoding_that_nothing_tells_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes(("at,model\n" + "1,модель\n" * 9).encode("cp1251"))
    with pytest.raises(
        InputError, match="most lines are not UTF-8; say their encoding, as in encoding='cp1251'"
    ):
        inspect_log(tmp_path / "log.csv")
    log = inspect_log(tmp_path / "log.csv", tmp_path, encoding="cp1251")
    assert (log.sample[0]["model"], log.notes) == ("модель", ("read as cp1251",))
    with pytest.raises(InputError, match="encoding: no encoding 'klingon'"):
        inspect_log(tmp_path / "log.csv", tmp_path, encoding="klingon")


def test_the_sample_of_parquet(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "at": [datetime(2026, 1, 5, 6, 7, 8)],
            "use": [{"in": 3}],
            "ids": [[1, 2]],
            "zone": pl.Series([datetime(2026, 1, 5, 6, 7, 8)]).dt.replace_time_zone("America/New_York"),
            "far": pl.Series([datetime(9999, 1, 1)]),
        }
    )
    frame.write_parquet(tmp_path / "t.parquet")
    row = inspect_log(tmp_path / "t.parquet").sample[0]
    assert (row["at"], row["use"], row["ids"]) == (datetime(2026, 1, 5, 6, 7, 8), {"in": 3}, [1, 2])
    assert row["zone"] == "2026-01-05 11:07:08+00"


@pytest.mark.parametrize("make", [lambda text: text, lambda text: text.rstrip("\n")])
def test_a_row_longer_than_the_head_is_looked_at(tmp_path: Path, make: Callable[[str], str]) -> None:
    (tmp_path / "log.jsonl").write_text(make('{"prompt": "' + "x" * 3_000_000 + '", "at": 1}\n'))
    assert inspect_log(tmp_path / "log.jsonl").header == ("prompt", "at")
