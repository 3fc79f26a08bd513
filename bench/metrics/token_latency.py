"""Token latencies of a run, summed up while its record is read: by size, and by second.

A long run has more tokens than fit into memory. Up to `EXACT` chunks every latency is stored; beyond, those
that agree in their first ten binary digits are joined at their mean, so that sums and means stay exact,
a quantile is right to a thousandth, and memory has a bound. Not here: what a token's latency is (see
`metrics.tokens`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from ...analysis.core.arrays import Array

EXACT = 1 << 18
"""Maximum number of latencies that are stored one by one."""
DIGITS = 10
"""Binary digits, after the leading one, in which latencies agree that are put together."""
MANTISSA = 52
"""Binary digits of a float after its leading one."""


@dataclass
class WeightedValues:
    """Weighted values, stored one by one, or joined with similar ones if they are many."""

    max: float = float("nan")
    _values: list[Array] = field(default_factory=list)
    _weights: list[Array] = field(default_factory=list)
    _size: int = 0

    def add(self, values: ArrayLike, weights: ArrayLike) -> None:
        """Add finite values with positive weights; all others are left out.

        Parameters
        ----------
        values, weights
            Arrays of one length.
        """
        x, w = np.asarray(values, dtype=float), np.asarray(weights, dtype=float)
        mask = np.isfinite(x) & (w > 0)
        x, w = x[mask], w[mask]
        if not len(x):
            return
        self.max = float(np.fmax(self.max, x.max()))
        self._values.append(x)
        self._weights.append(w)
        self._size += len(x)
        if self._size > EXACT:
            self._compress()

    def arrays(self) -> tuple[Array, Array]:
        """Give values and weights as they are stored now."""
        return np.concatenate([np.empty(0), *self._values]), np.concatenate([np.empty(0), *self._weights])

    def _compress(self) -> None:
        x, w = self.arrays()
        # The bits of a float are sign, exponent and then its digits, the last of which are shifted out.
        _, cell = np.unique(x.view(np.int64) >> (MANTISSA - DIGITS), return_inverse=True)
        weight = np.bincount(cell, w)
        self._values, self._weights = [np.bincount(cell, w * x) / weight], [weight.astype(float)]
        self._size = len(weight)


@dataclass(frozen=True)
class BySecond:
    """Sums over the chunks that came in each second; every array has shape (seconds,)."""

    chunks: Array
    tokens: Array
    latency: Array
    """Tokens times their latency less `centre_s`."""
    latency_square: Array
    centre_s: float
    """About the mean latency: a variance is then no small difference of large sums."""

    def within(self, n: int) -> tuple[Array, Array, Array, Array]:
        """`chunks`, `tokens`, `latency`, `latency_square` over `n` seconds, what came later in the last."""
        folded = []
        for each in (self.chunks, self.tokens, self.latency, self.latency_square):
            short = np.zeros(n)
            direct = min(n, len(each))
            short[:direct] = each[:direct]
            short[-1] += each[direct:].sum()
            folded.append(short)
        return folded[0], folded[1], folded[2], folded[3]


@dataclass(frozen=True)
class TokenSums:
    """Sums over the tokens of a run."""

    all: WeightedValues
    """Latency of every token, in seconds, weighted by the tokens that came at once."""
    later: WeightedValues
    """The same without the first token of each answer."""
    by_second: BySecond

    @classmethod
    def of(cls, pieces: Iterable[pl.DataFrame]) -> TokenSums:
        """Sum up what `measures.tokens` returns for each piece of a record, in any order."""
        every, later = WeightedValues(), WeightedValues()
        sums = np.zeros((4, 0))
        centre_s: float | None = None
        for piece in pieces:
            if piece.is_empty():
                continue
            latency, weight = piece["latency_s"].to_numpy(), piece["tokens"].to_numpy()
            follows = ~piece["first"].to_numpy()
            every.add(latency, weight)
            later.add(latency[follows], weight[follows])
            centre_s = float(np.average(latency, weights=weight)) if centre_s is None else centre_s
            at = np.maximum(np.floor(piece["at_s"].to_numpy()), 0).astype(np.int64)
            longest = max(int(at.max()) + 1, sums.shape[1])
            grown = np.zeros((4, longest))
            grown[:, : sums.shape[1]] = sums
            grown[0] += np.bincount(at, minlength=longest)
            for k in range(3):
                grown[k + 1] += np.bincount(at, weight * (latency - centre_s) ** k, longest)
            sums = grown
        return cls(every, later, BySecond(sums[0], sums[1], sums[2], sums[3], centre_s or 0.0))
