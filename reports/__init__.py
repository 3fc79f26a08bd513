"""Figures, the claims ledger and the page. Knows nothing of HTTP."""
