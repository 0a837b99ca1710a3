"""What `attar` offers beside its own ideas: lists of what there is, and commands as functions."""
