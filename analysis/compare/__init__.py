"""Traces side by side, and whether one is a faithful copy of another."""
