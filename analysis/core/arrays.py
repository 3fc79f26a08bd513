"""Names for the array types that annotations use. Not here: anything that computes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
"""Real numbers."""
Integers = NDArray[np.integer]
"""Whole numbers of any width: ticks, counts, places in another array."""
Mask = NDArray[np.bool_]
"""True for the elements that are meant."""
