"""The teacher that a text names: a file, a folder of experts, or weights that others trained."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from attar.compute import Compute
from attar.data import LabelledImages
from attar.errors import BadRequest
from attar.experts.header import NAME, read_header
from attar.experts.images import refuse_other_classes
from attar.experts.store import open_experts
from attar.networks import check_name, make_for
from attar.rng import Key
from attar.teachers.file import load_teacher
from attar.teachers.teacher import Teacher, tensors_of
from attar.teachers.weights import check_file, is_weights, read_weights

# images from which statistics of batch normalization are taken, and how many go forward at once
_MOST, _BATCH = 8192, 256


def is_on_disk(spec: str) -> bool:
    """Whether a text names a trained network, and not one that is to be trained."""
    return (
        is_weights(spec)
        or spec.endswith(".safetensors")
        or "/" in spec
        or (Path(spec) / NAME).is_file()
    )


def check_named(spec: str, option: str = "--teacher") -> None:
    """Refuse a text that names nothing there is, whatever the data are.

    Args:
        spec: as `find_teacher` takes it, or the name of a network to be trained.
        option: how messages call it.

    Raises:
        BadRequest: no such file or folder, or no such network.
    """
    said = f"{option} {spec}"
    if is_weights(spec):
        check_file(spec, said)
    elif not is_on_disk(spec):
        try:
            check_name(spec)
        except BadRequest as error:
            raise BadRequest(f"{said}: {error.text}") from None
    elif not _is_there(spec, Path(spec).expanduser()):
        raise _no_teacher(said)


def find_teacher(
    spec: str, data: LabelledImages, compute: Compute, option: str = "--teacher"
) -> Teacher:
    """Return the trained network that a text names, for these data.

    Args:
        spec: ``FILE.safetensors``, which lies beside a set that Attar made; a folder that
            ``attar experts`` made, of which the first network is taken as it was at its end;
            or ``ARCH:FILE``, as `read_weights` takes it.
        data: whose classes and normalization it must know.
        compute: device, precision and compilation.
        option: how messages call it.

    Raises:
        ArtefactError: what is there is damaged or foreign.
        BadRequest: there is none, or it was trained on other classes or another normalization.
    """
    said = f"{option} {spec}"
    if is_weights(spec):
        return read_weights(spec, data, compute, said)
    path = Path(spec).expanduser()
    if spec.endswith(".safetensors") and path.exists():
        return load_teacher(path, data, compute, said)
    if (path / NAME).is_file():
        return _expert(path, data, compute, option)
    raise _no_teacher(said)


def _is_there(spec: str, path: Path) -> bool:
    return (spec.endswith(".safetensors") and path.exists()) or (path / NAME).is_file()


def _no_teacher(said: str) -> BadRequest:
    return BadRequest(
        f"{said}: there is no teacher; give OUT.teacher.safetensors, a folder that 'attar experts' "
        "made, ARCH:FILE such as resnet18:weights.pth, or the name of a network to be trained"
    )


def _expert(folder: Path, data: LabelledImages, compute: Compute, option: str) -> Teacher:
    header = read_header(folder, option)
    refuse_other_classes(header, data, f"{option} {folder}", "take")
    network = make_for(header.network, data.shape, data.classes)
    store = open_experts(folder, network, data.preprocessing, option)
    vector = store.segment(0, store.epochs, 0)[0]
    module = network.draw(Key(0))
    with torch.no_grad():
        torch.nn.utils.vector_to_parameters(vector, module.parameters())
    module = module.to(compute.device)
    _retake_statistics(module, data)
    origin = f"{folder.name} (expert {store.experts[0]})"
    return Teacher(network, compute, tensors_of(module.eval()), origin=origin)


@torch.no_grad()
def _retake_statistics(module: nn.Module, data: LabelledImages) -> None:
    """Give batch normalization the statistics of real images, which experts do not keep.

    They are the mean over batches of those that the network in training mode sees.
    """
    norms = [one for one in module.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    for norm in norms:
        norm.reset_running_stats()
        # a running mean with equal weights
        norm.momentum = None
    device = next(module.parameters()).device
    order = torch.randperm(len(data), generator=Key(0).fold("statistics").generator())[:_MOST]
    module.train()
    for rows in _batches(order):
        module(data.take(rows).to(device))


def _batches(order: Tensor) -> list[Tensor]:
    """Return batches of one size, or all but one image, so that none is of one image."""
    return list(order.tensor_split(max(1, -(-len(order) // _BATCH))))
