"""From a log's own rows to the columns of a trace: which format it is, how it is read, what is rejected."""
