"""Values of a log: where they lie, and how stamps, numbers and conditions are read."""
