"""The data set behind a ``DataLoader``: order and batches are Attar's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    WeightedRandomSampler,
    default_collate,
    default_convert,
)

from attar.errors import BadRequest

# these draw from all items, in whatever order and however often
_OF_ALL = (SequentialSampler, RandomSampler, WeightedRandomSampler)


def of_loader(loader: DataLoader[Any], notes: list[str]) -> Any:
    """Return the data set of a loader, or the part of it that its sampler draws from.

    Args:
        loader: with any data set.
        notes: told what was taken.

    Raises:
        BadRequest: what its sampler draws from is not known.
    """
    own = "the data set of the DataLoader, each item once"
    if loader.collate_fn not in (default_collate, default_convert):
        own += " and not through its collate_fn"
    notes.append(own)
    if isinstance(loader.dataset, IterableDataset):
        return loader.dataset
    sampler: Any = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
    while type(sampler) is BatchSampler:
        sampler = sampler.sampler
    if isinstance(sampler, _OF_ALL):
        return loader.dataset
    return _chosen(loader.dataset, _places(sampler))


def _places(sampler: Any) -> list[int]:
    """Return the places of the items that a sampler draws from, ascending."""
    if isinstance(sampler, SubsetRandomSampler):
        sampler = sampler.indices
    elif not isinstance(sampler, Sequence):
        raise BadRequest(
            f"DataLoader: which items its {type(sampler).__name__} leaves out is not known; give "
            "the data set, or torch.utils.data.Subset(dataset, indices) of those wanted"
        )
    batches = [one if isinstance(one, Sequence) else [one] for one in sampler]
    return sorted({int(place) for batch in batches for place in batch})


def _chosen(dataset: Any, places: list[int]) -> Any:
    # a part of an object of the library datasets knows its columns and names
    return dataset.select(places) if hasattr(dataset, "features") else Subset(dataset, places)
