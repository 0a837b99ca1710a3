"""Allows ``python -m attar.cli``."""

from attar.cli import main

main()
