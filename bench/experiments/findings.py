"""What an experiment found, gathered once: parts with sentences, and the paper's claim with its verdict.

Terminal, page and JSON are renderings of the `Findings` made here. Not here: what each experiment asks and
how its parts are computed (the module of each).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ...analysis.core.claims import Claim
from ...analysis.core.errors import InputError
from ...analysis.core.exhibit import Displayable, Exhibit, marks
from ...analysis.core.result import Part
from . import maf2, responses, schedulers, sweep
from .backends import is_brief
from .trials import Experiment


@dataclass(frozen=True)
class Findings(Displayable):
    """Everything that an experiment says."""

    experiment: Experiment
    title: str
    parts: tuple[Part, ...]
    claims: tuple[Claim, ...]

    @property
    def unfinished(self) -> str:
        """One sentence if trials are missing, else nothing."""
        question, done = self.experiment.question, self.experiment.trials.height
        if question.finished and done >= question.trials:
            return ""
        why = question.stopped or "it was killed, or still runs"
        return (
            f"{done:,} of {question.trials:,} trials have ended ({why}). Everything below is from them; "
            "the same command runs the rest, and the page can be made again."
        )

    @property
    def notes(self) -> list[str]:
        """What a reader must know of how it was run: what was said before the trials, and what they show."""
        trials = self.experiment.trials
        brief = sum(is_brief(row) for row in trials.to_dicts())
        if not brief:
            return list(self.experiment.question.notes)
        return [
            *self.experiment.question.notes,
            f"{brief:,} of {trials.height:,} trials were sent in less time than the slowest tenth of their "
            "answers took once begun: they show a burst and its end, not a load that lasts; more requests "
            "send for longer.",
        ]

    def exhibit(self) -> Exhibit:
        """Verdicts of the paper's claims first; the parts inside."""
        question = self.experiment.question
        claims = [
            f"{each.verdict}: {each.text} ({each.where}) {each.value} {each.why}" for each in self.claims
        ]
        unfinished = [f"Unfinished. {self.unfinished}"] if self.unfinished else []
        lines = [*unfinished, *claims, question.title]
        badges = marks(question.simulated, question.synthetic, "workload")
        return Exhibit(self.title, badges, lines, {"trials": self.experiment.trials}, self.parts)

    def as_dict(self) -> dict[str, Any]:
        """Convert to values of JSON."""
        question = self.experiment.question
        return {
            "experiment": question.kind,
            "title": self.title,
            "engine": question.title,
            "simulated": question.simulated,
            "synthetic": question.synthetic,
            "seeds": list(question.seeds),
            "trials": self.experiment.trials.height,
            "finished": question.finished,
            "facts": dict(question.facts),
            "notes": self.notes,
            "claims": [claim.as_dict() for claim in self.claims],
            "parts": {
                part.name: {
                    "sentences": part.sentences(),
                    "missing": list(part.missing),
                    "tables": {name: table.to_dicts() for name, table in part.tables().items()},
                }
                for part in self.parts
            },
        }


def findings(experiment: Experiment) -> Findings:
    """Gather what an experiment's trials say.

    Raises
    ------
    InputError
        If no trial has ended, or this burstlens does not know the kind of the experiment.
    """
    kind = experiment.question.kind
    if kind not in KINDS:
        raise InputError(f"{experiment.folder}: this burstlens does not know experiments of kind {kind!r}")
    if experiment.trials.is_empty():
        raise InputError(f"{experiment.folder}: no trial has ended yet; the same command continues")
    found = KINDS[kind](experiment)
    badges = marks(experiment.question.simulated, experiment.question.synthetic, "workload")
    return replace(found, parts=tuple(replace(part, marks=badges) for part in found.parts))


def _maf2(experiment: Experiment) -> Findings:
    loaded, courses = maf2.parts(experiment)
    rate = experiment.trials["rate_rps"][0]
    claim = Claim.of_statements(
        "maf2-load",
        "§5.1, Fig. 13–14",
        "At the same rate BurstGPT conversation loads vLLM harder than MAF2: higher mean latency, higher "
        "throughput, higher KV-cache peaks, more failures.",
        maf2.statements(loaded, rate),
        maf2.value(loaded, rate),
        loaded.name,
        "measures",
    )
    return Findings(experiment, "BurstGPT against Azure Functions at one rate", (loaded, courses), (claim,))


def _responses(experiment: Experiment) -> Findings:
    answers, lengths = responses.parts(experiment)
    claim = Claim.of_statements(
        "responses",
        "§3.3, Fig. 7, 8, 10",
        "On prompts of the trace's request lengths the served model (in the paper Llama-2-13b-chat) "
        "answers at other lengths than the trace: longer, and shorter for longer requests.",
        responses.statements(answers, lengths),
        responses.value(answers),
        answers.name,
    )
    return Findings(experiment, "A served model's responses beside the trace's", (answers, lengths), (claim,))


def _schedulers(experiment: Experiment) -> Findings:
    compared, waits = schedulers.parts(experiment)
    claim = Claim.of_statements(
        "scheduler",
        "§5.3, Fig. 16",
        "Longest-request-first beats first-come-first-served on conversation in latency and latency jitter, "
        "and not on API.",
        schedulers.statements(compared),
        schedulers.value(compared),
        compared.name,
        "measures",
    )
    return Findings(experiment, "Which order of serving suits which load", (compared, waits), (claim,))


def _sweep(experiment: Experiment) -> Findings:
    varied, steps, thirds, paired = sweep.parts(experiment)
    claim = Claim.of_statements(
        "alpha-sweep",
        "§5.2, Fig. 15",
        "Small changes of α cause sudden failures and hardly move mean latency and throughput; a linear "
        "decline of α degrades lastingly; larger β and smaller λ load more.",
        sweep.statements(varied, steps, thirds),
        sweep.value(varied, steps, thirds),
        varied.name,
        "measures",
    )
    return Findings(experiment, "Shape, scale and exponent varied", (varied, steps, thirds, paired), (claim,))


KINDS: dict[str, Callable[[Experiment], Findings]] = {
    "maf2": _maf2,
    "responses": _responses,
    "schedulers": _schedulers,
    "sweep": _sweep,
}
"""By the kind that a question has."""
