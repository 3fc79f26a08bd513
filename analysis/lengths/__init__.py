"""How long requests and responses are: laws, modes, and both together."""
