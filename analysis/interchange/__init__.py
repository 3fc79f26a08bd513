"""Requests and fitted parameters in the files that other benchmarks read; one module a family of formats."""
