"""A trace opened for questions: its clock, selections and tables, and the Parquet files that hold it."""
