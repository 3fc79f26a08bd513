"""Instances that prefill and instances that decode: which ratio gives the most goodput."""
