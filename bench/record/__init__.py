"""The folder of a run: its manifest and record, and JSON that carries a version."""
