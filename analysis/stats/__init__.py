"""Estimators and tests on arrays, each usable by itself. Knows nothing of traces."""
