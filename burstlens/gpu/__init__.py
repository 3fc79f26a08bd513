"""Every evaluation against a vLLM on this machine's GPU, stage by stage."""
