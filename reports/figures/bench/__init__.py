"""Figures of runs and experiments."""
