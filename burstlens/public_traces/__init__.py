"""Public traces: where they are, downloading them and unpacking them."""
