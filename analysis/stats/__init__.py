"""Estimators and tests on arrays, usable on their own. Not here: anything about traces."""
