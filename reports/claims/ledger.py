"""Ledgers: lists of claims, each checked on the trace in hand; ours are those of the BurstGPT paper.

The entry points `burstlens.claims` name the ledgers, so that another package adds one: the value is a
`Ledger`. A verdict is computed from the parts of a characterization, never typed in. Not here: how each claim
of ours is checked (`checks`) and how a ledger looks (`pages.base`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

from ...analysis.characterize import Characterization
from ...analysis.compare.side_by_side import Comparison, verdict_maf
from ...analysis.core.claims import Claim, Decision
from ...analysis.core.registry import CLAIMS, Plugin, load_all, plugins
from ...bench.provisioning.result import CLAIM
from . import checks, counts, lengths
from . import conversations as sessions
from . import forecast as forecasts
from . import provisioning as disaggregation


@dataclass(frozen=True)
class Entry:
    """A line of a ledger: a claim and the check that decides it."""

    id: str
    where: str
    """Where the claim is made: section, figure, page."""
    claim: str
    part: str
    """Name of the part that measures it."""
    query: str
    """The file that counts what it rests on; may be empty."""
    check: Callable[[Characterization], Decision]
    module: str = ""
    """What computes it, where that is not the module of its part."""


@dataclass(frozen=True)
class Ledger:
    """A list of claims from one source."""

    title: str
    """What its claims are, as a heading: `What the BurstGPT paper claims`."""
    source: str
    """The source, for a line under the heading: `BurstGPT (arXiv 2401.17644)`."""
    entries: tuple[Entry, ...]


def _needs(what: str) -> Callable[[Characterization], Decision]:
    """The check of a claim about a served model, which no request log can decide."""
    return lambda _characterization: Decision(
        "cannot tell", "", f"A request log alone cannot tell; this needs {what}."
    )


ACROSS_TRACES = "maf-bursty"
"""The claim that takes two traces on one page."""

_ENTRIES = (
    Entry(
        "size",
        "§1",
        "The trace has 10.31 million requests in 213 days, of conversation and API, ChatGPT and GPT-4.",
        "volume",
        "queries/sql/requests/totals.sql",
        counts.size,
    ),
    Entry(
        "rate",
        "§2.2",
        "With ChatGPT the mean rate is 0.019 requests/s in conversation and 0.21 requests/s in the API.",
        "volume",
        "queries/sql/requests/hourly_counts.sql",
        counts.rate,
    ),
    Entry(
        "maf-bursty",
        "§2.2",
        "Burstiness is much lower in Azure Functions than in BurstGPT.",
        "burstiness",
        "analysis/trace/bin_counts.py",
        checks.burstier_than_poisson,
    ),
    Entry(
        "table-1",
        "§2.1, Table 1",
        "The trace covers request patterns, conversation patterns, response lengths and failures.",
        "volume",
        "queries/sql/requests/totals.sql",
        counts.coverage,
    ),
    Entry(
        "weekly",
        "§3.1, Fig. 2–3",
        "Conversation volume peaks on weekdays and falls at weekends; the API has no weekly pattern; "
        "GPT-4 is below ChatGPT.",
        "periodicity",
        "queries/sql/requests/hourly_counts.sql",
        checks.weekly,
    ),
    Entry(
        "daily",
        "§3.1, Fig. 4–5",
        "Conversation is high in working hours and low at night; the API is irregular with a larger spread.",
        "periodicity",
        "queries/sql/requests/hourly_counts.sql",
        checks.daily,
    ),
    Entry(
        "gamma",
        "§3.1, Fig. 6",
        "In windows of 20 minutes of weekday working hours, gaps follow a Gamma law; α varies sharply in "
        "conversation, α and β in the API.",
        "arrivals",
        "analysis/trace/window_gaps.py",
        checks.gamma,
    ),
    Entry(
        "cv",
        "§4.2",
        "The coefficient of variation is 1/√α.",
        "arrivals",
        "analysis/trace/window_gaps.py",
        checks.cv,
    ),
    Entry(
        "turns",
        "§3.2, Fig. 9",
        "Over 35 % of conversations have one request, the median is 2, three quarters have four or fewer; "
        "the decline is exponential.",
        "conversations",
        "queries/sql/requests/session_requests.sql",
        sessions.turns,
    ),
    Entry(
        "interval",
        "§3.2, Fig. 9",
        "The mean interval is not directly related to the number of requests; its P90 rises up to 5 "
        "requests.",
        "conversations",
        "queries/sql/requests/session_requests.sql",
        sessions.interval,
    ),
    Entry(
        "long",
        "§3.2, Fig. 9",
        "The number of long intervals of a conversation grows with its requests.",
        "conversations",
        "queries/sql/requests/session_requests.sql",
        sessions.long_intervals,
    ),
    Entry(
        "zipf",
        "§3.3, Fig. 7",
        "Request lengths follow a Zipf law.",
        "lengths",
        "queries/sql/lengths/length_histograms.sql",
        lengths.zipf,
    ),
    Entry(
        "bimodal",
        "§3.3, Fig. 7",
        "ChatGPT response lengths are bimodal.",
        "lengths",
        "queries/sql/lengths/length_histograms.sql",
        lengths.bimodal,
    ),
    Entry(
        "linear",
        "§3.3, Fig. 8",
        "Response length grows linearly with request length.",
        "lengths",
        "queries/sql/lengths/joint_lengths.sql",
        lengths.linear,
    ),
    Entry(
        "bins",
        "§3.3, Fig. 10",
        "In each bin of request lengths, response lengths are a shifted Gaussian; its spread grows with the "
        "request length.",
        "lengths",
        "queries/sql/lengths/joint_lengths.sql",
        lengths.bins,
    ),
    Entry(
        "failures",
        "§3.4, Fig. 11",
        "ChatGPT conversation fails over 5 % on average; GPT-4 fails less than ChatGPT.",
        "failures",
        "queries/sql/requests/hourly_counts.sql",
        counts.failures,
    ),
    Entry(
        "maf2-load",
        "§5.1, Fig. 13–14",
        "At the same rate BurstGPT loads vLLM harder than MAF2.",
        "burstiness",
        "",
        _needs("a replay of both traces against one endpoint"),
    ),
    Entry(
        "alpha-sweep",
        "§5.2, Fig. 15",
        "Small changes of α cause sudden failures and hardly move mean latency and throughput.",
        "arrivals",
        "",
        _needs("replays along α, β and λ schedules"),
    ),
    Entry(
        "scheduler",
        "§5.3, Fig. 16",
        "Longest-request-first beats first-come-first-served on conversation, not on the API.",
        "lengths",
        "",
        _needs("replays under each scheduling policy"),
    ),
    Entry(
        "forecast",
        "§5.4, Fig. 17–18",
        "Request counts are forecast with NMAE 0.66 at one minute and 0.32 at ten.",
        "forecast",
        "queries/sql/forecast/forecast_features.sql",
        forecasts.forecast,
    ),
    Entry(
        "pd",
        "§6, Fig. 19–20",
        CLAIM,
        "disaggregation",
        "queries/sql/requests/load.sql",
        disaggregation.ratio,
        "bench/provisioning/search.py",
    ),
)

BURSTGPT = Ledger("What the BurstGPT paper claims", "BurstGPT (arXiv 2401.17644)", _ENTRIES)


@cache
def ledgers() -> dict[str, Ledger]:
    """Every ledger by its name, the paper's first; a faulty plugin is left out with a warning."""
    found = load_all(CLAIMS, _ledger)
    return {
        name: found[name] for name in sorted(found, key=lambda name: (not plugins(CLAIMS)[name].own, name))
    }


