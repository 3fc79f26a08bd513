"""The words that a page explains: found in its text, each explained once and briefly."""

from __future__ import annotations

import re

import pytest

from burstlens.reports.pages.glossary import glossary, words_on_page


def test_every_meaning_is_one_sentence() -> None:
    for term, meaning in glossary().items():
        assert re.fullmatch(r"[A-Z0-9β][^.]*(\.\d[^.]*)*\.", meaning), (term, meaning)


@pytest.mark.parametrize(
    ("markup", "terms"),
    [
        ("<p>Gaps of a <em>Zipf</em> law</p>", ["gap", "Zipf"]),
        ("the failure rate", ["failure"]),
        ("α and β", ["rate (β)", "shape (α)"]),
        ("CV 1.2, p99 4", ["coefficient of variation (CV)", "percentile (p99)"]),
        ('<p title="prefill">itl, mitl, shapeless</p>', []),
        ("KV cache &amp; TTFT", ["KV cache", "TTFT"]),
    ],
)
def test_terms_are_found_as_words_in_the_text(markup: str, terms: list[str]) -> None:
    assert [term for term, _ in words_on_page(markup)] == terms
