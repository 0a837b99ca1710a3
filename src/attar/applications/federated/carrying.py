"""What travels of a set's file: all but the whitening, which both sides have before a round.

Header and checksums stay whole, so a file that was completed with another whitening is refused by
the loader as damaged.
"""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Mapping

from torch import Tensor

from attar.artefact.artefact import WHITENING, preprocessing_tensors
from attar.data.preprocessing import Preprocessing
from attar.tensors import as_bytes

_LENGTH = struct.Struct("<Q")
_METADATA = "__metadata__"
# what reading a table raises for a text that is none, or says something else
_NO_TABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error)


def lightened(data: bytes, preprocessing: Preprocessing) -> bytes:
    """Return the file of a set without the values of its whitening."""
    begin, places, _ = _places(data, _shared(preprocessing))
    pieces, last = [data[:begin]], 0
    for low, high, _ in places:
        pieces.append(data[begin + last : begin + low])
        last = high
    return b"".join([*pieces, data[begin + last :]])


def completed(data: bytes, preprocessing: Preprocessing) -> bytes:
    """Return what `lightened` was given; whatever else comes is returned as it came.

    Args:
        data: a message, which is not trusted.
        preprocessing: that all agreed on.
    """
    shared = _shared(preprocessing)
    try:
        begin, places, end = _places(data, shared)
    except _NO_TABLE:
        return data
    # the whole file came, or part of one
    if not places or len(data) - begin != end - sum(high - low for low, high, _ in places):
        return data
    pieces, at, last = [data[:begin]], begin, 0
    for low, high, name in places:
        pieces += [data[at : at + low - last], as_bytes(shared[name])]
        at, last = at + low - last, high
    return b"".join([*pieces, data[at:]])


def _shared(preprocessing: Preprocessing) -> dict[str, Tensor]:
    own = preprocessing_tensors(preprocessing)
    return {name: one.contiguous() for name, one in own.items() if name.startswith(WHITENING)}


def _places(
    data: bytes, shared: Mapping[str, Tensor]
) -> tuple[int, list[tuple[int, int, str]], int]:
    """Return where the values begin, among them the first and last byte of each tensor, their end.

    Raises:
        one of `_NO_TABLE`: there is no such table, or a tensor takes other bytes in it.
    """
    (length,) = _LENGTH.unpack_from(data)
    begin = _LENGTH.size + length
    table = json.loads(data[_LENGTH.size : begin])
    found = []
    for name in shared.keys() & table.keys():
        low, high = table[name]["data_offsets"]
        whole = type(low) is type(high) is int
        if not whole or low < 0 or high - low != shared[name].nbytes:
            raise ValueError(name)
        found.append((low, high, name))
    found.sort()
    if any(one[1] > other[0] for one, other in itertools.pairwise(found)):
        raise ValueError("they overlap")
    end = max(
        (row["data_offsets"][1] for name, row in table.items() if name != _METADATA), default=0
    )
    return begin, found, end
