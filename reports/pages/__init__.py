"""The HTML pages, and the tables and JSON that lie beside them."""
