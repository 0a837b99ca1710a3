"""Class-incremental learning from a memory that is a condensed set, in the manner of GDumb."""
