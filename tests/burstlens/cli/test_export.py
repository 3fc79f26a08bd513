"""`export` and `compare` as a person meets them: the file, what is said, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

import burstlens as bl
from burstlens.analysis.interchange.exports import exports
from burstlens.analysis.interchange.parameters import read_parameters
from burstlens.analysis.interchange.servegen import read_servegen
from tests.helpers import burstlens

SHORT = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n" + "".join(
    f"{7 * i + i % 5},ChatGPT,{10 + i},{0 if i == 3 else 20 + i % 7},{30 + i},Conversation log\n"
    for i in range(90)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log and the parameters fitted to it."""
    folder = tmp_path_factory.mktemp("export")
    (folder / "log.csv").write_text(SHORT)
    bl.fit(folder / "log.csv", folder / "p.json", window_s=120)
    return folder


@pytest.mark.slow
def test_every_format_is_written_and_named(folder: Path) -> None:
    for name, form in exports().items():
        out = folder / f"all_{name}{form.suffix}"
        done = bl.export(folder / "log.csv", name, out, window_s=120.0)
        assert done.format == name
        assert out.exists()
        assert done.rows > 0
        assert done.as_dict()["lost"] == list(done.lost)
        assert set(done.to_frame()["what"]) <= {"made", "lost"}


def test_what_is_lost_is_on_the_screen_and_how_to_run_it(folder: Path) -> None:
    done = burstlens("export", "log.csv", "--format", "aiperf-burstgpt", "-o", "a.csv", cwd=folder)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "a.csv: 90 requests of log, format aiperf-burstgpt"
    assert "  made: stamps of 1 s are spread inside their step, seed 0" in lines
    assert "  made: 1 failed request: the response length is the tokens answered, at least 1" in lines
    assert "  lost: the model of each request (ChatGPT)" in lines
    assert "--fixed-schedule" in lines[-1]
    assert "a.csv" in lines[-1]


def test_a_load_starts_at_zero_and_asks_for_a_token_at_least(folder: Path) -> None:
    bl.export(folder / "log.csv", "vllm", folder / "v.jsonl", rate_rps=2.0)
    rows = pl.read_ndjson(folder / "v.jsonl")
    assert rows["timestamp"][0] == 0
    assert rows["output_length"].min() == 1
    assert rows["timestamp"].max() / 1000 == pytest.approx(89 / 2.0)
    assert (rows["hash_ids"].list.len() == 1).all()


