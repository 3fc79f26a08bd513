"""Parts of a page that no analysis makes: those of a run."""
