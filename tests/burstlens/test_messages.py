"""A message belongs to its listener: the library names parameters, the command line names flags."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import burstlens as bl
from tests.helpers import ROOT, burstlens

ROOMS = (
    "analysis",
    "bench",
    "queries",
    "reports",
    "burstlens/api",
    "burstlens/gpu",
    "burstlens/public_traces",
)
FLAG = re.compile(r"(?<![\w-])(?:--[a-z][a-z-]+|-o\b)")
COMMAND = re.compile(r"burstlens [a-z-]+[^,;:]*")
"""A whole command line, which a remedy may name to any reader."""
OTHER_TOOLS = {
    "analysis/interchange/azure.py",
    "analysis/interchange/mooncake.py",
    "analysis/interchange/plain.py",
    "analysis/interchange/vllm_command.py",
    "bench/server/vllm.py",
    "burstlens/public_traces/unpack.py",
}
"""Files that write the command lines of other tools."""


def names_flag(text: str) -> bool:
    """Whether a text has a flag outside of a whole command line."""
    return FLAG.search(COMMAND.sub("", text)) is not None


def literals(path: Path) -> Iterator[str]:
    """The texts of a module that are not docstrings, with … for each value in them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    seen = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            pieces = [piece for piece in node.values if isinstance(piece, ast.Constant)]
            seen |= {id(piece) for piece in pieces}
            yield "".join(str(piece.value) if piece in pieces else "…" for piece in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in seen:
            yield node.value


SNAPSHOT = Path(__file__).with_name("messages.txt")
"""Every message of the library, a line each; `python -m tests.burstlens.test_messages` writes it again."""
CLASSES = {
    "BurstlensError",
    "InputError",
    "UnknownSelectionError",
    "EndpointError",
    "DiskError",
    "MissingExtraError",
}


def template(node: ast.expr | None) -> str:
    """The text of an expression: … for a value, <name> for an option that the listener's words replace."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=pieces):
            return "".join(map(template, pieces))
        case ast.FormattedValue(
            value=ast.Call(func=ast.Name(id="option"), args=[ast.Constant(value=str() as name), *_])
        ):
            return f"<{name}>"
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return template(left) + template(right)
        case _:
            return "…"


def messages(path: Path) -> Iterator[str]:
    """The class and the text of each error that a module makes."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name in CLASSES]
    owners = {id(call): kind.name for kind in classes for call in ast.walk(kind)}
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=kind)):
                how = ""
            case ast.Call(func=ast.Attribute(value=ast.Name(id=kind), attr=how)):
                pass
            case _:
                continue
        kind = owners.get(id(node), kind) if kind == "cls" else kind
        texts = [template(each) for each in node.args]
        remedy = next((template(each.value) for each in node.keywords if each.arg == "remedy"), None)
        if kind not in CLASSES or not texts:
            continue
        if how == "of_option":
            text = f"<{texts[0]}>: {texts[1]}"
        elif how == "at":
            text = f"…: {texts[1]}"
        elif how == "unknown_value":
            text = f"<{texts[0]}>: no {texts[1]} …"
        else:
            text = "" if how else texts[0]
        if any(map(str.isalpha, text)):
            yield " ".join(f"{kind} {text}{'' if remedy is None else f'; {remedy}'}".split())


def every_message() -> list[str]:
    """Each message of the library once, in order."""
    modules = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    return sorted({line for path in modules for line in messages(path)})


@pytest.mark.slow
def test_every_message_is_in_the_snapshot_once() -> None:
    assert every_message() == SNAPSHOT.read_text(encoding="utf-8").splitlines()