def _ledger(plugin: Plugin) -> Ledger:
    ledger = plugin.load()
    if not isinstance(ledger, Ledger):
        raise plugin.fault(f"{plugin.value} is not a Ledger")
    return ledger


def check(characterization: Characterization, comparison: Comparison | None = None) -> list[Claim]:
    """Every claim of every ledger with its verdict on this trace, each ledger in its own order.

    `comparison` is that of all traces of a report; a claim about two of them is decided by it.
    """
    homes = {part.name: _file_of(type(part)) for part in characterization.parts}
    return [
        _checked(entry, name, characterization, homes, comparison)
        for name, ledger in ledgers().items()
        for entry in ledger.entries
    ]


def _checked(
    entry: Entry,
    ledger: str,
    characterization: Characterization,
    homes: Mapping[str, str],
    comparison: Comparison | None,
) -> Claim:
    plugin = plugins(CLAIMS)[ledger]
    with plugin.guard():
        found = entry.check(characterization)
    if plugin.own and entry.id == ACROSS_TRACES and comparison is not None:
        found = Decision(*verdict_maf(comparison), figure="variation")
        entry = replace(entry, part="comparison")
    return Claim(
        id=entry.id,
        where=entry.where,
        text=entry.claim,
        verdict=found.verdict,
        value=found.value,
        why=found.why,
        part=entry.part,
        figure=found.figure,
        query=entry.query,
        module=entry.module or (homes.get(entry.part, "") if entry.query else ""),
        ledger=ledger,
    )


def _file_of(kind: type) -> str:
    """Where a class is written, from the top of the repository."""
    return kind.__module__.removeprefix("burstlens.").replace(".", "/") + ".py"
