"""The paper's evaluations, one function a kind. `burstlens.experiment` calls them by name."""
