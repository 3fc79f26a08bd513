"""What a trace says: readers, fits, tests, parameter files. Knows nothing of HTTP or drawing."""
