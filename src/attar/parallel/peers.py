"""Processes that share each step of a run, and exchange what they find by sums over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, distributed

from attar.errors import RunFailed

# how a message begins of one that waited in vain, since another has ended or failed
SILENT = "another worker does not answer"


class Peers(Protocol):
    """Those that share a step, as one of them sees it."""

    @property
    def number(self) -> int:
        """Of this one, from 0."""
        ...

    @property
    def count(self) -> int:
        """Of all; 1 where a process works alone."""
        ...

    def added(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the sums of tensors over all, which every one of them gets bit for bit.

        Args:
            tensors: of the same shapes everywhere, in any memory format.

        Raises:
            RunFailed: one is gone.
        """
        ...


class Alone:
    """No peers."""

    number = 0
    count = 1

    def added(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the tensors."""
        return list(tensors)


ALONE = Alone()


def own(peers: Peers, count: int) -> range:
    """Return which of so many things are for this one: near even parts that follow each other."""
    return range(
        peers.number * count // peers.count,
        (peers.number + 1) * count // peers.count,
    )


class Group:
    """Peers that meet by ``torch.distributed`` with gloo.

    Args:
        group: of it.
    """

    def __init__(self, group: Any) -> None:
        self._group = group
        self.number = distributed.get_rank(group)
        self.count = distributed.get_world_size(group)

    def added(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the sums of tensors over all."""
        found: dict[int, Tensor] = {}
        for kind in dict.fromkeys(one.dtype for one in tensors):
            places = [place for place, one in enumerate(tensors) if one.dtype == kind]
            # a sum goes through memory as it lies, and would add up other values where one is
            # contiguous and another channels_last: reshaped, all lie in the order of the indices
            flat = torch.cat([tensors[place].detach().reshape(-1).cpu() for place in places])
            try:
                distributed.all_reduce(flat, group=self._group)
            except RuntimeError as error:
                first = str(error).partition("\n")[0]
                raise RunFailed(f"{SILENT} ({first}).") from error
            parts = flat.split([tensors[place].numel() for place in places])
            for place, part in zip(places, parts, strict=True):
                like = tensors[place]
                found[place] = part.reshape(like.shape).to(like.device)
        return [found[place] for place in range(len(tensors))]


def met(path: Path, number: int, count: int, seconds: float) -> Group:
    """Return the peers of this machine that meet by a file.

    Args:
        path: of the file, which is made.
        number: of this process, from 0.
        count: of all.
        seconds: for which they are waited for.

    Raises:
        RunFailed: not all came in time.
    """
    try:
        distributed.init_process_group(
            "gloo",
            init_method=path.as_uri(),
            rank=number,
            world_size=count,
            timeout=timedelta(seconds=seconds),
        )
    except RuntimeError as error:
        first = str(error).partition("\n")[0]
        raise RunFailed(f"the workers did not meet within {seconds:g} s ({first}).") from error
    return Group(distributed.group.WORLD)
