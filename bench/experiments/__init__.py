"""The paper's evaluations (sections 5 and 3.3): questions that take many runs, each a module.

`trials` runs them and writes what they measured, `backends` is what they run on, `contrast` separates
differences from noise. Not here: a single run (`burstlens.bench`), pages
(`burstlens.reports.pages.experiment`).
"""
