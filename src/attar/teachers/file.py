"""A teacher in a file of its own: what has to travel where labels are made anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from attar.compute import Compute
from attar.data import LabelledImages
from attar.data.preprocessing import Preprocessing
from attar.errors import ArtefactError, BadRequest
from attar.experts.header import Inputs, inputs_of
from attar.networks import make_for
from attar.rng import Key
from attar.stored import is_of, open_stored
from attar.teachers.teacher import Teacher, tensors_of
from attar.tensors import all_finite, save_tensors

FORMAT = "attar.teacher"
FORMAT_VERSION = 2


class _Header(BaseModel):
    """What a file says of the network in it."""

    model_config = ConfigDict(frozen=True)

    network: str
    classes: list[str]
    shape: tuple[int, ...]
    inputs: Inputs


def teacher_path(artefact: Path) -> Path:
    """Return where the teacher of an artefact lies, where one was trained for it."""
    return Path(artefact).with_suffix(".teacher.safetensors")


def save_teacher(path: Path, teacher: Teacher, data: LabelledImages) -> None:
    """Write a teacher, atomically, with the classes and the normalization that it knows."""
    header = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "network": teacher.network.name,
        "classes": list(data.class_names),
        "shape": list(data.shape),
        "inputs": inputs_of(data.preprocessing).model_dump(mode="json"),
        "origin": teacher.origin,
    }
    save_tensors(path, teacher.tensors, header)


def load_teacher(path: Path, data: LabelledImages, compute: Compute, said: str) -> Teacher:
    """Return the teacher in a file, for these data.

    Args:
        path: of the file.
        data: whose classes, shape and preprocessing it must know.
        compute: device, precision and compilation.
        said: how messages call it, such as ``--teacher FILE``.

    Raises:
        ArtefactError: the file is missing, truncated, damaged or foreign.
        BadRequest: it was trained on other classes, or on images of another size or normalization.
    """
    with open_stored(path) as stored:
        header = _read(stored.header, path, said)
        refuse_other_classes(header.classes, data, said)
        _refuse_other_images(header, data.shape, data.preprocessing, said)
        tensors = stored.all()
    network = make_for(header.network, data.shape, data.classes)
    wanted = tensors_of(network.draw(Key(0)))
    if {n: one.shape for n, one in wanted.items()} != {n: one.shape for n, one in tensors.items()}:
        raise ArtefactError(f"{said}: {path} does not hold the weights of {network.name}")
    if not all_finite({n: one for n, one in tensors.items() if one.is_floating_point()}):
        raise ArtefactError(f"{said}: {path} holds values that are no numbers")
    there = {name: tensors[name].to(compute.device) for name in wanted}
    return Teacher(network, compute, there, origin=path.name)


def _read(header: Mapping[str, Any], path: Path, said: str) -> _Header:
    try:
        if is_of(header, FORMAT, FORMAT_VERSION):
            return _Header.model_validate(header)
    except ValidationError:
        pass
    raise ArtefactError(
        f"{said}: {path} holds no teacher; those that were trained for an artefact lie beside it, "
        "as OUT.teacher.safetensors, and one that a set carries labels that set alone"
    )


def refuse_other_classes(classes: Sequence[str], data: LabelledImages, said: str) -> None:
    """Refuse a teacher of other classes, or of the same in another order."""
    ours = list(data.class_names)
    if list(classes) == ours:
        return
    raise BadRequest(
        f"{said}: this teacher was trained on the classes {_listed(classes)}, not on "
        f"{_listed(ours)}; give one of the same classes in the same order, or leave it out to have "
        "one trained"
    )


def refuse_other_normalization(mean: Any, std: Any, data: Preprocessing, said: str) -> None:
    """Refuse a teacher that saw pixels normalized in another way."""
    if (tuple(mean), tuple(std)) != (tuple(data.mean), tuple(data.std)):
        raise BadRequest(
            f"{said}: this teacher saw pixels normalized by mean {_numbers(mean)} and standard "
            f"deviation {_numbers(std)}, not by {_numbers(data.mean)} and {_numbers(data.std)}; "
            "give one of these data, or leave it out to have one trained"
        )


def _refuse_other_images(
    header: _Header, shape: tuple[int, ...], data: Preprocessing, said: str
) -> None:
    there, ours = header.inputs, inputs_of(data)
    if header.shape != tuple(shape):
        raise BadRequest(
            f"{said}: this teacher was trained on images of "
            f"{'×'.join(map(str, header.shape))}, not of {'×'.join(map(str, shape))}; give one of "
            "these data, or leave it out to have one trained"
        )
    refuse_other_normalization(there.mean, there.std, data, said)
    if (there.zca, there.whitening) != (ours.zca, ours.whitening):
        raise BadRequest(
            f"{said}: this teacher saw images whitened by {there.zca!r}, and these are "
            f"whitened by {ours.zca!r} or by another matrix; give one of these data"
        )


def _listed(names: Sequence[str]) -> str:
    more = f", … ({len(names)} in all)" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more


def _numbers(values: Any) -> str:
    return "(" + ", ".join(f"{one:.4g}" for one in values) + ")"
