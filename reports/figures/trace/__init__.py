"""Figures of what a trace says, a module for each part."""
