"""Pictures that are decoded when they are needed, for data that do not fit into memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from attar.budget import format_bytes
from attar.capacity import available_memory
from attar.data.formats import Format
from attar.data.parallel import in_parallel
from attar.data.picture_files import Pictures, unreadable_as
from attar.data.pixels import pixels_of
from attar.data.rows import places_of
from attar.data.values import PLAIN, Look

# of the memory that can be had: what decoded pictures take of it at most
_SHARE = 0.25


class Decoded:
    """Pictures of one format, each decoded when it is taken.

    What was decoded first is kept, up to a number of bytes, and nothing of it is given up for what
    comes later: where every picture is as likely to be taken as any other, no order keeps more
    that is asked for again.

    Args:
        pictures: that can be opened one by one.
        wanted: the format of all.
        look: what stored values come to.
        room: bytes of decoded pictures that are kept.
    """

    def __init__(
        self, pictures: Pictures, wanted: Format, look: Look = PLAIN, room: int = 0
    ) -> None:
        self._pictures, self._wanted, self._look = pictures, wanted, look
        self._pixels = pixels_of(wanted)
        self.shape = torch.Size((len(pictures), wanted.channels, *wanted.size))
        self.dtype = torch.float32 if wanted.floats else torch.uint8
        self.device = torch.device("cpu")
        self._most = room // (math.prod(self.shape[1:]) * self.dtype.itemsize)
        self._kept: dict[int, Tensor] = {}

    def without_room(self) -> Decoded:
        """Return the same, of which nothing is kept in memory."""
        return Decoded(self._pictures, self._wanted, self._look)

    @property
    def told(self) -> str:
        """Where they lie."""
        each = math.prod(self.shape[1:]) * self.dtype.itemsize
        whole = format_bytes(len(self) * each)
        kept = format_bytes(min(self._most, len(self)) * each)
        return f"decoded as they are needed ({whole}, of which {kept} are kept)"

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: Tensor | slice, /) -> Tensor:
        wanted = places_of(index, len(self)).tolist()
        rows = torch.empty(len(wanted), *self.shape[1:], dtype=self.dtype)
        lacking = []
        for place, one in enumerate(wanted):
            kept = self._kept.get(one)
            if kept is None:
                lacking.append(place)
            else:
                rows[place] = kept
        self._decode(rows, lacking, wanted)
        return rows

    def _decode(self, rows: Tensor, places: Sequence[int], wanted: Sequence[int]) -> None:
        target = rows.numpy()

        def work(chunk: range) -> None:
            for at in chunk:
                index = wanted[places[at]]
                with unreadable_as(self._pictures, index):
                    target[places[at]] = self._pixels(
                        self._pictures, index, self._wanted, self._look
                    )

        for _ in in_parallel(work, len(places)):
            pass
        for place in places[: self._most - len(self._kept)]:
            self._kept[wanted[place]] = rows[place].clone()

    def __getstate__(self) -> dict[str, Any]:
        # another process decodes what it needs itself
        return self.__dict__ | {"_kept": {}}


def on_demand(parts: Sequence[Pictures], wanted: Format, look: Look = PLAIN) -> list[Decoded]:
    """Return the pictures of every part, decoded when they are taken.

    They keep a quarter of the memory that can be had, shared out by their numbers.
    """
    room, count = int(available_memory() * _SHARE), sum(map(len, parts))
    return [Decoded(one, wanted, look, room * len(one) // max(1, count)) for one in parts]
