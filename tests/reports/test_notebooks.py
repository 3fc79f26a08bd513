"""The notebooks as a person runs them, top to bottom, on the embedded trace and on real ones."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MISSING = "is not installed: pip install 'burstlens[notebook]'"
nbformat = pytest.importorskip("nbformat", reason=f"nbformat {MISSING}")
nbclient = pytest.importorskip("nbclient", reason=f"nbclient {MISSING}")
pytest.importorskip("ipywidgets", reason=f"ipywidgets {MISSING}")

NOTEBOOKS = Path(__file__).parents[2] / "reports" / "notebooks"
NAMES = ("explore", "how_bursty")
SLID = """
before = picture.value
slider.value = 60
print(picture.value != before, "60-minute windows" in picture.value, picture.value.count("<img"))
"""


def run(name: str, *more: str, **parameters: Any) -> list[str]:
    """Run a notebook with other values in its first cell; what each cell showed, as text, HTML included."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    (first,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    first.source += "".join(f"\n{key} = {value!r}" for key, value in parameters.items())
    notebook.cells.extend(nbformat.v4.new_code_cell(source) for source in more)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    return [output_of(cell) for cell in notebook.cells if cell.cell_type == "code"]


def output_of(cell: Any) -> str:
    texts = []
    for output in cell.outputs:
        assert output.output_type != "stream" or output.name == "stdout", output
        texts.append(output.get("text", ""))
        texts.extend(str(value) for value in output.get("data", {}).values())
    return "\n".join(texts)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_committed_without_outputs(name: str) -> None:
    content = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))
    cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


def explored(outputs: list[str], rows: int, synthetic: bool) -> None:
    """What a person should have seen in `explore`."""
    text = "\n".join(outputs)
    assert f"{rows:,} requests" in text
    assert text.count("<img alt=") >= 3
    compared = [each for each in outputs if "agree with" in each and "within noise" in each]
    assert len(compared) == 2, "with another trace, and with what is drawn from its own parameters"
    assert "<strong>simulated by llama-2-13b-a100</strong>" in text
    # On a busy machine the client may be late, and then the notebook has to say so.
    verdict = re.search(r"^(trustworthy|not trustworthy: .+)$", text, re.MULTILINE)
    assert verdict is not None
    assert f"Load: {verdict[1]}" in html.unescape(text)
    assert outputs[-1].split() == ["True", "True", "1"]
    trace = next(each for each in outputs if "hours from first to last arrival" in each)
    assert ("<strong>synthetic</strong>" in trace) == synthetic


@pytest.mark.slow
def test_explore_runs_on_the_embedded_trace() -> None:
    outputs = run("explore", SLID, DAYS=0.5, REQUESTS=100)
    rows = int(re.search(r"([\d,]+) requests, format", "\n".join(outputs))[1].replace(",", ""))  # type: ignore[index]
    explored(outputs, rows, synthetic=True)


@pytest.mark.slow
def test_explore_runs_on_real_traces(traces: Callable[[str], Path], tmp_path: Path) -> None:
    log, other = tmp_path / "day.csv", traces("burstgpt_3_first400.csv")
    lines = traces("burstgpt_1_first7days.csv").read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:3001]))
    explored(run("explore", SLID, LOG=str(log), OTHER=str(other), REQUESTS=100), 3000, synthetic=False)


def answered(outputs: list[str], synthetic: bool) -> None:
    """What a person should have seen in `how_bursty`."""
    match = re.search(r"first token is ([\d.]+) s as your requests came, and ([\d.]+) s", outputs[-1])
    assert match is not None
    assert all(float(value) > 0 for value in match.groups())
    assert "simulated by llama-2-13b-a100" in "\n".join(outputs)
    assert ("synthetic workload" in "\n".join(outputs)) == synthetic


@pytest.mark.slow
def test_how_bursty_answers_on_the_embedded_trace() -> None:
    answered(run("how_bursty", DAYS=0.5, REQUESTS=200, RATE_RPS=2.0), synthetic=True)


@pytest.mark.slow
def test_how_bursty_answers_for_a_log_of_ones_own(traces: Callable[[str], Path], tmp_path: Path) -> None:
    log = tmp_path / "mine.csv"
    lines = traces("azure_llm_2023_conv.csv").read_text().splitlines()
    head = {"TIMESTAMP": "when", "ContextTokens": "in", "GeneratedTokens": "out"}
    log.write_text("\n".join([",".join(head[name] for name in lines[0].split(",")), *lines[1:3001]]) + "\n")
    columns = {"arrival": "when", "request_tokens": "in", "response_tokens": "out"}
    answered(run("how_bursty", LOG=str(log), COLUMNS=columns, REQUESTS=1000), synthetic=False)
