"""Sets of RememberThePast: bases that all classes share, and an address for each image.

Source: Deng and Russakovsky, Remember the Past, 2022, and the saving code of
princetonvisualai/RememberThePast-DatasetDistillation (runners/sgld_runner_standard.py): the state
of a compressor, whose labels are not in it, since its rows lie class after class.

Shape letters: N images, M bases, C channels, S side of a basis.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from attar.capacity import check_unpacked
from attar.errors import BadRequest
from attar.importing.contents import Content
from attar.importing.found import Asked, Found, checked_images
from attar.importing.torch_sets import only_one
from attar.shapes import Shape
from attar.synthetic import Addressed, Layout

_BASES, _ROWS = "basis.weight", "imgs.weight"


def is_rtp(contents: Sequence[Content]) -> bool:
    """Tell whether this is one file with the state of a compressor."""
    return len(contents) == 1 and _ROWS in _state(contents[0].value)


def _state(value: object) -> Mapping[str, object]:
    inside = value.get("compressor", value) if isinstance(value, Mapping) else None
    return inside if isinstance(inside, Mapping) else {}


def read_rtp(contents: Sequence[Content], asked: Asked) -> Found:
    """Read ``{'compressor': {'basis.weight': M×(C·S·S), 'imgs.weight': N×M}}``, kept as it is.

    Without bases ``imgs.weight`` are the images themselves.
    """
    content = only_one(contents, "rtp")
    where, state = str(content.path), _state(content.value)
    if _ROWS not in state:
        raise BadRequest(
            f"{where} holds {content.described}; --format rtp needs a dictionary whose "
            f"'compressor' has {_BASES!r} and {_ROWS!r}"
        )
    rows = _matrix(state[_ROWS], _ROWS, where)
    if asked.factor is None:
        raise BadRequest(
            f"{where} does not say how many times what it stores is enlarged: give --factor 2 (the "
            "authors' command), or --factor 1 where it is as large as the images"
        )
    if _BASES in state:
        return _addressed(_matrix(state[_BASES], _BASES, where), rows, asked.factor, where)
    if asked.factor > 1:
        raise BadRequest(
            f"--factor {asked.factor}: {where} has no bases, and images without bases that are "
            "enlarged bilinearly cannot be kept as they are; export them from the authors' code, "
            "or give --factor 1 for what is stored"
        )
    images = checked_images(rows.view(len(rows), *_sides(rows, _ROWS, where)), where)
    return Found(
        images, None, method="remember-the-past", family="rtp", whitening="rtp", whitened=None
    )


@torch.no_grad()
def _addressed(bases: Tensor, rows: Tensor, factor: int, where: str) -> Found:
    if rows.shape[1] != len(bases):
        raise BadRequest(
            f"{where}: {len(bases)} bases, but {_ROWS!r} of shape {tuple(rows.shape)}; an address "
            "has a value for each basis"
        )
    channels, side, _ = _sides(bases, _BASES, where)
    shape = (channels, side * factor, side * factor)
    stored = 4 * (bases.numel() + rows.numel())
    made = f"{where}: {len(rows)} images of {len(bases)} bases, enlarged {factor} times,"
    check_unpacked(stored, 4 * len(rows) * math.prod(shape), made, "give another --factor")
    form = Addressed(len(bases), factor)
    # a file holds the classes one after another: how many there are is said elsewhere
    store = form.build(Layout(1, len(rows), shape))
    pictures = checked_images(bases.view(-1, channels, side, side), where)
    kept = {"bases.values": pictures, "addresses": rows}
    store.load_state_dict(kept)
    return Found(
        checked_images(store(torch.arange(len(rows))), where),
        None,
        method="remember-the-past",
        family="rtp",
        whitening="rtp",
        whitened=None,
        form=form,
        kept=lambda order: {**kept, "addresses": rows[order]},
        notes=(f"kept as {len(bases)} bases and {len(rows)} addresses, {stored} bytes",),
    )


def _matrix(value: object, name: str, where: str) -> Tensor:
    if not isinstance(value, Tensor) or value.ndim != 2 or not value.numel():
        said = f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value)
        raise BadRequest(f"{where}: {name!r} is {said}; a matrix of values is needed")
    if not value.is_floating_point() or not bool(torch.isfinite(value).all()):
        raise BadRequest(f"{where}: {name!r} is {value.dtype}, or holds NaN or Inf")
    return value.float()


def _sides(matrix: Tensor, name: str, where: str) -> Shape:
    """Return C and the sides of square pictures in the rows of a matrix; one C alone fits."""
    size = matrix.shape[1]
    for channels in (1, 3):
        side = math.isqrt(size // channels)
        if channels * side * side == size:
            return channels, side, side
    raise BadRequest(
        f"{where}: rows of {name!r} have {size} values, which are no square picture of 1 or 3 "
        "channels"
    )
