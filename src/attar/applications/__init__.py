"""What condensed sets are for, each a command, and what they leak."""