def test_parameters_are_drawn_by_their_seed_and_are_synthetic(folder: Path) -> None:
    words = ("export", "p.json", "--format", "parquet", "--tokens", "8,9")
    done = burstlens(*words, "-o", "one.parquet", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert (content["synthetic"], content["format"], content["lost"]) == (True, "parquet", [])
    assert "drawn from its laws, seed 0" in content["made"][0]
    burstlens(*words, "-o", "same.parquet", cwd=folder)
    burstlens(*words, "-o", "other.parquet", "--seed", "1", cwd=folder)
    one, same, other = (pl.read_parquet(folder / f"{name}.parquet") for name in ("one", "same", "other"))
    assert one.equals(same)
    assert not one.equals(other)
    with bl.trace(folder / "one.parquet"):
        assert bl.trace(folder / "one.parquet").info.synthetic
    metadata = pl.read_parquet_metadata(folder / "one.parquet")
    assert "drawn from its laws" in json.loads(metadata["burstlens_export"])["made"][0]


def test_a_synthetic_file_says_so_by_its_name_or_the_screen(folder: Path) -> None:
    mark = "that it is synthetic: only the file's name can say so"
    assert mark in bl.export(folder / "p.json", "guidellm", folder / "g.jsonl", tokens=(8, 9)).lost
    assert (
        mark not in bl.export(folder / "p.json", "guidellm", folder / "synthetic.jsonl", tokens=(8, 9)).lost
    )


def test_windows_go_to_servegen_and_come_back(folder: Path) -> None:
    done = bl.export(folder / "p.json", "servegen", folder / "clients", tokens=(8, 9))
    assert "synthetic" not in (folder / "clients" / "README.txt").read_text()
    for line in done.lost:
        assert f"lost: {line}" in (folder / "clients" / "README.txt").read_text()
    back, _ = read_servegen(folder / "clients")
    source = read_parameters(folder / "p.json")
    windows = {row["start_s"]: row for row in source["selections"][-1]["arrivals"]["windows"]}
    begin = min(windows)
    (client,) = back["selections"]
    assert len(client["arrivals"]["windows"]) == len(windows)
    for row in client["arrivals"]["windows"]:
        was = windows[row["start_s"] + begin]
        assert row["rate_rps"] == pytest.approx(was["rate_rps"])
        if was["shape"] is not None:
            assert (row["shape"], row["scale"]) == pytest.approx((was["shape"], was["scale"]))


@pytest.mark.slow
def test_servegens_own_windows_become_parameters_and_load(folder: Path) -> None:
    clients = folder / "data"
    clients.mkdir(exist_ok=True)
    rows = "0,1.0,2.0,Gamma,0.25,4.0\n600,0,0,,0,0\n1200,0.5,{},Weibull,0.5,1.0\n"
    for number in (0, 1):
        (clients / f"chunk-{number}-trace.csv").write_text(rows.format(5**0.5))
        even = str(dict.fromkeys(range(1, 81), 1 / 80))
        shares = {"input_tokens": even, "output_tokens": even}
        (clients / f"chunk-{number}-dataset.json").write_text(json.dumps({"0": shares}))
    content, lost = read_servegen(clients)
    assert [part["selection"]["label"] for part in content["selections"]] == ["client 0", "client 1"]
    gamma, empty, weibull = content["selections"][0]["arrivals"]["windows"]
    assert (gamma["shape"], gamma["scale"], gamma["n"]) == (0.25, 4.0, 600)
    assert (empty["n"], empty["shape"]) == (0, None)
    # A Weibull of shape one half has a CV of the root of 5; its rate is kept.
    assert weibull["shape"] == pytest.approx(1 / 5)
    assert weibull["shape"] * weibull["scale"] == pytest.approx(1 / 0.5)
    assert "2 windows of Weibull gaps" in lost[1]
    done = bl.export(clients, "vllm", folder / "synthetic_v.jsonl")
    load = pl.read_ndjson(folder / "synthetic_v.jsonl")
    assert done.synthetic
    assert load["input_length"].max() <= 80
    assert 30 < load["input_length"].mean() < 51  # type: ignore[operator]
    assert 1400 < len(load) < 2200


@pytest.mark.slow
def test_every_client_has_its_lengths_however_many_there_are(tmp_path: Path) -> None:
    for number in range(18):
        (tmp_path / f"chunk-{number}-trace.csv").write_text("0,1.0,2.0,Gamma,0.25,4.0\n600,0,0,,0,0\n")
        even = str(dict.fromkeys(range(1 + number, 81 + number), 1 / 80))
        shares = {"input_tokens": even, "output_tokens": even}
        (tmp_path / f"chunk-{number}-dataset.json").write_text(json.dumps({"0": shares}))
    content, _ = read_servegen(tmp_path)
    for number, part in enumerate(content["selections"]):
        assert {law["column"] for law in part["lengths"]["fits"]} == {"request", "response"}, number
        assert part["lengths"]["joint"], number


def test_clients_are_not_written_among_others(folder: Path) -> None:
    bl.export(folder / "p.json", "servegen", folder / "again", tokens=(8, 9))
    # The same clients again are written over.
    bl.export(folder / "p.json", "servegen", folder / "again", tokens=(8, 9))
    (folder / "again" / "chunk-7-trace.csv").write_text("0,1,1,Gamma,1,1\n")
    with pytest.raises(
        bl.BurstlensError, match=r"chunk-7-trace\.csv: .* the folder has 1 client of another export"
    ):
        bl.export(folder / "p.json", "servegen", folder / "again", tokens=(8, 9))


def test_the_nearest_line_is_of_the_chosen_window(folder: Path) -> None:
    windows = read_parameters(folder / "p.json")["selections"][0]["arrivals"]["windows"]
    at = next(row for row in windows[1:] if row["shape"] is not None)
    done = bl.export(
        folder / "p.json", "vllm-line", folder / "l.sh", start_s=at["start_s"] + 1, tokens=(8, 9)
    )
    assert f"--request-rate {at['rate_rps']:.6g} --burstiness {at['shape']:.6g}" in done.run
    text = (folder / "l.sh").read_text().splitlines()
    assert text[-1] == done.run
    assert all(line.startswith("# ") for line in text[:-1])
    assert f"# lost: {done.lost[0]}" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("log.csv", "--to", "vlm"), "--to: 'vlm' is not a time such as 2d18h; did you mean --format vllm?"),
        (("log.csv", "--format", "vlm"), "--format: no format 'vlm'; did you mean 'vllm'? There are: azure"),
        (("log.csv", "--format", "elsewhere"), "--format: no format 'elsewhere'; there are: azure, burstgpt"),
        (("none.csv", "--format", "csv"), "none.csv: no such file"),
        (("log.csv", "--format", "csv", "-o", "log.csv"), "log.csv: cannot be written: it is the source"),
        (("log.csv", "--format", "azure", "--rate", "3"), "--rate: a log is exported as it was"),
        (
            ("log.csv", "--format", "vllm", "--service", "api"),
            "no requests of service 'api'; it has: conversation",
        ),
        (
            ("p.json", "--format", "servegen", "--first", "3"),
            "--first: is for requests; servegen contains fitted windows",
        ),
        (("shape=1,scale=1,exponent=1", "--format", "servegen"), "constants are not fitted windows"),
        (("log.csv",), "name a source and a format"),
        (("log.csv", "--format", "csv", "--from", "9d"), "log: no request in that time"),
        (("log.csv", "--format", "csv", "-o", "log.csv/x.csv"), "cannot be written"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(words: tuple[str, ...], message: str, folder: Path) -> None:
    done = burstlens("export", *words, "-q", cwd=folder)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "chunk-0-trace.csv",
            "0,1,1,Gamma,1\n",
            "chunk-0-trace.csv:1: is not start,rate,cv,pattern,shape,scale",
        ),
        ("chunk-0-trace.csv", "0,1,1,Pareto,1,1\n", "no pattern 'Pareto'; Gamma and Weibull are known"),
        ("chunk-0-dataset.json", '{"0": {"input_tokens": "__import__(1)"}}', "has no shares of"),
        ("chunk-0-dataset.json", "{", "has no shares of"),
        ("chunk-one-trace.csv", "0,1,1,Gamma,1,1\n", "its name has no client number"),
    ],
)
def test_damaged_client_windows_are_named(file: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "chunk-0-trace.csv").write_text("0,1,1,Gamma,1,1\n600,0,0,,0,0\n")
    (tmp_path / "chunk-0-dataset.json").write_text(
        '{"0": {"input_tokens": "{1: 1.0}", "output_tokens": "{1: 1.0}"}}'
    )
    (tmp_path / file).write_text(text)
    with pytest.raises(bl.BurstlensError, match=r".*") as fault:
        bl.export(tmp_path, "parameters", tmp_path / "p.json")
    assert message in str(fault.value)
    assert "\n" not in str(fault.value)


