"""Questions put to a trace in SQL, one file each, and the engines that answer them. No statistics."""
