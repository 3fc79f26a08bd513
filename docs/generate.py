"""Pages of the documentation that have another source: every verb, function, term and method.

mkdocs calls the functions `on_…` as hooks; the others are plain and are tested without mkdocs. Not here: the
pages that somebody writes, and how the site looks (`mkdocs.yml`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from html import escape, unescape
from pathlib import Path
from typing import Any

import click
from jinja2 import Environment, FileSystemLoader

ROOT = Path(__file__).parents[1]
TEMPLATES = ROOT / "reports" / "templates"
LINK = re.compile(r"\[([^\]]+)\]\(([^)#\s]+)(?:#[^)]*)?\)")
FOREIGN = re.compile(r"<(?:script|img|iframe|source|link)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>")
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def commands_page() -> str:
    """Every verb with the text, the examples and the options of its `--help`."""
    from burstlens.cli.commands import cli

    sections = [text for name, command in sorted(cli.commands.items()) for text in _verb(name, command, 2)]
    intro = (
        "Every verb with its options: what `burstlens VERB --help` prints. A duration is a number with a "
        "unit (`20m`, `1h`, `2d18h`); `burstlens completion bash` prints the completion of a shell."
    )
    return "\n\n".join(["# Command line", intro, *sections]) + "\n"


def _verb(name: str, command: click.Command, level: int) -> Iterator[str]:
    """Heading, text, usage, options and examples of one verb, then of the verbs below it."""
    context = click.Context(command, info_name=f"burstlens {name}")
    yield f"{'#' * level} `burstlens {name}`"
    yield from _paragraphs(command.help or "")
    yield f"```text\n{' '.join([context.command_path, *command.collect_usage_pieces(context)])}\n```"
    options = [option for option in command.params if isinstance(option, click.Option)]
    records = [option.get_help_record(context) for option in options]
    rows = [
        f"<tr><td><code>{escape(flags)}</code></td><td>{escape(text)}</td></tr>"
        for flags, text in filter(None, records)
    ]
    if rows:
        head = "<thead><tr><th>option</th><th>meaning</th></tr></thead>"
        yield f"<table>{head}<tbody>{''.join(rows)}</tbody></table>"
    yield from _paragraphs(command.epilog or "")
    if isinstance(command, click.Group):
        for below, other in sorted(command.commands.items()):
            yield from _verb(f"{name} {below}", other, level + 1)


def _paragraphs(text: str) -> Iterator[str]:
    """The paragraphs of a click text: those after a form feed keep their lines, as examples do."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        first, _, rest = paragraph.partition("\n")
        if first.strip() != "\b":
            yield escape(" ".join(paragraph.split()), quote=False).replace("*", r"\*")
            continue
        title, _, lines = rest.partition("\n")
        if lines:
            yield f"{title.strip()}\n\n```sh\n{_dedented(lines)}\n```"
        else:
            yield escape(title.strip(), quote=False)


def _dedented(lines: str) -> str:
    """The lines without the indentation that they share."""
    indents = [len(line) - len(line.lstrip()) for line in lines.splitlines() if line.strip()]
    return "\n".join(line[min(indents) :] for line in lines.splitlines())


def functions_page() -> str:
    """Every public function of the package, then the classes of what they return."""
    import griffe

    import burstlens as bl

    package: Any = griffe.load(
        "burstlens", search_paths=[ROOT / "build" / "tree"], try_relative_path=False, resolve_aliases=True
    )
    members = [package.members[name] for name in bl.__all__]
    functions = [member for member in members if member.is_function]
    errors = [member for member in members if member.is_class]
    returned = dict.fromkeys(path for one in functions for path in _returned(one))
    sections = [
        "# Functions",
        "The signature and the docstring of each public name of `burstlens`.",
        "## Functions",
    ]
    sections += [f"::: burstlens.{one.name}\n    options:\n      heading_level: 3" for one in functions]
    sections += ["## Results"]
    sections += [f"::: {path}\n    options:\n      heading_level: 3" for path in returned]
    sections += ["## Errors"]
    sections += [f"::: {one.canonical_path}\n    options:\n      heading_level: 3" for one in errors]
    return "\n\n".join(sections) + "\n"


def _returned(function: Any) -> Iterator[str]:
    """Full names of our own classes in the return annotation of a function."""
    annotation = function.final_target.returns if function.is_alias else function.returns
    for part in annotation.iterate(flat=True) if hasattr(annotation, "iterate") else ():
        path = getattr(part, "canonical_path", "")
        if path.startswith("burstlens."):
            yield path


def glossary_page() -> str:
    """The glossary in alphabetical order."""
    from burstlens.reports.pages.glossary import glossary

    intro = "The terms of a report, a sentence each. A report explains those it uses in the same words."
    return (
        "\n\n".join(["# Glossary", intro, *(f"### {term}\n\n{text}" for term, text in glossary().items())])
        + "\n"
    )


def methods_page() -> str:
    """How each part of a report is measured: the text that the page has behind *How it is measured*."""
    source = (TEMPLATES / "methods.html").read_text(encoding="utf-8")
    module = (
        Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True).get_template("methods.html").module
    )
    names = re.findall(r"{%-? *macro (\w+)", source)
    intro = "How each part of a report is measured. A report has the same text under each of its sections."
    sections = [
        f"## {name.replace('_', ' ').capitalize()}\n\n<div>{getattr(module, name)()}</div>" for name in names
    ]
    return "\n\n".join(["# Methods", intro, *sections]) + "\n"


GENERATED = {
    "explanation/methods.md": methods_page,
    "reference/commands.md": commands_page,
    "reference/functions.md": functions_page,
    "reference/glossary.md": glossary_page,
}
"""What makes each page that no file in `docs/` holds."""


def inside(markdown: str, page: str) -> str:
    """The page with links to files outside `docs/` turned into their text: the site does not have them."""

    def replaced(match: re.Match[str]) -> str:
        text, target = match.groups()
        path = os.path.normpath(Path(page).parent / target)
        return text if path.startswith("..") else match.group(0)

    return LINK.sub(replaced, markdown)


def with_mathml(html: str) -> str:
    """The page with formulas in MathML, which a browser shows without a script."""
    from latex2mathml.converter import convert

    def replaced(match: re.Match[str]) -> str:
        display = "block" if match[1] == "div" else "inline"
        return str(convert(unescape(match[2]), display=display))

    return FORMULA.sub(replaced, html)


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages."""
    from mkdocs.structure.files import File

    for path, make in GENERATED.items():
        files.append(File.generated(config, path, content=make()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Drop links that leave the site."""
    return inside(markdown, page.file.src_uri)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuse a page that loads anything from another host: closed networks read it too."""
    from mkdocs.exceptions import PluginError

    if foreign := FOREIGN.search(output):
        raise PluginError(f"{page.file.src_uri} loads from another host: {foreign[0]}")
    return output


def on_page_content(html: str, **_: Any) -> str:
    """Show formulas."""
    return with_mathml(html)
