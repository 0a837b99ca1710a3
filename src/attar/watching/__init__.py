"""A page of this machine alone that shows a run while it goes on."""

from attar.watching.watch import Watch

__all__ = ["Watch"]
