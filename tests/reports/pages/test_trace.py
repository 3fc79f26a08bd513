"""The page as a reader meets it: opened from disk in a browser, without a network, in either theme."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from burstlens.analysis.characterize import Characterization, characterize
from burstlens.analysis.trace.trace import open_trace
from burstlens.reports.claims.ledger import check
from burstlens.reports.figures.registry import figures_of
from burstlens.reports.pages.base import write_page

HOSTILE = ("<script>alert(1)</script>", "'; DROP TABLE requests; --", '"><img src=x onerror=alert(2)>')


@pytest.fixture(scope="module")
def page(week_characterization: Characterization, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the real week, images beside it."""
    out = tmp_path_factory.mktemp("page")
    return write_page(
        out, [week_characterization], [check(week_characterization)], "burstlens report week.csv"
    )


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two small synthetic logs whose models are named to break out of HTML and SQL."""
    folder = tmp_path_factory.mktemp("hostile & <b>")
    characterizations = []
    for number in range(2):
        log = folder / f"log <i>{number}.csv"
        with log.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(
                ["Timestamp", "Model", "Request tokens", "Response tokens", "Total tokens", "Log Type"]
            )
            for i in range(1500):
                request_tokens, response_tokens = 20 + i % 300, 5 + (i * 7) % 400
                model = HOSTILE[i % len(HOSTILE)]
                writer.writerow(
                    [
                        i * 180 + i % 11,
                        model,
                        request_tokens,
                        response_tokens,
                        request_tokens + response_tokens,
                        "Conversation log",
                    ]
                )
        trace = open_trace(log)
        characterization = characterize(trace)
        trace.engine.close()
        characterizations.append(
            replace(characterization, info=replace(characterization.info, synthetic=True))
        )
    return write_page(
        folder / "out",
        characterizations,
        [check(characterization) for characterization in characterizations],
        "burstlens report '<u>'",
        images=False,
    )


def _figures(characterization: Characterization) -> int:
    return sum(len(figures_of(part)) for part in characterization.parts)


@pytest.mark.slow
def test_the_page_is_one_file_that_names_no_other(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(text) < 15e6
    outside = re.sub(r"<script.*?</script>", "", text, flags=re.S)
    linked = re.findall(r'(?:src|href|action)="([^"#][^"]*)"', outside)
    assert all(link.startswith(("tables/", "data:")) for link in linked), linked
    assert not re.search(r"url\(|@import", outside)
    assert "default-src 'none'" in html.unescape(outside)


@pytest.mark.slow
def test_images_and_tables_lie_beside_the_page(page: Path, week_characterization: Characterization) -> None:
    images = page.parent / "figures"
    assert (
        len(list(images.glob("*.svg"))) == len(list(images.glob("*.png"))) == _figures(week_characterization)
    )
    for image in images.glob("*.svg"):
        assert "burstgpt_1_first7days · recorded trace" in image.read_text(encoding="utf-8"), image.name
    for part in week_characterization.parts:
        for name, table in part.tables().items():
            if table.height:
                with (page.parent / "tables" / f"{part.name}-{name}.csv").open(newline="") as file:
                    assert sum(1 for _ in csv.reader(file)) == table.height + 1


def test_the_page_tells_who_the_trace_is_and_how_it_was_made(
    page: Path, week_characterization: Characterization
) -> None:
    text = page.read_text(encoding="utf-8")
    assert week_characterization.info.sources[0].sha256 in text
    for phrase in ("burstlens report week.csv", "19,431", "Wednesday, 2023-11-01", "polars", "<math"):
        assert phrase in text
    for claim in check(week_characterization):
        assert f'id="claim-burstgpt-1-first7days-{claim.id}"' in text


def test_every_link_inside_the_page_has_a_target(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(re.findall(r'id="([^"]+)"', text))
    for table in re.findall(r'href="(tables/[^"]+)"', text):
        assert (page.parent / table).is_file()


MARKS = """
[...document.querySelectorAll('figure')].map((figure) => [figure.id,
  figure.querySelectorAll('svg .role-mark :is(path, rect, line, text)').length])
