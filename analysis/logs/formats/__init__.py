"""Which format a log has: known ones, and those that a user describes."""
