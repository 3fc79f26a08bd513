"""How the paper's claim about the prefill:decode ratio is decided (section 6). Not here: the other claims."""

from __future__ import annotations

from ...analysis.characterize import Characterization
from ...analysis.core.verdicts import UNTOLD
from ...bench.provisioning.result import Disaggregation, claim
from .checks import Verdict


def ratio(said: Characterization) -> Verdict:
    """From the simulated search, where it was asked for."""
    for part in said.parts:
        if isinstance(part, Disaggregation):
            checked = claim(part.content)
            value = f"simulated by {part.content['simulated']}: {checked.value}"
            return Verdict(checked.verdict, value, checked.why, checked.figure)
    return Verdict(
        UNTOLD,
        "",
        "It takes a simulation of prefill and decode instances: burstlens report --disaggregate, or "
        "burstlens disaggregate.",
    )
