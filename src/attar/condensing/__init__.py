"""Condensing: from a request and data to a plan, through the one loop, to an artefact."""
