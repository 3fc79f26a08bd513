"""The verbs as Python functions and what they return. `burstlens` exports them."""
