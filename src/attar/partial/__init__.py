"""A smaller set read out of a larger one's file, and only its bytes.

Two kinds of sets are such that a beginning of them is a set: those made of components that are
ordered by significance, and nested ones, of which the first images of every class were learnt to
serve alone.
"""

from attar.partial.parts import Held, Part

__all__ = ["Held", "Part"]
