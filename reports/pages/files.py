"""The files beside a page: its tables as CSV, its figures as SVG and PNG. Not here: the page itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...analysis.core.result import Progress

if TYPE_CHECKING:
    from .base import Block, Drawn


def write_tables(folder: Path, blocks: Sequence[Block]) -> None:
    """Every table of these blocks as CSV, columns of lists left out."""
    folder.mkdir(exist_ok=True)
    for block in blocks:
        for name, table in block.tables.items():
            flat = [c for c, kind in table.schema.items() if not kind.is_nested()]
            table.select(flat).write_csv(folder / f"{block.prefix}{block.part.name}-{name}.csv")


def write_images(folder: Path, drawn: Sequence[Drawn], show: Progress) -> None:
    """Every figure as SVG and as PNG at twice its size."""
    import vl_convert

    folder.mkdir(exist_ok=True)
    for i, each in enumerate(drawn):
        show("figures as SVG and PNG", 0.05 + 0.9 * i / len(drawn))
        svg = vl_convert.vegalite_to_svg(json.dumps(each.figure.drawn(each.subtitle)))
        (folder / f"{each.file}.svg").write_text(svg, encoding="utf-8")
        (folder / f"{each.file}.png").write_bytes(vl_convert.svg_to_png(svg, scale=2))
