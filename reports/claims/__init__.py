"""The ledger: the paper's claims and what checks each of them on a trace."""
