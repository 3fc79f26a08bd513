"""`python -m burstlens.cli` is the command `burstlens`."""

from . import main

main()
