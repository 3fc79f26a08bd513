"""What leaves an owner's house with `--anonymize`: no text of the log, the same numbers."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import burstlens as bl
from burstlens.analysis.core.errors import InputError
from burstlens.analysis.interchange.exports import exports
from burstlens.analysis.logs.options import LogOptions
from burstlens.reports.pages.plain_json import summary
from tests.helpers import burstlens

MARK = "zqxword"
"""Stands in every text of the log, and nowhere in burstlens."""
BEGIN_UNIX_S = 1_772_438_400
"""2026-03-02 08:00 UTC, a Monday."""
DATES = re.compile(rf"2026-03-0[23]|0[23]/Mar/2026|Mar(ch)? 0?[23],? 2026|(?<![\d.]){str(BEGIN_UNIX_S)[:6]}")
DATED = ("iso_year", "iso_week")
"""Columns of numbers that are dates."""
COLUMNS = {
    "arrival": "ts",
    "request_tokens": "zqxwordsent",
    "response_tokens": "got",
    "service": "svc",
    "model": "mod",
    "session": "who",
    "client": "tenant",
    "reason": "why",
    "failed": "zqxwordfailure",
}
MAPPED = ",".join(f"{ours}={theirs}" for ours, theirs in COLUMNS.items())


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Requests of two days, text in all columns that can have one, and two rows that cannot be used."""
    rng = random.Random(3)
    path = tmp_path_factory.mktemp(f"{MARK}folder") / f"{MARK}file.jsonl"
    lines, at = [], float(BEGIN_UNIX_S)
    for i in range(1200):
        at += rng.expovariate(1 / 100)
        row = {
            "ts": round(at, 3),
            "zqxwordsent": rng.randint(1, 800),
            "got": rng.randint(1, 400),
            "svc": f"{MARK}service{i % 2}",
            "mod": f"{MARK}model{rng.randint(0, 1)}",
            "who": f"{MARK}session{i // 4}",
            "tenant": f"{MARK}client{i % 5}",
            "why": f"{MARK}cause{i % 2}" if i % 15 == 0 else None,
            "zqxwordfailure": f"{MARK}reason" if i % 15 == 0 else None,
            "note": f"{MARK}prompt",
        }
        lines.append(json.dumps(row))
    lines.insert(7, json.dumps({"ts": f"{MARK}never", "zqxwordsent": 3, "got": f"{MARK}none"}))
    lines.insert(9, f"{MARK} no JSON")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default key of this test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    return tmp_path / "settings" / "burstlens" / "anonymize.key"


def texts(folder: Path) -> Iterator[tuple[Path, str]]:
    """Names and content of all files of a folder as text, unpacked."""
    for path in sorted(folder.rglob("*")):
        yield path, path.relative_to(folder).as_posix()
        if path.is_dir():
            continue
        content = path.read_bytes()
        yield path, content.decode("utf-8", "replace")
        if content.startswith(b"\x1f\x8b"):
            yield path, gzip.decompress(content).decode("utf-8", "replace")
        if content.startswith(b"PAR1"):
            frame = pl.read_parquet(path)
            yield path, "\n".join(str(frame[name].to_list()) for name in frame.columns)
            yield path, str(pl.read_parquet_metadata(path))


def leaks(folder: Path) -> list[str]:
    """Where a text of the log, or its date, stands in the files of a folder."""
    found = []
    for path, text in texts(folder):
        hit = re.search(MARK, text, re.IGNORECASE) or DATES.search(text)
        if hit:
            found.append(f"{path.name}: …{text[max(hit.start() - 60, 0) : hit.end() + 30]}…")
    return found