"""
OVERFLOW = """
({ page: document.documentElement.scrollWidth - document.documentElement.clientWidth,
   figures: [...document.querySelectorAll('figure .chart')].filter((c) => c.scrollWidth > c.clientWidth + 1)
     .map((c) => c.parentElement.id) })
"""


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True), (360, False)])
def test_the_page_opens_without_a_fault_or_a_request(
    page: Path, week_characterization: Characterization, chromium: Any, width: int, dark: bool
) -> None:
    seen: dict[str, Any] = {}

    async def look(visit: Any) -> None:
        seen["marks"] = await visit.run(MARKS)
        seen["overflow"] = await visit.run(OVERFLOW)
        seen["faults"] = await visit.run("burstlens.errors")
        seen["ground"] = await visit.run("getComputedStyle(document.body).backgroundColor")
        seen["tick"] = await visit.run(
            "getComputedStyle(document.querySelector('figure svg .role-axis-label text')).fill"
        )

    visit = chromium.visit(page, look, width=width, dark=dark)
    assert visit.console == []
    assert seen["faults"] == []
    assert {url for url in visit.requests if not url.startswith("data:")} == {page.resolve().as_uri()}
    assert len(seen["marks"]) == _figures(week_characterization)
    assert [figure for figure, marks in seen["marks"] if not marks] == []
    assert seen["overflow"] == {"page": 0, "figures": []}
    assert seen["ground"] == ("rgb(15, 19, 24)" if dark else "rgb(255, 255, 255)")
    assert seen["tick"] == ("rgb(166, 176, 190)" if dark else "rgb(83, 93, 107)")


@pytest.mark.slow
def test_a_reader_can_choose_theme_and_verdict_and_print(page: Path, chromium: Any) -> None:
    seen: dict[str, Any] = {}
    ground = "getComputedStyle(document.body).backgroundColor"

    async def look(visit: Any) -> None:
        await visit.run("document.querySelector('[data-theme-choice=dark]').click()")
        seen["dark"] = await visit.run(ground)
        await visit.ask("Emulation.setEmulatedMedia", {"media": "print"})
        seen["print"] = await visit.run(ground)
        seen["bar"] = await visit.run("getComputedStyle(document.querySelector('.top')).display")
        await visit.ask("Emulation.setEmulatedMedia", {"media": "screen"})
        await visit.run("document.querySelector('[data-theme-choice=light]').click()")
        seen["light"] = await visit.run(ground)
        await visit.run("document.querySelector('.verdicts button').click()")
        seen["shown"] = await visit.run(
            "[document.querySelector('.verdicts button').dataset.verdict,"
            " [...new Set([...document.querySelectorAll('[data-claim]')].filter((c) => !c.hidden)"
            ".map((c) => c.dataset.claim))]]"
        )

    assert chromium.visit(page, look).console == []
    assert seen["dark"] == "rgb(15, 19, 24)"
    assert seen["print"] == seen["light"] == "rgb(255, 255, 255)"
    assert seen["bar"] == "none"
    verdict, chips = seen["shown"]
    assert chips == [verdict]


@pytest.mark.slow
def test_marks_tell_their_numbers_and_the_legend_singles_out(page: Path, chromium: Any) -> None:
    figure = "#fig-burstgpt-1-first7days-burstiness-dispersion svg"
    lines = f"[...document.querySelectorAll('{figure} .mark-line.role-mark path')]"
    opacities = f"{lines}.map((line) => line.getAttribute('opacity'))"
    seen: dict[str, Any] = {}

    async def at(visit: Any, selector: str) -> dict[str, float]:
        middle = f"document.querySelector('{figure} {selector}')"
        await visit.run(f"{middle}.scrollIntoView({{ block: 'center', behavior: 'instant' }})")
        centre = "({ x, y, width, height }) => [x + width / 2, y + height / 2]"
        x, y = await visit.run(f"({centre})({middle}.getBoundingClientRect())")
        return {"x": x, "y": y}

    async def look(visit: Any) -> None:
        point = await at(visit, ".mark-symbol.role-mark path")
        await visit.ask("Input.dispatchMouseEvent", {"type": "mouseMoved", **point})
        seen["tip"] = await visit.run(
            "new Promise((go) => setTimeout(() => go(document.querySelector('.tip').innerText), 100))"
        )
        seen["before"] = await visit.run(opacities)
        entry = {**await at(visit, ".role-legend-label text"), "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            await visit.ask("Input.dispatchMouseEvent", {"type": kind, **entry})
        seen["after"] = await visit.run(f"new Promise((go) => setTimeout(() => go({opacities}), 200))")

    assert chromium.visit(page, look).console == []
    assert "selection" in seen["tip"]
    assert "low" in seen["tip"]
    assert set(seen["before"]) == {"1"}
    assert sorted(set(seen["after"])) == ["0.08", "1"]


@pytest.mark.slow
def test_figures_are_downloaded_as_svg_png_and_csv(
    page: Path, week_characterization: Characterization, chromium: Any
) -> None:
    figure = "fig-burstgpt-1-first7days-periodicity-hourly"
    seen: dict[str, Any] = {}

    async def look(visit: Any) -> None:
        for kind in ("svg", "csv"):
            seen[kind] = await visit.run(f"burstlens.make.{kind}('{figure}').then((b) => b.text())")
        seen["png"] = await visit.run(
            f"burstlens.make.png('{figure}').then((b) => b.arrayBuffer())"
            ".then((b) => [...new Uint8Array(b).slice(0, 4)])"
        )
        await visit.run(f"document.querySelector('#{figure} details').open = true")
        await visit.run("new Promise((go) => setTimeout(go, 50))")
        seen["rows"] = await visit.run(f"document.querySelectorAll('#{figure} details tbody tr').length")

    assert chromium.visit(page, look).console == []
    assert seen["svg"].startswith("<svg")
    assert "recorded trace" in seen["svg"]
    assert "var(" not in seen["svg"]
    assert seen["png"] == [0x89, 0x50, 0x4E, 0x47]
    rows = list(csv.DictReader(io.StringIO(seen["csv"])))
    assert sum(int(row["requests"]) for row in rows) == 19_431
    assert seen["rows"] == 200


@pytest.mark.slow
def test_names_from_a_log_are_shown_as_text(hostile: Path, chromium: Any) -> None:
    seen: dict[str, Any] = {}

    async def look(visit: Any) -> None:
        seen["text"] = await visit.run(
            "document.body.innerText + document.querySelector('figure svg').textContent"
        )
        seen["scripts"] = await visit.run("document.scripts.length")
        seen["images"] = await visit.run("document.images.length")
        seen["drawn"] = await visit.run(MARKS)

    visit = chromium.visit(hostile, look)
    assert visit.console == []
    assert {url for url in visit.requests if not url.startswith("data:")} == {hostile.resolve().as_uri()}
    for name in HOSTILE:
        assert name in seen["text"]
    assert "log <i>0" in seen["text"]
    assert seen["scripts"] == 5
    assert seen["images"] == 0
    assert [figure for figure, marks in seen["drawn"] if not marks] == []


@pytest.mark.slow
def test_several_traces_stand_side_by_side_and_synthetic_is_said(hostile: Path) -> None:
    text = hostile.read_text(encoding="utf-8")
    assert text.count('class="banner"') == 2
    specs = json.loads(re.search(r'id="specs">(.*?)</script>', text, re.S)[1])  # type: ignore[index]
    slugs = {key.split("-volume-")[0] for key in specs if "-volume-" in key}
    assert len(slugs) == 2
    assert all("SYNTHETIC TRACE" in spec["title"]["subtitle"] for spec in specs.values())
    assert all(f"{slug}-arrivals-windows.csv".removeprefix("fig-") in text for slug in slugs)


@pytest.mark.slow
def test_progress_is_told_up_to_the_end(week_characterization: Characterization, tmp_path: Path) -> None:
    steps: list[tuple[str, float]] = []
    write_page(
        tmp_path,
        [week_characterization],
        [[]],
        "x",
        images=False,
        progress=lambda step, share: steps.append((step, share)),
    )
    shares = [share for _, share in steps]
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1
