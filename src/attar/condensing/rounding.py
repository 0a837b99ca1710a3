"""Rounding inside training: the last part of a run learns values as they will be kept."""

from __future__ import annotations

from contextlib import AbstractContextManager

from attar.storage import Storage, grid_of
from attar.synthetic import Synthetic
from attar.synthetic.stores.rounding import Grid, rounding


class Rounding:
    """Which tensors of a set are read rounded, and from when on.

    Args:
        synthetic: the set, whose tensors stay the same.
        storage: how it will be kept; None for one that asks for nothing.
    """

    def __init__(self, synthetic: Synthetic, storage: Storage | None) -> None:
        self._grids: dict[int, tuple[float, Grid]] = {}
        for name, tensor in synthetic.named_parameters():
            found = None if storage is None else grid_of(storage.of(name))
            if found is not None:
                largest, group, train = found
                self._grids[id(tensor)] = 1 - train, Grid(largest, group)

    def __bool__(self) -> bool:
        """Whether any are."""
        return bool(self._grids)

    def at(self, share: float) -> AbstractContextManager[None]:
        """Read the set as is due when this share of the run is done, from 0 to 1."""
        due = {one: grid for one, (start, grid) in self._grids.items() if share >= start - 1e-9}
        return rounding(due)
