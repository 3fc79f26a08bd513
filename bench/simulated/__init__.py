"""The serving engine that replaces a GPU: one model of continuous batching.

It runs in virtual time or behind HTTP. It does not know workloads' sources, metrics or drawing; all of its
results are marked as simulated.
"""
