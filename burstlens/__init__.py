"""Trace analytics and characterization for LLM serving."""
