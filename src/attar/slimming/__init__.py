"""Slimming: a smaller artefact from an artefact alone, without the real data."""
