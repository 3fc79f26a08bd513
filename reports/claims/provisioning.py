"""How the paper's claim about the prefill:decode ratio is decided (section 6). Not here: the other claims."""

from __future__ import annotations

from ...analysis.characterize import Characterization
from ...analysis.core.claims import Decision
from ...analysis.core.verdicts import CANNOT_TELL
from ...bench.provisioning.result import Disaggregation, claim


def ratio(characterization: Characterization) -> Decision:
    """From the simulated search, where it was asked for."""
    for part in characterization.parts:
        if isinstance(part, Disaggregation):
            checked = claim(part.state)
            value = f"simulated by {part.state.simulated}: {checked.value}"
            return Decision(checked.verdict, value, checked.why, checked.figure)
    return Decision(
        CANNOT_TELL,
        "",
        "This needs a simulation of prefill and decode instances: burstlens report --disaggregate, or "
        "burstlens disaggregate.",
    )
