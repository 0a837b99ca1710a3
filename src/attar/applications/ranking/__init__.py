"""Ranking networks and learning rates by training on a condensed set."""