def numbers(value: Any) -> Iterator[float | None]:
    """All numbers of nested data in order; dates and texts are passed over."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name not in DATED:
                yield from numbers(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from numbers(each)
    elif value is None or isinstance(value, int | float):
        yield value


def assert_same_numbers(hashed: Any, plain: Any) -> None:
    """Equal but for the order in which sums over sessions are rounded."""
    for one, other in zip(numbers(hashed), numbers(plain), strict=True):
        assert one == other or one == pytest.approx(other, rel=1e-9)


def run(*words: object, cwd: Path) -> str:
    """Run a verb that anonymizes; its standard output."""
    cwd.mkdir(parents=True, exist_ok=True)
    done = burstlens(*words, "--anonymize", "--shift", "random", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_no_verb_lets_a_text_of_the_log_or_its_date_out(log: Path, key: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = [
        run("ingest", log, "-o", "trace.parquet", "--columns", MAPPED, cwd=out / "ingest"),
        run("ingest", log, "-o", "days", "--columns", MAPPED, "--partition-by", "day", cwd=out / "ingest"),
        run("ingest", log, "-o", "t.parquet", "--columns", MAPPED, "--json", cwd=out / "json"),
        run("fit", log, "-o", "p.json", "--columns", MAPPED, "--log-file", "log.txt", cwd=out / "fit"),
        run("fit", log, "-o", "-", "--columns", MAPPED, cwd=out / "fit"),
        run("describe", log, "--columns", MAPPED, "--json", cwd=out / "describe"),
        run("describe", log, "--columns", MAPPED, "--all", cwd=out / "describe"),
        run("report", log, "-o", "page", "--columns", MAPPED, cwd=out),
        run("report", log, log, "-o", "two", "--columns", MAPPED, "--no-images", "--json", cwd=out),
    ]
    for name in exports():
        where = out / "exports" / name
        said.append(run("export", log, "--format", name, "--columns", MAPPED, cwd=where))
        assert any(path.is_file() for path in where.rglob("*")), name
    (out / "screen.txt").write_text("\n".join(said))
    assert leaks(out) == []
    assert key.is_file()
    assert key.read_bytes() not in b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())


def test_a_trace_file_does_not_pass_its_names_and_sources_on(log: Path, key: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.parquet"
    bl.ingest(log, plain, columns=COLUMNS)
    run("ingest", plain, "-o", "trace.parquet", "--json", cwd=tmp_path / "out")
    run("ingest", "trace.parquet", "-o", "again.parquet", cwd=tmp_path / "out")
    assert key.exists()
    assert leaks(tmp_path / "out") == []


def test_the_search_for_leaks_finds_them(log: Path, tmp_path: Path) -> None:
    bl.ingest(log, tmp_path / "plain.parquet", columns=COLUMNS)
    assert len(leaks(tmp_path)) >= 3


def test_rejects_have_line_and_reason_only(log: Path, key: Path, tmp_path: Path) -> None:
    done = bl.ingest(log, tmp_path / "t.parquet", columns=COLUMNS, anonymize=bl.Anonymize())
    assert key.exists()
    assert done.rejects is not None
    rows = pl.read_csv(done.rejects)
    assert rows["line"].to_list() == [8, 10]
    assert rows["text"].null_count() == 2
    assert rows["reason"].to_list()[1] == "not JSON"
    assert set(rows["file"]) == {done.info.sources[0].name}


@pytest.mark.slow
@pytest.mark.parametrize("byte", [b"a", b"b"])
def test_parameters_have_the_same_numbers(log: Path, key: Path, byte: bytes) -> None:
    key.parent.mkdir(parents=True)
    key.write_bytes(32 * byte)
    plain = bl.fit(log, columns=COLUMNS)
    hashed = bl.fit(log, columns=COLUMNS, anonymize=bl.Anonymize(shift="random"))
    assert len(list(numbers(plain["selections"]))) > 1000
    assert_same_numbers(hashed["selections"], plain["selections"])
    assert hashed["source"]["day0"] < plain["source"]["day0"]
    same = ("rows", "rejected", "span_s", "resolution_s", "synthetic")
    assert [hashed["source"][name] for name in same] == [plain["source"][name] for name in same]


@pytest.mark.slow
@pytest.mark.parametrize("byte", [b"a", b"b"])
def test_a_description_has_the_same_numbers(log: Path, key: Path, byte: bytes) -> None:
    key.parent.mkdir(parents=True)
    key.write_bytes(32 * byte)
    plain, hashed = (
        summary(bl.describe(log, columns=COLUMNS, anonymize=each))
        for each in (None, bl.Anonymize(shift="random"))
    )
    for part in plain:
        if part != "trace":
            assert_same_numbers(hashed[part], plain[part])


def test_names_are_the_same_over_files_and_kept_if_asked(log: Path, key: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text("".join(log.read_text().splitlines(keepends=True)[20:60]))
    own = bl.Anonymize(tmp_path / "keys" / "own")
    found = [
        {s.label for s in trace.selections}
        for each, chosen in (
            (log, bl.Anonymize()), (other, bl.Anonymize()), (log, own), (log, bl.Anonymize(keep=["models"])),
        )
        for trace in [bl.trace(each, columns=COLUMNS, anonymize=chosen)]
    ]  # fmt: skip
    assert key.exists()
    assert found[0] == found[1] != found[2]
    assert any(f"{MARK}model1" in label for label in found[3])
    assert not any(f"{MARK}service" in label for label in found[3])


def test_an_export_selects_by_the_names_of_the_log(log: Path, key: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.parquet"
    options: dict[str, Any] = {"columns": COLUMNS, "anonymize": bl.Anonymize()}
    done = bl.export(log, "parquet", out, service=f"{MARK}service1", **options)
    assert key.exists()
    assert done.rows == 600
    service = pl.read_parquet(out)["service"].unique().to_list()
    assert bl.export(log, "parquet", out, service=service[0], **options).rows == 600


@pytest.mark.usefixtures("key")
def test_prefix_blocks_get_other_numbers_that_are_equal_where_they_were(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    blocks = [[1, 2, i] for i in range(3, 40)]
    rows = [
        {"timestamp": 1000 * i, "input_length": 1200, "output_length": 5, "hash_ids": each}
        for i, each in enumerate(blocks)
    ]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    bl.ingest(log, tmp_path / "t.parquet", anonymize=bl.Anonymize())
    found = pl.read_parquet(tmp_path / "t.parquet")["prefix"].to_list()
    assert len({tuple(each[:2]) for each in found}) == 1
    assert len({block for each in found for block in each}) == 39
    assert min(block for each in found for block in each) > 1000


def test_the_key_is_not_put_into_the_output(log: Path, tmp_path: Path) -> None:
    done = burstlens(
        "report",
        log,
        "-o",
        tmp_path / "page",
        "--columns",
        MAPPED,
        "--anonymize",
        "--key",
        tmp_path / "page/key",
    )
    assert done.returncode == 2
    assert "--key" in done.stderr
    assert not (tmp_path / "page").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("key")
def test_a_folder_with_an_open_page_gets_no_anonymized_one(log: Path, tmp_path: Path) -> None:
    page = tmp_path / "page"
    options: dict[str, Any] = {"columns": COLUMNS, "images": False}
    bl.report(log, page, **options, anonymize=bl.Anonymize())
    bl.report(log, page, **options, anonymize=bl.Anonymize(shift="random"))
    bl.report(log, page, **options)
    with pytest.raises(InputError, match="it has files that are not anonymized"):
        bl.report(log, page, **options, anonymize=bl.Anonymize())


@pytest.mark.slow
@pytest.mark.usefixtures("key")
def test_a_new_key_is_announced_once(log: Path, tmp_path: Path) -> None:
    words = ("describe", log, "--columns", MAPPED, "--anonymize", "--key", tmp_path / "own.key", "--quiet")
    assert f"made the key {tmp_path / 'own.key'}" in burstlens(*words).stderr
    assert burstlens(*words).stderr == ""


@pytest.mark.parametrize("words", [("--key", "k"), ("--shift", "random"), ("--keep", "models")])
def test_its_options_go_with_anonymize(log: Path, words: tuple[str, str]) -> None:
    done = burstlens("describe", log, *words)
    assert done.returncode == 2
    assert f"{words[0]}: goes with --anonymize" in done.stderr


@pytest.mark.usefixtures("key")
def test_what_cannot_be_anonymized_is_refused(log: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="only DuckDB"):
        bl.trace(log, columns=COLUMNS, engine="spark", anonymize=bl.Anonymize())
    bl.fit(log, tmp_path / "p.json", columns=COLUMNS)
    with pytest.raises(InputError, match="is for logs of requests"):
        bl.export(tmp_path / "p.json", "vllm", tmp_path / "out.jsonl", anonymize=bl.Anonymize())
    with pytest.raises(InputError, match="name a log"):
        bl.report((), tmp_path / "page", anonymize=bl.Anonymize())


@pytest.mark.usefixtures("key")
def test_options_of_the_log_go_along(log: Path) -> None:
    reading = LogOptions(where=[f"svc={MARK}service0"])
    with bl.trace(log, columns=COLUMNS, reading=reading, anonymize=bl.Anonymize()) as trace:
        assert trace.info.rows == 600
        assert trace.info.anonymized == "names are keyed hashes"
