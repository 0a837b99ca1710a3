"""What goes along with a set that is shared: one card, written in three ways, and the way out."""
