"""Randomness as a value: a key that names are folded into.

The same key always gives the same draw, so a draw depends on what it is for and never on
what happened to be drawn before it: an evaluation midway cannot disturb training, and a
resumed run repeats the draws of an uninterrupted one.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


# PyTorch has one global generator for all threads
_GLOBAL = threading.RLock()


@dataclass(frozen=True)
class Key:
    """A seed and the path of names folded into it.

    Example:
        >>> Key(0).fold("step", 3).integer() == Key(0).fold("step", 3).integer()
        True
    """

    seed: int
    path: tuple[str | int, ...] = ()

    def fold(self, *names: str | int) -> Key:
        """Return the key of a draw named below this one."""
        return Key(self.seed, (*self.path, *names))

    def integer(self) -> int:
        """Return 63 bits that depend on the seed and on every name folded in."""
        digest = hashlib.blake2b(repr((self.seed, self.path)).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") >> 1

    def generator(self, device: str | torch.device = "cpu") -> torch.Generator:
        """Return a fresh generator on ``device``, seeded by this key."""
        import torch

        return torch.Generator(device=device).manual_seed(self.integer())

    @contextlib.contextmanager
    def seeding_global(self) -> Iterator[None]:
        """Seed PyTorch's global CPU generator inside the block and restore it afterwards.

        Another thread that comes here meanwhile waits for the end of the block.

        Only for code that accepts no generator: the initialisers of ``torch.nn`` modules.
        """
        import torch

        with _GLOBAL, torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.integer())
            yield
