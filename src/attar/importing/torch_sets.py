"""Sets in files of PyTorch: those of DC and its relatives, of trajectory matching, of IDC.

Sources: the saving code of VICO-UoE/DatasetCondensation (main.py, main_DM.py), EnnengYang's
low-rank plugin (main_Lo*.py), kaiwang960112/CAFE (distill.py),
GeorgeCazenavette/mtt-distillation and justincui03/tesla (distill.py), NUS-HPC-AI-Lab/DATM
(distill/DATM.py, evaluation.py), and snu-mllab/Efficient-Dataset-Condensation (condense.py).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from attar.errors import BadRequest
from attar.importing.contents import Content
from attar.importing.found import (
    Asked,
    Found,
    as_probabilities,
    checked_images,
    checked_labels,
    hardened,
)

# how mtt-distillation (and TESLA and DATM after it) call the images whose whitening they took back
# to look at them; images_*.pt beside them are what networks saw
_UNWHITENED = re.compile(r"images_zca(_|\.|$)", re.IGNORECASE)


def is_pair(value: Any) -> bool:
    """Tell whether this is a list of images and labels."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(one, Tensor) for one in value)
        and value[0].ndim == 4
    )


def is_images(value: Any) -> bool:
    """Tell whether this is a tensor of images."""
    return isinstance(value, Tensor) and value.ndim == 4


def is_dc(contents: Sequence[Content]) -> bool:
    """Tell whether this is one file of the DC code."""
    value = contents[0].value
    return len(contents) == 1 and isinstance(value, dict) and isinstance(value.get("data"), list)


def read_dc(contents: Sequence[Content], asked: Asked) -> Found:
    """Read ``{'data': [[images, labels], …], …}``: network inputs and class indices.

    A list of images and labels alone is read as well.
    """
    content = only_one(contents, "dc")
    value, where = content.value, str(content.path)
    entries = [value] if is_pair(value) else value.get("data") if isinstance(value, dict) else None
    if not isinstance(entries, list) or not entries or not all(map(is_pair, entries)):
        raise BadRequest(
            f"{where} holds {content.described}; --format dc needs a dictionary whose 'data' is "
            "a list of [images, labels]"
        )
    if not -len(entries) <= asked.index < len(entries):
        raise BadRequest(
            f"--index {asked.index}: {where} holds {len(entries)} set(s), 0 to {len(entries) - 1}, "
            "or -1 for the last"
        )
    images, labels = entries[asked.index]
    images = checked_images(images, where)
    which = asked.index % len(entries)
    notes = (f"set {which} of {len(entries)} in the file",) if len(entries) > 1 else ()
    named = re.match(r"res_([A-Za-z]+)_", content.path.name)
    return Found(
        images,
        checked_labels(labels, len(images), where),
        method=named[1].lower() if named else "dc",
        family="dc",
        factor=asked.factor or 1,
        notes=notes,
    )


def is_mtt(contents: Sequence[Content]) -> bool:
    """Tell whether these are images and labels in files of their own."""
    values = [one.value for one in contents if one.kind == "torch"]
    tensors = [value for value in values if isinstance(value, Tensor)]
    dimensions = {tensor.ndim for tensor in tensors}
    return len(tensors) == len(contents) and 4 in dimensions and len(contents) > 1


