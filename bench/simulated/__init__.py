"""The serving engine that stands in where no GPU is: one model of continuous batching.

Run in virtual time or behind HTTP. Knows nothing of where workloads come from, of metrics or drawing; all
that it gives is marked simulated.
"""
