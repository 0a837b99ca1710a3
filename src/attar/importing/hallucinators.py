"""Sets of HaBa: bases, and small networks that make several images of each.

Source: Liu et al., Dataset Distillation via Factorization, section 3, and the authors' code
(Huage001/DatasetFactorization, distill_fac.py and utils.py): a hallucinator is a convolution
without padding, an affine map with one scale and one shift per value, and a transposed
convolution back to the image's size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from attar.capacity import check_unpacked
from attar.errors import BadRequest
from attar.importing.contents import Content
from attar.importing.found import Asked, Found, checked_images
from attar.synthetic import Hallucinated, Layout

# as the authors' code calls the weights, and as the store does
_NAMES = {
    "enc.weight": "encoders",
    "enc.bias": "encoder_biases",
    "scale": "scales",
    "shift": "shifts",
    "dec.weight": "decoders",
    "dec.bias": "decoder_biases",
}
# those that have an axis of one before those that they need
_SINGLE = ("scale", "shift")
_PARTS = tuple(_NAMES)


def is_haba(contents: Sequence[Content]) -> bool:
    """Tell whether these are a tensor of bases and the weights of hallucinators."""
    values = [one.value for one in contents]
    return (
        len(values) == 2
        and any(isinstance(one, Tensor) and one.ndim == 4 for one in values)
        and any(is_weights(one) for one in values)
    )


def is_weights(value: object) -> bool:
    """Tell whether this is a dictionary of the weights of hallucinators."""
    return isinstance(value, Mapping) and all(f"0.{part}" in value for part in _PARTS)


def read_haba(contents: Sequence[Content], asked: Asked) -> Found:
    """Read ``images_*.pt`` and ``styles_*.pt`` (or ``weights_best.pt``) as they are stored.

    Bases lie class after class; every hallucinator makes one image of every base. Hallucinators of
    another kind than the authors' are decoded to images.
    """
    where = " and ".join(content.path.name for content in contents)
    bases = [one.value for one in contents if isinstance(one.value, Tensor)]
    weights = [one.value for one in contents if is_weights(one.value)]
    if len(contents) != 2 or len(bases) != 1 or len(weights) != 1:
        said = " and ".join(content.described for content in contents)
        raise BadRequest(
            f"{where} hold {said}; --format haba needs two files: images_best.pt (bases) and "
            "weights_best.pt (hallucinators)"
        )
    stored = checked_images(bases[0], where)
    images = hallucinated(stored, weights[0], where)
    styles = len(images) // len(stored)
    size = sum(one.numel() for one in weights[0].values() if isinstance(one, Tensor))
    form = _form(weights[0], styles, (images.shape[1], *stored.shape[1:]))
    what = "" if form is not None else " made into images,"
    return Found(
        images,
        None,
        method="haba",
        family="haba",
        whitening="mtt",
        whitened=None,
        factor=asked.factor or 1,
        form=form,
        kept=None if form is None else lambda order: _kept(stored, weights[0], styles, order),
        notes=(
            f"{len(stored)} bases,{what} of which {styles} hallucinators make {len(images)} "
            f"images; HaBa stores {4 * stored.numel()} bytes of bases and {4 * size} bytes of "
            "hallucinators",
        ),
    )


def _form(
    weights: Mapping[str, Tensor], styles: int, shape: tuple[int, ...]
) -> Hallucinated | None:
    """Return the form of these hallucinators; None where they are of another kind.

    Args:
        weights: as `hallucinated` takes them, fitting the bases.
        styles: S.
        shape: channels of an image, then those of a base, H and W.
    """
    made, channels, *size = shape
    form = Hallucinated(
        styles, 0 if channels == made else channels, weights["0.enc.weight"].shape[2]
    )
    try:
        wanted = form.shapes(Layout(1, styles, (made, *size)))
    except BadRequest:
        return None
    alike = all(
        tuple(weights[f"{style}.{part}"].shape[part in _SINGLE :]) == wanted[f"images.{name}"][1:]
        for style in range(styles)
        for part, name in _NAMES.items()
    )
    return form if alike else None


def _kept(
    bases: Tensor, weights: Mapping[str, Tensor], styles: int, order: Tensor
) -> dict[str, Tensor]:
    """Return the tensors of a store for some of the images, which keep their bases' order."""
    chosen = torch.unique_consecutive(order // styles)
    found = {"bases.values": bases[chosen]}
    for part, name in _NAMES.items():
        own = [weights[f"{style}.{part}"].float() for style in range(styles)]
        found[name] = torch.stack([one[0] if part in _SINGLE else one for one in own])
    return found


def _weights_of(weights: Mapping[str, Tensor], style: int, said: str) -> list[Tensor]:
    """Return the weights of one hallucinator in the order of `_PARTS`, with the right axes."""
    own = [weights.get(f"{style}.{part}") for part in _PARTS]
    if not all(isinstance(one, Tensor) and one.is_floating_point() for one in own):
        raise BadRequest(f"{said} lacks some weights")
    found = [one.float() for one in own if one is not None]
    axes = [one.ndim for one in found]
    if axes != [4, 1, 4, 4, 4, 1] or len(found[2]) != 1 or len(found[3]) != 1:
        shapes = ", ".join(str(tuple(one.shape)) for one in found)
        raise BadRequest(f"{said} has weights of other axes than HaBa's: {shapes}")
    return found


def _stored(values: Iterable[object]) -> int:
    """Return the bytes of tensors, those that share their values once."""
    storages = (one.untyped_storage() for one in values if isinstance(one, Tensor))
    return sum({one.data_ptr(): one.nbytes() for one in storages}.values())


@torch.no_grad()
def hallucinated(bases: Tensor, weights: Mapping[str, Tensor], where: str) -> Tensor:
    """Return all images: base after base, of each one image per hallucinator.

    Args:
        bases: N×C×H×W.
        weights: by name, ``0.enc.weight`` and so on for S hallucinators.
        where: how messages call the files.

    Returns:
        (N·S)×C'×H×W.

    Raises:
        BadRequest: weights are missing, or do not fit the bases or one another.
    """
    styles = len({str(name).split(".")[0] for name in weights})
    stored, pixels = _stored([bases, *weights.values()]), len(bases) * math.prod(bases.shape[2:])
    made = []
    for style in range(styles):
        own = _weights_of(weights, style, f"{where}: hallucinator {style} of {styles}")
        encode, bias, scale, shift, decode, last = own
        # its hidden maps, and the images of all
        needed = 4 * pixels * (len(encode) + styles * decode.shape[1])
        what = f"{where}: images of {len(bases)} bases by {styles} hallucinators"
        check_unpacked(stored, needed, what, "give fewer of them")
        try:
            hidden = scale * functional.conv2d(bases, encode, bias) + shift
            made.append(functional.conv_transpose2d(hidden, decode, last))
        except RuntimeError as error:
            raise BadRequest(
                f"{where}: hallucinator {style} does not fit bases of shape {tuple(bases.shape)} "
                f"({str(error).splitlines()[0][:150]})"
            ) from error
    if len({tuple(one.shape) for one in made}) != 1 or made[0].shape[2:] != bases.shape[2:]:
        raise BadRequest(f"{where}: the hallucinators make images of other sizes than the bases")
    return checked_images(torch.stack(made, dim=1).flatten(0, 1), where)
