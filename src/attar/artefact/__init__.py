"""The artefact: one file with a condensed set, its header, and what reads, writes and checks it."""