def test_the_list_names_every_format(folder: Path) -> None:
    done = burstlens("export", "--list", cwd=folder)
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(exports())


@pytest.mark.slow
def test_compare_shows_each_statistic_and_speaks_json(folder: Path) -> None:
    done = burstlens("compare", "log.csv", "log.csv", "-q", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "arrival rate, 1/s" in done.stdout
    assert "agrees" in done.stdout
    content = json.loads(burstlens("compare", "log.csv", "log.csv", "-q", "--json", cwd=folder).stdout)
    assert content["agrees"] is True
    assert {"arrival rate, 1/s", "distribution of gaps"} <= {
        row["statistic"] for row in content["statistics"]
    }
    refused = burstlens("compare", "log.csv", "none.csv", cwd=folder)
    assert (refused.returncode, refused.stderr) == (2, "burstlens: none.csv: no such file\n")


def test_a_file_that_nobody_named_is_called_synthetic_where_it_is(folder: Path) -> None:
    done = burstlens("export", "p.json", "--format", "vllm", "--tokens", "8,9", cwd=folder)
    assert done.stdout.startswith("synthetic_p.vllm.jsonl: ")
    assert "only the file's name" not in done.stdout
    done = burstlens("export", "log.csv", "--format", "vllm", cwd=folder)
    assert done.stdout.startswith("log.vllm.jsonl: ")
