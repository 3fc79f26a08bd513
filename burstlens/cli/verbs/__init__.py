"""A module for each verb, of its name: what is typed, and what is shown. Not here: the functions (`api`)."""
