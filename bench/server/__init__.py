"""A real vLLM: starting it, measuring its steps, finding the load that it can take."""