def test_a_message_is_read_from_its_constructor(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        """
raise InputError(f"{option('rate_rps')}: {rate:g} is not " + "above 0")
raise InputError.of_option("port", f"{port} is taken", remedy="choose another")
raise DiskError.at(path, "is full")
raise InputError.missing_file(path)
raise ValueError("not ours")
"""
    )
    assert list(messages(module)) == [
        "InputError <rate_rps>: … is not above 0",
        "InputError <port>: … is taken; choose another",
        "DiskError …: is full",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("room", ROOMS)
def test_no_text_of_the_library_names_a_flag(room: str) -> None:
    named = {
        f"{path.relative_to(ROOT)}: {text}"
        for path in (ROOT / room).rglob("*.py")
        if str(path.relative_to(ROOT)) not in OTHER_TOOLS
        for text in literals(path)
        if names_flag(text)
    }
    assert named == set()


def test_flags_are_seen_inside_of_texts_with_values_too(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        '"""Takes --flags."""\nname = "x"\n'
        'a, b, c = f"{name} with -o", f"see {name}: burstlens export --list", f"{name}: --engine spark"\n'
    )
    named = [text for text in literals(module) if names_flag(text)]
    assert named == ["… with -o", "…: --engine spark"]


CONSTANT = "shape=1,scale=1,exponent=1"
PRESET = "llama-2-13b-a100"
FAULTS: dict[str, tuple[Callable[[Path], object], list[str], str, str]] = {
    "two scales": (
        lambda out: bl.replay(CONSTANT, out, simulate=PRESET, first=5, rate_rps=2, speedup=2),
        ["replay", CONSTANT, "--simulate", PRESET, "--first", "5", "--rate", "2", "--speedup", "2", "-o"],
        "rate_rps and speedup both scale time",
        "--rate and --speedup both scale time",
    ),
    "no end": (
        lambda out: bl.replay(CONSTANT, out, simulate=PRESET),
        ["replay", CONSTANT, "--simulate", PRESET, "-o"],
        "first, a number of requests, or end_s",
        "--first, a number of requests, or --to",
    ),
    "no place": (
        lambda out: bl.replay(CONSTANT, out, first=5),
        ["replay", CONSTANT, "--first", "5", "-o"],
        "url names a server, simulate a preset",
        "--url names a server, --simulate a preset",
    ),
    "a law for constants": (
        lambda out: bl.replay(CONSTANT, out, simulate=PRESET, first=5, lengths="zipf"),
        ["replay", CONSTANT, "--simulate", PRESET, "--first", "5", "--lengths", "zipf", "-o"],
        "lengths: is for fitted parameters",
        "--lengths: is for fitted parameters",
    ),
    "stamps of constants": (
        lambda out: bl.replay(CONSTANT, out, simulate=PRESET, first=5, spread=False),
        ["replay", CONSTANT, "--simulate", PRESET, "--first", "5", "--no-spread", "-o"],
        "spread=False: is for traces",
        "--no-spread: is for traces",
    ),
    "a model of the server": (
        lambda out: bl.replay("log.csv", out, url="http://127.0.0.1:9", model="llama"),
        ["replay", "log.csv", "--url", "http://127.0.0.1:9", "--model", "llama", "-o"],
        "use served_model='llama'",
        "use --served-model llama",
    ),
    "a tokenizer without texts": (
        lambda out: bl.replay(CONSTANT, out, url="http://127.0.0.1:9", first=5, tokenizer="t.json"),
        ["replay", CONSTANT, "--url", "http://127.0.0.1:9", "--first", "5", "--tokenizer", "t.json", "-o"],
        "tokenizer: is for prompts of text; name their file with prompts",
        "--tokenizer: is for prompts of text; name their file with --prompts",
    ),
    "a limit below the workers": (
        lambda out: bl.replay(
            CONSTANT, out, url="http://127.0.0.1:9", first=5, workers=2, max_concurrency=1
        ),
        ["replay", CONSTANT, "--url", "http://127.0.0.1:9", "--first", "5", "--workers", "2",
         "--max-concurrency", "1", "-o"],
        "max_concurrency: 1 is less than workers=2",
        "--max-concurrency: 1 is less than --workers 2",
    ),
    "an unknown format": (
        lambda out: bl.export("log.csv", "elsewhere", out),
        ["export", "log.csv", "--format", "elsewhere", "-o"],
        "format: no format 'elsewhere'",
        "--format: no format 'elsewhere'",
    ),
    "a log that is scaled": (
        lambda out: bl.export("log.csv", "azure", out, rate_rps=3),
        ["export", "log.csv", "--format", "azure", "--rate", "3", "-o"],
        "rate_rps: a log is exported as it was",
        "--rate: a log is exported as it was",
    ),
    "two grids": (
        lambda out: bl.experiment("sweep", out, grid="none.toml", shape=[0.2]),
        ["experiment", "sweep", "--grid", "none.toml", "--shape", "0.2", "-o"],
        "grid and shape both say what is varied",
        "--grid and --shape both say what is varied",
    ),
    "too few requests": (
        lambda out: bl.experiment("maf2", out, requests=3),
        ["experiment", "maf2", "--first", "3", "-o"],
        "requests: 3 are too few",
        "--first: 3 are too few",
    ),
    "two levels": (
        lambda out: bl.experiment("schedulers", out, rate_rps=2, load=0.5),
        ["experiment", "schedulers", "--rate", "2", "--load", "0.5", "-o"],
        "rate_rps and load both say",
        "--rate and --load both say",
    ),
    "a window of no time": (
        lambda out: bl.disaggregate(None, out, turnover=True, beam=0),
        ["disaggregate", "--turnover", "--beam", "0", "-o"],
        "beam: 0 is not above 0",
        "--beam: 0 is not above 0",
    ),
    "a span of no log": (
        lambda out: bl.report([], out, start_s=5.0),
        ["report", "--from", "5", "-o"],
        "start_s and end_s: name a trace",
        "--from and --to: name a trace",
    ),
    "a trace that replaces its log": (
        lambda _: bl.ingest("log.csv", "log.csv"),
        ["ingest", "log.csv", "-o", "log.csv"],
        "name another file with out",
        "name another file with -o",
    ),
    "a log without a clock": (
        lambda _: bl.describe(["log.csv", "log.csv"], start_s=5.0),
        ["describe", "log.csv", "log.csv", "--from", "5"],
        "start_s",
        "--from",
    ),
}  # fmt: skip
"""A fault in Python and on the command line, and the message of each."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a log lies."""
    header = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    rows = "".join(f"{second},ChatGPT,10,20,30,Conversation log\n" for second in range(0, 600, 10))
    (tmp_path / "log.csv").write_text(header + rows)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("fault", FAULTS)
def test_python_names_the_parameter_and_the_command_line_the_flag(fault: str, folder: Path) -> None:
    call, words, in_python, typed = FAULTS[fault]
    with pytest.raises(bl.BurstlensError) as error:
        call(folder / "out")
    assert in_python in str(error.value)
    assert not names_flag(str(error.value))
    done = burstlens(*words, *([folder / "out"] if words[-1] == "-o" else []))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert typed in line


if __name__ == "__main__":
    SNAPSHOT.write_text("\n".join(every_message()) + "\n", encoding="utf-8")
