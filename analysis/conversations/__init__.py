"""Sessions of turns: their lengths, gaps and laws."""
