"""What condensed sets are for, each a command: learning class after class."""
