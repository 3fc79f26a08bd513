"""Measures of a record, by run and by second, and whether the load was the planned one."""
