"""Draws of every law that is fitted by name: their moments, and the law that a fit finds in them."""

from __future__ import annotations

import numpy as np
import pytest

from burstlens.analysis.conversations.laws import TURN_LAWS, coarse_histogram, interval_laws
from burstlens.analysis.stats.draw import PARAMETERS, FittedLaw, lower_quantile
from burstlens.analysis.stats.likelihood import fit

LAWS = {family.name: family for family in (*TURN_LAWS, *interval_laws(1e-3))}
PLANTED = {
    "geometric": {"stop": 0.3},
    "power law": {"exponent": 2.5},
    "negative binomial": {"size": 0.6, "more": 2.0},
    "log-normal": {"median_s": 40.0, "sigma": 1.2},
    "weibull": {"shape": 0.6, "scale_s": 90.0},
}


def test_every_fitted_law_can_be_drawn_from() -> None:
    assert set(PARAMETERS) == set(LAWS)


@pytest.mark.parametrize("name", list(PARAMETERS))
def test_a_fit_of_draws_finds_the_law(name: str) -> None:
    drawn = FittedLaw(name, PLANTED[name]).draw(4000, np.random.default_rng(1))
    found = fit(LAWS[name], coarse_histogram(drawn, 1.0 if name in {f.name for f in TURN_LAWS} else 1e-3))
    assert tuple(found.parameters) == PARAMETERS[name]
    for parameter, value in PLANTED[name].items():
        assert found.parameters[parameter].value == pytest.approx(value, rel=0.1)


def test_lower_quantile_is_the_first_value_that_reaches_a_probability() -> None:
    values, cumulative = np.array([1, 5, 9]), np.array([0.25, 0.75, 1.0])
    assert lower_quantile(values, cumulative, [0.0, 0.25, 0.26, 0.75, 1.0]).tolist() == [1, 1, 5, 5, 9]
