"""The words that a page explains: one sentence a term, from `templates/glossary.json`.

The documentation takes its glossary from the same file. Not here: its layout (`templates/base.html`).
"""

from __future__ import annotations

import html
import json
import re
from functools import cache
from importlib.resources import files


@cache
def glossary() -> dict[str, str]:
    """Every term with its meaning in one sentence, in alphabetical order."""
    text = (files("burstlens.reports") / "templates" / "glossary.json").read_text(encoding="utf-8")
    terms: dict[str, str] = json.loads(text)
    return dict(sorted(terms.items(), key=lambda item: item[0].casefold()))


def words_on_page(markup: str) -> list[tuple[str, str]]:
    """Find the glossary's terms in the text of a page.

    Parameters
    ----------
    markup
        HTML whose text is searched; tags and attributes are not.

    Returns
    -------
    list of (term, meaning)
        In alphabetical order. A term such as `rate (β)` is found by either of its two names.

    Examples
    --------
    >>> [term for term, _ in words_on_page("<p>TTFT of two Turns</p>")]
    ['TTFT', 'turn']
    """
    text = html.unescape(re.sub(r"<[^>]*>", " ", markup))
    return [(term, meaning) for term, meaning in glossary().items() if _pattern(term).search(text)]


@cache
def _pattern(term: str) -> re.Pattern[str]:
    """One of the term's names as a word of its own, in singular or plural."""
    name, _, other = term.rstrip(")").partition(" (")
    # The long name of `rate (β)` is an everyday word; its symbol is not.
    names = [other] if len(other) == 1 else [each for each in (name, other) if each]
    exact = "|".join(re.escape(each) for each in names if not each.islower())
    loose = "|".join(re.escape(each) for each in names if each.islower())
    either = [text for text in (exact, f"(?i:{loose})" if loose else "") if text]
    return re.compile(rf"(?<!\w)(?:{'|'.join(either)})(?:s|es)?(?!\w)")
