"""The simulated engine behind vLLM's HTTP interface, in real time."""
