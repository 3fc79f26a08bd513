"""Sending a workload to an endpoint and recording every answer."""