def read_mtt(contents: Sequence[Content], asked: Asked) -> Found:
    """Read ``images_*.pt`` and ``labels_*.pt``, in parts too, and ``lr_*.pt`` where it is given.

    Labels are class indices (MTT), probabilities (TESLA) or scores (DATM, whose loss takes
    their softmax). ``images_zca_*.pt`` are pixels, whatever their name says.
    """
    images: list[Tensor] = []
    labels: list[Tensor] = []
    rates: list[float] = []
    for content in contents:
        value = content.value
        if is_images(value):
            images.append(checked_images(value, str(content.path)))
        elif isinstance(value, Tensor) and value.ndim in (1, 2):
            labels.append(value)
        elif (isinstance(value, Tensor) and value.ndim == 0) or isinstance(value, float):
            rates.append(float(value))
        else:
            raise BadRequest(
                f"{content.path} holds {content.described}; --format mtt needs files of images "
                "(N×C×H×W), of labels (N or N×K), and at most one of a learning rate"
            )
    where = " and ".join(content.path.name for content in contents)
    if not images or len(labels) not in (1, len(images)) or len(rates) > 1:
        raise BadRequest(
            f"{where}: {len(images)} file(s) of images, {len(labels)} of labels and {len(rates)} "
            "of a learning rate; needed are images_best.pt, labels_best.pt and, where there is "
            "one, lr_best.pt"
        )
    if rates and not 0 < rates[0] < math.inf:
        raise BadRequest(f"{where}: the learning rate is {rates[0]:g}; it must be above zero")
    joined = same_shape(images, where)
    kept, notes = checked_labels(same_shape(labels, where), len(joined), where), ()
    if kept.ndim == 2:
        kept, made = as_probabilities(kept)
        kept, few = hardened(kept)
        notes = (*made, *few)
    if "best" in where:
        notes = (*notes, "the authors' code calls best what did best on the test images")
    pixels, about = _unwhitened([one.path.name for one in contents if is_images(one.value)])
    return Found(
        joined,
        kept,
        method="datm" if rates else "mtt",
        family="mtt",
        pixels=pixels,
        whitening="mtt",
        whitened="none" if pixels else None,
        factor=asked.factor or 1,
        learned_lr=rates[0] if rates else None,
        notes=(*notes, *about),
    )


def _unwhitened(names: Sequence[str]) -> tuple[bool, tuple[str, ...]]:
    """Return whether files of images hold them with their whitening taken back, and a note.

    Raises:
        BadRequest: some do and some do not.
    """
    found = [name for name in names if _UNWHITENED.match(name)]
    if not found:
        return False, ()
    if len(found) < len(names):
        raise BadRequest(
            f"{', '.join(found)}: the authors' code takes the whitening of these images back, but "
            f"not that of {', '.join(set(names) - set(found))}; give the files of one kind"
        )
    return True, (
        f"{', '.join(found)}: the authors' code saves these images with their whitening taken "
        "back, so they were taken for pixels; images_*.pt beside them are what networks saw",
    )


def is_idc(contents: Sequence[Content]) -> bool:
    """Tell whether this is one list of images and labels."""
    return len(contents) == 1 and is_pair(contents[0].value)


def read_idc(contents: Sequence[Content], asked: Asked) -> Found:
    """Read ``[images, labels]``: pixels in about [0, 1], each stored image in f×f tiles."""
    content = only_one(contents, "idc")
    where = str(content.path)
    if not is_pair(content.value):
        raise BadRequest(
            f"{where} holds {content.described}; --format idc needs a list of images and labels"
        )
    images = checked_images(content.value[0], where)
    low, high = float(images.min()), float(images.max())
    # the authors clamp before each iteration, not before they save
    if low < -1 or high > 2:
        raise BadRequest(
            f"{where}: images run from {low:.3g} to {high:.3g}, but IDC stores pixels in [0, 1]; "
            "for network inputs give --format dc"
        )
    if asked.factor is None:
        raise BadRequest(
            f"{where} does not say into how many tiles an image is cut: give --factor 2 (IDC; 3 "
            "for its ImageNet sets) or --factor 1 (IDC-I)"
        )
    return Found(
        images,
        checked_labels(content.value[1], len(images), where),
        method="idc" if asked.factor > 1 else "idc-i",
        family="idc",
        pixels=True,
        factor=asked.factor,
    )


def same_shape(parts: Sequence[Tensor], where: str) -> Tensor:
    """Return parts of a set as one.

    Raises:
        BadRequest: they do not fit together.
    """
    if len({(tuple(part.shape[1:]), part.dtype) for part in parts}) > 1:
        said = ", ".join(f"{tuple(part.shape)} {part.dtype}" for part in parts)
        raise BadRequest(f"{where}: parts of shapes {said} do not make one set")
    return torch.cat(list(parts))


def only_one(contents: Sequence[Content], name: str) -> Content:
    """Return the one file that a format takes.

    Raises:
        BadRequest: there are several.
    """
    if len(contents) != 1:
        raise BadRequest(f"--format {name} takes one file; {len(contents)} are given")
    return contents[0]
