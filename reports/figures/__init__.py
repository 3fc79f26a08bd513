"""Figures: a function from a small table to a chart, with one theme."""
