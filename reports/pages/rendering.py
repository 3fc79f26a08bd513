"""A page as one HTML file that needs no network: templates filled, scripts and data put into it.

Not here: what a page says (`base`, `result`), words and layout (`templates/`).
"""

from __future__ import annotations

import base64
import hashlib
import json
import platform
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ...analysis.core.result import LEVEL
from ..figures import theme
from ..figures.base import plain_columns
from .glossary import words_on_page

if TYPE_CHECKING:
    from .base import Block

LIBRARIES = ("burstlens", "polars", "duckdb", "numpy", "scipy", "statsmodels", "altair", "vl-convert-python")


def _json(value: Any) -> Markup:
    """JSON that no HTML parser can take for markup, ready to stand in a data block."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for mark in "&<>\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(text)


@cache
def _bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, from what vl-convert holds: nothing is fetched."""
    import vl_convert

    made: str = vl_convert.javascript_bundle("window.vegaEmbed=vegaEmbed;")
    return "(()=>{" + made.replace("</script", "<\\/script") + "})();"


@cache
def environment() -> Environment:
    """The templates, with everything that is put into them escaped."""
    return Environment(
        loader=PackageLoader("burstlens.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _policy(*scripts: str) -> str:
    """A content security policy: these scripts, inline styles, and not one request."""
    hashes = (base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts)
    allowed = " ".join(f"'sha256-{h}'" for h in hashes)
    # Vega compiles the expressions of a specification, all of them ours, to functions: hence unsafe-eval.
    return (
        f"default-src 'none'; script-src {allowed} 'unsafe-eval'; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def fill(template: str, **values: Any) -> str:
    """One of the templates with these values in it, escaped."""
    return environment().get_template(template).render(**values)


def render(template: str, title: str, blocks: Sequence[Block], **more: Any) -> str:
    """A whole page from one of the templates that extend `base.html`, with the figures of `blocks` in it."""
    templates = environment()
    source = templates.loader
    assert source is not None
    css, js = (source.get_source(templates, name)[0] for name in ("page.css", "page.js"))
    bundle = _bundle()
    datasets, specs = _inlined(blocks)
    return templates.get_template(template).render(
        title=title,
        policy=_policy(bundle, js),
        font=Markup(theme.FONT),
        light=Markup(theme.css_variables(theme.LIGHT)),
        dark=Markup(theme.css_variables(theme.DARK)),
        css=Markup(css),
        js=Markup(js),
        bundle=Markup(bundle),
        theme=_json({"config": theme.config(), "variables": theme.variables()}),
        datasets=_json(datasets),
        specs=_json(specs),
        level=f"{100 * LEVEL:g}",
        versions={name: metadata.version(name) for name in LIBRARIES} | {"Python": platform.python_version()},
        words_on_page=words_on_page,
        **more,
    )


def _inlined(blocks: Sequence[Block]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Datasets by name, each once however many figures draw from it, and the figures' specifications."""
    datasets: dict[str, Any] = {}
    names: dict[str, str] = {}
    specs: dict[str, dict[str, Any]] = {}

    def dataset(columns: dict[str, list[Any]]) -> str:
        digest = hashlib.sha256(json.dumps(columns).encode()).hexdigest()
        name = names.setdefault(digest, f"d{len(names) + 1}")
        datasets[name] = columns
        return name

    for each in (d for block in blocks for d in block.drawn):
        specs[each.anchor] = {
            "spec": each.figure.spec(),
            "data": dataset(each.figure.values()),
            "file": each.file,
            "columns": each.figure.columns,
            "panel": each.figure.panel_px,
            "title": each.figure.heading(each.subtitle),
        }
        if each.figure.choice is not None:
            specs[each.anchor]["states"] = [
                {
                    "options": options,
                    "data": dataset(plain_columns(state.data)),
                    "sentence": state.sentence,
                    "alt": state.alt_text,
                    "title": each.figure.heading(each.subtitle, options),
                }
                for options, state in each.figure.choice.states.items()
            ]
    return datasets, specs
