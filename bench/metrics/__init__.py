"""What a record says: measures, seconds, token latencies, and whether to believe the load."""
