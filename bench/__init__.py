"""Load: what is sent to a server and what comes back. Knows nothing of drawing."""
