"""The page of any result but a trace: head, claims, tables, parts, identity, as data for one template.

A run, an experiment, a forecast, a search of ratios and an evaluation on a GPU each build a `ResultPage`.
Not here: layout (`templates/result.html`) and what any of them says (the module of each).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup, escape

from ...analysis.core.claims import Claim
from ...analysis.core.errors import DiskError
from ...analysis.core.result import Progress
from .base import Block, sections
from .files import write_images, write_tables
from .key_numbers import Fact
from .rendering import render


@dataclass(frozen=True)
class Banner:
    """What a reader must not overlook, in a frame at the head of the page."""

    title: str
    text: str
    anchor: str | None = None


@dataclass(frozen=True)
class Copy:
    """A table as text to take along."""

    label: str
    """The language: `Markdown`, `LaTeX`."""
    file: str
    """Its name in `tables/`."""
    text: str


@dataclass(frozen=True)
class Table:
    """A table of the page, its cells as text."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Collection[int] = ()
    """Columns of numbers, counted from 0; an interval in one stands below its value."""
    title: str = ""
    """A table with a title is folded under it; the first of a section is open."""
    named_rows: bool = False
    """Whether the first cell names its row."""
    compact: bool = False
    """Whether its head may wrap, as wide tables need."""
    remark: str = ""
    copies: Sequence[Copy] = ()


@dataclass(frozen=True)
class Section:
    """A section before or after those of the parts: sentences, tables, links."""

    anchor: str
    title: str
    label: str = ""
    """Its short name in the list of contents, if that is not the title."""
    lead: str = ""
    """May be `Markup`, as may `remark`."""
    verdict: tuple[str, str] | None = None
    """A kind of verdict (`agrees`, `differs`), which decides on sign and colour, and its words."""
    sentences: Sequence[str] = ()
    text: str = ""
    remark: str = ""
    tables: Sequence[Table] = ()
    links: Sequence[tuple[str, str]] = ()
    """Text and address."""
    links_lead: str = ""
    closing: str = ""


@dataclass(frozen=True)
class ResultPage:
    """Everything that the page of one result says."""

    kind: str
    """Printed beside the name of the project: `run report`."""
    title: str
    identity_title: str
    identity: Sequence[tuple[str, str]]
    """What was done with what, as label and text."""
    files: Sequence[tuple[str, str]]
    """Files beside the page with what they hold; figures and the page itself are not listed."""
    blocks: Sequence[Block] = ()
    """Its parts, in reading order."""
    banners: Sequence[Banner] = ()
    facts: Sequence[Fact] = ()
    notes: Sequence[str] = ()
    claims: Sequence[Claim] | None = None
    """None if results of this kind check no claim."""
    claims_lead: str = ""
    before: Sequence[Section] = ()
    after: Sequence[Section] = ()
    sources: Sequence[tuple[str, str, str]] = ()
    """Role, name and SHA-256 of each file that the result comes from; a generated one has no SHA-256."""
    reading: Sequence[str] = ()
    """How to read the numbers, a paragraph each."""
    further_files: str = ""
    """What else lies there, in words."""


def write_result_page(
    page: ResultPage,
    out: Path,
    *,
    command: str,
    images: bool,
    show: Progress,
    texts: Mapping[str, str] | None = None,
) -> Path:
    """Write `index.html`, `tables/` and `figures/` into a folder.

    Parameters
    ----------
    page
        What the page says.
    out
        The folder; it is made if there is none.
    command
        The command line that the page names.
    images
        Whether figures are written as SVG and PNG too.
    show
        Called with each step.
    texts
        Further files: content by name relative to the folder.

    Returns
    -------
    Path
        That of `index.html`.

    Raises
    ------
    DiskError
        If `out` cannot be written.
    """
    drawn = [each for block in page.blocks for each in block.drawn]
    try:
        out.mkdir(parents=True, exist_ok=True)
        if page.blocks:
            write_tables(out / "tables", page.blocks)
        for name, text in (texts or {}).items():
            (out / name).write_text(text, encoding="utf-8")
        if images and drawn:
            write_images(out / "figures", drawn, show)
        show("writing the page", 0.95)
        path = out / "index.html"
        path.write_text(_html(page, command, images and bool(drawn)), encoding="utf-8")
    except OSError as fault:
        raise DiskError.unwritable(out, fault) from fault
    return path


def _html(page: ResultPage, command: str, images: bool) -> str:
    return render(
        "result.html",
        page.title,
        page.blocks,
        page=page,
        claims=None
        if page.claims is None
        else [(claim, target(claim, page.blocks)) for claim in page.claims],
        sections=sections(page.blocks, several=False),
        command=command,
        images=images,
    )


def target(claim: Claim, blocks: Sequence[Block]) -> str | None:
    """The anchor of a claim's figure, else of its part's section; None if neither is on the page."""
    for block in blocks:
        if block.part.name == claim.part:
            wanted = f"fig-{block.slug}-{claim.part}-{claim.figure}"
            return wanted if wanted in {each.anchor for each in block.drawn} else block.anchor
    return None


def simulated_banner(
    preset: str | None, what: str = "every latency, failure and gauge below"
) -> list[Banner]:
    """The banner of a result that no server gave; none if `preset` is None."""
    text = Markup("No real server answered: {} comes from the serving model <strong>{}</strong>.").format(
        what, preset
    )
    return [Banner("Simulated.", text)] if preset else []


def synthetic_banner(synthetic: bool, title: str, text: str) -> list[Banner]:
    """The banner of a result whose requests a model generated; none if they were recorded."""
    return [Banner(title, text)] if synthetic else []


def with_marks(sentence: str, marks: Sequence[str]) -> Markup:
    """A sentence without its full stop, followed by what must be said of the result, in bold."""
    bold = (Markup("<strong>{}</strong>").format(mark) for mark in marks)
    return Markup("{}.").format(Markup("; ").join([escape(sentence), *bold]))
