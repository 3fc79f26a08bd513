"""Finding out what a file is, and making it readable: packings, encodings, layouts, containers."""
